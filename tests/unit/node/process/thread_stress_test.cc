// The runtime on real threads: all replies right, nothing left behind.
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/process/runtime.h"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

// A counter: call adds and answers, cast adds.
Script Counter(std::shared_ptr<int64_t> total) {
  Script script;
  script.call = [total](int64_t by, Context&) -> Reply<Int64> {
    return MakeInt64(*total += by);
  };
  script.cast = [total](int64_t by, Context&) -> Next {
    *total += by;
    return NoReply();
  };
  return script;
}

TEST(ThreadStressTest, ManyServersManyCallers) {  // otp G1, P1, C16
  constexpr int kServers = 8;
  constexpr int kCallers = 6;
  constexpr int kRounds = 300;
  ThreadRuntime threads(4);
  std::vector<std::shared_ptr<int64_t>> totals;
  std::vector<Pid> servers;
  for (int i = 0; i < kServers; ++i) {
    totals.push_back(std::make_shared<int64_t>(0));
    servers.push_back(*threads.Start(ScriptServer::Make(Counter(totals[i]))));
  }
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < kCallers; ++c) {
    callers.emplace_back([&] {
      std::vector<int64_t> last(kServers, 0);
      for (int round = 0; round < kRounds; ++round) {
        const int i = round % kServers;
        ScriptCast(threads.caller(), servers[i], 1);
        const absl::StatusOr<Int64> reply =
            threads.Call<Int64>(servers[i], kScriptCall, MakeInt64(1));
        // One's own cast was there before the call (otp C16).
        if (!reply.ok() || reply->value() < last[i] + 2) {
          ++wrong;
        } else {
          last[i] = reply->value();
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
  int64_t sum = 0;
  for (const Pid& server : servers) {
    sum += threads.Call<Int64>(server, kScriptCall, MakeInt64(0))->value();
  }
  EXPECT_EQ(sum, int64_t{2} * kCallers * kRounds);
}

TEST(ThreadStressTest, CoroutinesThatCallEachOther) {  // design D3
  constexpr int kFronts = 16;
  ThreadRuntime threads(4);
  const auto total = std::make_shared<int64_t>(0);
  const Pid back = *threads.Start(ScriptServer::Make(Counter(total)));
  Script script;
  script.call = [&](int64_t times, Context& self) -> Reply<Int64> {
    int64_t right = 0;
    for (int64_t i = 0; i < times; ++i) {
      absl::StatusOr<Int64> reply = co_await ScriptCall(self, back, 1);
      if (reply.ok()) ++right;
    }
    co_return MakeInt64(right);
  };
  std::vector<Pid> fronts;
  for (int i = 0; i < kFronts; ++i) {
    fronts.push_back(*threads.Start(ScriptServer::Make(script)));
  }
  std::vector<PendingCall<Int64>> calls;
  CallOptions patient;
  patient.timeout = absl::Minutes(1);
  for (const Pid& front : fronts) {
    calls.push_back(ScriptCall(threads.caller(), front, 200, patient));
  }
  for (PendingCall<Int64>& call : calls) {
    const absl::StatusOr<Int64> right = call.Wait();
    ASSERT_TRUE(right.ok()) << right.status();
    EXPECT_EQ(right->value(), 200);
  }
  EXPECT_EQ(threads.Call<Int64>(back, kScriptCall, MakeInt64(0))->value(),
            kFronts * 200);
}

TEST(ThreadStressTest, EveryCallEndsThoughServersDie) {  // otp C4, H5, P8
  ThreadRuntime threads(4);
  std::atomic<bool> stop{false};
  std::atomic<int> bad{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      while (!stop) {
        const absl::StatusOr<Int64> reply = threads.Call<Int64>(
            ServerRef::Local("target"), kScriptCall, MakeInt64(3));
        const std::string reason = ReasonOf(reply.status());
        if (!reply.ok() && reason != "NOPROC" && reason != "CALLEE_EXITED") {
          ++bad;
        }
      }
    });
  }
  StartOptions options;
  options.name = "target";
  for (int i = 0; i < 300; ++i) {
    Script script;
    if (i % 3 == 0) {
      script.call = [](int64_t value, Context& self) -> Reply<Int64> {
        co_await self.Sleep(absl::Microseconds(50));
        co_return MakeInt64(value);
      };
    }
    if (i % 3 == 1) {
      script.call = [](int64_t, Context&) -> Reply<Int64> {
        return Stop(ExitReason::Normal());
      };
    }
    const absl::StatusOr<Pid> pid =
        threads.Start(ScriptServer::Make(script), Payload(), options);
    ASSERT_TRUE(pid.ok()) << i << ": " << pid.status();
    threads.runtime().SendExit(Pid(), *pid, ExitReason::Kill());
    threads.AwaitExit(*pid);
  }
  stop = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(bad, 0);
  EXPECT_EQ(threads.runtime().process_count(), 0u);
}

TEST(ThreadStressTest, LinksAndMonitorsUnderFire) {  // otp M2, L1, M7
  ThreadRuntime threads(4);
  std::atomic<int> downs{0};
  Script watcher;
  watcher.init = [](Context& self) -> InitResult {
    self.TrapExit(true);
    return Ok();
  };
  watcher.info = [&](Info info, Context& self) -> Next {
    if (const Pid* pid = info.As<Pid>()) {
      self.Monitor(*pid);
      self.Link(*pid).IgnoreError();
      self.Demonitor(self.Monitor(*pid), {.flush = true});
    }
    if (info.As<Down>() != nullptr) ++downs;
    return NoReply();
  };
  const Pid watcher_pid = *threads.Start(ScriptServer::Make(watcher));
  constexpr int kTargets = 500;
  for (int i = 0; i < kTargets; ++i) {
    const Pid pid = *threads.Start(ScriptServer::Make());
    threads.runtime().Send(watcher_pid, Info(pid));
    threads.runtime().SendExit(Pid(), pid, ExitReason::Kill());
  }
  for (const ProcessInfo& process : threads.runtime().List()) {
    if (process.pid != watcher_pid) threads.AwaitExit(process.pid);
  }
  // Each signal is in the mailbox by now; a call comes after them.
  ASSERT_TRUE(threads.Call<Int64>(watcher_pid, kScriptCall, MakeInt64(0)).ok());
  ASSERT_TRUE(threads.Call<Int64>(watcher_pid, kScriptCall, MakeInt64(0)).ok());
  EXPECT_EQ(downs, kTargets);
}

}  // namespace
}  // namespace muster
