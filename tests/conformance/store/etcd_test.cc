// EtcdStore keeps the contract of Store on a real etcd, and tells honestly
// what became of its operations when that etcd is paused, killed or absent.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/store/etcd_endpoints.h"
#include "cluster/store/etcd_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/base/check.h"
#include "node/types/status.h"
#include "tests/conformance/store/real_environment.h"
#include "tests/conformance/store/store_conformance.h"
#include "tests/testkit/etcd_server.h"

// c-ares, which gRPC asks for names that are no addresses, keeps 10 bytes of
// its global state for ever.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libcares.so";
}

namespace muster {
namespace {

std::unique_ptr<EtcdServer> StartServer() {
  absl::StatusOr<std::unique_ptr<EtcdServer>> server = EtcdServer::Start();
  if (!server.ok()) {
    ADD_FAILURE() << server.status();
    MUSTER_CHECK(false, "no etcd to test with");
  }
  return *std::move(server);
}

class EtcdEnvironment final : public RealEnvironment {
 public:
  explicit EtcdEnvironment(std::string spec) : spec_(std::move(spec)) {}

  std::unique_ptr<Store> NewStore() override {
    // Small pages, so that lists have several.
    return NewStore({.page_keys = 100});
  }
  std::unique_ptr<Store> NewStore(EtcdStore::Options options) {
    auto endpoints = ParseEtcdSpec(spec_);
    MUSTER_CHECK(endpoints.ok());
    return std::make_unique<EtcdStore>(scheduler(), *std::move(endpoints),
                                       std::move(options));
  }

 private:
  const std::string spec_;
};

// One etcd for the whole suite: its start takes longer than most tests.
EtcdServer* shared_server = nullptr;

class SharedServer final : public ::testing::Environment {
 public:
  void SetUp() override {
    server_ = StartServer();
    shared_server = server_.get();
  }
  void TearDown() override {
    shared_server = nullptr;
    server_.reset();
  }

 private:
  std::unique_ptr<EtcdServer> server_;
};

const auto* const kSharedServer =
    ::testing::AddGlobalTestEnvironment(new SharedServer);

INSTANTIATE_TEST_SUITE_P(Etcd, StoreConformanceTest, ::testing::Values([] {
                           return std::make_unique<EtcdEnvironment>(
                               shared_server->spec());
                         }));

// With a server of its own, to be mistreated.
class EtcdStoreTest : public ::testing::Test {
 protected:
  EtcdStoreTest()
      : server_(StartServer()),
        environment_(server_->spec()),
        store_(environment_.NewStore()),
        tester_(environment_, *store_) {}

  absl::Status CommitFor(absl::Duration timeout) {
    Answer<TxnResult> answer(environment_);
    store_->Commit(Txn{.then = {StoreOp::Put("k", "v")}}, timeout,
                   answer.Take());
    return answer.Wait().status();
  }
  absl::Status ListFor(absl::Duration timeout) {
    Answer<RangeResult> answer(environment_);
    store_->List("k", timeout, answer.Take());
    return answer.Wait().status();
  }

  std::unique_ptr<EtcdServer> server_;
  EtcdEnvironment environment_;
  std::unique_ptr<Store> store_;
  StoreTester tester_;
};

TEST_F(EtcdStoreTest, PausedServerIsDeadlineExceededAndUnknown) {
  tester_.Put("k", "1");
  server_->Pause();
  const absl::Status commit = CommitFor(absl::Milliseconds(200));
  EXPECT_EQ(commit.code(), absl::StatusCode::kDeadlineExceeded) << commit;
  EXPECT_EQ(OutcomeOf(commit), Outcome::kUnknown);
  const absl::Status list = ListFor(absl::Milliseconds(200));
  EXPECT_EQ(list.code(), absl::StatusCode::kDeadlineExceeded) << list;
  EXPECT_EQ(OutcomeOf(list), Outcome::kNotExecuted);
  server_->Resume();
  EXPECT_GT(tester_.Put("k", "2"), 0);
}

TEST_F(EtcdStoreTest, ServerKilledAfterSendingIsAbortedAndUnknown) {
  tester_.Put("k", "1");
  // Paused, it takes the request into its socket and does not answer.
  server_->Pause();
  Answer<TxnResult> answer(environment_);
  store_->Commit(Txn{.then = {StoreOp::Put("k", "v")}}, absl::Seconds(20),
                 answer.Take());
  // The request has left once this one, behind it, has run out of time.
  ListFor(absl::Milliseconds(200)).IgnoreError();
  server_->Kill();
  const absl::Status status = answer.Wait().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
  EXPECT_EQ(OutcomeOf(status), Outcome::kUnknown);
}

TEST_F(EtcdStoreTest, AbsentServerIsUnavailableAndNotExecuted) {
  server_->Kill();
  // A client that had no connection to lose.
  store_ = environment_.NewStore();
  const absl::Status commit = CommitFor(absl::Seconds(20));
  EXPECT_EQ(commit.code(), absl::StatusCode::kUnavailable) << commit;
  EXPECT_EQ(OutcomeOf(commit), Outcome::kNotExecuted);
  EXPECT_EQ(ReasonOf(commit), "STORE_UNREACHABLE");
  EXPECT_EQ(ListFor(absl::Seconds(20)).code(), absl::StatusCode::kUnavailable);
  WatchRecord record(environment_);
  const auto watch = store_->Follow("k", 1, record.Handler());
  EXPECT_EQ(record.WaitForEnd().code(), absl::StatusCode::kUnavailable);
}

TEST_F(EtcdStoreTest, NoConnectionInTimeIsUnavailableAndNotExecuted) {
  server_->Pause();
  // Connections are taken by the kernel, but the handshake of HTTP/2 is not
  // answered.
  store_ = environment_.NewStore();
  const absl::Status commit = CommitFor(absl::Milliseconds(200));
  EXPECT_EQ(commit.code(), absl::StatusCode::kUnavailable) << commit;
  EXPECT_EQ(OutcomeOf(commit), Outcome::kNotExecuted);
}

TEST_F(EtcdStoreTest, WatchEndsWithItsServer) {
  WatchRecord record(environment_);
  const auto watch = store_->Follow("k", 1, record.Handler());
  tester_.Put("k", "1");
  EXPECT_THAT(record.WaitForEvents(1), ::testing::SizeIs(1));
  server_->Kill();
  EXPECT_EQ(record.WaitForEnd().code(), absl::StatusCode::kUnavailable);
}

TEST_F(EtcdStoreTest, RestartedServerServesTheSameStore) {
  const int64_t revision = tester_.Put("k", "1");
  ASSERT_TRUE(server_->Restart().ok());
  // The first attempts may meet the broken connection; nothing was written.
  absl::StatusOr<RangeResult> list = tester_.List("k");
  for (int attempt = 0; !list.ok() && attempt < 100'000; ++attempt) {
    list = tester_.List("k");
  }
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_THAT(list->items, ::testing::SizeIs(1));
  EXPECT_EQ(list->items[0].mod_revision, revision);
}

TEST_F(EtcdStoreTest, NextEndpointIsUsedAfterAFailure) {
  // Nobody listens on the port of a server that was killed.
  const std::unique_ptr<EtcdServer> dead = StartServer();
  dead->Kill();
  EtcdEnvironment environment(absl::StrCat("etcd://127.0.0.1:", dead->port(),
                                           ",127.0.0.1:", server_->port()));
  const std::unique_ptr<Store> store = environment.NewStore();
  StoreTester tester(environment, *store);
  // A transaction goes to the one that takes it.
  EXPECT_GT(tester.Put("k", "1"), 0);
  // A list fails and leaves the endpoint.
  const std::unique_ptr<Store> other = environment.NewStore();
  StoreTester reader(environment, *other);
  const absl::Status first = reader.List("k").status();
  EXPECT_EQ(first.code(), absl::StatusCode::kUnavailable) << first;
  EXPECT_TRUE(reader.List("k").ok());
}

TEST_F(EtcdStoreTest, HostNamesAreResolved) {
  EtcdEnvironment environment(
      absl::StrCat("etcd://localhost:", server_->port()));
  const std::unique_ptr<Store> store = environment.NewStore();
  StoreTester tester(environment, *store);
  EXPECT_GT(tester.Put("k", "1"), 0);
}

TEST_F(EtcdStoreTest, LargeRevisionsComeWhole) {
  // Beyond etcd's fragments of 1.5 MiB and a half.
  for (int i = 0; i < 30; ++i) {
    Txn txn;
    for (int j = 0; j < 10; ++j) {
      txn.then.push_back(
          StoreOp::Put(absl::StrCat("k", j), std::string(100 << 10, 'x')));
    }
    ASSERT_TRUE(tester_.Commit(std::move(txn)).ok());
  }
  WatchRecord record(environment_);
  const auto watch = store_->Follow("k", 1, record.Handler());
  EXPECT_THAT(record.WaitForEvents(300), ::testing::SizeIs(300));
  for (const std::vector<WatchEvent>& call : record.calls()) {
    EXPECT_EQ(call.size() % 10, 0u) << "a revision was split";
  }
}

TEST_F(EtcdStoreTest, PagesBeyondTheReceiveLimitAreAskedForAgain) {
  for (int i = 0; i < 12; ++i) {
    tester_.Put(absl::StrCat("k", i), std::string(1 << 20, 'x'));
  }
  const std::unique_ptr<Store> store =
      environment_.NewStore({.receive_bytes_max = 4 << 20});
  StoreTester tester(environment_, *store);
  const absl::StatusOr<RangeResult> list = tester.List("k");
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_THAT(list->items, ::testing::SizeIs(12));
}

TEST_F(EtcdStoreTest, DestructionWithAPausedServerDoesNotWaitForIt) {
  tester_.Put("k", "1");
  WatchRecord record(environment_);
  auto watch = store_->Follow("k", 1, record.Handler());
  server_->Pause();
  Answer<TxnResult> answer(environment_);
  store_->Commit(Txn{.then = {StoreOp::Put("k", "v")}},
                 absl::InfiniteDuration(), answer.Take());
  watch.reset();
  store_.reset();
  EXPECT_EQ(answer.calls(), 0);
}

}  // namespace
}  // namespace muster
