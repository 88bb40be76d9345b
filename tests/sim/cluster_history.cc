#include "tests/sim/cluster_history.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr size_t kViolationsMax = 20;

}  // namespace

std::string DescribeStatus(const absl::Status& status) {
  if (status.ok()) return "OK";
  return absl::StrCat(absl::StatusCodeToString(status.code()), " ",
                      ReasonOf(status), " ", OutcomeName(OutcomeOf(status)));
}

void ClusterHistory::Violate(std::string what) {
  if (violations_.size() < kViolationsMax) {
    violations_.push_back(std::move(what));
  }
}

// -- The store's journal -----------------------------------------------------

void ClusterHistory::Follow(const StoreState& store) {
  if (store.revision() < next_revision_) return;
  const absl::StatusOr<StoreState::Slice> slice =
      store.Events(keys_.Root(), next_revision_, SIZE_MAX);
  if (!slice.ok()) {
    Violate("the journal lost its place in the store's history");
    next_revision_ = store.revision() + 1;
    return;
  }
  next_revision_ = slice->next_revision;
  for (const WatchEvent& event : slice->events) {
    const absl::StatusOr<Keys::Parsed> key = keys_.Parse(event.item.key);
    if (!key.ok()) continue;
    const bool put = event.kind == WatchEvent::Kind::kPut;
    if (key->kind == Keys::Kind::kNode) {
      nodes_[key->id] = put ? event.item.create_revision : 0;
    } else if (key->kind == Keys::Kind::kName) {
      if (!put) {
        names_.erase(key->id);
        continue;
      }
      store::v1::NameRecord record;
      if (record.ParseFromString(event.item.value)) {
        Claimed(key->id, record, event.item.mod_revision);
      }
    }
  }
}

bool ClusterHistory::IsAlive(const store::v1::NameRecord& record) const {
  const auto at = nodes_.find(record.owner());
  return at != nodes_.end() &&
         at->second == static_cast<int64_t>(record.owner_revision());
}

void ClusterHistory::Claimed(const std::string& name,
                             const store::v1::NameRecord& record,
                             int64_t revision) {
  if (!IsAlive(record)) {
    Violate(absl::StrCat("G1 one owner: at revision ", revision, " '", name,
                         "' was claimed by the dead epoch ",
                         record.owner_revision(), " of ", record.owner()));
  }
  const auto before = names_.find(name);
  if (before != names_.end()) {
    const store::v1::NameRecord& old = before->second.record;
    const bool same = old.owner() == record.owner() &&
                      old.owner_revision() == record.owner_revision();
    if (!same && IsAlive(old)) {
      Violate(absl::StrCat("G1 one owner: at revision ", revision, " '", name,
                           "' went from ", old.owner(), ", which lives, to ",
                           record.owner()));
    }
  }
  int64_t& greatest = greatest_[name];
  if (revision <= greatest) {
    Violate(absl::StrCat("G2 epochs only grow: '", name, "' was claimed at ",
                         revision, " after ", greatest));
  }
  greatest = std::max(greatest, revision);
  names_[name] = Owner{record, revision};
}

// -- Executions --------------------------------------------------------------

void ClusterHistory::CheckCurrent(absl::string_view what,
                                  absl::string_view name, Epoch epoch) {
  const auto at = names_.find(name);
  const int64_t now = at == names_.end() ? 0 : at->second.revision;
  if (now == static_cast<int64_t>(epoch.revision)) return;
  Violate(absl::StrCat("G3 fence before takeover: '", name, "' ", what,
                       " under revision ", epoch.revision,
                       " when the store had granted ", now));
}

size_t ClusterHistory::Began(absl::string_view name, Epoch epoch, int64_t call,
                             BootTime now) {
  CheckCurrent("began", name, epoch);
  Execution execution;
  execution.name = std::string(name);
  execution.epoch = epoch;
  execution.call = call;
  execution.began = now;
  executions_.push_back(std::move(execution));
  return executions_.size() - 1;
}

void ClusterHistory::Ended(size_t execution, BootTime now) {
  executions_[execution].ended = now;
}

void ClusterHistory::Passed(absl::string_view name, Epoch epoch) {
  CheckCurrent("passed its fence", name, epoch);
}

// -- Clients -----------------------------------------------------------------

size_t ClusterHistory::Sent(int64_t id, absl::string_view name,
                            absl::string_view session) {
  ClientCall call;
  call.id = id;
  call.name = std::string(name);
  call.session = std::string(session);
  call.seen = seen_[{call.session, call.name}];
  calls_.push_back(std::move(call));
  return calls_.size() - 1;
}

void ClusterHistory::Finished(size_t index, const absl::Status& status,
                              Epoch epoch, int64_t reply) {
  ClientCall& call = calls_[index];
  if (call.finished) {
    Violate(absl::StrCat("G7 honest outcomes: call ", call.id, " ended twice"));
  }
  call.finished = true;
  call.status = status;
  call.epoch = epoch;
  call.reply = reply;
  if (epoch.empty()) return;
  if (epoch < call.seen) {
    Violate(absl::StrCat("G5 never back in time: call ", call.id, " of '",
                         call.name, "' through ", call.session, " reached ",
                         epoch.revision, " after ", call.seen.revision,
                         " had been seen"));
  }
  Epoch& seen = seen_[{call.session, call.name}];
  seen = std::max(seen, epoch);
}

void ClusterHistory::Abandon(absl::string_view session) {
  for (ClientCall& call : calls_) {
    if (!call.finished && call.session == session) call.abandoned = true;
  }
}

void ClusterHistory::Resolved(absl::string_view session, absl::string_view name,
                              Epoch epoch) {
  Epoch& last = resolved_[{std::string(session), std::string(name)}];
  if (epoch < last) {
    Violate(absl::StrCat("G5 never back in time: ", session, " resolved '",
                         name, "' to ", epoch.revision, " after ",
                         last.revision));
  }
  last = std::max(last, epoch);
}

// -- The end -----------------------------------------------------------------

void ClusterHistory::Check() {
  std::map<int64_t, std::vector<const Execution*>> runs;
  for (const Execution& execution : executions_) {
    runs[execution.call].push_back(&execution);
  }
  for (const auto& [call, list] : runs) {
    if (list.size() > 1) {
      Violate(absl::StrCat("G6 at most once: call ", call, " of '",
                           list[0]->name, "' ran ", list.size(), " times"));
    }
  }
  std::map<std::string, std::vector<const Execution*>> effective;
  for (const ClientCall& call : calls_) {
    if (!call.finished) {
      if (!call.abandoned) {
        Violate(absl::StrCat("G7 honest outcomes: call ", call.id, " of '",
                             call.name, "' through ", call.session,
                             " never ended"));
      }
      continue;
    }
    const auto ran = runs.find(call.id);
    const bool executed = ran != runs.end();
    if (call.status.ok()) {
      if (!executed) {
        Violate(absl::StrCat("G7 honest outcomes: call ", call.id,
                             " is OK and never ran"));
      } else {
        const Execution& run = *ran->second[0];
        if (call.reply != -call.id || run.name != call.name ||
            run.epoch != call.epoch) {
          Violate(absl::StrCat("G7 honest outcomes: call ", call.id, " of '",
                               call.name, "' got the reply ", call.reply,
                               " of epoch ", call.epoch.revision,
                               "; it ran under ", run.epoch.revision));
        }
        effective[run.name].push_back(&run);
      }
      continue;
    }
    switch (OutcomeOf(call.status)) {
      case Outcome::kNotExecuted:
        if (executed) {
          Violate(absl::StrCat("G7 honest outcomes: call ", call.id, " of '",
                               call.name, "' ran and was reported ",
                               DescribeStatus(call.status)));
        }
        break;
      case Outcome::kExecuted:
        if (!executed) {
          Violate(absl::StrCat("G7 honest outcomes: call ", call.id, " of '",
                               call.name, "' never ran and was reported ",
                               DescribeStatus(call.status)));
        }
        break;
      case Outcome::kUnknown:
        break;
      case Outcome::kUnspecified:
        Violate(absl::StrCat(
            "G7 honest outcomes: call ", call.id,
            " failed without an outcome: ", DescribeStatus(call.status)));
        break;
    }
  }
  for (auto& [name, list] : effective) {
    std::sort(list.begin(), list.end(),
              [](const Execution* a, const Execution* b) {
                return a->began < b->began;
              });
    // Whoever began before: the greatest epoch, and the last end.
    for (size_t i = 1; i < list.size(); ++i) {
      const Execution& earlier = *list[i - 1];
      const Execution& later = *list[i];
      if (later.epoch == earlier.epoch) {
        continue;
      }
      if (later.epoch < earlier.epoch || earlier.ended > later.began) {
        Violate(absl::StrCat("G1 one owner: '", name, "' ran call ",
                             earlier.call, " under ", earlier.epoch.revision,
                             " and call ", later.call, " under ",
                             later.epoch.revision, " at once or out of order"));
      }
    }
  }
}

std::map<std::string, int> ClusterHistory::Outcomes() const {
  std::map<std::string, int> outcomes;
  for (const ClientCall& call : calls_) {
    if (!call.finished) {
      ++outcomes["(client died)"];
    } else {
      ++outcomes[DescribeStatus(call.status)];
    }
  }
  return outcomes;
}

}  // namespace muster
