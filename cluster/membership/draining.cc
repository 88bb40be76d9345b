// Membership: the draining flag of this node's record.
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/membership/membership.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::Duration kTxnTimeout = absl::Seconds(1);
// A write meets a record that is not as it was known only if an earlier one,
// which got no answer, has arrived meanwhile.
constexpr int kTriesMax = 5;

}  // namespace

void Membership::SetDraining(bool draining,
                             absl::AnyInvocable<void(absl::Status)> done) {
  draining_.store(draining, std::memory_order_relaxed);
  DrainRequest& request = drain_requests_.emplace_back();
  request.draining = draining;
  request.done = std::move(done);
  if (drain_requests_.size() == 1) WriteDraining();
}

void Membership::WriteDraining() {
  const bool draining = drain_requests_.front().draining;
  store::v1::NodeRecord record;
  if (!active_ || !record.ParseFromString(record_)) {
    DrainingWritten(
        Error(absl::StatusCode::kAborted, "FENCED",
              absl::StrCat("node '", options_.node, "' is no member now"))
            .NotExecuted());
    return;
  }
  if (record.draining() == draining && !record_doubtful_) {
    DrainingWritten(absl::OkStatus());
    return;
  }
  record.set_draining(draining);
  std::string value = record.SerializeAsString();
  store::v1::EventRecord event;
  event.set_kind(draining ? "node.draining" : "node.undrained");
  event.set_node(options_.node);
  *event.mutable_new_epoch() =
      Epoch{generation_, static_cast<uint64_t>(own_revision_)}.ToProto();
  event.set_text(absl::StrCat(
      "node '", options_.node,
      draining ? "' gets no new children and moves away those it has"
               : "' takes children again"));
  const std::string key = keys_.Node(options_.node);
  Txn txn;
  txn.compares.push_back(OwnEpoch());
  // Each write changes what an earlier one that got no answer compares: that
  // cannot arrive after it.
  txn.compares.push_back(
      Compare::ModRevision(key, Compare::Op::kEqual, record_revision_));
  txn.then.push_back(StoreOp::Put(key, value));
  txn.then.push_back(Journal(std::move(event)));
  txn.otherwise.push_back(StoreOp::Get(key));
  // A write, so that what is read is not old (guarantees E13).
  txn.otherwise.push_back(StoreOp::Put(
      absl::StrCat(keys_.Root(), "probe/", EscapeKeyPart(options_.node)),
      incarnation_));
  std::weak_ptr<bool> alive = alive_;
  store_->Commit(std::move(txn), kTxnTimeout,
                 [this, alive, value = std::move(value),
                  strand = strand_](absl::StatusOr<TxnResult> result) mutable {
                   if (alive.expired()) return;
                   strand->Post([this, alive, value = std::move(value),
                                 result = std::move(result)]() mutable {
                     if (!alive.expired()) {
                       DrainingAnswered(std::move(value), std::move(result));
                     }
                   });
                 });
}

void Membership::DrainingAnswered(std::string value,
                                  absl::StatusOr<TxnResult> result) {
  if (!result.ok()) {
    record_doubtful_ = true;
    DrainingWritten(result.status());
    return;
  }
  DrainRequest& request = drain_requests_.front();
  if (result->succeeded) {
    record_ = std::move(value);
    record_revision_ = result->revision;
    record_doubtful_ = false;
    DrainingWritten(absl::OkStatus());
    return;
  }
  if (!result->gets.empty() && !result->gets[0].empty() &&
      result->gets[0][0].create_revision == own_revision_ &&
      ++request.tries < kTriesMax) {
    // An earlier write that got no answer.
    record_ = result->gets[0][0].value;
    record_revision_ = result->gets[0][0].mod_revision;
    record_doubtful_ = false;
    WriteDraining();
    return;
  }
  DrainingWritten(
      Error(absl::StatusCode::kAborted, "FENCED", "this node's epoch has ended")
          .NotExecuted());
}

void Membership::DrainingWritten(const absl::Status& status) {
  absl::AnyInvocable<void(absl::Status)> done =
      std::move(drain_requests_.front().done);
  drain_requests_.pop_front();
  if (!drain_requests_.empty()) {
    strand_->Post(Alive([this] { WriteDraining(); }));
  } else if (store::v1::NodeRecord record;
             !status.ok() && record.ParseFromString(record_)) {
    draining_.store(record.draining(), std::memory_order_relaxed);
  }
  done(status);
}

}  // namespace muster
