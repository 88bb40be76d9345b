#include "cluster/boot/restart_policy.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

constexpr absl::Duration kShort = absl::Seconds(1);

NodeEnd Killed(int signal) {
  NodeEnd end;
  end.signal = signal;
  return end;
}

NodeEnd Exited(int code) {
  NodeEnd end;
  end.code = code;
  return end;
}

class RestartPolicyTest : public testing::Test {
 protected:
  SimRandom random_{1};
  RestartPolicy policy_{&random_};

  void ExpectEnds(const Verdict& verdict, int code) {
    EXPECT_FALSE(verdict.restart);
    EXPECT_EQ(verdict.exit_code, code);
  }
  void ExpectRestart(const Verdict& verdict, absl::Duration base) {
    EXPECT_TRUE(verdict.restart);
    EXPECT_GE(verdict.delay, base);
    EXPECT_LT(verdict.delay, base + base / 4);
  }
};

TEST_F(RestartPolicyTest, WhatExitsBeforeItEverJoinedIsForPeopleToCure) {
  ExpectEnds(policy_.Ended(Exited(4), kShort, false), 4);
  ExpectEnds(policy_.Ended(Exited(0), kShort, false), 0);
}

TEST_F(RestartPolicyTest, ARestartThatTheSystemRefusesIsTriedAgain) {
  policy_.Joined();
  ExpectRestart(policy_.Ended(Killed(SIGKILL), kShort, false),
                absl::Milliseconds(100));
  absl::Duration base = absl::Milliseconds(200);
  for (int i = 0; i < 10; ++i) {
    ExpectRestart(policy_.DidNotStart(), base);
    base = std::min(base * 2, absl::Seconds(10));
  }
}

TEST_F(RestartPolicyTest, WhatIsKilledIsStartedAgainEvenBeforeItJoined) {
  ExpectRestart(policy_.Ended(Killed(SIGKILL), kShort, false),
                absl::Milliseconds(100));
}

TEST_F(RestartPolicyTest, ErrorsAfterTheFirstJoinAreRestarted) {
  policy_.Joined();
  ExpectRestart(policy_.Ended(Exited(5), kShort, false),
                absl::Milliseconds(100));
  // Also of a run that did not join itself.
  ExpectRestart(policy_.Ended(Exited(5), kShort, false),
                absl::Milliseconds(200));
}

TEST_F(RestartPolicyTest, SuccessIsTheEnd) {
  policy_.Joined();
  ExpectEnds(policy_.Ended(Exited(0), kShort, false), 0);
}

TEST_F(RestartPolicyTest, WhoIsToldToStopIsNotStartedAgain) {
  policy_.Joined();
  ExpectEnds(policy_.Ended(Exited(0), kShort, true), 0);
  ExpectEnds(policy_.Ended(Exited(1), kShort, true), 1);
  ExpectEnds(policy_.Ended(Killed(SIGKILL), kShort, true), 137);
}

TEST_F(RestartPolicyTest, DelaysDoubleToTenSeconds) {
  policy_.Joined();
  absl::Duration base = absl::Milliseconds(100);
  for (int i = 0; i < 10; ++i) {
    ExpectRestart(policy_.Ended(Killed(SIGSEGV), kShort, false), base);
    base = std::min(base * 2, absl::Seconds(10));
  }
  ExpectRestart(policy_.Ended(Killed(SIGSEGV), kShort, false),
                absl::Seconds(10));
}

TEST_F(RestartPolicyTest, ALongLifeForgivesTheLoop) {
  policy_.Joined();
  for (int i = 0; i < 5; ++i) policy_.Ended(Killed(SIGSEGV), kShort, false);
  ExpectRestart(policy_.Ended(Killed(SIGSEGV), absl::Seconds(30), false),
                absl::Milliseconds(100));
  ExpectRestart(policy_.Ended(Killed(SIGSEGV),
                              absl::Seconds(30) - absl::Nanoseconds(1), false),
                absl::Milliseconds(200));
}

// What the kernel itself says.
NodeEnd EndOfChild(void (*child)()) {
  const pid_t pid = fork();
  if (pid == 0) {
    child();
    _exit(99);
  }
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return NodeEnd::FromWaitStatus(status);
}

TEST(NodeEndTest, ReadsWaitStatuses) {
  const NodeEnd exited = EndOfChild([] { _exit(3); });
  EXPECT_EQ(exited.ToString(), "exit code 3");
  EXPECT_EQ(exited.ExitCode(), 3);
  const NodeEnd killed = EndOfChild([] { raise(SIGKILL); });
  EXPECT_EQ(killed.ToString(), "killed by signal 9 (KILL)");
  EXPECT_EQ(killed.ExitCode(), 137);
}

TEST(NodeEndTest, SaysThatACoreWasDumped) {
  NodeEnd end = Killed(SIGABRT);
  end.core_dumped = true;
  EXPECT_EQ(end.ToString(), "killed by signal 6 (ABRT), core dumped");
}

}  // namespace
}  // namespace muster
