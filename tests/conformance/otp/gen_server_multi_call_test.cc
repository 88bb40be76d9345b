// One request to the servers of many nodes (otp 4.5, C18).
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/gen_server/multi_call.h"
#include "node/process/process.h"
#include "tests/conformance/otp/cost.h"
#include "tests/conformance/otp/expect.h"
#include "tests/conformance/otp/otp_case.h"
#include "tests/conformance/otp/otp_cluster.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using Code = absl::StatusCode;
using Result = absl::StatusOr<MultiCallResult<Int64>>;

absl::Duration Ms(int64_t ms) { return absl::Milliseconds(ms); }

// Answers each call, that many milliseconds later, with its argument plus its
// own number; its casts are seen.
Script Numbered(int64_t number, std::vector<int64_t>* casts = nullptr,
                int* calls = nullptr) {
  Script script;
  script.call = [number, calls](int64_t ms, Context& self) -> Reply<Int64> {
    if (calls != nullptr) ++*calls;
    co_await self.Sleep(Ms(ms));
    co_return MakeInt64(ms + number);
  };
  script.cast = [number, casts](int64_t value, Context&) -> Next {
    if (casts != nullptr) casts->push_back(value + number);
    return NoReply();
  };
  return script;
}

// "a=1 c=3" of the replies.
std::vector<std::string> Replies(const Result& result) {
  std::vector<std::string> list;
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return list;
  for (const auto& reply : result->replies) {
    list.push_back(reply.node + "=" + std::to_string(reply.reply.value()));
  }
  return list;
}

// "b NODEDOWN" of the bad nodes.
std::vector<std::string> Bad(const Result& result) {
  std::vector<std::string> list;
  if (!result.ok()) return list;
  for (const BadNode& bad : result->bad_nodes) {
    list.push_back(bad.node + " " + ReasonOf(bad.why));
  }
  return list;
}

class MultiCallTest : public ::testing::Test {
 protected:
  MultiCallTest() : actor_(cluster_.StartActor("a")) {}

  void Do(Act act) { cluster_.Do(actor_, std::move(act)); }
  // The nodes know of each other once they have talked.
  void Connect() {
    Do([](Context& self) -> Next {
      const std::vector<std::string> all = {"a", "b", "c", "d", "e"};
      Result result = co_await MultiCall<Int64>(self, all, "nobody",
                                                kScriptCall, MakeInt64(0));
      EXPECT_THAT(Replies(result), IsEmpty());
      co_return NoReply();
    });
  }

  OtpCluster cluster_{{"a", "b", "c", "d", "e"}};
  const Pid actor_;
  const std::vector<std::string> all_ = {"a", "b", "c", "d", "e"};
};

TEST_F(MultiCallTest, GS39_AbcastReachesEachGivenNode) {
  OTP_CASE("GS.39", "C15 C18");
  std::vector<int64_t> casts;
  cluster_.StartScript("a", Numbered(1, &casts), Names{"server"});
  cluster_.StartScript("c", Numbered(3, &casts), Names{"server"});
  Do([&](Context& self) {
    const std::vector<std::string> own = {"a"};
    Abcast(self, own, "server", kScriptCast, MakeInt64(10));
    Abcast(self, all_, "server", kScriptCast, MakeInt64(20));
    return Next();
  });
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_THAT(casts, UnorderedElementsAre(11, 21, 23));
}

TEST_F(MultiCallTest, GS39_AbcastWithoutNodesIsToThisOneAndAllConnected) {
  OTP_CASE("GS.39", "C18");
  std::vector<int64_t> casts;
  cluster_.StartScript("a", Numbered(1, &casts), Names{"server"});
  cluster_.StartScript("b", Numbered(2, &casts), Names{"server"});
  Do([&](Context& self) {
    EXPECT_THAT(AllNodes(self), ElementsAre("a"));
    Abcast(self, "server", kScriptCast, MakeInt64(10));
    return Next();
  });
  cluster_.RunReady();
  EXPECT_THAT(casts, ElementsAre(11));
  Connect();
  Do([&](Context& self) {
    EXPECT_THAT(AllNodes(self), ElementsAre("a", "b", "c", "d", "e"));
    const BootTime before = self.Now();
    Abcast(self, "server", kScriptCast, MakeInt64(20));
    EXPECT_EQ(self.Now(), before);
    return Next();
  });
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_THAT(casts, UnorderedElementsAre(11, 21, 22));
}

TEST_F(MultiCallTest, EGS09_AbcastToAnUnknownNodeIsImmediate) {
  OTP_CASE("EGS.09", "C15 C18");
  std::vector<int64_t> casts;
  cluster_.StartScript("a", Numbered(1, &casts), Names{"server"});
  Do([&](Context& self) {
    const std::vector<std::string> nodes = {"a", "unknown-node"};
    const BootTime before = self.Now();
    Abcast(self, nodes, "server", kScriptCast, MakeInt64(10));
    Abcast(self, nodes, "server", kScriptCast, MakeInt64(20));
    EXPECT_EQ(self.Now(), before);
    return Next();
  });
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_THAT(casts, ElementsAre(11, 21));
}

TEST_F(MultiCallTest, GS40_NodesWithoutTheServerAreBad) {
  OTP_CASE("GS.40", "C25 C26");
  Connect();
  cluster_.StartScript("a", Numbered(1), Names{"server"});
  Do([&](Context& self) -> Next {
    Result result =
        co_await MultiCall<Int64>(self, "server", kScriptCall, MakeInt64(0));
    EXPECT_THAT(Replies(result), ElementsAre("a=1"));
    EXPECT_THAT(Bad(result),
                ElementsAre("b NOPROC", "c NOPROC", "d NOPROC", "e NOPROC"));
    // A timeout between two that answer changes nothing for them.
    const std::vector<std::string> own = {"a"};
    result = co_await MultiCall<Int64>(self, own, "server", kScriptCall,
                                       MakeInt64(500), Ms(100));
    EXPECT_THAT(Replies(result), IsEmpty());
    EXPECT_THAT(Bad(result), ElementsAre("a TIMEOUT"));
    result = co_await MultiCall<Int64>(self, own, "server", kScriptCall,
                                       MakeInt64(1));
    EXPECT_THAT(Replies(result), ElementsAre("a=2"));
    co_return NoReply();
  });
}

TEST_F(MultiCallTest, GS41_ExactlyTheNodeThatIsNotReachableIsBad) {
  OTP_CASE("GS.41", "C26");
  cluster_.StartScript("a", Numbered(1), Names{"server"});
  Do([&](Context& self) -> Next {
    const std::vector<std::string> nodes = {"unknown-node", "a"};
    const BootTime before = self.Now();
    Result result = co_await MultiCall<Int64>(
        self, nodes, "server", kScriptCall, MakeInt64(0), absl::Seconds(3));
    EXPECT_THAT(Replies(result), ElementsAre("a=1"));
    EXPECT_THAT(Bad(result), ElementsAre("unknown-node NOCONNECTION"));
    EXPECT_LT(self.Now() - before, absl::Seconds(3));
    co_return NoReply();
  });
}

TEST_F(MultiCallTest, EGS10_TheOwnNodeAnswersAndAnUnknownOneIsBad) {
  OTP_CASE("EGS.10", "C25 C26");
  cluster_.StartScript("a", Numbered(1), Names{"server"});
  Do([&](Context& self) -> Next {
    const std::vector<std::string> nodes = {"a", "unknown-node"};
    Result result = co_await MultiCall<Int64>(self, nodes, "server",
                                              kScriptCall, MakeInt64(2));
    EXPECT_THAT(Replies(result), ElementsAre("a=3"));
    EXPECT_THAT(Bad(result), ElementsAre("unknown-node NOCONNECTION"));
    co_return NoReply();
  });
}

class FiveServersTest : public MultiCallTest {
 protected:
  FiveServersTest() {
    int64_t number = 0;
    for (const std::string& node : all_) {
      servers_.push_back(cluster_.StartScript(
          node, Numbered(++number * 1000, nullptr, &calls_), Names{"server"}));
    }
  }
  std::vector<Pid> servers_;
  int calls_ = 0;
};

TEST_F(FiveServersTest, GS42_RepliesComeInTheOrderOfTheNodes) {
  OTP_CASE("GS.42", "C25 C27");
  Do([&](Context& self) -> Next {
    const std::vector<std::string> order = {"d", "a", "e", "c", "b"};
    const BootTime before = self.Now();
    Result result = co_await MultiCall<Int64>(self, order, "server",
                                              kScriptCall, MakeInt64(100));
    EXPECT_THAT(Replies(result),
                ElementsAre("d=4100", "a=1100", "e=5100", "c=3100", "b=2100"));
    EXPECT_THAT(Bad(result), IsEmpty());
    // All at once: as long as one takes.
    EXPECT_LT(self.Now() - before, Ms(200));
    co_return NoReply();
  });
}

TEST_F(FiveServersTest, GS42_AllSlowerThanTheDeadlineAreBadAtTheDeadline) {
  OTP_CASE("GS.42", "C26");
  Do([&](Context& self) -> Next {
    const BootTime before = self.Now();
    Result result = co_await MultiCall<Int64>(self, all_, "server", kScriptCall,
                                              MakeInt64(1000), Ms(100));
    EXPECT_THAT(Replies(result), IsEmpty());
    EXPECT_THAT(Bad(result), ElementsAre("a TIMEOUT", "b TIMEOUT", "c TIMEOUT",
                                         "d TIMEOUT", "e TIMEOUT"));
    EXPECT_EQ(self.Now() - before, Ms(100));
    co_return NoReply();
  });
}

TEST_F(FiveServersTest, GS42_OneKilledOneStoppedOneSilentAreBad) {
  OTP_CASE("GS.42", "C26 Y3");
  cluster_.runtime("b").SendExit(Pid(), servers_[1], ExitReason::Kill());
  cluster_.runtime("c").SendExit(Pid(), servers_[2], ExitReason::Shutdown());
  cluster_.AwaitEnd(servers_[1]);
  cluster_.AwaitEnd(servers_[2]);
  Do([&](Context& self) -> Next {
    // Takes nothing from its mailbox for a minute, as when it is suspended.
    const RequestId busy =
        SendRequest(self, servers_[3], kScriptCall, MakeInt64(60'000));
    Result result = co_await MultiCall<Int64>(self, all_, "server", kScriptCall,
                                              MakeInt64(1), absl::Seconds(1));
    EXPECT_THAT(Replies(result), ElementsAre("a=1001", "e=5001"));
    EXPECT_THAT(Bad(result), ElementsAre("b NOPROC", "c NOPROC", "d TIMEOUT"));
    co_return NoReply();
  });
}

TEST_F(FiveServersTest, GS42_AServerThatEndsMeanwhileIsBad) {
  OTP_CASE("GS.42", "C5 C26");
  bool killed = false;
  cluster_.runtime("b").scheduler().At(cluster_.Now("b") + Ms(50), [&] {
    killed = true;
    cluster_.runtime("b").SendExit(Pid(), servers_[1], ExitReason::Kill());
  });
  Do([&](Context& self) -> Next {
    const std::vector<std::string> nodes = {"a", "b"};
    Result result = co_await MultiCall<Int64>(self, nodes, "server",
                                              kScriptCall, MakeInt64(100));
    EXPECT_TRUE(killed);
    EXPECT_THAT(Replies(result), ElementsAre("a=1100"));
    EXPECT_THAT(Bad(result), ElementsAre("b CALLEE_EXITED"));
    EXPECT_EQ(DetailOf(result->bad_nodes[0].why, "exit_reason"), "killed");
    co_return NoReply();
  });
}

TEST_F(FiveServersTest, GS42_ANodeLostMeanwhileIsBad) {
  OTP_CASE("GS.42", "C26 P2");
  Do([&](Context& self) -> Next {
    // Connected before the wire breaks.
    const RequestId b = SendRequest(self, ServerRef::Local("server", "b"),
                                    kScriptCall, MakeInt64(0));
    auto first = co_await Wait<Int64>(self, b, absl::Seconds(1));
    EXPECT_TRUE(first.has_value());
    co_return NoReply();
  });
  cluster_.runtime("a").scheduler().At(cluster_.Now("a") + Ms(50),
                                       [&] { cluster_.CutAll(); });
  Do([&](Context& self) -> Next {
    const std::vector<std::string> nodes = {"a", "b"};
    Result result = co_await MultiCall<Int64>(self, nodes, "server",
                                              kScriptCall, MakeInt64(100));
    EXPECT_THAT(Replies(result), ElementsAre("a=1100"));
    EXPECT_THAT(Bad(result), ElementsAre("b NOCONNECTION"));
    co_return NoReply();
  });
}

TEST_F(FiveServersTest, GS40_LateRepliesAreDiscarded) {
  OTP_CASE("GS.40", "C9 C26");
  Do([&](Context& self) -> Next {
    const std::vector<std::string> nodes = {"a", "b"};
    Result result = co_await MultiCall<Int64>(
        self, nodes, "server", kScriptCall, MakeInt64(300), Ms(100));
    EXPECT_THAT(Bad(result), ElementsAre("a TIMEOUT", "b TIMEOUT"));
    result = co_await MultiCall<Int64>(self, nodes, "server", kScriptCall,
                                       MakeInt64(1));
    EXPECT_THAT(Replies(result), ElementsAre("a=1001", "b=2001"));
    co_return NoReply();
  });
}

TEST_F(FiveServersTest, GS41_ANodeGivenTwiceIsAskedTwice) {
  OTP_CASE("GS.41", "C25");
  Do([&](Context& self) -> Next {
    const std::vector<std::string> nodes = {"b", "a", "b"};
    Result result = co_await MultiCall<Int64>(self, nodes, "server",
                                              kScriptCall, MakeInt64(1));
    EXPECT_THAT(Replies(result), ElementsAre("b=2001", "a=1001", "b=2001"));
    co_return NoReply();
  });
}

TEST_F(FiveServersTest, GS41_AnImpossibleNodeOrTimeoutSendsNothing) {
  OTP_CASE("GS.41", "C3 C27");
  Do([&](Context& self) -> Next {
    const std::vector<std::string> nodes = {"a", "NO SUCH NAME"};
    Result result = co_await MultiCall<Int64>(self, nodes, "server",
                                              kScriptCall, MakeInt64(1));
    EXPECT_TRUE(IsError(result.status(), Code::kInvalidArgument, "BAD_NODE",
                        Outcome::kNotExecuted));
    result = co_await MultiCall<Int64>(self, all_, "server", kScriptCall,
                                       MakeInt64(1), Ms(-1));
    EXPECT_TRUE(IsError(result.status(), Code::kInvalidArgument, "BAD_TIMEOUT",
                        Outcome::kNotExecuted));
    // No time at all: whatever is known at once.
    const std::vector<std::string> two = {"a", "unknown-node"};
    result = co_await MultiCall<Int64>(self, two, "server", kScriptCall,
                                       MakeInt64(1), absl::ZeroDuration());
    EXPECT_THAT(Bad(result),
                ElementsAre("a TIMEOUT", "unknown-node NOCONNECTION"));
    const std::vector<std::string> none;
    result = co_await MultiCall<Int64>(self, none, "server", kScriptCall,
                                       MakeInt64(1));
    EXPECT_THAT(Replies(result), IsEmpty());
    EXPECT_THAT(Bad(result), IsEmpty());
    co_return NoReply();
  });
  cluster_.RunFor(absl::Seconds(1));
  EXPECT_EQ(calls_, 0);
}

// -- Cost (otp C13)
// ------------------------------------------------------------

constexpr int kCalls = 1000;

TEST_F(FiveServersTest, GS43_ALongMailboxCostsNothingWhenAllAnswer) {
  OTP_CASE("GS.43", "C13 C25");
  ExpectSameCostWithALongMailbox(cluster_, [](Context& self) -> Next {
    const std::vector<std::string> nodes = {"a", "b"};
    for (int i = 0; i < kCalls; ++i) {
      Result result = co_await MultiCall<Int64>(self, nodes, "server",
                                                kScriptCall, MakeInt64(0));
      EXPECT_EQ(result->replies.size(), 2u);
    }
    co_return NoReply();
  });
}

TEST_F(FiveServersTest, GS44_ALongMailboxCostsNothingWhenAllTimeOut) {
  OTP_CASE("GS.44", "C13 C26");
  ExpectSameCostWithALongMailbox(cluster_, [](Context& self) -> Next {
    const std::vector<std::string> nodes = {"a", "b"};
    for (int i = 0; i < kCalls; ++i) {
      Result result = co_await MultiCall<Int64>(
          self, nodes, "server", kScriptCall, MakeInt64(3), Ms(1));
      EXPECT_EQ(result->bad_nodes.size(), 2u);
    }
    co_return NoReply();
  });
}

TEST_F(FiveServersTest, GS45_ALongMailboxCostsNothingWhenANodeIsDown) {
  OTP_CASE("GS.45", "C13 C26");
  cluster_.KillNode("b");
  ExpectSameCostWithALongMailbox(cluster_, [](Context& self) -> Next {
    const std::vector<std::string> nodes = {"a", "b"};
    for (int i = 0; i < kCalls; ++i) {
      Result result = co_await MultiCall<Int64>(self, nodes, "server",
                                                kScriptCall, MakeInt64(0));
      EXPECT_EQ(result->replies.size(), 1u);
      EXPECT_EQ(result->bad_nodes.size(), 1u);
    }
    co_return NoReply();
  });
}

}  // namespace
}  // namespace muster
