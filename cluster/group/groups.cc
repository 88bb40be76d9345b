#include "cluster/group/groups.h"

#include <optional>

#include "absl/time/time.h"
#include "node/process/runtime.h"
#include "node/types/server_ref.h"

namespace muster {
namespace {

// A scope's process never waits for anything.
CallOptions NoTimeout() {
  CallOptions options;
  options.timeout = absl::InfiniteDuration();
  return options;
}

}  // namespace

Groups::Groups(Context& self, absl::string_view scope)
    : self_(self), name_(ScopeName(scope)) {}

std::shared_ptr<GroupTable> Groups::table() const {
  return self_.runtime().attachments().Get<GroupTable>(name_);
}

template <typename Request>
Pending<absl::Status> Groups::Ask(absl::string_view path, Request request) {
  auto arrival = std::make_shared<internal::Arrival<absl::Status>>();
  internal::TypedCall<group_internal::Done>(
      self_, ServerRef::Local(name_), path, std::move(request), NoTimeout())
      .Then([arrival](absl::StatusOr<group_internal::Done> done) {
        arrival->Set(done.status());
      });
  return Pending<absl::Status>(std::move(arrival));
}

Pending<absl::Status> Groups::Join(absl::string_view group) {
  return Join(group, std::vector<Pid>(1, self_.pid()));
}

Pending<absl::Status> Groups::Join(absl::string_view group,
                                   std::vector<Pid> pids) {
  return Ask(group_internal::kJoin,
             group_internal::Join(std::string(group), std::move(pids)));
}

Pending<absl::Status> Groups::JoinWith(absl::string_view group, Payload meta) {
  return AskMeta(group, meta, /*only_update=*/false);
}

Pending<absl::Status> Groups::SetMeta(absl::string_view group, Payload meta) {
  return AskMeta(group, meta, /*only_update=*/true);
}

Pending<absl::Status> Groups::AskMeta(absl::string_view group,
                                      const Payload& meta, bool only_update) {
  group_internal::Join join(std::string(group),
                            std::vector<Pid>(1, self_.pid()));
  join.meta.emplace();
  join.meta->set_type(meta.type());
  join.meta->set_value(meta.ToBytes());
  join.only_update = only_update;
  return Ask(group_internal::kJoin, std::move(join));
}

Pending<absl::Status> Groups::Leave(absl::string_view group) {
  return Leave(group, std::vector<Pid>(1, self_.pid()));
}

Pending<absl::Status> Groups::Leave(absl::string_view group,
                                    std::vector<Pid> pids) {
  return Ask(group_internal::kLeave,
             group_internal::Leave(std::string(group), std::move(pids)));
}

std::vector<Pid> Groups::Members(absl::string_view group) const {
  const auto members = table();
  return members == nullptr ? std::vector<Pid>() : members->Members(group);
}

std::vector<Pid> Groups::LocalMembers(absl::string_view group) const {
  const auto members = table();
  return members == nullptr ? std::vector<Pid>() : members->LocalMembers(group);
}

std::vector<GroupMember> Groups::Described(absl::string_view group) const {
  const auto members = table();
  if (members == nullptr) return std::vector<GroupMember>();
  return members->Described(group);
}

std::vector<std::string> Groups::Which() const {
  const auto members = table();
  return members == nullptr ? std::vector<std::string>() : members->Groups();
}

std::vector<std::string> Groups::WhichLocal() const {
  const auto members = table();
  if (members == nullptr) return std::vector<std::string>();
  return members->LocalGroups();
}

bool Groups::IsMember(absl::string_view group, const Pid& pid) const {
  const auto members = table();
  return members != nullptr && members->IsMember(group, pid);
}

size_t Groups::Count(absl::string_view group, absl::string_view node) const {
  const auto members = table();
  return members == nullptr ? 0 : members->Count(group, node);
}

Pending<absl::StatusOr<GroupMonitor>> Groups::Subscribe(
    group_internal::Subscribe request) {
  auto arrival =
      std::make_shared<internal::Arrival<absl::StatusOr<GroupMonitor>>>();
  internal::TypedCall<group_internal::Subscribed>(
      self_, ServerRef::Local(name_), group_internal::kSubscribe,
      std::move(request), NoTimeout())
      .Then([arrival](absl::StatusOr<group_internal::Subscribed> subscribed) {
        if (!subscribed.ok()) {
          arrival->Set(subscribed.status());
          return;
        }
        GroupMonitor monitor;
        monitor.ref = subscribed->ref;
        monitor.groups = std::move(subscribed->groups);
        arrival->Set(std::move(monitor));
      });
  return Pending<absl::StatusOr<GroupMonitor>>(std::move(arrival));
}

Pending<absl::StatusOr<GroupMonitor>> Groups::Monitor(absl::string_view group) {
  group_internal::Subscribe request(self_.pid());
  request.group = std::string(group);
  return Subscribe(std::move(request));
}

Pending<absl::StatusOr<GroupMonitor>> Groups::MonitorAll() {
  return Subscribe(group_internal::Subscribe(self_.pid()));
}

Pending<bool> Groups::Demonitor(GroupMonitorRef ref) {
  auto arrival = std::make_shared<internal::Arrival<bool>>();
  Runtime* const runtime = &self_.runtime();
  const Pid pid = self_.pid();
  internal::TypedCall<group_internal::Done>(
      self_, ServerRef::Local(name_), group_internal::kUnsubscribe,
      group_internal::Unsubscribe(pid, ref), NoTimeout())
      .Then([arrival, runtime, pid,
             ref](absl::StatusOr<group_internal::Done> done) {
        if (done.ok()) {
          // The scope sent its last event before it answered.
          runtime->DropQueued(pid, [ref](Info& info) {
            const GroupEvent* const event = info.As<GroupEvent>();
            return event != nullptr && event->ref == ref;
          });
        }
        arrival->Set(done.ok());
      });
  return Pending<bool>(std::move(arrival));
}

}  // namespace muster
