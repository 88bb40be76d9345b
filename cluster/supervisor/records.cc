// ClusterSupervisor: what it writes, and what it does once it is written.
#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cluster/store/event.h"
#include "cluster/supervisor/bytes.h"
#include "cluster/supervisor/cluster_supervisor.h"
#include "node/base/planted.h"
#include "node/types/proto_time.h"

namespace muster {
namespace {

using Op = Compare::Op;

constexpr absl::Duration kListTimeout = absl::Seconds(2);

}  // namespace

Pending<absl::StatusOr<RangeResult>> ClusterSupervisor::List(
    std::string prefix, Context& self) const {
  return self.Async<absl::StatusOr<RangeResult>>([&](auto done) {
    env_.store->List(std::move(prefix), kListTimeout, std::move(done));
  });
}

Pending<absl::StatusOr<TxnResult>> ClusterSupervisor::Write(
    std::vector<StoreOp> ops, Context& self) const {
  return self.Async<absl::StatusOr<TxnResult>>([&](auto done) {
    writer_->Write(OwnCompares(), std::move(ops),
                   RecordWriter::Trying::kUntilKnown, std::move(done));
  });
}

void ClusterSupervisor::Persist(std::vector<StoreOp> ops, Context&) {
  const std::string events = env_.membership->keys().EventPrefix();
  const bool journal =
      std::all_of(ops.begin(), ops.end(), [&events](const StoreOp& op) {
        return absl::StartsWith(op.key, events);
      });
  writer_->Write(OwnCompares(), std::move(ops),
                 journal ? RecordWriter::Trying::kMayBeLost
                         : RecordWriter::Trying::kUntilWritten,
                 nullptr);
}

void ClusterSupervisor::Decide(std::vector<StoreOp> ops,
                               std::function<void(Context&)> then,
                               Context& self) {
  const uint64_t number = next_decision_++;
  decisions_[number] = std::move(then);
  Runtime* const runtime = env_.runtime;
  writer_->Write(
      OwnCompares(), std::move(ops), RecordWriter::Trying::kUntilWritten,
      [runtime, pid = self.pid(), number](absl::StatusOr<TxnResult> result) {
        const bool stored = result.ok() && result->succeeded;
        runtime->SendLocal(pid, Info(Decided{number, stored}));
      });
}

void ClusterSupervisor::TellLostEvents(Context& self) {
  const uint64_t lost = writer_->events_lost();
  if (lost == events_lost_told_) return;
  self.LogWarning(absl::StrCat(lost - events_lost_told_,
                               " events could not be written to the journal, ",
                               lost, " in all"));
  events_lost_told_ = lost;
}

void ClusterSupervisor::TakeDecided(const Decided& decided, Context& self) {
  const auto at = decisions_.find(decided.decision);
  if (at == decisions_.end()) return;
  std::function<void(Context&)> then = std::move(at->second);
  decisions_.erase(at);
  // Otherwise another has taken over, and this one is about to be ended.
  if (decided.stored) then(self);
}

std::vector<Compare> ClusterSupervisor::OwnCompares() const {
  std::vector<Compare> compares;
  compares.push_back(env_.membership->OwnEpoch());
  if (Planted(PlantedBug::kOrdersWithoutEpoch)) return compares;
  compares.push_back(
      Compare::ModRevision(env_.membership->keys().Name(SupervisorName(id_)),
                           Op::kEqual, static_cast<int64_t>(epoch_.revision)));
  return compares;
}

void ClusterSupervisor::AddAges(store::v1::SupervisorRecord& record,
                                Context& self) const {
  record.clear_restart_ages();
  if (Planted(PlantedBug::kForgetRestarts)) return;
  for (const absl::Duration age : window_.Ages(self.Now())) {
    *record.add_restart_ages() = ToProtoDuration(age);
  }
}

StoreOp ClusterSupervisor::PutSupervisor(Context& self) const {
  store::v1::SupervisorRecord record = record_;
  AddAges(record, self);
  return StoreOp::Put(env_.membership->keys().Supervisor(id_),
                      record.SerializeAsString());
}

StoreOp ClusterSupervisor::PutChild(const Child& child) const {
  return StoreOp::Put(
      env_.membership->keys().Child(id_, child.record.spec().id()),
      DeterministicBytes(child.record));
}

StoreOp ClusterSupervisor::MakeEvent(
    absl::string_view kind, const Child* child, absl::string_view text,
    Context& self, std::map<std::string, std::string> evidence) const {
  store::v1::EventRecord event;
  event.set_kind(std::string(kind));
  event.set_supervisor(id_);
  event.set_text(std::string(text));
  if (child != nullptr) {
    event.set_child(child->record.spec().id());
    event.set_name(child->record.spec().name());
    event.set_node(child->node);
    if (child->epoch.revision > 0) {
      *event.mutable_new_epoch() = child->epoch.ToProto();
    }
  } else {
    event.set_name(SupervisorName(id_));
    event.set_node(self.node());
    *event.mutable_new_epoch() = epoch_.ToProto();
  }
  if (const auto from = evidence.find("from_node"); from != evidence.end()) {
    event.set_from_node(from->second);
    event.set_to_node(event.node());
    evidence.erase(from);
  }
  for (auto& [key, value] : evidence) {
    (*event.mutable_evidence())[key] = std::move(value);
  }
  return PutEvent(env_.membership->keys(), self.node(), std::move(event),
                  self.WallTime(), self.random().Hex(8));
}

}  // namespace muster
