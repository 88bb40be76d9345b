// G4: linearizability of registrations, of children's starts and stops and of
// counters, one partition each.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "node/types/pid.h"
#include "tests/checkers/checker.h"
#include "tests/checkers/journal_index.h"
#include "tests/checkers/wgl.h"

namespace muster {
namespace {

// How long before its observation a reap may have been committed.
constexpr int64_t kReapSeenLateNs = 1'000'000'000;

enum What : int {
  kRegister,       // argument: who
  kRegisterTaken,  // result: the holder, 0: not known
  kUnregister,     // argument: who
  kUnregisterNot,  // argument: who
  kResolve,        // result: the holder
  kFree,           // argument: whose process ended; no end
  kReaped,         // argument: whose node was reaped
  kStartChild,
  kStartTaken,
  kStopChild,
  kStopNot,
  kAdd,  // argument, result
  kAddOpen,
  kGet,  // result
};

bool Model(const LinearOp& op, int64_t* state) {
  switch (static_cast<What>(op.what)) {
    case kRegister:
    case kStartChild:
      if (*state != 0) return false;
      *state = op.argument;
      return true;
    case kRegisterTaken:
    case kStartTaken:
      return op.result == 0 ? *state != 0 : *state == op.result;
    case kUnregister:
    case kFree:
    case kStopChild:
      if (*state != op.argument) return false;
      *state = 0;
      return true;
    case kUnregisterNot:
    case kStopNot:
      return *state != op.argument;
    case kResolve:
    case kGet:
      return *state == op.result;
    case kReaped:
      if (*state == op.argument) *state = 0;
      return true;
    case kAdd:
      *state += op.argument;
      return *state == op.result;
    case kAddOpen:
      *state += op.argument;
      return true;
  }
  return false;
}

struct Partition {
  std::vector<LinearOp> ops;
  // Beside each of `ops`, for people.
  std::vector<std::string> texts;
  // Ids of owners, from 1.
  std::map<std::string, int64_t> owners;
  int64_t state = 0;

  int64_t Owner(const std::string& key) {
    if (key.empty()) return 0;
    return owners.emplace(key, static_cast<int64_t>(owners.size()) + 1)
        .first->second;
  }
  void Add(LinearOp op, std::string text) {
    ops.push_back(op);
    texts.push_back(std::move(text));
  }
};

class RegistryCheck {
 public:
  RegistryCheck(const History& history, const CheckOptions& options)
      : history_(history), options_(options), journal_(history) {}

  Verdict Run() {
    Collect();
    AddEnds();
    AddStates();
    for (auto& [name, partition] : partitions_) {
      verdict_.looked_at += partition.ops.size();
      const LinearResult result = CheckLinearizable(
          partition.ops, partition.state, Model, options_.configurations_max);
      switch (result.verdict) {
        case LinearResult::Verdict::kLinearizable:
          break;
        case LinearResult::Verdict::kNot:
          verdict_.Violate(absl::StrCat(name, ": no order explains ",
                                        partition.texts[result.stuck_at]));
          break;
        case LinearResult::Verdict::kGaveUp:
          verdict_.Violate(absl::StrCat(name, ": undecided after ",
                                        result.configurations,
                                        " configurations"));
          break;
      }
    }
    return std::move(verdict_);
  }

 private:
  void Collect() {
    struct Answer {
      size_t place = 0;
      const HistoryEvent* event = nullptr;
    };
    std::map<std::string, Answer> answers;
    std::map<std::string, const HistoryEvent*> runs;
    for (size_t place = 0; place < history_.size(); ++place) {
      const HistoryEvent& event = history_[place];
      if (event.kind == EventKind::kOk || event.kind == EventKind::kError) {
        answers.emplace(event.call, Answer{place, &event});
      } else if (event.kind == EventKind::kBegin) {
        runs.emplace(event.call, &event);
      }
    }
    for (size_t place = 0; place < history_.size(); ++place) {
      const HistoryEvent& invoke = history_[place];
      if (invoke.kind != EventKind::kInvoke) continue;
      const auto at = answers.find(invoke.call);
      const Answer answer = at == answers.end() ? Answer() : at->second;
      const auto run = runs.find(invoke.call);
      AddOperation(invoke, place, answer.event, answer.place,
                   run == runs.end() ? nullptr : run->second);
    }
  }

  // `answer`: null: none came. `run`: null: it never began.
  void AddOperation(const HistoryEvent& invoke, size_t invoked,
                    const HistoryEvent* answer, size_t answered,
                    const HistoryEvent* run) {
    const bool ok = answer != nullptr && answer->kind == EventKind::kOk;
    const bool refused =
        answer != nullptr && !ok && (answer->outcome == "NOT_EXECUTED");
    const bool known = ok || refused;
    LinearOp op;
    op.invoke = static_cast<int64_t>(invoked);
    if (known) op.end = static_cast<int64_t>(answered);
    std::string text =
        absl::StrCat(invoke.op, " ", invoke.call, " of ", invoke.session, ": ");
    if (answer == nullptr) {
      absl::StrAppend(&text, "no answer");
    } else if (ok) {
      absl::StrAppend(&text, "OK ", answer->key, " ", answer->value);
    } else {
      absl::StrAppend(&text, answer->outcome, " ", answer->reason, " ",
                      answer->key);
    }
    if (invoke.op == "register" || invoke.op == "unregister" ||
        invoke.op == "resolve") {
      Partition& name = partitions_[absl::StrCat("name '", invoke.name, "'")];
      const int64_t who = name.Owner(invoke.key);
      op.argument = who;
      if (invoke.op == "register") {
        processes_[invoke.name].insert(invoke.key);
        op.what = kRegister;
        if (refused) {
          if (answer->reason != "ALREADY_STARTED") return;
          op.what = kRegisterTaken;
          op.argument = 0;
          op.result = name.Owner(answer->key);
        }
      } else if (invoke.op == "unregister") {
        op.what = kUnregister;
        if (refused) {
          if (answer->reason != "NOPROC") return;
          op.what = kUnregisterNot;
        }
      } else {
        if (!known || (refused && answer->reason != "NOPROC")) return;
        op.what = kResolve;
        op.result = ok ? name.Owner(answer->key) : 0;
      }
      name.Add(op, std::move(text));
    } else if (invoke.op == "start_child" || invoke.op == "stop_child") {
      Partition& child = partitions_[absl::StrCat("child '", invoke.name, "'")];
      op.argument = 1;
      const bool start = invoke.op == "start_child";
      op.what = start ? kStartChild : kStopChild;
      if (refused) {
        if (answer->reason != (start ? "ALREADY_PRESENT" : "NOT_FOUND") &&
            answer->reason != (start ? "ALREADY_STARTED" : "NOPROC")) {
          return;
        }
        op.what = start ? kStartTaken : kStopNot;
      }
      child.Add(op, std::move(text));
    } else if (invoke.op == "add" || invoke.op == "get") {
      if (refused) return;
      // A server's state is its epoch's.
      const Epoch epoch = ok && !answer->epoch.empty() ? answer->epoch
                          : run != nullptr             ? run->epoch
                                                       : Epoch();
      if (epoch.empty()) return;
      op.argument = invoke.value;
      if (invoke.op == "get") {
        if (!ok) return;
        op.what = kGet;
      } else {
        op.what = ok ? kAdd : kAddOpen;
      }
      op.result = ok ? answer->value : 0;
      counters_[{invoke.name, epoch}] = 0;
      partitions_[Counter(invoke.name, epoch)].Add(op, std::move(text));
    }
  }

  static std::string Counter(const std::string& name, Epoch epoch) {
    return absl::StrCat("counter '", name, "' under ", epoch.generation, ".",
                        epoch.revision);
  }

  // Names become free when their process ends or their node is reaped.
  void AddEnds() {
    for (const auto& [name, keys] : processes_) {
      Partition& partition = partitions_[absl::StrCat("name '", name, "'")];
      for (const std::string& key : keys) {
        const absl::StatusOr<Pid> pid = Pid::Parse(key);
        if (!pid.ok()) continue;
        LinearOp op;
        op.argument = partition.Owner(key);
        const auto reap = journal_.reaps.find({pid->node, pid->epoch});
        if (reap != journal_.reaps.end()) {
          op.invoke = Before(reap->second.place);
          if (reap->second.event->op == "forced") {
            // It may act, and answers, until its grave has been observed for
            // long enough (guarantees R19); then the name is free.
            op.what = kFree;
            op.end = LinearOp::kOpen;
          } else {
            op.what = kReaped;
            op.end = static_cast<int64_t>(reap->second.place);
          }
          partition.Add(op, absl::StrCat("the reap of ", pid->node));
        }
        const auto exit =
            journal_.exits.find({pid->node, pid->epoch, pid->number});
        if (exit != journal_.exits.end()) {
          op.what = kFree;
          op.invoke = static_cast<int64_t>(exit->second);
          op.end = LinearOp::kOpen;
          partition.Add(op, absl::StrCat("the end of ", key));
        }
      }
    }
  }

  // What counters began with.
  void AddStates() {
    std::map<std::pair<std::string, JournalIndex::ProcessKey>, int64_t> starts;
    for (const HistoryEvent& event : history_) {
      if (event.kind != EventKind::kStart) continue;
      starts[{event.name, {event.node, event.node_epoch, event.seq}}] =
          event.value;
    }
    for (const auto& [counter, unused] : counters_) {
      const JournalIndex::Claim* const claim =
          journal_.ClaimOf(counter.first, counter.second);
      if (claim == nullptr) continue;
      const auto at = starts.find(
          {counter.first,
           {claim->event->node, claim->event->node_epoch, claim->event->seq}});
      if (at == starts.end()) continue;
      partitions_[Counter(counter.first, counter.second)].state = at->second;
    }
  }

  // The place of the first event of the second before this one.
  int64_t Before(size_t place) const {
    const int64_t from = history_[place].at_ns - kReapSeenLateNs;
    const auto at = std::lower_bound(
        history_.begin(), history_.begin() + static_cast<ptrdiff_t>(place),
        from,
        [](const HistoryEvent& event, int64_t ns) { return event.at_ns < ns; });
    return std::max<int64_t>(0, (at - history_.begin()) - 1);
  }

  const History& history_;
  const CheckOptions& options_;
  const JournalIndex journal_;
  Verdict verdict_{"G4", "durable, linearizable registry", {}, 0};
  std::map<std::string, Partition> partitions_;
  // Name -> the processes that were to get it.
  std::map<std::string, std::set<std::string>> processes_;
  std::map<std::pair<std::string, Epoch>, int> counters_;
};

}  // namespace

Verdict CheckRegistry(const History& history, const CheckOptions& options) {
  return RegistryCheck(history, options).Run();
}

}  // namespace muster
