// MailboxCost: whether what a process does costs more when its mailbox is long
// (otp C13).
#ifndef MUSTER_TESTS_CONFORMANCE_OTP_COST_H_
#define MUSTER_TESTS_CONFORMANCE_OTP_COST_H_

#include <cstdint>
#include <ctime>
#include <functional>

#include "gtest/gtest.h"
#include "node/process/process.h"
#include "tests/conformance/otp/otp_cluster.h"

namespace muster {

// Messages that wait in the long mailbox; OTP's own cases use 500 000.
inline constexpr size_t kLongMailbox = 90'000;

// Runs `act` in an actor on node a, alternately with an empty mailbox and with
// a long one. Both must take the same number of the scheduler's steps, give or
// take those of a wire that coalesces, and the long one at most ten times the
// processor time, the best of three each: a walk through the mailbox in each
// of a thousand calls would take hundreds of times.
inline void ExpectSameCostWithALongMailbox(OtpCluster& cluster,
                                           const Act& act) {
  const auto run = [&](size_t queued, uint64_t* steps) {
    const Pid actor = cluster.StartActor("a");
    std::clock_t began = 0;
    std::clock_t took = 0;
    uint64_t first = 0;
    Tell(cluster.runtime("a"), actor, [&, queued](Context& self) {
      for (size_t i = 0; i < queued; ++i) {
        self.Send(self.pid(), Info(MakeInt64(1)));
      }
      return Next();
    });
    Tell(cluster.runtime("a"), actor, [&](Context&) {
      first = cluster.world().steps();
      began = std::clock();
      return Next();
    });
    Tell(cluster.runtime("a"), actor, act);
    bool done = false;
    Tell(cluster.runtime("a"), actor, [&](Context& self) {
      took = std::clock() - began;
      *steps = cluster.world().steps() - first;
      EXPECT_EQ(self.runtime().Find(self.pid())->Describe().mailbox, queued);
      done = true;
      return Next();
    });
    cluster.RunUntil([&] { return done; });
    EXPECT_TRUE(done);
    cluster.runtime("a").SendExit(Pid(), actor, ExitReason::Kill());
    cluster.AwaitEnd(actor);
    return static_cast<double>(took);
  };
  double empty = 0;
  double full = 0;
  for (int round = 0; round < 3; ++round) {
    uint64_t empty_steps = 0;
    uint64_t full_steps = 0;
    const double e = run(0, &empty_steps);
    const double f = run(kLongMailbox, &full_steps);
    EXPECT_LE(full_steps, empty_steps + empty_steps / 10 + 100);
    if (round == 0 || e < empty) empty = e;
    if (round == 0 || f < full) full = f;
  }
  EXPECT_LE(full, 10 * empty) << "clock ticks";
  ::testing::Test::RecordProperty("cost_ratio_percent",
                                  static_cast<int>(100 * full / empty));
}

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_OTP_COST_H_
