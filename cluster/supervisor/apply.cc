// ClusterSupervisor: makes the tree what a manifest says.
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/supervisor/cluster_supervisor.h"
#include "cluster/supervisor/limits.h"
#include "node/types/proto_time.h"
#include "node/types/status.h"

namespace muster {
namespace {

Error BadTree(absl::string_view path, absl::string_view text) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_MANIFEST",
               absl::StrCat(path, ": ", text))
      .With("path", path)
      .NotExecuted();
}

}  // namespace

Reply<cluster::v1::ApplyResponse> ClusterSupervisor::Apply(
    const cluster::v1::ApplyRequest& request, Context& self) {
  if (!loaded_) co_return StillReading();
  // Everything is checked before anything is stored.
  if (!store::v1::Strategy_IsValid(request.strategy())) {
    co_return BadTree("strategy", "is unknown").status();
  }
  const absl::Duration period = FromProtoDuration(request.period());
  if (period <= absl::ZeroDuration()) {
    co_return BadTree("period", "must be positive, for example 5s").status();
  }
  if (request.intensity() > kIntensityMax) {
    co_return BadTree("intensity", absl::StrCat("at most ", kIntensityMax))
        .status();
  }
  if (request.children_size() > kChildrenMax) {
    co_return Error(
        absl::StatusCode::kResourceExhausted, "TOO_MANY_CHILDREN",
        absl::StrCat("a tree has at most ", kChildrenMax, " children"))
        .NotExecuted()
        .status();
  }
  std::map<std::string, std::string> ids;    // Child id -> its path.
  std::map<std::string, std::string> names;  // Name -> child id.
  for (int i = 0; i < request.children_size(); ++i) {
    const store::v1::ChildSpec& spec = request.children(i);
    const std::string path = absl::StrCat("children[", i, "]");
    if (!ids.emplace(spec.id(), path).second) {
      co_return BadTree(absl::StrCat(path, ".id"),
                        absl::StrCat("'", spec.id(), "' is also the id of ",
                                     ids[spec.id()], ": ids are unique"))
          .status();
    }
    if (!names.emplace(spec.name(), spec.id()).second) {
      co_return BadTree(
          absl::StrCat(path, ".name"),
          absl::StrCat("'", spec.name(), "' is also the name of child '",
                       names[spec.name()], "': names are unique"))
          .status();
    }
  }
  const Keys& keys = env_.membership->keys();
  absl::StatusOr<RangeResult> all = co_await List(keys.ChildPrefix(), self);
  if (!all.ok()) co_return all.status();
  for (const KeyValue& item : all->items) {
    store::v1::ChildRecord other;
    if (!other.ParseFromString(item.value) || other.supervisor() == id_ ||
        !other.wanted() || !names.contains(other.spec().name())) {
      continue;
    }
    co_return NameTaken(other.spec().name(),
                    absl::StrCat("child '", other.spec().id(),
                                 "' of supervisor '", other.supervisor(), "'"));
  }
  for (const auto& [name, child] : names) {
    const auto view = env_.registry->Record(name);
    if (view.has_value() && env_.registry->IsOwned(view->record) &&
        view->record.supervisor() != id_) {
      co_return NameTaken(
          name, absl::StrCat("a process on node '", view->record.owner(), "'"));
    }
  }

  // What changes.
  cluster::v1::ApplyResponse response;
  std::vector<std::unique_ptr<Child>> next;
  std::vector<StoreOp> ops;
  for (const store::v1::ChildSpec& spec : request.children()) {
    Child* const old = Find(spec.id());
    auto child = std::make_unique<Child>();
    child->record.set_schema(kRecordSchema);
    child->record.set_supervisor(id_);
    child->record.set_wanted(true);
    SetSpec(*child, spec);
    const bool same = old != nullptr && old->record.wanted() &&
                      old->spec == child->spec;
    // What was added by itself becomes the manifest's.
    const bool rewritten = !same || old->record.dynamic();
    if (same) child->record.set_instance(old->record.instance());
    if (old != nullptr) child->record.set_taken_down(old->record.taken_down());
    if (same && !old->record.has_ended() && !HasFailed()) {
      response.add_unchanged(spec.id());
    } else if (same && old->record.has_ended()) {
      // It ended as its type allows, or by order.
      response.add_unchanged(spec.id());
      *child->record.mutable_ended() = old->record.ended();
    } else if (old != nullptr && old->record.wanted() &&
               old->phase == ChildPhase::kRunning) {
      response.add_restarted(spec.id());
    } else {
      response.add_started(spec.id());
    }
    if (rewritten) ops.push_back(PutChild(*child));
    next.push_back(std::move(child));
  }
  for (const auto& child : children_) {
    const std::string& id = child->record.spec().id();
    if (ids.contains(id)) continue;
    if (child->record.dynamic() && child->record.wanted()) continue;
    if (child->record.wanted()) response.add_stopped(id);
    Child gone;
    gone.record = child->record;
    gone.record.set_wanted(false);
    ops.push_back(PutChild(gone));
  }
  store::v1::SupervisorRecord record = record_;
  record.set_schema(kRecordSchema);
  record.set_supervisor(id_);
  record.set_strategy(request.strategy() == store::v1::STRATEGY_UNSPECIFIED
                          ? store::v1::ONE_FOR_ONE
                          : request.strategy());
  record.set_intensity(request.intensity());
  *record.mutable_period() = request.period();
  record.clear_order();
  for (const auto& child : next) record.add_order(child->record.spec().id());
  record.clear_failed();
  record.clear_restart_ages();
  record_.clear_restart_ages();  // window_ has them.
  const bool flags_changed =
      record.SerializeAsString() != record_.SerializeAsString();
  // The order comes last: it is what makes new children part of the tree.
  if (!ops.empty() || flags_changed) {
    store::v1::SupervisorRecord with_ages = record;
    if (!HasFailed()) AddAges(with_ages, self);
    ops.push_back(
        StoreOp::Put(keys.Supervisor(id_), with_ages.SerializeAsString()));
    if (record_.schema() == 0 || record_.order().empty()) {
      ops.push_back(MakeEvent("supervisor.started", nullptr,
                              absl::StrCat("was given ", next.size(),
                                           next.size() == 1 ? " child"
                                                            : " children"),
                              self));
    }
    absl::StatusOr<TxnResult> result = co_await Write(std::move(ops), self);
    if (!result.ok()) co_return result.status();
    if (!result->succeeded) {
      co_return Error(absl::StatusCode::kAborted, "FENCED",
                      "another node has taken over this supervisor: apply "
                      "again")
          .NotExecuted()
          .status();
    }
  }

  // Stored: now it is so.
  const bool had_failed = HasFailed();
  record_ = std::move(record);
  window_.SetLimits(request.intensity(), period);
  // Applied again, it begins anew.
  if (had_failed) window_ = RestartWindow(request.intensity(), period);
  for (auto& child : next) {
    Child* const old = Find(child->record.spec().id());
    if (old == nullptr) continue;
    Child merged = std::move(*old);
    const bool changed = merged.spec != child->spec;
    if (changed || had_failed || !merged.record.wanted()) {
      merged.failures = 0;
      merged.refusals = 0;
      merged.not_before = BootTime();
    }
    merged.record = child->record;
    merged.spec = child->spec;
    if (merged.phase == ChildPhase::kEnded && !merged.record.has_ended()) {
      merged.phase = ChildPhase::kIdle;
    }
    *child = std::move(merged);
  }
  for (auto& child : children_) {
    if (child == nullptr) continue;
    const std::string& id = child->record.spec().id();
    if (ids.contains(id)) continue;
    // Those that go come last, too: the order is of those that stay.
    if (child->record.dynamic() && child->record.wanted()) {
      next.push_back(std::move(child));
    }
  }
  for (auto& child : children_) {
    if (child == nullptr || ids.contains(child->record.spec().id())) continue;
    child->record.set_wanted(false);
    next.push_back(std::move(child));
  }
  children_ = std::move(next);
  Reindex();
  Act(self);
  co_return response;
}

}  // namespace muster
