// What a process knows and says of itself, its aliases, and what it exits with
// (process_test.exs; process_SUITE and monitor_SUITE, the parts about aliases).
#include <optional>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/types/exit_reason.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/stage.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ProcessCase : public Stage {
 protected:
  // `from` (empty: nobody) sends a number through an alias.
  void SendTo(const ServerRef& to, int64_t value) {
    sim_.runtime().Send(to, Info(MakeInt64(value)));
    sim_.RunReady();
  }
  size_t aliases() { return sim_.runtime().Tables().aliases; }
};

TEST_F(ProcessCase, EPR01_MonitorWithAnExplicitAlias) {
  OTP_CASE("EPR.01", "A2");
  const Pid actor = NewActor(false);
  const Pid other = NewActor(false);
  std::optional<ServerRef> alias;
  Do(actor, [&](Context& self) -> Next {
    MonitorOptions options;
    options.alias = AliasKind::kExplicit;
    alias = self.AliasOf(self.Monitor(other, std::move(options)));
    return NoReply();
  });
  SendTo(*alias, 1);
  Kill(other);
  SendTo(*alias, 2);  // Only Unalias ends it.
  EXPECT_THAT(seen_, ElementsAre("1", "down killed", "2"));
}

TEST_F(ProcessCase, EPR03_AnEndedProcessHasNoInfo) {
  OTP_CASE("EPR.03", "P9");
  const Pid pid = *Start(Script(), "n");
  ASSERT_TRUE(sim_.runtime().Inspect(pid).has_value());
  sim_.runtime().SendExit(Pid(), pid, ExitReason::Kill());
  // At once: whoever killed it sees it dead (otp P9).
  EXPECT_FALSE(sim_.runtime().Inspect(pid).has_value());
  EXPECT_FALSE(sim_.runtime().IsAlive(pid));
  sim_.RunReady();
  EXPECT_FALSE(sim_.runtime().Inspect(pid).has_value());
  EXPECT_TRUE(sim_.runtime().WhereIsLocal("n").empty());
}

TEST_F(ProcessCase, EPR04_TheRegisteredName) {
  OTP_CASE("EPR.04", "N1 P8");
  const Pid actor = NewActor(false);
  const auto name = [&] { return sim_.runtime().Inspect(actor)->local_name; };
  EXPECT_EQ(name(), "");
  Do(actor, [&](Context& self) -> Next {
    EXPECT_TRUE(self.RegisterLocal("n").ok());
    EXPECT_EQ(self.WhereIsLocal("n"), self.pid());
    return NoReply();
  });
  EXPECT_EQ(name(), "n");
  Do(actor, [&](Context& self) -> Next {
    EXPECT_TRUE(self.UnregisterLocal("n").ok());
    EXPECT_EQ(ReasonOf(self.UnregisterLocal("n")), "NOPROC");
    return NoReply();
  });
  EXPECT_EQ(name(), "");
  Do(actor, [&](Context& self) -> Next {
    EXPECT_TRUE(self.RegisterLocal("n").ok());
    return NoReply();
  });
  Kill(actor);
  EXPECT_FALSE(sim_.runtime().Inspect(actor).has_value());
  EXPECT_TRUE(sim_.runtime().WhereIsLocal("n").empty());
}

TEST_F(ProcessCase, EPR07_ExitNormalDoesNotEndAnother) {
  OTP_CASE("EPR.07", "1.3");
  const Pid actor = NewActor(false);
  sim_.runtime().SendExit(NewActor(false), actor, ExitReason::Normal());
  sim_.RunReady();
  EXPECT_TRUE(sim_.Alive(actor));
  EXPECT_THAT(seen_, IsEmpty());
  sim_.runtime().SendExit(NewActor(false), actor, ExitReason::Custom("bad"));
  sim_.RunReady();
  EXPECT_FALSE(sim_.Alive(actor));
}

TEST_F(ProcessCase, EPR08_ExitNormalEndsItself) {
  OTP_CASE("EPR.08", "1.3");
  const Pid actor = NewActor(false);
  std::string ended;
  sim_.runtime().ObserveExit(
      actor, [&](const ExitReason& reason) { ended = reason.ToString(); });
  EXPECT_FALSE(Do(actor, [](Context& self) -> Next {
    self.SendExit(self.pid(), ExitReason::Normal());
    return NoReply();
  }));
  EXPECT_EQ(ended, "normal");
}

TEST_F(ProcessCase, EPR09_UnaliasDropsTheAnswer) {
  OTP_CASE("EPR.09", "A1 A3");
  const Pid actor = NewActor(false);
  std::optional<ServerRef> alias;
  Do(actor, [&](Context& self) -> Next {
    alias = self.Alias();
    return NoReply();
  });
  SendTo(*alias, 1);
  Do(actor, [&](Context& self) -> Next {
    EXPECT_TRUE(self.Unalias(*alias));
    EXPECT_FALSE(self.Unalias(*alias));
    return NoReply();
  });
  SendTo(*alias, 2);
  EXPECT_THAT(seen_, ElementsAre("1"));
  EXPECT_EQ(aliases(), 0u);
}

TEST_F(ProcessCase, EPR10_ALabelIsReadableByAll) {
  OTP_CASE("EPR.10 EPR.12", "");
  const Pid actor = NewActor(false);
  Do(actor, [](Context& self) -> Next {
    self.SetLabel("a label");
    EXPECT_EQ(self.label(), "a label");
    self.LogInfo("hello");
    return NoReply();
  });
  EXPECT_EQ(sim_.runtime().Inspect(actor)->label, "a label");
  EXPECT_EQ(sim_.log().Count(LogLevel::kInfo, "(\"a label\"): hello"), 1u);
}

TEST_F(ProcessCase, EPR11_WithoutALabelItIsEmpty) {
  OTP_CASE("EPR.11", "");
  EXPECT_EQ(sim_.runtime().Inspect(NewActor(false))->label, "");
}

TEST_F(ProcessCase, PRC07_EachKindPassesOrDropsAsItSays) {
  OTP_CASE("PRC.07", "A1 A2 A3");
  const Pid actor = NewActor(false);
  const Pid other = NewActor(false);
  struct Made {
    std::optional<ServerRef> simple, reply, plain, demonitor, reply_demonitor;
  } made;
  Do(actor, [&](Context& self) -> Next {
    made.simple = self.Alias();
    made.reply = self.Alias(AliasKind::kReply);
    const auto monitor = [&](AliasKind kind) {
      MonitorOptions options;
      options.alias = kind;
      return self.AliasOf(self.Monitor(other, std::move(options)));
    };
    made.plain = monitor(AliasKind::kExplicit);
    made.demonitor = monitor(AliasKind::kDemonitor);
    made.reply_demonitor = monitor(AliasKind::kReplyDemonitor);
    return NoReply();
  });
  EXPECT_EQ(sim_.runtime().Tables().monitors, 3u);
  for (int i = 1; i <= 2; ++i) {
    SendTo(*made.simple, 10 + i);
    SendTo(*made.reply, 20 + i);
    SendTo(*made.plain, 30 + i);
    SendTo(*made.demonitor, 40 + i);
    SendTo(*made.reply_demonitor, 50 + i);
  }
  EXPECT_THAT(seen_,
              ElementsAre("11", "21", "31", "41", "51", "12", "32", "42"));
  // The reply has removed its monitor too: two Downs, not three.
  EXPECT_EQ(sim_.runtime().Tables().monitors, 2u);
  seen_.clear();
  Kill(other);
  EXPECT_THAT(seen_, ElementsAre("down killed", "down killed"));
  SendTo(*made.demonitor, 43);
  SendTo(*made.plain, 33);
  EXPECT_THAT(seen_, ElementsAre("down killed", "down killed", "33"));
  // An alias of another process is not to be switched off.
  Do(NewActor(false), [&](Context& self) -> Next {
    EXPECT_FALSE(self.Unalias(*made.simple));
    return NoReply();
  });
  Kill(actor);
  EXPECT_EQ(aliases(), 0u);
}

TEST_F(ProcessCase, PRC08_DemonitorEndsTheAliasByItsKind) {
  OTP_CASE("PRC.08", "A2 A3");
  for (const AliasKind kind : {AliasKind::kExplicit, AliasKind::kDemonitor,
                               AliasKind::kReplyDemonitor}) {
    const Pid actor = NewActor(false);
    const Pid other = NewActor(false);
    seen_.clear();
    MonitorRef ref;
    std::optional<ServerRef> alias;
    Do(actor, [&](Context& self) -> Next {
      MonitorOptions options;
      options.alias = kind;
      ref = self.Monitor(other, std::move(options));
      alias = self.AliasOf(ref);
      return NoReply();
    });
    EXPECT_EQ(aliases(), 1u);
    Do(actor, [&](Context& self) -> Next {
      EXPECT_TRUE(self.Demonitor(ref));
      return NoReply();
    });
    SendTo(*alias, 1);
    if (kind == AliasKind::kExplicit) {
      EXPECT_THAT(seen_, ElementsAre("1"));
    } else {
      EXPECT_THAT(seen_, IsEmpty());
    }
    EXPECT_EQ(aliases(), kind == AliasKind::kExplicit ? 1u : 0u);
    Kill(actor);
    // The Down of a process that is gone already ends it as well.
    const Pid late = NewActor(false);
    Kill(other);
    seen_.clear();
    Do(late, [&](Context& self) -> Next {
      MonitorOptions options;
      options.alias = kind;
      alias = self.AliasOf(self.Monitor(other, std::move(options)));
      return NoReply();
    });
    SendTo(*alias, 2);
    if (kind == AliasKind::kExplicit) {
      EXPECT_THAT(seen_, ElementsAre("down noproc", "2"));
    } else {
      EXPECT_THAT(seen_, ElementsAre("down noproc"));
    }
    Kill(late);
  }
}

TEST_F(ProcessCase, PRC08_UnaliasLeavesTheMonitor) {
  OTP_CASE("PRC.08", "A3");
  const Pid actor = NewActor(false);
  const Pid other = NewActor(false);
  Do(actor, [&](Context& self) -> Next {
    MonitorOptions options;
    options.alias = AliasKind::kDemonitor;
    const MonitorRef ref = self.Monitor(other, std::move(options));
    EXPECT_TRUE(self.Unalias(self.AliasOf(ref)));
    return NoReply();
  });
  Kill(other);
  EXPECT_THAT(seen_, ElementsAre("down killed"));
}

TEST_F(ProcessCase, MON13_DemonitorOfAnAliasThatIsNoMonitor) {
  OTP_CASE("MON.13", "A2 M5");
  const Pid actor = NewActor(false);
  std::optional<ServerRef> alias;
  Do(actor, [&](Context& self) -> Next {
    alias = self.Alias();
    EXPECT_TRUE(self.Demonitor(MonitorRef{alias->alias()}));
    return NoReply();
  });
  SendTo(*alias, 1);
  EXPECT_THAT(seen_, ElementsAre("1"));
}

TEST_F(ProcessCase, NamesAreOneForOne) {  // otp N1
  const Pid first = NewActor(false);
  const Pid second = NewActor(false);
  Do(first, [](Context& self) -> Next {
    EXPECT_TRUE(self.RegisterLocal("n").ok());
    EXPECT_EQ(ReasonOf(self.RegisterLocal("m")), "HAS_NAME");
    EXPECT_EQ(ReasonOf(self.RegisterLocal("n")), "HAS_NAME");
    return NoReply();
  });
  Do(second, [&](Context& self) -> Next {
    const absl::Status taken = self.RegisterLocal("n");
    EXPECT_EQ(ReasonOf(taken), "ALREADY_STARTED");
    EXPECT_EQ(DetailOf(taken, "pid"), first.ToString());
    EXPECT_EQ(ReasonOf(self.RegisterLocal("no name")), "BAD_NAME");
    EXPECT_TRUE(self.RegisterLocal("m").ok());  // The failure left it free.
    return NoReply();
  });
  Runtime& runtime = sim_.runtime();
  Pid remote = first;
  remote.node = "elsewhere";
  EXPECT_EQ(ReasonOf(runtime.RegisterLocal("r", remote)), "BAD_PID");
  Kill(first);
  EXPECT_EQ(ReasonOf(runtime.RegisterLocal("r", first)), "NOPROC");
  EXPECT_TRUE(runtime.WhereIsLocal("n").empty());
  EXPECT_EQ(ReasonOf(runtime.UnregisterLocal("n")), "NOPROC");
}

TEST_F(ProcessCase, WhoeverHearsOfAnEndFindsTheNameFree) {  // otp P8
  const Pid watcher = NewActor(false);
  const Pid holder = *Start(Script(), "n");
  bool free = false;
  Do(watcher, [&](Context& self) -> Next {
    self.Monitor(holder);
    return NoReply();
  });
  sim_.runtime().ObserveExit(holder, [&](const ExitReason&) {
    free = sim_.runtime().RegisterLocal("n", watcher).ok();
  });
  Kill(holder);
  EXPECT_TRUE(free);
  EXPECT_EQ(sim_.runtime().WhereIsLocal("n"), watcher);
}

}  // namespace
}  // namespace muster
