#include "examples/session/session.h"

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "examples/session/session.muster.client.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/base/log.h"
#include "node/types/info.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "tests/testkit/runtime_fixture.h"

namespace examples {
namespace {

using muster::LogLevel;
using session::v1::CreateSessionRequest;
using session::v1::CreateSessionResponse;
using session::v1::DeleteSessionRequest;
using session::v1::GetSessionRequest;
using session::v1::Session;
using session::v1::SessionStoreClient;
using session::v1::SessionStoreOptions;

class SessionStoreTest : public testing::Test {
 protected:
  absl::StatusOr<muster::Pid> Start(const SessionStoreOptions& options) {
    return sim_.Start(std::make_unique<SessionStore>(),
                      muster::Payload::Of(options));
  }
  SessionStoreClient StartDefault() {
    const absl::StatusOr<muster::Pid> pid = Start(SessionStoreOptions());
    EXPECT_TRUE(pid.ok()) << pid.status();
    return SessionStoreClient(sim_.caller(), pid.value());
  }
  std::string Create(const SessionStoreClient& store,
                     const std::string& user_id) {
    CreateSessionRequest request;
    request.set_user_id(user_id);
    (*request.mutable_data()->mutable_fields())["theme"].set_string_value(
        "dark");
    const absl::StatusOr<CreateSessionResponse> response =
        sim_.Await(store.CreateSession(request));
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? response->session_id() : "";
  }
  absl::StatusOr<Session> Get(const SessionStoreClient& store,
                              const std::string& id) {
    GetSessionRequest request;
    request.set_session_id(id);
    return sim_.Await(store.GetSession(request));
  }
  void Delete(const SessionStoreClient& store, const std::string& id) {
    DeleteSessionRequest request;
    request.set_session_id(id);
    EXPECT_TRUE(sim_.Await(store.DeleteSession(request)).ok());
  }

  muster::SimRuntime sim_;
};

TEST_F(SessionStoreTest, ASessionIsWhatItWasMadeWith) {
  const SessionStoreClient store = StartDefault();
  const std::string id = Create(store, "user_42");
  const absl::StatusOr<Session> session = Get(store, id);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(session->id(), id);
  EXPECT_EQ(session->user_id(), "user_42");
  EXPECT_EQ(session->data().fields().at("theme").string_value(), "dark");
  EXPECT_EQ(absl::FromUnixSeconds(session->created_at().seconds()) +
                absl::Nanoseconds(session->created_at().nanos()),
            sim_.scheduler().clock().Wall());
}

TEST_F(SessionStoreTest, IdsAre16BytesInUrlSafeBase64AndDiffer) {
  const SessionStoreClient store = StartDefault();
  const std::string a = Create(store, "a");
  const std::string b = Create(store, "a");
  EXPECT_THAT(a, testing::MatchesRegex("[A-Za-z0-9_-]{22}"));
  EXPECT_NE(a, b);
}

TEST_F(SessionStoreTest, AnUnknownIdIsNotFoundAndIsNotRepeated) {
  const SessionStoreClient store = StartDefault();
  const absl::Status status = Get(store, "sesame").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "no session has this id");
}

TEST_F(SessionStoreTest, ADeletedSessionIsNotFound) {
  const SessionStoreClient store = StartDefault();
  const std::string a = Create(store, "a");
  const std::string b = Create(store, "b");
  Delete(store, a);
  Delete(store, a);
  EXPECT_EQ(Get(store, a).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(Get(store, b).ok());
}

TEST_F(SessionStoreTest, ExpiredSessionsGoAtTheNextCleanup) {
  const SessionStoreClient store = StartDefault();
  sim_.RunFor(absl::Seconds(30));
  const std::string old = Create(store, "old");
  sim_.RunFor(absl::Minutes(30));
  const std::string young = Create(store, "young");
  // Expired for 29 s, but the next cleanup is at 1 h 1 min.
  sim_.RunFor(absl::Minutes(30) + absl::Seconds(29));
  EXPECT_TRUE(Get(store, old).ok());
  EXPECT_EQ(sim_.log().Count(LogLevel::kInfo, "Cleaned up"), 0u);
  sim_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Get(store, old).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(Get(store, young).ok());
  EXPECT_EQ(sim_.log().Count(LogLevel::kInfo, "Cleaned up 1 expired sessions"),
            1u);
  // And it goes on.
  sim_.RunFor(absl::Hours(1));
  EXPECT_EQ(Get(store, young).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(sim_.log().Count(LogLevel::kInfo, "Cleaned up"), 2u);
}

TEST_F(SessionStoreTest, SpansAreOptions) {
  SessionStoreOptions options;
  options.mutable_ttl()->set_seconds(10);
  options.mutable_cleanup_interval()->set_seconds(1);
  const absl::StatusOr<muster::Pid> pid = Start(options);
  ASSERT_TRUE(pid.ok()) << pid.status();
  const SessionStoreClient store(sim_.caller(), *pid);
  const std::string id = Create(store, "a");
  sim_.RunFor(absl::Seconds(9));
  EXPECT_TRUE(Get(store, id).ok());
  sim_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Get(store, id).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(SessionStoreTest, AnUnexpectedMessageIsLoggedAndItGoesOn) {
  const absl::StatusOr<muster::Pid> pid = Start(SessionStoreOptions());
  ASSERT_TRUE(pid.ok()) << pid.status();
  sim_.runtime().Send(*pid, muster::Info(GetSessionRequest()));
  EXPECT_NE(Create(SessionStoreClient(sim_.caller(), *pid), "a"), "");
  EXPECT_EQ(sim_.log().Count(
                LogLevel::kWarning,
                "Received unexpected message: session.v1.GetSessionRequest"),
            1u);
}

TEST_F(SessionStoreTest, AWrongSpanFailsTheStartByItsName) {
  SessionStoreOptions options;
  options.mutable_ttl()->set_seconds(-1);
  absl::Status status = Start(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "ttl is -1s; it must be longer than zero, or absent for 1h");
  options.clear_ttl();
  options.mutable_cleanup_interval();
  status = Start(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              testing::HasSubstr("cleanup_interval is 0"));
}

}  // namespace
}  // namespace examples
