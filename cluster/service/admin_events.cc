// The journal's methods of Admin.
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/journal/event_select.h"
#include "cluster/journal/explain.h"
#include "cluster/service/admin.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::Duration kListTimeout = absl::Seconds(3);

// The supervisor of a child called `name`, with that child alone.
std::optional<admin::v1::Supervisor> SupervisorOf(
    const admin::v1::GetTreeResponse& tree, const std::string& name) {
  for (const admin::v1::Supervisor& supervisor : tree.supervisors()) {
    for (const admin::v1::Child& child : supervisor.children()) {
      if (child.name() != name) continue;
      admin::v1::Supervisor found = supervisor;
      found.clear_children();
      *found.add_children() = child;
      return found;
    }
  }
  return std::nullopt;
}

std::optional<admin::v1::Supervisor> SupervisorCalled(
    const admin::v1::GetTreeResponse& tree, const std::string& id) {
  for (const admin::v1::Supervisor& supervisor : tree.supervisors()) {
    if (supervisor.id() != id) continue;
    admin::v1::Supervisor found = supervisor;
    found.clear_children();
    return found;
  }
  return std::nullopt;
}

}  // namespace

void Admin::ListEvents(const admin::v1::ListEventsRequest& request,
                       Done<admin::v1::ListEventsResponse> done) {
  parts_.store->List(parts_.membership->keys().EventPrefix(), kListTimeout,
                     [request, done = std::move(done)](
                         absl::StatusOr<RangeResult> result) mutable {
                       if (!result.ok()) {
                         done(result.status());
                         return;
                       }
                       admin::v1::ListEventsResponse response;
                       for (admin::v1::Event& event : SelectEvents(
                                ToEvents(std::move(result->items)), request)) {
                         *response.add_events() = std::move(event);
                       }
                       done(std::move(response));
                     });
}

std::shared_ptr<EventTail> Admin::TailEvents(
    const admin::v1::ListEventsRequest& request,
    EventTail::OnEvents on_events) {
  auto tail = std::make_shared<EventTail>(
      parts_.membership->keys(), parts_.store, &parts_.runtime->scheduler(),
      request, std::move(on_events));
  tail->Start();
  return tail;
}

void Admin::Explain(const admin::v1::ExplainRequest& request,
                    Done<admin::v1::ExplainResponse> done) {
  if (absl::Status valid = ValidateName(request.name()); !valid.ok()) {
    done(std::move(valid));
    return;
  }
  std::weak_ptr<bool> alive = alive_;
  GetTree(admin::v1::GetTreeRequest(),
          [this, alive, name = request.name(), done = std::move(done)](
              absl::StatusOr<admin::v1::GetTreeResponse> tree) mutable {
            if (alive.expired()) return;
            if (!tree.ok()) {
              done(tree.status());
              return;
            }
            parts_.store->List(
                parts_.membership->keys().EventPrefix(), kListTimeout,
                [this, alive, name, tree = *std::move(tree),
                 done = std::move(done)](
                    absl::StatusOr<RangeResult> result) mutable {
                  if (alive.expired()) return;
                  if (!result.ok()) {
                    done(result.status());
                    return;
                  }
                  done(muster::Explain(
                      Facts(name, tree, ToEvents(std::move(result->items)))));
                });
          });
}

NameFacts Admin::Facts(const std::string& name,
                       const admin::v1::GetTreeResponse& tree,
                       std::vector<admin::v1::Event> events) const {
  NameFacts facts;
  facts.name = name;
  facts.events = std::move(events);
  if (!parts_.store->embedded()) facts.reap = parts_.profile.reap;
  facts.supervisor = SupervisorOf(tree, name);
  const std::optional<NameEntry> entry = parts_.registry->WhereIs(name);
  if (!entry.has_value()) return facts;
  admin::v1::Name& record = facts.record.emplace();
  record.set_name(name);
  record.set_node(entry->pid.node);
  *record.mutable_pid() = entry->pid.ToProto();
  *record.mutable_epoch() = entry->epoch.ToProto();
  record.set_type(entry->type);
  record.set_supervisor(entry->supervisor);
  if (!facts.supervisor.has_value() && !entry->supervisor.empty()) {
    facts.supervisor = SupervisorCalled(tree, entry->supervisor);
  }
  for (const Member& member : parts_.membership->Members()) {
    if (member.record.node() == entry->pid.node &&
        member.epoch == entry->pid.epoch) {
      facts.owner = member.record;
      facts.owner_silence = parts_.membership->SilentFor(entry->pid.node);
    }
  }
  return facts;
}

}  // namespace muster
