#include "examples/periodic/periodic.h"

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "examples/periodic/periodic.muster.client.h"
#include "gtest/gtest.h"
#include "node/base/log.h"
#include "node/types/info.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "tests/testkit/runtime_fixture.h"

namespace examples {
namespace {

using muster::LogLevel;
using periodic::v1::GetCountRequest;
using periodic::v1::PeriodicTaskClient;
using periodic::v1::PeriodicTaskOptions;
using periodic::v1::TickCount;

class PeriodicTaskTest : public testing::Test {
 protected:
  absl::StatusOr<muster::Pid> Start(const PeriodicTaskOptions& options) {
    return sim_.Start(std::make_unique<PeriodicTask>(),
                      muster::Payload::Of(options));
  }
  int64_t Count(const muster::Pid& pid) {
    const PeriodicTaskClient task(sim_.caller(), pid);
    const absl::StatusOr<TickCount> count =
        sim_.Await(task.GetCount(GetCountRequest()));
    EXPECT_TRUE(count.ok()) << count.status();
    return count.ok() ? count->count() : -1;
  }

  muster::SimRuntime sim_;
};

TEST_F(PeriodicTaskTest, TicksEachSecond) {
  const absl::StatusOr<muster::Pid> pid = Start(PeriodicTaskOptions());
  ASSERT_TRUE(pid.ok()) << pid.status();
  sim_.RunFor(absl::Milliseconds(999));
  EXPECT_EQ(Count(*pid), 0);
  sim_.RunFor(absl::Milliseconds(1));
  EXPECT_EQ(Count(*pid), 1);
  EXPECT_EQ(sim_.log().Count(LogLevel::kInfo, "Tick number: 0"), 1u);
  sim_.RunFor(absl::Seconds(9));
  EXPECT_EQ(Count(*pid), 10);
  EXPECT_EQ(sim_.log().Count(LogLevel::kInfo, "Tick number: 9"), 1u);
  EXPECT_EQ(sim_.log().Count(LogLevel::kInfo, "Tick number: "), 10u);
}

TEST_F(PeriodicTaskTest, IntervalIsAnOption) {
  PeriodicTaskOptions options;
  options.mutable_interval()->set_nanos(250'000'000);
  const absl::StatusOr<muster::Pid> pid = Start(options);
  ASSERT_TRUE(pid.ok()) << pid.status();
  sim_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Count(*pid), 4);
}

TEST_F(PeriodicTaskTest, AnUnexpectedMessageIsLoggedAndItGoesOn) {
  const absl::StatusOr<muster::Pid> pid = Start(PeriodicTaskOptions());
  ASSERT_TRUE(pid.ok()) << pid.status();
  sim_.runtime().Send(*pid, muster::Info(GetCountRequest()));
  sim_.runtime().Send(*pid, muster::Info(std::string("tick")));
  sim_.RunFor(absl::Seconds(2));
  EXPECT_EQ(sim_.log().Count(
                LogLevel::kWarning,
                "Received unexpected message: periodic.v1.GetCountRequest"),
            1u);
  EXPECT_EQ(
      sim_.log().Count(LogLevel::kWarning, "Received unexpected message: "),
      2u);
  EXPECT_EQ(Count(*pid), 2);
}

TEST_F(PeriodicTaskTest, AnIntervalOfZeroFailsTheStart) {
  PeriodicTaskOptions options;
  options.mutable_interval();
  const absl::Status status = Start(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "interval is 0; it must be longer than zero, or absent for 1s");
}

}  // namespace
}  // namespace examples
