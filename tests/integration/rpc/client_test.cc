// Client against a real node: decoding, retries, failover.
#include "client/client.h"

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/sent.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"
#include "node/rpc/address.h"
#include "tests/integration/rpc/rpc_fixture.h"

namespace muster {
namespace {

constexpr char kAdd[] = "/tally.v1.Tally/Add";

class ClientTest : public RpcTest {
 protected:
  std::unique_ptr<Client> Connect(const std::string& endpoints,
                                  int attempts_max = 3) {
    ClientOptions options;
    options.attempts_max = attempts_max;
    options.backoff_initial = absl::Milliseconds(1);
    options.random = &random_;
    auto client = Client::Connect(endpoints, options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  static CallResult Call(Client& client, const ServerRef& to,
                         absl::string_view path, int64_t by = 0,
                         CallOptions options = CallOptions()) {
    tally::v1::AddRequest request;
    request.set_by(by);
    auto arrival = std::make_shared<internal::Arrival<CallResult>>();
    client.StartCall(
        to, path, Payload::Of(std::move(request)), options,
        [arrival](CallResult result) { arrival->Set(std::move(result)); });
    internal::BlockUntil([&](absl::AnyInvocable<void()> wake) {
      arrival->OnReady(std::move(wake));
    });
    return arrival->Take();
  }

  static Error Restarting() {
    return Error(absl::StatusCode::kUnavailable, "RESTARTING", "wait");
  }
};

TEST_F(ClientTest, CallsByNamePidAndLocalName) {
  auto client = Connect(server_->address());
  for (const ServerRef& to : {ServerRef("tally"), ServerRef(pid_),
                              ServerRef::Local("tally_here", "a")}) {
    CallResult result = Call(*client, to, kAdd, 1);
    ASSERT_TRUE(result.status.ok()) << to.ToString() << result.status;
    EXPECT_NE(result.reply.As<tally::v1::TallyValue>(), nullptr);
    if (to.kind() == ServerRef::Kind::kGlobal) {
      EXPECT_EQ(result.epoch, (Epoch{1, 7}));
    }
  }
  EXPECT_EQ(adds_.load(), 3);
}

TEST_F(ClientTest, TypedCallsAndCasts) {
  auto client = Connect(server_->address());
  tally::v1::AddRequest request;
  request.set_by(4);
  const auto sum = internal::TypedCall<tally::v1::TallyValue>(
                       *client, "tally", kAdd, request, CallOptions())
                       .Wait();
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_EQ(sum->value(), 4);
  for (const ServerRef& to : {ServerRef("tally"), ServerRef(pid_)}) {
    const absl::Status cast =
        internal::TypedCast(*client, to, "/tally.v1.Tally/Reset",
                            tally::v1::GetRequest(), CallOptions())
            .Wait();
    EXPECT_TRUE(cast.ok()) << cast;
  }
}

TEST_F(ClientTest, WhereIs) {
  auto client = Connect(server_->address());
  const auto found = client->WhereIs("tally").Wait();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(Pid::FromProto(found->pid()), pid_);
  EXPECT_EQ(ReasonOf(client->WhereIs("nobody").Wait().status()), "NOPROC");
  EXPECT_EQ(ReasonOf(client->WhereIs("a..b").Wait().status()), "BAD_NAME");
}

// The node that answers next is behind (guarantees G5).
TEST_F(ClientTest, NobodyTakesItBackInTime) {
  const auto start = [&](Epoch epoch) {
    SpawnOptions spawn;
    spawn.global_name = "late";
    spawn.global_epoch = epoch;
    auto arrival = std::make_shared<internal::Arrival<absl::Status>>();
    const Pid pid = runtime_->Spawn(
        std::make_unique<TallyBody>(&adds_), Payload(), std::move(spawn),
        [arrival](absl::Status status) { arrival->Set(std::move(status)); });
    EXPECT_TRUE(Pending<absl::Status>(arrival).Wait().ok());
    NameEntry entry;
    entry.name = "late";
    entry.pid = pid;
    entry.epoch = epoch;
    names_.Put(std::move(entry));
    return pid;
  };
  auto client = Connect(server_->address(), 1);
  auto other = Connect(server_->address(), 1);
  const Pid newer = start(Epoch{1, 9});
  ASSERT_TRUE(Call(*client, "late", kAdd, 1).status.ok());
  EXPECT_TRUE(client->WhereIs("late").Wait().ok());
  auto gone = std::make_shared<internal::Arrival<absl::Status>>();
  runtime_->Stop(Pid(), newer, absl::ZeroDuration(),
                 [gone](ExitReason) { gone->Set(absl::OkStatus()); });
  EXPECT_TRUE(Pending<absl::Status>(gone).Wait().ok());
  start(Epoch{1, 8});
  const absl::Status call = Call(*client, "late", kAdd, 1).status;
  EXPECT_EQ(ReasonOf(call), "FENCED") << call;
  EXPECT_EQ(OutcomeOf(call), Outcome::kNotExecuted);
  const absl::Status where = client->WhereIs("late").Wait().status();
  EXPECT_EQ(ReasonOf(where), "FENCED") << where;
  EXPECT_EQ(OutcomeOf(where), Outcome::kNotExecuted);
  EXPECT_EQ(adds_.load(), 1);
  // Who has not seen the newer one is answered; and who asks where it is has
  // seen it, too.
  ASSERT_TRUE(other->WhereIs("late").Wait().ok());
  names_.Put(NameEntry{.name = "late", .epoch = Epoch{1, 7}});
  EXPECT_EQ(ReasonOf(other->WhereIs("late").Wait().status()), "FENCED");
  // A name that is free is free.
  names_.Erase("late");
  EXPECT_EQ(ReasonOf(client->WhereIs("late").Wait().status()), "NOPROC");
}

TEST_F(ClientTest, DetailsComeBackAsTheyWereMade) {
  auto client = Connect(server_->address(), 1);
  router_.Script("flaky", {Error(absl::StatusCode::kResourceExhausted,
                                 "MAILBOX_FULL", "no room")
                               .NotExecuted()
                               .With("name", "flaky")
                               .RetryAfter(absl::Milliseconds(250))});
  const absl::Status status = Call(*client, "flaky", kAdd).status;
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "no room");
  EXPECT_EQ(ReasonOf(status), "MAILBOX_FULL");
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  EXPECT_EQ(DetailOf(status, "name"), "flaky");
  EXPECT_EQ(RetryDelayOf(status), absl::Milliseconds(250));
}

TEST_F(ClientTest, RetriesWhatWasNotExecuted) {
  auto client = Connect(server_->address());
  router_.Script("flaky", {Restarting().NotExecuted(),
                           Restarting().NotExecuted(), absl::OkStatus()});
  EXPECT_TRUE(Call(*client, "flaky", kAdd).status.ok());
  EXPECT_EQ(router_.calls(), 3);
}

TEST_F(ClientTest, GivesUpAfterThreeAttempts) {
  auto client = Connect(server_->address());
  router_.Script("flaky", {Restarting().NotExecuted()});
  EXPECT_EQ(ReasonOf(Call(*client, "flaky", kAdd).status), "RESTARTING");
  EXPECT_EQ(router_.calls(), 3);
}

TEST_F(ClientTest, RetriesNothingElse) {
  auto client = Connect(server_->address());
  const absl::Status once[] = {
      Error(absl::StatusCode::kAborted, "NOCONNECTION", "lost").Unknown(),
      Error(absl::StatusCode::kUnavailable, "", "handler's own").Executed(),
      Error(absl::StatusCode::kNotFound, "NOPROC", "gone").NotExecuted(),
      Error(absl::StatusCode::kInvalidArgument, "BAD", "bad").NotExecuted(),
      Error(absl::StatusCode::kInternal, "BUG", "bug").Unknown(),
  };
  int calls = 0;
  for (const absl::Status& status : once) {
    router_.Script("flaky", {status});
    EXPECT_EQ(Call(*client, "flaky", kAdd).status.code(), status.code());
    EXPECT_EQ(router_.calls(), ++calls) << status;
  }
}

TEST_F(ClientTest, EmptyBucketStopsRetries) {
  auto client = Connect(server_->address());
  router_.Script("flaky", {Restarting().NotExecuted()});
  // 10 tokens: 3 attempts cost 3; from 5 on each call is sent once.
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(Call(*client, "flaky", kAdd).status.ok());
  }
  EXPECT_EQ(router_.calls(), 3 + 2 + 1 + 1 + 1);
}

TEST_F(ClientTest, RetryDelayBeyondTheDeadlineEndsTheCall) {
  auto client = Connect(server_->address());
  router_.Script("flaky",
                 {Restarting().NotExecuted().RetryAfter(absl::Hours(1))});
  EXPECT_EQ(ReasonOf(Call(*client, "flaky", kAdd).status), "RESTARTING");
  EXPECT_EQ(router_.calls(), 1);
}

TEST_F(ClientTest, GoesToTheNextEndpointIfOneIsDown) {
  // A port that was free a moment ago.
  std::string closed;
  {
    auto server = RpcServer::Start(RpcServerOptions(), {});
    ASSERT_TRUE(server.ok());
    closed = (*server)->address();
  }
  auto client = Connect(closed + "," + server_->address());
  const absl::Status status = Call(*client, "tally", kAdd, 1).status;
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(adds_.load(), 1);
}

// However many wait for a connection that then fails: none of them was sent, so
// going on to another node is no retry and needs no room in the bucket.
TEST_F(ClientTest, AllThatWaitForANodeThatIsDownGoOnToTheNext) {
  std::string closed;
  {
    auto server = RpcServer::Start(RpcServerOptions(), {});
    ASSERT_TRUE(server.ok());
    closed = (*server)->address();
  }
  // Takes connections, and says that it does not serve.
  auto leaving = RpcServer::Start(RpcServerOptions(), {});
  ASSERT_TRUE(leaving.ok());
  (*leaving)->SetHealth(false);
  auto client = Connect(
      absl::StrCat(closed, ",", (*leaving)->address(), ",", server_->address()),
      /*attempts_max=*/1);
  constexpr int kCalls = 40;
  std::vector<std::shared_ptr<internal::Arrival<CallResult>>> arrivals;
  for (int i = 0; i < kCalls; ++i) {
    tally::v1::AddRequest request;
    request.set_by(1);
    auto arrival = std::make_shared<internal::Arrival<CallResult>>();
    client->StartCall(
        "tally", kAdd, Payload::Of(std::move(request)), CallOptions(),
        [arrival](CallResult result) { arrival->Set(std::move(result)); });
    arrivals.push_back(std::move(arrival));
  }
  for (const auto& arrival : arrivals) {
    internal::BlockUntil([&](absl::AnyInvocable<void()> wake) {
      arrival->OnReady(std::move(wake));
    });
    const absl::Status status = arrival->Take().status;
    EXPECT_TRUE(status.ok()) << status;
  }
  EXPECT_EQ(adds_.load(), kCalls);
  client.reset();
  (*leaving)->Shutdown(absl::ZeroDuration());
}

TEST_F(ClientTest, NobodyListeningIsNotExecuted) {
  std::string closed;
  {
    auto server = RpcServer::Start(RpcServerOptions(), {});
    ASSERT_TRUE(server.ok());
    closed = (*server)->address();
  }
  auto client = Connect(closed, 1);
  const absl::Status status = Call(*client, "tally", kAdd, 1).status;
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
}

TEST_F(ClientTest, ConnectionThatBreaksMidCallIsUnknown) {
  auto client = Connect(server_->address());
  auto arrival = std::make_shared<internal::Arrival<CallResult>>();
  client->StartCall(
      "tally", "/tally.v1.Tally/Hang", Payload(), CallOptions(),
      [arrival](CallResult result) { arrival->Set(std::move(result)); });
  while (Waiting() != 1) {
  }
  server_->Shutdown(absl::ZeroDuration());
  internal::BlockUntil([&](absl::AnyInvocable<void()> wake) {
    arrival->OnReady(std::move(wake));
  });
  const absl::Status status = arrival->Take().status;
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown) << status;
  EXPECT_NE(status.code(), absl::StatusCode::kUnavailable) << status;
}

// What the client goes by when gRPC ends a call.
TEST_F(ClientTest, ACallWithoutAConnectionWasNeverSent) {
  std::string closed;
  {
    auto server = RpcServer::Start(RpcServerOptions(), {});
    ASSERT_TRUE(server.ok());
    closed = (*server)->address();
  }
  const auto never_sent = [](const std::string& at, absl::string_view name,
                             bool hang) {
    const auto address = ParseNodeAddress(at, HostNames::kAllowed);
    EXPECT_TRUE(address.ok()) << address.status();
    const std::string target = DialTarget(*address);
    auto stub = tally::v1::Tally::NewStub(
        grpc::CreateChannel(target, grpc::InsecureChannelCredentials()));
    auto context = Named(name);
    tally::v1::TallyValue value;
    const grpc::Status status = hang ? stub->Hang(context.get(), {}, &value)
                                     : stub->Get(context.get(), {}, &value);
    EXPECT_EQ(status.ok(), name == "tally" && !hang) << at;
    return NeverSent(*context, target);
  };
  const auto fails_unsent = [](const std::string& at) {
    const auto address = ParseNodeAddress(at, HostNames::kAllowed);
    EXPECT_TRUE(address.ok()) << address.status();
    const std::string target = DialTarget(*address);
    auto stub = tally::v1::Tally::NewStub(
        grpc::CreateChannel(target, grpc::InsecureChannelCredentials()));
    auto context = Named("tally");
    tally::v1::TallyValue value;
    const grpc::Status status = stub->Get(context.get(), {}, &value);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << at;
    return NeverSent(*context, target);
  };
  EXPECT_TRUE(fails_unsent(closed));
  EXPECT_TRUE(fails_unsent("no.such.host.invalid:1"));
  // Answered, refused, or lost on the way back: it was sent.
  EXPECT_FALSE(never_sent(server_->address(), "tally", /*hang=*/false));
  EXPECT_FALSE(never_sent(server_->address(), "nobody", /*hang=*/false));
  std::thread ender([this] {
    while (Waiting() != 1) {
    }
    server_->Shutdown(absl::ZeroDuration());
  });
  EXPECT_FALSE(never_sent(server_->address(), "tally", /*hang=*/true));
  ender.join();
}

TEST_F(ClientTest, DeadlineIsUnknown) {
  auto client = Connect(server_->address());
  // Connected; else the time may pass before anything is sent.
  ASSERT_TRUE(Call(*client, "tally", kAdd).status.ok());
  CallOptions options;
  options.timeout = absl::Milliseconds(50);
  const absl::Status status =
      Call(*client, "tally", "/tally.v1.Tally/Hang", 0, options).status;
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ReasonOf(status), "TIMEOUT");
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown) << status;
  options.timeout = absl::ZeroDuration();
  EXPECT_EQ(OutcomeOf(Call(*client, "tally", kAdd, 1, options).status),
            Outcome::kNotExecuted);
  EXPECT_EQ(adds_.load(), 1);
}

TEST_F(ClientTest, DestructionCancelsWhatIsUnderWay) {
  auto client = Connect(server_->address());
  auto arrival = std::make_shared<internal::Arrival<CallResult>>();
  client->StartCall(
      "tally", "/tally.v1.Tally/Hang", Payload(), CallOptions(),
      [arrival](CallResult result) { arrival->Set(std::move(result)); });
  while (Waiting() != 1) {
  }
  client.reset();
  internal::BlockUntil([&](absl::AnyInvocable<void()> wake) {
    arrival->OnReady(std::move(wake));
  });
  EXPECT_EQ(arrival->Take().status.code(), absl::StatusCode::kCancelled);
  while (Waiting() != 0) {
  }
}

TEST_F(ClientTest, CallbackMayDestroyTheClient) {
  std::shared_ptr<Client> client = Connect(server_->address());
  Client& raw = *client;
  auto arrival = std::make_shared<internal::Arrival<bool>>();
  CallOptions options;
  raw.StartCall("tally", kAdd, Payload(), options,
                [client = std::move(client), arrival](CallResult) mutable {
                  client.reset();
                  arrival->Set(true);
                });
  internal::BlockUntil([&](absl::AnyInvocable<void()> wake) {
    arrival->OnReady(std::move(wake));
  });
}

TEST_F(ClientTest, BadInputIsRefusedWithoutSending) {
  auto client = Connect(server_->address());
  CallOptions options;
  EXPECT_EQ(ReasonOf(Call(*client, "a\nb", kAdd).status), "BAD_NAME");
  EXPECT_EQ(ReasonOf(Call(*client, "tally", "Add").status), "BAD_METHOD");
  for (const auto& [key, value] :
       {std::pair<std::string, std::string>("Upper", "x"),
        {"muster-name", "x"},
        {"grpc-timeout", "x"},
        {"data-bin", "x"},
        {"", "x"},
        {"ok", "a\nb"},
        {"ok", std::string(9000, 'x')}}) {
    options.metadata = {{key, value}};
    EXPECT_EQ(ReasonOf(Call(*client, "tally", kAdd, 1, options).status),
              "BAD_METADATA")
        << key;
  }
  for (const char* const endpoints :
       {"", "10.0.0.1:7001", "example.com:7001", "127.0.0.1", "127.0.0.1:0",
        "127.0.0.1:7001,,127.0.0.1:7002"}) {
    EXPECT_EQ(Client::Connect(endpoints).status().code(),
              absl::StatusCode::kInvalidArgument)
        << endpoints;
  }
  EXPECT_EQ(adds_.load(), 0);
}

}  // namespace
}  // namespace muster
