// Hosted services through stock stubs: what a client in any language sees.
#include "node/rpc/generic_service.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"
#include "node/rpc/byte_buffer.h"
#include "tests/integration/rpc/rpc_fixture.h"

namespace muster {
namespace {

using ::testing::HasSubstr;

class GenericServiceTest : public RpcTest {
 protected:
  // A unary call with any path, bytes and number of messages.
  absl::Status CallRaw(const std::string& path, absl::string_view name,
                       int messages) {
    class Reactor final
        : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
     public:
      explicit Reactor(int messages) : messages_(messages) {}
      void Begin() {
        StartRead(&response_);
        Step();
        StartCall();
      }
      void OnWriteDone(bool ok) override {
        if (ok) Step();
      }
      void OnDone(const grpc::Status& status) override { done_.Set(status); }
      grpc::Status Wait() {
        internal::BlockUntil([this](absl::AnyInvocable<void()> done) {
          done_.OnReady(std::move(done));
        });
        return done_.Take();
      }

     private:
      void Step() {
        if (messages_-- > 0) {
          StartWrite(&request_);
        } else if (messages_ == -1) {
          StartWritesDone();
        }
      }
      int messages_;
      grpc::ByteBuffer request_ = ToByteBuffer("");
      grpc::ByteBuffer response_;
      internal::Arrival<grpc::Status> done_;
    };
    grpc::GenericStub stub(channel_);
    auto context = Named(name);
    Reactor reactor(messages);
    stub.PrepareBidiStreamingCall(context.get(), path, grpc::StubOptions(),
                                  &reactor);
    reactor.Begin();
    return FromGrpcStatus(reactor.Wait());
  }
};

TEST_F(GenericServiceTest, StockStubCallsAServerByName) {
  auto context = Named("tally");
  tally::v1::AddRequest request;
  request.set_by(2);
  tally::v1::TallyValue value;
  const grpc::Status status = stub_->Add(context.get(), request, &value);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(value.value(), 2);
  const auto& trailers = context->GetServerTrailingMetadata();
  const auto epoch = trailers.find("muster-epoch");
  ASSERT_NE(epoch, trailers.end());
  EXPECT_EQ(std::string(epoch->second.data(), epoch->second.size()),
            (Epoch{1, 7}).ToString());
}

TEST_F(GenericServiceTest, StockStubCallsAServerByPid) {
  auto context = Named("");
  context->AddMetadata("muster-pid", pid_.ToString());
  tally::v1::TallyValue value;
  EXPECT_TRUE(stub_->Get(context.get(), {}, &value).ok());
}

TEST_F(GenericServiceTest, CallWithoutNameSaysWhichKeyToSet) {
  const absl::Status status = Add("", 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(status), "NO_NAME");
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("muster-name"));
}

TEST_F(GenericServiceTest, BadNamesAreRefused) {
  for (const std::string& name :
       {std::string("a..b"), std::string("a b"), std::string(300, 'n')}) {
    const absl::Status status = Add(name, 1);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(ReasonOf(status), "BAD_NAME") << status;
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  }
  auto context = Named("");
  context->AddMetadata("muster-pid", "not~a~pid");
  tally::v1::TallyValue value;
  EXPECT_EQ(ReasonOf(FromGrpcStatus(stub_->Get(context.get(), {}, &value))),
            "BAD_PID");
}

TEST_F(GenericServiceTest, UnknownNameIsNoproc) {
  const absl::Status status = Add("nobody", 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(status), "NOPROC");
  EXPECT_EQ(DetailOf(status, "name"), "nobody");
}

TEST_F(GenericServiceTest, OwnerRefusesAnotherService) {
  const absl::Status status = CallRaw("/other.v1.Other/Get", "tally", 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
}

TEST_F(GenericServiceTest, OwnerRefusesAnUnknownMethod) {
  auto context = Named("tally");
  tally::v1::TallyValue value;
  const absl::Status status =
      FromGrpcStatus(stub_->Missing(context.get(), {}, &value));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
}

TEST_F(GenericServiceTest, ServiceOfNobodyListsTheHostedOnes) {
  const absl::Status status = CallRaw("/other.v1.Other/Get", "", 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("tally.v1.Tally"));
}

TEST_F(GenericServiceTest, NoneOrManyMessagesAreRefused) {
  for (const int messages : {0, 2}) {
    const absl::Status status =
        CallRaw("/tally.v1.Tally/Add", "tally", messages);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(ReasonOf(status), "BAD_REQUEST") << status;
  }
  EXPECT_EQ(adds_.load(), 0);
}

TEST_F(GenericServiceTest, OversizedRequestIsRefusedAndTheConnectionLives) {
  auto context = Named("tally");
  tally::v1::AddRequest request;
  request.set_padding(std::string(5 << 20, 'x'));
  tally::v1::TallyValue value;
  const grpc::Status status = stub_->Add(context.get(), request, &value);
  // What the linked gRPC shows for a message over the server's limit.
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED)
      << status.error_message();
  EXPECT_EQ(adds_.load(), 0);
  EXPECT_TRUE(Add("tally", 1).ok());
}

TEST_F(GenericServiceTest, OversizedReplyIsAnErrorAndTheServerLives) {
  auto context = Named("tally");
  tally::v1::AddRequest request;
  request.set_by(5 << 20);
  tally::v1::Blob blob;
  const absl::Status status =
      FromGrpcStatus(stub_->Big(context.get(), request, &blob));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(status), "REPLY_TOO_LARGE");
  EXPECT_EQ(OutcomeOf(status), Outcome::kExecuted);
  EXPECT_TRUE(Add("tally", 1).ok());
}

TEST_F(GenericServiceTest, CompressedRequestIsRefused) {
  auto context = Named("tally");
  context->set_compression_algorithm(GRPC_COMPRESS_GZIP);
  tally::v1::AddRequest request;
  request.set_padding(std::string(1 << 20, 'x'));
  tally::v1::TallyValue value;
  const grpc::Status status = stub_->Add(context.get(), request, &value);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED)
      << status.error_message();
  EXPECT_EQ(adds_.load(), 0);
}

TEST_F(GenericServiceTest, HandlersErrorCarriesOutcomeExecuted) {
  auto context = Named("tally");
  tally::v1::TallyValue value;
  const absl::Status status =
      FromGrpcStatus(stub_->Refuse(context.get(), {}, &value));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(OutcomeOf(status), Outcome::kExecuted);
  EXPECT_EQ(status.message(), "refused on purpose");
}

TEST_F(GenericServiceTest, CallEndsAtTheClientsDeadline) {
  grpc::ClientContext context;
  context.AddMetadata("muster-name", "tally");
  context.set_deadline(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                    gpr_time_from_millis(100, GPR_TIMESPAN)));
  tally::v1::TallyValue value;
  const absl::Status status = FromGrpcStatus(stub_->Hang(&context, {}, &value));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown);
  while (Waiting() != 0) {
  }
}

TEST_F(GenericServiceTest, CancelAbandonsTheCall) {
  auto context = Named("tally");
  tally::v1::GetRequest request;
  tally::v1::TallyValue value;
  internal::Arrival<grpc::Status> done;
  stub_->async()->Hang(context.get(), &request, &value,
                       [&done](grpc::Status status) { done.Set(status); });
  while (Waiting() != 1) {
  }
  context->TryCancel();
  internal::BlockUntil([&done](absl::AnyInvocable<void()> wake) {
    done.OnReady(std::move(wake));
  });
  EXPECT_EQ(done.Take().error_code(), grpc::StatusCode::CANCELLED);
  while (Waiting() != 0) {
  }
}

TEST_F(GenericServiceTest, NextCallSeesAnAcknowledgedCast) {
  ASSERT_TRUE(Add("tally", 5).ok());
  auto context = Named("tally");
  google::protobuf::Empty empty;
  const grpc::Status cast = stub_->Reset(context.get(), {}, &empty);
  ASSERT_TRUE(cast.ok()) << cast.error_message();
  int64_t sum = -1;
  ASSERT_TRUE(Add("tally", 1, &sum).ok());
  EXPECT_EQ(sum, 1);
}

TEST_F(GenericServiceTest, ClientsMetadataReachesTheHandler) {
  auto context = Named("tally");
  context->AddMetadata("color", "blue");
  tally::v1::Blob blob;
  ASSERT_TRUE(stub_->Color(context.get(), {}, &blob).ok());
  EXPECT_EQ(blob.data(), "blue");
}

TEST_F(GenericServiceTest, TooMuchMetadataIsRefused) {
  auto context = Named("tally");
  context->AddMetadata("color", std::string(9000, 'b'));
  tally::v1::Blob blob;
  const absl::Status status =
      FromGrpcStatus(stub_->Color(context.get(), {}, &blob));
  EXPECT_EQ(ReasonOf(status), "BAD_METADATA") << status;
  // Far over the limit the linked gRPC refuses by itself, and may then close
  // the connection: the next call may have to connect anew.
  auto more = Named("tally");
  more->AddMetadata("color", std::string(40000, 'b'));
  EXPECT_FALSE(stub_->Color(more.get(), {}, &blob).ok());
  while (!Add("tally", 1).ok()) {
  }
}

TEST_F(GenericServiceTest, WithoutBackendEveryCallIsStarting) {
  server_->SetBackend(nullptr);
  const absl::Status status = Add("tally", 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(status), "STARTING");
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  server_->SetBackend(backend_);
  EXPECT_TRUE(Add("tally", 1).ok());
}

TEST_F(GenericServiceTest, ShutdownEndsCallsUnderWay) {
  auto context = Named("tally");
  tally::v1::GetRequest request;
  tally::v1::TallyValue value;
  internal::Arrival<grpc::Status> done;
  stub_->async()->Hang(context.get(), &request, &value,
                       [&done](grpc::Status status) { done.Set(status); });
  while (Waiting() != 1) {
  }
  server_->Shutdown(absl::Milliseconds(10));
  internal::BlockUntil([&done](absl::AnyInvocable<void()> wake) {
    done.OnReady(std::move(wake));
  });
  EXPECT_FALSE(done.Take().ok());
}

TEST_F(GenericServiceTest, ServerThatEndsAnswersItsCallers) {
  auto context = Named("tally");
  tally::v1::GetRequest request;
  tally::v1::TallyValue value;
  internal::Arrival<grpc::Status> done;
  stub_->async()->Hang(context.get(), &request, &value,
                       [&done](grpc::Status status) { done.Set(status); });
  while (Waiting() != 1) {
  }
  runtime_->SendExit(Pid(), pid_, ExitReason::Kill());
  internal::BlockUntil([&done](absl::AnyInvocable<void()> wake) {
    done.OnReady(std::move(wake));
  });
  const absl::Status status = FromGrpcStatus(done.Take());
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ReasonOf(status), "CALLEE_EXITED");
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown);
}

}  // namespace
}  // namespace muster
