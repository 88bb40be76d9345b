// muster.process.v1 over a real connection.
#include "node/rpc/process_service.h"

#include <memory>
#include <string>

#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"
#include "muster/process/v1/process.grpc.pb.h"
#include "node/rpc/byte_buffer.h"
#include "tests/integration/rpc/rpc_fixture.h"

namespace muster {
namespace {

using process::v1::CallRequest;
using process::v1::CallResponse;
using process::v1::CastRequest;
using process::v1::CastResponse;
using process::v1::WhereIsRequest;
using process::v1::WhereIsResponse;

class ProcessServiceTest : public RpcTest {
 protected:
  ProcessServiceTest() : api_(process::v1::ProcessService::NewStub(channel_)) {}

  absl::Status Call(const ServerRef& to, const std::string& method,
                    CallResponse* response = nullptr) {
    CallRequest request;
    *request.mutable_server() = to.ToProto();
    request.set_method(method);
    return Call(request, response);
  }
  absl::Status Call(const CallRequest& request,
                    CallResponse* response = nullptr) {
    auto context = Named("");
    CallResponse ignored;
    return FromGrpcStatus(api_->Call(
        context.get(), request, response != nullptr ? response : &ignored));
  }

  std::unique_ptr<process::v1::ProcessService::Stub> api_;
};

constexpr char kGet[] = "/tally.v1.Tally/Get";

TEST_F(ProcessServiceTest, CallsByNameLocalNameAndPid) {
  ASSERT_TRUE(Add("tally", 3).ok());
  for (const ServerRef& to :
       {ServerRef::Global("tally"), ServerRef::Local("tally_here"),
        ServerRef::Local("tally_here", "a"), ServerRef(pid_)}) {
    CallResponse response;
    // The first slash may be missing.
    const absl::Status status = Call(to, "tally.v1.Tally/Get", &response);
    ASSERT_TRUE(status.ok()) << to.ToString() << ": " << status;
    tally::v1::TallyValue value;
    ASSERT_TRUE(value.ParseFromString(response.response()));
    EXPECT_EQ(value.value(), 3);
  }
  CallResponse response;
  ASSERT_TRUE(Call(ServerRef::Global("tally"), kGet, &response).ok());
  EXPECT_EQ(Epoch::FromProto(response.epoch()), (Epoch{1, 7}));
}

TEST_F(ProcessServiceTest, CastIsVisibleToTheNextCall) {
  ASSERT_TRUE(Add("tally", 3).ok());
  CastRequest request;
  request.mutable_server()->set_global("tally");
  request.set_method("/tally.v1.Tally/Reset");
  auto context = Named("");
  CastResponse response;
  const grpc::Status status = api_->Cast(context.get(), request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  int64_t sum = -1;
  ASSERT_TRUE(Add("tally", 1, &sum).ok());
  EXPECT_EQ(sum, 1);
}

TEST_F(ProcessServiceTest, CastOfACallIsRefused) {
  CastRequest request;
  request.mutable_server()->set_global("tally");
  request.set_method("/tally.v1.Tally/Add");
  auto context = Named("");
  CastResponse response;
  const absl::Status status =
      FromGrpcStatus(api_->Cast(context.get(), request, &response));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
}

TEST_F(ProcessServiceTest, WhereIsTellsNodePidEpochAndType) {
  WhereIsRequest request;
  request.set_name("tally");
  auto context = Named("");
  WhereIsResponse response;
  ASSERT_TRUE(api_->WhereIs(context.get(), request, &response).ok());
  EXPECT_EQ(response.node(), "a");
  EXPECT_EQ(Pid::FromProto(response.pid()), pid_);
  EXPECT_EQ(Epoch::FromProto(response.epoch()), (Epoch{1, 7}));
  EXPECT_EQ(response.type(), "tally");
  for (const auto& [name, reason] :
       {std::pair<std::string, std::string>("nobody", "NOPROC"),
        {"a..b", "BAD_NAME"},
        {"", "BAD_NAME"}}) {
    request.set_name(name);
    auto again = Named("");
    EXPECT_EQ(ReasonOf(FromGrpcStatus(
                  api_->WhereIs(again.get(), request, &response))),
              reason);
  }
}

TEST_F(ProcessServiceTest, BadInputIsRefusedBeforeItGoesAnywhere) {
  struct Row {
    const char* what;
    ServerRef to;
    std::string method;
    std::string reason;
  };
  const Row rows[] = {
      {"empty name", ServerRef::Global(""), kGet, "BAD_NAME"},
      {"NUL", ServerRef::Global(absl::string_view("a\0b", 3)), kGet,
       "BAD_NAME"},
      {"300 bytes", ServerRef::Global(std::string(300, 'n')), kGet, "BAD_NAME"},
      {"look-alike", ServerRef::Global("t\xd0\xb0lly"), kGet, "BAD_NAME"},
      {"dots", ServerRef::Global("a..b"), kGet, "BAD_NAME"},
      {"local NUL", ServerRef::Local(absl::string_view("\0", 1)), kGet,
       "BAD_NAME"},
      {"node", ServerRef::Local("tally_here", "No_Node"), kGet, "BAD_NAME"},
      {"pid", ServerRef(Pid{"a", Epoch{1, 5}, 0}), kGet, "BAD_PID"},
      {"no method", ServerRef::Global("tally"), "", "BAD_METHOD"},
      {"no service", ServerRef::Global("tally"), "/Get", "BAD_METHOD"},
      {"long method", ServerRef::Global("tally"),
       "/a.B/" + std::string(600, 'm'), "BAD_METHOD"},
      {"control bytes", ServerRef::Global("tally"), "/a.B/\n", "BAD_METHOD"},
  };
  for (const Row& row : rows) {
    const absl::Status status = Call(row.to, row.method);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument)
        << row.what << ": " << status;
    EXPECT_EQ(ReasonOf(status), row.reason) << row.what << ": " << status;
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted) << row.what;
    EXPECT_LE(status.message().size(), 512u) << row.what;
  }
  EXPECT_EQ(ReasonOf(Call(CallRequest())), "NO_NAME");
  EXPECT_EQ(router_.calls(), 0);
}

TEST_F(ProcessServiceTest, GarbageIsAnInvalidArgument) {
  grpc::GenericStub stub(channel_);
  const std::string deep = [] {
    // 100 levels of an unknown group.
    return std::string(100, '\x7b') + std::string(100, '\x7c');
  }();
  for (const std::string& bytes :
       {std::string("\xff\xff\xff"), std::string("\x0a\x7f"), deep,
        std::string("\x12\x02\xc3\x28")}) {
    auto context = Named("");
    const grpc::ByteBuffer request = ToByteBuffer(bytes);
    grpc::ByteBuffer response;
    internal::Arrival<grpc::Status> done;
    stub.UnaryCall(context.get(), "/muster.process.v1.ProcessService/Call",
                   grpc::StubOptions(), &request, &response,
                   [&done](grpc::Status status) { done.Set(status); });
    internal::BlockUntil([&done](absl::AnyInvocable<void()> wake) {
      done.OnReady(std::move(wake));
    });
    const absl::Status status = FromGrpcStatus(done.Take());
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(ReasonOf(status), "BAD_REQUEST") << status;
  }
}

TEST_F(ProcessServiceTest, DeadPidIsNoproc) {
  const Pid dead{"a", Epoch{1, 5}, 999};
  const absl::Status status = Call(ServerRef(dead), kGet);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(status), "NOPROC");
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
}

}  // namespace
}  // namespace muster
