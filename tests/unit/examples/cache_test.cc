#include "examples/cache/cache.h"

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "examples/cache/cache.muster.client.h"
#include "google/protobuf/struct.pb.h"
#include "gtest/gtest.h"
#include "node/base/log.h"
#include "node/types/info.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "tests/testkit/runtime_fixture.h"

namespace examples {
namespace {

using cache::v1::CacheClient;
using cache::v1::CacheOptions;
using cache::v1::GetRequest;
using cache::v1::GetResponse;
using cache::v1::PutRequest;
using google::protobuf::Value;
using muster::LogLevel;

constexpr absl::string_view kCleared = "Cache cleared due to inactivity";

class CacheTest : public testing::Test {
 protected:
  absl::StatusOr<muster::Pid> Start(const CacheOptions& options) {
    return sim_.Start(std::make_unique<Cache>(), muster::Payload::Of(options));
  }
  muster::Pid StartDefault() {
    const absl::StatusOr<muster::Pid> pid = Start(CacheOptions());
    EXPECT_TRUE(pid.ok()) << pid.status();
    return pid.value();
  }
  void Put(const muster::Pid& pid, const std::string& key,
           const std::string& text) {
    PutRequest request;
    request.set_key(key);
    request.mutable_value()->set_string_value(text);
    EXPECT_TRUE(sim_.Await(CacheClient(sim_.caller(), pid).Put(request)).ok());
  }
  GetResponse Get(const muster::Pid& pid, const std::string& key) {
    GetRequest request;
    request.set_key(key);
    const absl::StatusOr<GetResponse> response =
        sim_.Await(CacheClient(sim_.caller(), pid).Get(request));
    EXPECT_TRUE(response.ok()) << response.status();
    return response.value_or(GetResponse());
  }
  size_t Cleared() { return sim_.log().Count(LogLevel::kInfo, kCleared); }

  muster::SimRuntime sim_;
};

TEST_F(CacheTest, KeepsTheLastValueOfAKey) {
  const muster::Pid pid = StartDefault();
  Put(pid, "a", "1");
  Put(pid, "a", "2");
  Put(pid, "", "empty");
  EXPECT_EQ(Get(pid, "a").value().string_value(), "2");
  EXPECT_EQ(Get(pid, "").value().string_value(), "empty");
}

TEST_F(CacheTest, AnAbsentKeyIsOkWithoutAValue) {
  EXPECT_FALSE(Get(StartDefault(), "a").has_value());
}

TEST_F(CacheTest, AnAbsentValueIsNull) {
  const muster::Pid pid = StartDefault();
  PutRequest request;
  request.set_key("a");
  EXPECT_TRUE(sim_.Await(CacheClient(sim_.caller(), pid).Put(request)).ok());
  EXPECT_EQ(Get(pid, "a").value().kind_case(), Value::kNullValue);
}

TEST_F(CacheTest, IsClearedAfterAMinuteWithoutAMessage) {
  const muster::Pid pid = StartDefault();
  Put(pid, "a", "1");
  sim_.RunFor(absl::Seconds(60));
  EXPECT_EQ(Cleared(), 1u);
  EXPECT_FALSE(Get(pid, "a").has_value());
}

TEST_F(CacheTest, EachCallStartsTheTimeoutAnew) {
  const muster::Pid pid = StartDefault();
  Put(pid, "a", "1");
  sim_.RunFor(absl::Seconds(59));
  EXPECT_TRUE(Get(pid, "a").has_value());
  sim_.RunFor(absl::Seconds(59));
  Put(pid, "b", "2");
  sim_.RunFor(absl::Seconds(59));
  EXPECT_TRUE(Get(pid, "a").has_value());
  EXPECT_EQ(Cleared(), 0u);
  sim_.RunFor(absl::Seconds(60));
  EXPECT_EQ(Cleared(), 1u);
}

TEST_F(CacheTest, TheTimeoutRunsFromTheStartAndAgainAfterEachClearing) {
  StartDefault();
  sim_.RunFor(absl::Seconds(180));
  EXPECT_EQ(Cleared(), 3u);
}

TEST_F(CacheTest, AnUnexpectedMessageDoesNotEndTheTimeout) {
  const muster::Pid pid = StartDefault();
  Put(pid, "a", "1");
  sim_.RunFor(absl::Seconds(59));
  sim_.runtime().Send(pid, muster::Info(GetRequest()));
  sim_.RunFor(absl::Seconds(59));
  EXPECT_EQ(Cleared(), 0u);
  sim_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Cleared(), 1u);
  EXPECT_EQ(sim_.log().Count(LogLevel::kWarning,
                             "Received unexpected message: cache.v1.GetReque"),
            1u);
}

TEST_F(CacheTest, IdleTimeoutIsAnOption) {
  CacheOptions options;
  options.mutable_idle_timeout()->set_seconds(5);
  ASSERT_TRUE(Start(options).ok());
  sim_.RunFor(absl::Seconds(5));
  EXPECT_EQ(Cleared(), 1u);
}

TEST_F(CacheTest, ANegativeIdleTimeoutFailsTheStart) {
  CacheOptions options;
  options.mutable_idle_timeout()->set_seconds(-5);
  const absl::Status status = Start(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "idle_timeout is -5s; it must be longer than zero, or absent for "
            "1m");
}

}  // namespace
}  // namespace examples
