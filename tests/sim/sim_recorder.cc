#include "tests/sim/sim_recorder.h"

#include "absl/status/statusor.h"
#include "cluster/store/keys.h"
#include "cluster/store/store_state.h"
#include "node/base/check.h"

namespace muster {

int64_t SimRecorder::Now() const {
  return cluster_->world().clock().Boot().nanoseconds();
}

HistoryEvent& SimRecorder::Add(EventKind kind) {
  if (!open()) {
    unheard_ = HistoryEvent();
    return unheard_;
  }
  Follow();
  HistoryEvent& event = history_.emplace_back();
  event.at_ns = Now();
  event.kind = kind;
  return event;
}

void SimRecorder::Fault(absl::string_view what) {
  Add(EventKind::kFault).op = std::string(what);
}

void SimRecorder::Follow() {
  const StoreState& state = cluster_->store().state();
  if (state.revision() < next_revision_) return;
  const absl::StatusOr<StoreState::Slice> slice =
      state.Events(journal_.keys().Root(), next_revision_, SIZE_MAX);
  MUSTER_CHECK(slice.ok(), "the recorder lost its place");
  next_revision_ = slice->next_revision;
  journal_.Record(slice->events, Now(), &history_);
}

void SimRecorder::Restored() {
  const StoreState& state = cluster_->store().state();
  journal_.Begin(state.List(journal_.keys().Root()), /*restored=*/true, Now(),
                 &history_);
  next_revision_ = state.revision() + 1;
}

void SimRecorder::Applied(const Txn& txn, const TxnResult& result) {
  if (!open()) return;
  Follow();
  if (!result.succeeded) return;
  // A transaction that compares the epoch of a name and does not write it asks
  // whether it is current.
  for (const Compare& compare : txn.compares) {
    if (compare.what != Compare::What::kModRevision ||
        compare.op != Compare::Op::kEqual || compare.revision == 0) {
      continue;
    }
    const absl::StatusOr<Keys::Parsed> key = journal_.keys().Parse(compare.key);
    if (!key.ok() || key->kind != Keys::Kind::kName) continue;
    bool written = false;
    for (const StoreOp& op : txn.then) {
      written =
          written || (op.key == compare.key && op.kind != StoreOp::Kind::kGet);
    }
    if (written) continue;
    HistoryEvent& event = history_.emplace_back();
    event.at_ns = Now();
    event.kind = EventKind::kCheck;
    event.name = key->id;
    event.epoch =
        Epoch{journal_.generation(), static_cast<uint64_t>(compare.revision)};
  }
}

}  // namespace muster
