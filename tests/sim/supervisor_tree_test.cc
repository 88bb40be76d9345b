// Random supervision trees under random ends, against a pure model of OTP's
// rules: which children run, in which order they are started and stopped, what
// orders answer, who gives up. --seed=N replays one tree.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/process/runtime.h"
#include "node/supervisor/supervisor.h"
#include "node/supervisor/supervisor_client.h"
#include "node/types/status.h"
#include "tests/sim/supervisor_model.h"
#include "tests/testkit/runtime_fixture.h"
#include "tests/testkit/script_server.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

constexpr int kBlocks = 20;
constexpr uint64_t kTreesPerBlock = 500;
constexpr int kSteps = 10;

std::optional<uint64_t> only_seed;

using Logs = std::map<std::string, std::vector<std::string>>;

// Children that hear of a kill at one time do so in any order.
std::string Text(const Logs& logs) {
  std::string text;
  for (const auto& [key, lines] : logs) {
    std::vector<std::string> sorted = lines;
    for (auto at = sorted.begin(); at != sorted.end();) {
      auto end = at;
      while (end != sorted.end() && absl::StartsWith(*end, "killed ")) ++end;
      std::sort(at, end);
      at = end == sorted.end() ? end : end + 1;
    }
    absl::StrAppend(&text, key, ": ", absl::StrJoin(sorted, ", "), "\n");
  }
  return text;
}

// A tree of real supervisors that notes what the model notes.
class RealTree {
 public:
  explicit RealTree(const ModelTree& tree) : tree_(tree) {}

  bool Start() {
    const absl::StatusOr<Pid> pid =
        sim_.Start(Supervisor::MakeWithInit(InitOf("r", tree_)), "");
    if (pid.ok()) pids_["r"] = *pid;
    begin_ = sim_.Now();
    return pid.ok();
  }
  void FailStarts(const std::string& path, int count, bool ignore) {
    failing_[path] = {count, ignore};
  }
  void RunFor(absl::Duration span) { sim_.RunFor(span); }
  int64_t now() { return absl::ToInt64Nanoseconds(sim_.Now() - begin_); }

  // `how`: 0 to 2 by itself, normal, shutdown or abnormal; 3 killed.
  void EndChildren(const std::string& supervisor,
                   const std::vector<std::string>& ids, int how) {
    for (const std::string& id : ids) {
      const Pid pid = pids_.at(supervisor + "/" + id);
      if (how == 3) {
        sim_.runtime().SendExit(Pid(), pid, ExitReason::Kill());
      } else {
        ScriptCast(sim_.caller(), pid, how);
      }
    }
    sim_.RunReady();
  }
  std::vector<std::string> EndSlowly(const std::string& supervisor,
                                     const std::string& id, int how,
                                     const std::vector<ModelOrder>& late,
                                     absl::Duration start) {
    const Pid sup = pids_.at(supervisor);
    start_ = start;
    EndChildren(supervisor, {id}, how);
    auto answers = std::make_shared<std::vector<std::string>>(late.size());
    for (size_t i = 0; i < late.size(); ++i) {
      Ask(sup, supervisor, late[i],
          [answers, i](std::string answer) { (*answers)[i] = answer; });
    }
    sim_.RunFor(absl::Milliseconds(100));
    start_ = absl::ZeroDuration();
    return *answers;
  }
  void KillSupervisor(const std::string& path) {
    sim_.runtime().SendExit(Pid(), pids_.at(path), ExitReason::Kill());
    sim_.RunReady();
  }
  std::string Do(const std::string& supervisor, const ModelOrder& order) {
    auto answer = std::make_shared<std::string>("none");
    Ask(pids_.at(supervisor), supervisor, order,
        [answer](std::string text) { *answer = std::move(text); });
    sim_.RunReady();
    return *answer;
  }

  std::string Dump() {
    std::string out;
    if (sim_.Alive(pids_.at("r"))) DumpSup("r", &out);
    return out;
  }
  const Logs& logs() const { return logs_; }

 private:
  Supervisor::InitFunction InitOf(const std::string& path,
                                  const ModelTree& tree) {
    return [this, path,
            &tree]() -> absl::StatusOr<std::optional<SupervisorSpec>> {
      const std::string key = absl::StrCat(path, "#", ++incarnations_[path]);
      SupervisorSpec spec;
      spec.strategy =
          tree.strategy == ModelTree::Strategy::kOne   ? Strategy::kOneForOne
          : tree.strategy == ModelTree::Strategy::kAll ? Strategy::kOneForAll
                                                       : Strategy::kRestForOne;
      spec.auto_shutdown = tree.auto_shutdown == ModelTree::Auto::kNever
                               ? AutoShutdown::kNever
                           : tree.auto_shutdown == ModelTree::Auto::kAny
                               ? AutoShutdown::kAnySignificant
                               : AutoShutdown::kAllSignificant;
      spec.intensity = static_cast<uint32_t>(tree.intensity);
      spec.period = absl::Nanoseconds(tree.period_ns);
      for (const ModelTree::Child& child : tree.children) {
        spec.children.push_back(SpecOf(path, key, child));
      }
      return std::optional<SupervisorSpec>(std::move(spec));
    };
  }

  ChildSpec SpecOf(const std::string& path, const std::string& key,
                   const ModelTree::Child& child) {
    ChildSpec spec;
    spec.id = child.id;
    spec.restart =
        child.restart == ModelTree::Restart::kPermanent   ? Restart::kPermanent
        : child.restart == ModelTree::Restart::kTransient ? Restart::kTransient
                                                          : Restart::kTemporary;
    spec.significant = child.significant;
    if (child.brutal) spec.shutdown = Shutdown::BrutalKill();
    const std::string own = path + "/" + child.id;
    if (child.tree != nullptr) {
      spec.type = ChildType::kSupervisor;
      spec.factory = [this, own, tree = child.tree.get()] {
        return Supervisor::MakeWithInit(InitOf(own, *tree));
      };
    } else {
      spec.factory = [this, own, key, id = child.id] {
        return Worker(own, key, id);
      };
    }
    return spec;
  }

  std::unique_ptr<ProcessBody> Worker(const std::string& path,
                                      const std::string& key,
                                      const std::string& id) {
    auto by_itself = std::make_shared<bool>(false);
    Script script;
    script.init = [this, path, key, id](Context& self) -> InitResult {
      self.TrapExit(true);
      if (start_ > absl::ZeroDuration()) co_await self.Sleep(start_);
      auto& [failures, ignore] = failing_[path];
      if (failures > 0) {
        --failures;
        logs_[key].push_back((ignore ? "ignore " : "fail ") + id);
        if (ignore) co_return Ignore();
        co_return Stop(ExitReason::Custom("planned"));
      }
      logs_[key].push_back("start " + id);
      co_return Ok();
    };
    script.cast = [by_itself](int64_t how, Context&) -> Next {
      *by_itself = true;
      if (how == 0) return Stop(ExitReason::Normal());
      if (how == 1) return Stop(ExitReason::Shutdown("x"));
      return Stop(ExitReason::Custom("x"));
    };
    script.terminate = [this, by_itself, key, id](const ExitReason& reason,
                                                  Context&) -> Next {
      if (!*by_itself) {
        const bool stop = reason == ExitReason::Shutdown();
        const bool killed = reason == ExitReason::Killed();
        logs_[key].push_back(absl::StrCat(stop     ? "stop "
                                          : killed ? "killed "
                                                   : reason.ToString() + "? ",
                                          id));
      }
      return NoReply();
    };
    return ScriptServer::Make(std::move(script));
  }

  void Ask(const Pid& pid, const std::string& path, const ModelOrder& order,
           std::function<void(std::string)> done) {
    SupervisorClient client(sim_.caller(), pid);
    const auto started = [done](absl::StatusOr<StartedChild> child) {
      done(!child.ok()          ? ReasonOf(child.status())
           : child->pid.empty() ? "ignored"
                                : "ok");
    };
    const auto ended = [done](absl::Status status) {
      done(status.ok() ? "ok" : ReasonOf(status));
    };
    switch (order.kind) {
      case ModelOrder::Kind::kStart: {
        const std::string key = absl::StrCat(path, "#", incarnations_.at(path));
        client.StartChild(SpecOf(path, key, order.child)).Then(started);
        break;
      }
      case ModelOrder::Kind::kTerminate:
        client.TerminateChild(order.child.id).Then(ended);
        break;
      case ModelOrder::Kind::kRestart:
        client.RestartChild(order.child.id).Then(started);
        break;
      case ModelOrder::Kind::kDelete:
        client.DeleteChild(order.child.id).Then(ended);
        break;
    }
  }

  void DumpSup(const std::string& path, std::string* out) {
    SupervisorClient client(sim_.caller(), pids_.at(path));
    const std::vector<ChildInfo> list = *sim_.Await(client.WhichChildren());
    const ChildCounts counts = *sim_.Await(client.CountChildren());
    std::vector<std::string> kids;
    std::vector<std::string> below;
    for (auto at = list.rbegin(); at != list.rend(); ++at) {
      kids.push_back(at->id + (at->restarting    ? "?"
                               : at->pid.empty() ? "-"
                                                 : "+"));
      if (at->pid.empty()) continue;
      const std::string own = path + "/" + at->id;
      pids_[own] = at->pid;
      if (at->type == ChildType::kSupervisor) below.push_back(own);
    }
    absl::StrAppend(out, path, "[", counts.specs, "/", counts.active, "]{",
                    absl::StrJoin(kids, " "), "} ");
    for (const std::string& own : below) DumpSup(own, out);
  }

  const ModelTree& tree_;
  std::map<std::string, int> incarnations_;
  std::map<std::string, std::pair<int, bool>> failing_;
  Logs logs_;
  std::map<std::string, Pid> pids_;
  absl::Duration start_;
  BootTime begin_;
  // Last: its processes use the others.
  SimRuntime sim_;
};

class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}
  uint64_t Below(uint64_t n) { return random_.Next() % n; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  template <typename T>
  const T& Of(const std::vector<T>& list) {
    return list[Below(list.size())];
  }

 private:
  SimRandom random_;
};

ModelTree RandomTree(Dice& dice, int depth) {
  ModelTree tree;
  tree.strategy = static_cast<ModelTree::Strategy>(dice.Below(3));
  tree.auto_shutdown = static_cast<ModelTree::Auto>(dice.Below(3));
  tree.intensity = static_cast<int>(dice.Below(5));
  tree.period_ns = static_cast<int64_t>(1 + dice.Below(3)) * 1'000'000'000;
  const uint64_t children = 1 + dice.Below(4);
  for (uint64_t i = 0; i < children; ++i) {
    ModelTree::Child child;
    child.id = std::string(1, static_cast<char>('a' + i));
    child.restart = static_cast<ModelTree::Restart>(dice.Below(3));
    child.significant = child.restart != ModelTree::Restart::kPermanent &&
                        tree.auto_shutdown != ModelTree::Auto::kNever &&
                        dice.OneIn(2);
    child.brutal = dice.OneIn(5);
    if (depth > 1 && dice.OneIn(3)) {
      child.tree = std::make_shared<ModelTree>(RandomTree(dice, depth - 1));
    }
    tree.children.push_back(std::move(child));
  }
  return tree;
}

ModelOrder RandomOrder(Dice& dice) {
  ModelOrder order;
  order.kind = static_cast<ModelOrder::Kind>(dice.Below(4));
  order.child.id = std::string(1, static_cast<char>('a' + dice.Below(6)));
  order.child.restart = static_cast<ModelTree::Restart>(dice.Below(3));
  return order;
}

// "" if both agree in everything, else what differs.
std::string Compare(uint64_t seed, ModelBug bug) {
  Dice dice(seed);
  const ModelTree tree = RandomTree(dice, 3);
  RealTree real(tree);
  SupervisorModel model(tree, bug);
  std::string story;
  if (dice.OneIn(20)) {
    real.FailStarts("r/a", 1, false);
    model.FailStarts("r/a", 1, false);
  }
  const bool started = real.Start();
  if (started != model.Start()) return "one of them does not start";
  const auto differ = [&]() -> std::string {
    const std::string mine = Text(real.logs());
    const std::string its = Text(model.logs());
    if (mine == its) return "";
    return absl::StrCat("after\n", story, "real:\n", mine, "model:\n", its);
  };
  if (!started) return differ();
  for (int step = 0; step < kSteps; ++step) {
    const std::string dump = real.Dump();
    if (dump != model.Dump()) {
      return absl::StrCat("after\n", story, "real:  ", dump,
                          "\nmodel: ", model.Dump());
    }
    if (std::string text = differ(); !text.empty()) return text;
    if (dump.empty()) break;  // The root gave up.
    const std::vector<std::string> sups = model.Supervisors();
    const std::string sup = dice.Of(sups);
    const std::vector<std::string> workers = model.Workers(sup);
    model.AdvanceTo(real.now());
    const uint64_t what = dice.Below(12);
    if (what >= 4 && what <= 9 && dice.OneIn(2)) {
      const std::string path = absl::StrCat(
          sup, "/", std::string(1, static_cast<char>('a' + dice.Below(4))));
      const int count = static_cast<int>(1 + dice.Below(3));
      const bool ignore = dice.OneIn(4);
      absl::StrAppend(&story, "  ", path, " will fail ", count, "\n");
      real.FailStarts(path, count, ignore);
      model.FailStarts(path, count, ignore);
    }
    if (what == 0) {
      const ModelOrder order = RandomOrder(dice);
      absl::StrAppend(&story, "  order ", static_cast<int>(order.kind), " ",
                      order.child.id, " at ", sup, "\n");
      const std::string mine = real.Do(sup, order);
      const std::string its = model.Do(sup, order);
      if (mine != its) {
        return absl::StrCat("after\n", story, "real ", mine, ", model ", its);
      }
    } else if (what == 1) {
      if (sup == "r") continue;
      absl::StrAppend(&story, "  kill supervisor ", sup, "\n");
      real.KillSupervisor(sup);
      model.KillSupervisor(sup);
    } else if (what <= 3) {
      const std::vector<absl::Duration> spans = {
          absl::Milliseconds(500), absl::Seconds(1),
          absl::Seconds(1) + absl::Nanoseconds(1), absl::Seconds(2),
          absl::Seconds(3)};
      const absl::Duration span = dice.Of(spans);
      absl::StrAppend(&story, "  ", absl::FormatDuration(span), "\n");
      real.RunFor(span);
    } else if (!workers.empty()) {
      const int how = static_cast<int>(dice.Below(4));
      const SupervisorModel::End end = how < 2
                                           ? SupervisorModel::End::kNormal
                                           : SupervisorModel::End::kAbnormal;
      std::vector<std::string> ids = {dice.Of(workers)};
      if (what <= 6) {
        const std::string& other = dice.Of(workers);
        if (dice.OneIn(3) && other != ids[0]) ids.push_back(other);
        absl::StrAppend(&story, "  end ", absl::StrJoin(ids, " and "), " of ",
                        sup, " (", how, ")\n");
        std::vector<std::pair<std::string, SupervisorModel::End>> ends;
        for (const std::string& id : ids) ends.emplace_back(id, end);
        real.EndChildren(sup, ids, how);
        model.EndChildren(sup, ends, {});
      } else {
        std::vector<ModelOrder> late;
        for (uint64_t i = 0; i < 1 + dice.Below(3); ++i) {
          late.push_back(RandomOrder(dice));
          if (dice.OneIn(2)) late.back().child.id = ids[0];
        }
        absl::StrAppend(&story, "  end ", ids[0], " of ", sup, " (", how,
                        ") and then");
        for (const ModelOrder& order : late) {
          absl::StrAppend(&story, " order ", static_cast<int>(order.kind), " ",
                          order.child.id);
        }
        absl::StrAppend(&story, "\n");
        model.set_start_ns(1000);
        const std::vector<std::string> mine =
            real.EndSlowly(sup, ids[0], how, late, absl::Microseconds(1));
        const std::vector<std::string> its =
            model.EndChildren(sup, {{ids[0], end}}, late);
        model.set_start_ns(0);
        if (mine != its) {
          return absl::StrCat("after\n", story, "real ",
                              absl::StrJoin(mine, ", "), "; model ",
                              absl::StrJoin(its, ", "));
        }
      }
    }
  }
  return differ();
}

class SupervisorTreeTest : public ::testing::TestWithParam<int> {};

TEST_P(SupervisorTreeTest, AgreesWithTheModel) {  // otp section 7
  const uint64_t first = 1 + static_cast<uint64_t>(GetParam()) * kTreesPerBlock;
  std::printf("seeds %llu to %llu\n", static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(first + kTreesPerBlock - 1));
  for (uint64_t seed = first; seed < first + kTreesPerBlock; ++seed) {
    if (only_seed.has_value() && seed != *only_seed) continue;
    const std::string difference = Compare(seed, ModelBug::kNone);
    ASSERT_EQ(difference, "") << "replay with --seed=" << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Blocks, SupervisorTreeTest,
                         ::testing::Range(0, kBlocks));

TEST(SupervisorTreeSelfTest, PlantedBugsAreCaught) {
  const std::vector<ModelBug> bugs = {ModelBug::kStopsInStartOrder,
                                      ModelBug::kIntensityOffByOne,
                                      ModelBug::kBoundaryExclusive,
                                      ModelBug::kGroupKeepsTemporary,
                                      ModelBug::kTerminateTriggersAutoShutdown,
                                      ModelBug::kRetryIsFree,
                                      ModelBug::kTerminateLeavesTheRetry};
  for (const ModelBug bug : bugs) {
    bool caught = false;
    for (uint64_t seed = 1; seed <= 1000 && !caught; ++seed) {
      caught = !Compare(seed, bug).empty();
    }
    EXPECT_TRUE(caught) << "bug " << static_cast<int>(bug);
  }
}

}  // namespace
}  // namespace muster

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    uint64_t seed = 0;
    const absl::string_view arg = argv[i];
    if (absl::StartsWith(arg, "--seed=") &&
        absl::SimpleAtoi(arg.substr(7), &seed)) {
      muster::only_seed = seed;
    }
  }
  return RUN_ALL_TESTS();
}
