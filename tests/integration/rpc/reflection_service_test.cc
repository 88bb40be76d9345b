// Reflection, both versions, and health: what grpcurl and probes see.
#include "node/rpc/reflection_service.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "gtest/gtest.h"
#include "tests/integration/rpc/rpc_fixture.h"
#include "third_party/grpc/health/v1/health.grpc.pb.h"
#include "third_party/grpc/reflection/v1/reflection.grpc.pb.h"
#include "third_party/grpc/reflection/v1alpha/reflection.grpc.pb.h"

namespace muster {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;

// The generated names of one version.
struct V1 {
  using Service = grpc::reflection::v1::ServerReflection;
  using Request = grpc::reflection::v1::ServerReflectionRequest;
  using Response = grpc::reflection::v1::ServerReflectionResponse;
};
struct V1Alpha {
  using Service = grpc::reflection::v1alpha::ServerReflection;
  using Request = grpc::reflection::v1alpha::ServerReflectionRequest;
  using Response = grpc::reflection::v1alpha::ServerReflectionResponse;
};

template <typename Version>
class ReflectionServiceTest : public RpcTest {
 protected:
  using Request = typename Version::Request;
  using Response = typename Version::Response;

  ReflectionServiceTest()
      : api_(Version::Service::NewStub(channel_)),
        context_(Named("")),
        stream_(api_->ServerReflectionInfo(context_.get())) {}

  Response Ask(const Request& request) {
    Response response;
    EXPECT_TRUE(stream_->Write(request));
    EXPECT_TRUE(stream_->Read(&response));
    EXPECT_EQ(response.original_request().SerializeAsString(),
              request.SerializeAsString());
    return response;
  }
  Response AskSymbol(const std::string& symbol) {
    Request request;
    request.set_file_containing_symbol(symbol);
    return Ask(request);
  }
  // Names of the files, which must build.
  static std::vector<std::string> Files(const Response& response) {
    std::vector<std::string> names;
    google::protobuf::DescriptorPool pool;
    const auto& files =
        response.file_descriptor_response().file_descriptor_proto();
    for (int i = files.size() - 1; i >= 0; --i) {
      google::protobuf::FileDescriptorProto file;
      EXPECT_TRUE(file.ParseFromString(files[i]));
      names.insert(names.begin(), file.name());
    }
    return names;
  }
  grpc::Status End() {
    stream_->WritesDone();
    return stream_->Finish();
  }

  std::unique_ptr<typename Version::Service::Stub> api_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReaderWriter<Request, Response>> stream_;
};

using Versions = ::testing::Types<V1, V1Alpha>;
TYPED_TEST_SUITE(ReflectionServiceTest, Versions);

constexpr char kTallyProto[] = "tests/integration/rpc/tally.proto";

TYPED_TEST(ReflectionServiceTest, ListsHostedServicesAndTheNodesOwn) {
  typename TypeParam::Request request;
  request.set_list_services("*");
  const auto response = this->Ask(request);
  std::vector<std::string> names;
  for (const auto& s : response.list_services_response().service()) {
    names.push_back(s.name());
  }
  EXPECT_THAT(
      names, ElementsAre("gone.v1.Gone", "grpc.health.v1.Health",
                         "muster.process.v1.ProcessService", "tally.v1.Tally"));
  EXPECT_TRUE(this->End().ok());
}

TYPED_TEST(ReflectionServiceTest, FindsTheFileOfEachKindOfSymbol) {
  for (const char* const symbol :
       {"tally.v1.Tally", "tally.v1.Tally.Add", "tally.v1.AddRequest",
        "tally.v1.AddRequest.by", "tally.v1.AddRequest.Mode",
        "tally.v1.AddRequest.MODE_UNSPECIFIED"}) {
    const auto files = this->Files(this->AskSymbol(symbol));
    ASSERT_FALSE(files.empty()) << symbol;
    EXPECT_EQ(files[0], kTallyProto) << symbol;
    EXPECT_THAT(files, Contains("muster/options/v1/options.proto"));
    EXPECT_THAT(files, Contains("google/protobuf/descriptor.proto"));
  }
  EXPECT_EQ(this->Files(this->AskSymbol("muster.process.v1.ProcessService"))[0],
            "muster/process/v1/process.proto");
  EXPECT_FALSE(this->Files(this->AskSymbol("grpc.health.v1.Health")).empty());
}

TYPED_TEST(ReflectionServiceTest, FindsFilesByName) {
  typename TypeParam::Request request;
  request.set_file_by_filename(kTallyProto);
  EXPECT_EQ(this->Files(this->Ask(request))[0], kTallyProto);
}

TYPED_TEST(ReflectionServiceTest, FindsExtensions) {
  typename TypeParam::Request request;
  request.mutable_file_containing_extension()->set_containing_type(
      "google.protobuf.MethodOptions");
  request.mutable_file_containing_extension()->set_extension_number(51601);
  EXPECT_EQ(this->Files(this->Ask(request))[0],
            "muster/options/v1/options.proto");
  request.set_all_extension_numbers_of_type("google.protobuf.MethodOptions");
  const auto response = this->Ask(request);
  EXPECT_THAT(response.all_extension_numbers_response().extension_number(),
              ElementsAre(51601, 51603));
}

TYPED_TEST(ReflectionServiceTest, UnknownThingsAreNotFoundAndTheStreamLives) {
  typename TypeParam::Request request;
  for (const char* const symbol :
       {"tally.v1.Nope", "tally.v1", "", "tally.v1.Tally.Nope",
        "muster.admin.v1.AdminService", "muster.peer.v1.PeerService"}) {
    const auto response = this->AskSymbol(symbol);
    EXPECT_EQ(response.error_response().error_code(), 5) << symbol;
  }
  request.set_file_by_filename("nope.proto");
  EXPECT_EQ(this->Ask(request).error_response().error_code(), 5);
  request.mutable_file_containing_extension()->set_containing_type("a.B");
  EXPECT_EQ(this->Ask(request).error_response().error_code(), 5);
  request.set_all_extension_numbers_of_type("a.B");
  EXPECT_EQ(this->Ask(request).error_response().error_code(), 5);
  EXPECT_EQ(this->Ask({}).error_response().error_code(), 3);
  EXPECT_EQ(
      this->AskSymbol(std::string(5000, 's')).error_response().error_code(), 3);
  EXPECT_FALSE(this->Files(this->AskSymbol("tally.v1.Tally")).empty());
  EXPECT_TRUE(this->End().ok());
}

TYPED_TEST(ReflectionServiceTest, CancelAndLossOfTheBackendEndTheStream) {
  EXPECT_FALSE(this->Files(this->AskSymbol("tally.v1.Tally")).empty());
  this->server_->SetBackend(nullptr);
  typename TypeParam::Request request;
  request.set_list_services("");
  typename TypeParam::Response response;
  EXPECT_TRUE(this->stream_->Write(request));
  EXPECT_FALSE(this->stream_->Read(&response));
  EXPECT_EQ(ReasonOf(FromGrpcStatus(this->stream_->Finish())), "STARTING");
}

using HealthTest = RpcTest;

TEST_F(HealthTest, FollowsTheBackend) {
  auto health = grpc::health::v1::Health::NewStub(channel_);
  const auto check = [&] {
    auto context = Named("");
    grpc::health::v1::HealthCheckResponse response;
    EXPECT_TRUE(health->Check(context.get(), {}, &response).ok());
    return response.status();
  };
  EXPECT_EQ(check(), grpc::health::v1::HealthCheckResponse::SERVING);
  server_->SetBackend(nullptr);
  EXPECT_EQ(check(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  server_->SetBackend(backend_);
  EXPECT_EQ(check(), grpc::health::v1::HealthCheckResponse::SERVING);
}

}  // namespace
}  // namespace muster
