#include "cluster/group/group_scope.h"

#include "absl/strings/str_cat.h"
#include "node/process/runtime.h"
#include "node/types/server_ref.h"
#include "node/types/service_info.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr size_t kGroupNameBytesMax = 255;
constexpr size_t kMetaBytesMax = size_t{64} << 10;
// Of one operation, so that its message stays small.
constexpr size_t kPidsMax = 10'000;

absl::Status CheckGroupName(absl::string_view group) {
  if (!group.empty() && group.size() <= kGroupNameBytesMax) {
    return absl::OkStatus();
  }
  return Error(absl::StatusCode::kInvalidArgument, "BAD_GROUP",
               absl::StrCat("a group's name has 1 to ", kGroupNameBytesMax,
                            " bytes, this one ", group.size()))
      .NotExecuted();
}

// More joins of one process are a mistake of its program.
constexpr uint32_t kJoinsMax = 100'000;

// True: what a peer may say of a process of its own.
bool Plausible(const group::v1::Member& member, const Pid& scope) {
  return member.pid().node() == scope.node &&
         Epoch::FromProto(member.pid().epoch()) == scope.epoch &&
         member.pid().number() != 0 && member.count() <= kJoinsMax;
}

absl::Status NotJoined(absl::string_view group) {
  return Error(absl::StatusCode::kFailedPrecondition, "NOT_JOINED",
               absl::StrCat("not in group '", group, "'"))
      .NotExecuted();
}

}  // namespace

std::string ScopeName(absl::string_view scope) {
  return absl::StrCat("muster/pg/", scope);
}

GroupScope::GroupScope(GroupScopeOptions options, absl::string_view node,
                       Attachments* attachments)
    : options_(std::move(options)),
      node_(node),
      name_(ScopeName(options_.scope)),
      attachments_(attachments),
      table_(std::make_shared<GroupTable>(node)) {}

GroupScope::~GroupScope() { attachments_->Remove(name_, table_.get()); }

const ServiceInfo& GroupScope::service_info() const {
  static constexpr MethodInfo kMethods[] = {{"Join", false},
                                            {"Leave", false},
                                            {"Subscribe", false},
                                            {"Unsubscribe", false}};
  static const ServiceInfo kInfo{"muster.group.Scope", kMethods};
  return kInfo;
}

HandlerResult GroupScope::OnInit(Payload&, Context& self) {
  attachments_->Put(name_, table_);
  self.MonitorNodes(true);
  for (const std::string& node : self.Nodes()) Discover(node, self);
  LookIfDue(self);
  return InitResult(Ok()).Erase();
}

HandlerResult GroupScope::OnCall(absl::string_view method, Payload& request,
                                 Context& self) {
  namespace g = group_internal;
  LookIfDue(self);
  if (method == "Join") {
    return internal::Dispatch<g::Join>(
        request, [&](const g::Join& r) { return Join(r, self); });
  }
  if (method == "Leave") {
    return internal::Dispatch<g::Leave>(
        request, [&](const g::Leave& r) { return Leave(r, self); });
  }
  if (method == "Subscribe") {
    return internal::Dispatch<g::Subscribe>(
        request, [&](const g::Subscribe& r) { return Subscribe(r, self); });
  }
  return internal::Dispatch<g::Unsubscribe>(
      request, [&](const g::Unsubscribe& r) { return Unsubscribe(r, self); });
}

HandlerResult GroupScope::OnCast(absl::string_view method, Payload&, Context&) {
  return internal::UnknownMethod(method);
}

Next GroupScope::HandleInfo(Info info, Context& self) {
  if (const Down* down = info.As<Down>()) {
    const auto peer = peers_.find(down->pid.node);
    if (peer != peers_.end() && peer->second.monitor == down->ref) {
      DropPeer(down->pid.node, self);
    } else {
      WatchedEnded(down->pid, self);
    }
  } else if (const NodeUp* up = info.As<NodeUp>()) {
    if (up->node != node_) Discover(up->node, self);  // otp PG6
  } else if (const NodeDown* gone = info.As<NodeDown>()) {
    DropPeer(gone->node, self);
  } else if (info.As<Look>() != nullptr) {
    // Below. If the mailbox was too full for it, the next message serves.
  } else if (info.As<Answer>() != nullptr) {
    AnswerAll(self);
  } else if (const auto* discover = info.As<group::v1::Discover>()) {
    HeardDiscover(*discover, self);
  } else if (const auto* sync = info.As<group::v1::Sync>()) {
    HeardSync(*sync, self);
  } else if (const auto* joined = info.As<group::v1::Joined>()) {
    HeardJoined(*joined, self);
  } else if (const auto* left = info.As<group::v1::Left>()) {
    HeardLeft(*left, self);
  } else if (const auto* told = info.As<group::v1::Told>()) {
    HeardTold(*told, self);
  } else {
    ++rejected_;
    self.LogWarning(absl::StrCat("group scope '", options_.scope,
                                 "' dropped the unknown message ",
                                 info.type()));
  }
  LookIfDue(self);
  return NoReply();
}

// -- Local members
// -------------------------------------------------------------

absl::Status GroupScope::CheckPids(const std::vector<Pid>& pids,
                                   Context& self) const {
  if (pids.size() > kPidsMax) {
    return Error(absl::StatusCode::kInvalidArgument, "TOO_MANY_PIDS",
                 absl::StrCat(pids.size(), " processes at once: at most ",
                              kPidsMax))
        .NotExecuted();
  }
  for (const Pid& pid : pids) {
    if (pid.node != node_ || pid.epoch != self.pid().epoch) {
      return Error(
                 absl::StatusCode::kInvalidArgument, "NOT_LOCAL",
                 absl::StrCat(pid.ToString(), " is no process of node '", node_,
                              "': a process joins through its own node"))
          .NotExecuted();
    }
    if (options_.strict && pid != self.caller()) {
      return Error(absl::StatusCode::kInvalidArgument, "NOT_SELF",
                   absl::StrCat("scope '", options_.scope,
                                "' is strict: a process joins and leaves for "
                                "itself alone"))
          .NotExecuted();
    }
  }
  return absl::OkStatus();
}

uint32_t GroupScope::JoinsOf(const Pid& pid, const std::string& group) const {
  const auto watched = watched_.find(pid);
  if (watched == watched_.end()) return 0;
  const auto at = watched->second.joins.find(group);
  return at == watched->second.joins.end() ? 0 : at->second;
}

Reply<group_internal::Done> GroupScope::Join(const group_internal::Join& join,
                                             Context& self) {
  absl::Status bad = CheckGroupName(join.group);
  if (bad.ok()) bad = CheckPids(join.pids, self);
  if (bad.ok() && join.meta.has_value() &&
      join.meta->value().size() > kMetaBytesMax) {
    bad = Error(absl::StatusCode::kInvalidArgument, "META_TOO_LARGE",
                absl::StrCat("metadata of ", join.meta->value().size(),
                             " bytes: at most ", kMetaBytesMax))
              .NotExecuted();
  }
  if (!bad.ok()) return bad;
  for (const Pid& pid : join.pids) {
    const uint32_t joins = JoinsOf(pid, join.group);
    if (join.only_update && joins == 0) return NotJoined(join.group);
    if (!join.meta.has_value() && joins + join.pids.size() > kJoinsMax) {
      return Error(absl::StatusCode::kResourceExhausted, "TOO_MANY_JOINS",
                   absl::StrCat(pid.ToString(), " is in group '", join.group,
                                "' ", joins, " times: at most ", kJoinsMax))
          .NotExecuted()
          .status();
    }
  }
  group::v1::Joined message;
  std::vector<Pid> joined;
  std::vector<Pid> updated;
  for (const Pid& pid : join.pids) {
    const uint32_t before = JoinsOf(pid, join.group);
    const uint32_t count = join.meta.has_value() && before > 0 ? 0 : 1;
    if (!table_->Add(node_, join.group, pid, count, join.meta)) continue;
    if (count > 0) Watch(pid, self).joins[join.group] = before + count;
    group::v1::Member& member = *message.add_members();
    *member.mutable_pid() = pid.ToProto();
    member.set_count(count);
    if (join.meta.has_value()) *member.mutable_meta() = *join.meta;
    (count > 0 ? joined : updated).push_back(pid);
  }
  if (message.members_size() == 0) return group_internal::Done();
  message.set_group(join.group);
  Broadcast(message, self);
  Tell(GroupEvent::Kind::kJoin, join.group, std::move(joined), self);
  Tell(GroupEvent::Kind::kUpdate, join.group, std::move(updated), self);
  return group_internal::Done();
}

Reply<group_internal::Done> GroupScope::Leave(
    const group_internal::Leave& leave, Context& self) {
  if (absl::Status bad = CheckPids(leave.pids, self); !bad.ok()) return bad;
  std::vector<Pid> left;
  for (const Pid& pid : leave.pids) {
    const auto watched = watched_.find(pid);
    if (watched == watched_.end()) continue;
    auto& joins = watched->second.joins;
    const auto at = joins.find(leave.group);
    if (at == joins.end()) continue;
    if (--at->second == 0) joins.erase(at);
    table_->Remove(node_, leave.group, pid);
    left.push_back(pid);
    UnwatchIfIdle(pid, self);
  }
  if (left.empty()) return NotJoined(leave.group);  // otp PG3
  group::v1::Left message;
  for (const Pid& pid : left) *message.add_pids() = pid.ToProto();
  message.add_groups(leave.group);
  Broadcast(message, self);
  Tell(GroupEvent::Kind::kLeave, leave.group, std::move(left), self);
  return group_internal::Done();
}

GroupScope::Watched& GroupScope::Watch(const Pid& pid, Context& self) {
  const auto [at, added] = watched_.try_emplace(pid);
  if (added) at->second.monitor = self.Monitor(pid);
  return at->second;
}

void GroupScope::UnwatchIfIdle(const Pid& pid, Context& self) {
  const auto at = watched_.find(pid);
  if (!at->second.joins.empty() || at->second.subscriptions > 0) return;
  self.Demonitor(at->second.monitor, {.flush = true});
  watched_.erase(at);
}

void GroupScope::WatchedEnded(const Pid& pid, Context& self) {
  const auto at = watched_.find(pid);
  if (at == watched_.end()) return;
  const Watched watched = std::move(at->second);
  watched_.erase(at);
  if (watched.subscriptions > 0) {
    std::erase_if(subscriptions_, [&pid](const auto& subscription) {
      return subscription.second.subscriber == pid;
    });
  }
  for (const auto& [group, joins] : watched.joins) {
    const std::vector<Pid> left(joins, pid);
    group::v1::Left message;
    for (const Pid& one : left) {
      table_->Remove(node_, group, one);
      *message.add_pids() = one.ToProto();
    }
    message.add_groups(group);
    Broadcast(message, self);
    Tell(GroupEvent::Kind::kLeave, group, left, self);
  }
}

// -- Subscribers
// ---------------------------------------------------------------

Reply<group_internal::Subscribed> GroupScope::Subscribe(
    const group_internal::Subscribe& subscribe, Context& self) {
  group_internal::Subscribed subscribed;
  subscribed.ref.id = next_subscription_++;
  if (subscribe.group.has_value()) {
    subscribed.groups[*subscribe.group] = table_->Members(*subscribe.group);
  } else {
    subscribed.groups = table_->All();
  }
  Subscription& subscription = subscriptions_[subscribed.ref.id];
  subscription.subscriber = subscribe.subscriber;
  subscription.group = subscribe.group;
  ++Watch(subscribe.subscriber, self).subscriptions;
  return subscribed;
}

Reply<group_internal::Done> GroupScope::Unsubscribe(
    const group_internal::Unsubscribe& unsubscribe, Context& self) {
  const auto at = subscriptions_.find(unsubscribe.ref.id);
  if (at == subscriptions_.end() ||
      at->second.subscriber != unsubscribe.subscriber) {
    return Error(absl::StatusCode::kNotFound, "NO_MONITOR",
                 "no such group monitor of this process")
        .NotExecuted()
        .status();
  }
  subscriptions_.erase(at);
  const auto watched = watched_.find(unsubscribe.subscriber);
  if (watched != watched_.end()) {
    --watched->second.subscriptions;
    UnwatchIfIdle(unsubscribe.subscriber, self);
  }
  return group_internal::Done();
}

void GroupScope::Tell(GroupEvent::Kind kind, const std::string& group,
                      std::vector<Pid> pids, Context& self) {
  if (pids.empty()) return;
  for (const auto& [id, subscription] : subscriptions_) {
    if (subscription.group.has_value() && *subscription.group != group) {
      continue;
    }
    self.Send(subscription.subscriber,
              GroupEvent(GroupMonitorRef{id}, kind, group, pids));
  }
}

// -- Peers
// ---------------------------------------------------------------------

void GroupScope::Discover(absl::string_view node, Context& self) {
  group::v1::Discover discover;
  *discover.mutable_from() = self.pid().ToProto();
  self.Send(ServerRef::Local(name_, node), std::move(discover));
}

void GroupScope::LookIfDue(Context& self) {
  const BootTime now = self.Now();
  if (now < next_look_) return;
  next_look_ = now + options_.look_interval;
  self.SendAfter(options_.look_interval, Look());
  if (options_.nodes) {
    for (const std::string& node : options_.nodes()) {
      if (node != node_ && !peers_.contains(node)) Discover(node, self);
    }
  }
  for (const auto& [node, peer] : peers_) {
    if (!peer.synced) Discover(node, self);
    if (!peer.told) continue;
    group::v1::Told told;
    *told.mutable_from() = self.pid().ToProto();
    told.set_changes(peer.changes_sent);
    self.Send(peer.scope, std::move(told));
  }
}

GroupScope::Peer* GroupScope::PeerOf(const core::v1::Pid& from, Context& self) {
  const Pid pid = Pid::FromProto(from);
  if (pid.empty() || pid.node == node_) {
    ++rejected_;
    return nullptr;
  }
  const auto known = peers_.find(pid.node);
  if (known != peers_.end()) {
    if (known->second.scope == pid) return &known->second;
    DropPeer(pid.node, self);  // It has started anew.
  }
  Peer& peer = peers_[pid.node];
  peer.scope = pid;
  peer.monitor = self.Monitor(pid);
  Discover(pid.node, self);
  return &peer;
}

GroupScope::Peer* GroupScope::SyncedPeerOf(const core::v1::Pid& from) {
  const auto at = peers_.find(from.node());
  if (at == peers_.end() || !at->second.synced ||
      at->second.scope != Pid::FromProto(from)) {
    ++rejected_;
    return nullptr;
  }
  return &at->second;
}

void GroupScope::DropPeer(const std::string& node, Context& self) {
  const auto at = peers_.find(node);
  if (at == peers_.end()) return;
  self.Demonitor(at->second.monitor, {.flush = true});
  peers_.erase(at);
  for (const auto& [group, members] : table_->Replace(node, NodeGroups())) {
    std::vector<Pid> left;
    for (const auto& [pid, membership] : members) {
      left.insert(left.end(), membership.count, pid);
    }
    Tell(GroupEvent::Kind::kLeave, group, std::move(left), self);
  }
}

void GroupScope::HeardDiscover(const group::v1::Discover& discover,
                               Context& self) {
  Peer* const peer = PeerOf(discover.from(), self);
  if (peer == nullptr) return;
  peer->asked = true;
  peer->told = false;
  if (!std::exchange(answer_queued_, true)) {
    self.runtime().SendReserved(self.pid(), Answer());
  }
}

void GroupScope::AnswerAll(Context& self) {
  answer_queued_ = false;
  for (auto& [node, peer] : peers_) {
    if (!std::exchange(peer.asked, false)) continue;
    peer.told = true;
    SendSync(peer, self);
  }
}

void GroupScope::SendSync(Peer& peer, Context& self) {
  peer.changes_sent = 0;
  group::v1::Sync sync;
  uint32_t parts = 0;
  const auto begin = [&] {
    sync.Clear();
    *sync.mutable_from() = self.pid().ToProto();
    sync.set_round(next_round_);
    sync.set_part(parts++);
  };
  size_t bytes = 0;
  begin();
  for (const auto& [name, members] : table_->Of(node_)) {
    group::v1::Group* group = nullptr;
    for (const auto& [pid, membership] : members) {
      if (bytes >= options_.sync_bytes) {
        self.Send(peer.scope, sync);
        begin();
        bytes = 0;
        group = nullptr;
      }
      if (group == nullptr) {
        group = sync.add_groups();
        group->set_name(name);
        bytes += name.size();
      }
      group::v1::Member& member = *group->add_members();
      *member.mutable_pid() = pid.ToProto();
      member.set_count(membership.count);
      if (!membership.meta.type().empty()) {
        *member.mutable_meta() = membership.meta;
      }
      bytes += member.ByteSizeLong();
    }
  }
  sync.set_last(true);
  self.Send(peer.scope, sync);
  ++next_round_;
}

void GroupScope::HeardSync(const group::v1::Sync& sync, Context& self) {
  Peer* const peer = PeerOf(sync.from(), self);
  if (peer == nullptr || sync.round() < peer->round) return;
  const std::string& node = peer->scope.node;
  if (sync.round() != peer->round) {
    peer->round = sync.round();
    peer->next_part = 0;
    peer->staged.clear();
  }
  if (!InTurn(*peer, sync.part() == peer->next_part, self)) return;
  ++peer->next_part;
  for (const group::v1::Group& group : sync.groups()) {
    if (!CheckGroupName(group.name()).ok()) {
      ++rejected_;
      continue;
    }
    for (const group::v1::Member& member : group.members()) {
      if (member.count() == 0 || !Plausible(member, peer->scope)) {
        ++rejected_;
        continue;
      }
      GroupMembership& membership =
          peer->staged[group.name()][Pid::FromProto(member.pid())];
      membership.count = member.count();
      membership.meta = member.meta();
    }
  }
  if (!sync.last()) return;
  peer->synced = true;
  peer->changes_heard = 0;
  const NodeGroups now = std::exchange(peer->staged, NodeGroups());
  const NodeGroups before = table_->Replace(node, now);
  // What changed, as if it had been told (otp PG5, PG8).
  const auto more_than = [](const GroupMembers& members,
                            const NodeGroups& others,
                            const std::string& group) {
    std::vector<Pid> pids;
    const auto other = others.find(group);
    for (const auto& [pid, membership] : members) {
      uint32_t there = 0;
      if (other != others.end()) {
        const auto at = other->second.find(pid);
        if (at != other->second.end()) there = at->second.count;
      }
      if (membership.count > there) {
        pids.insert(pids.end(), membership.count - there, pid);
      }
    }
    return pids;
  };
  for (const auto& [group, members] : before) {
    Tell(GroupEvent::Kind::kLeave, group, more_than(members, now, group), self);
  }
  for (const auto& [group, members] : now) {
    Tell(GroupEvent::Kind::kJoin, group, more_than(members, before, group),
         self);
  }
}

bool GroupScope::InTurn(Peer& peer, bool in_turn, Context& self) {
  if (in_turn) return true;
  peer.synced = false;
  peer.staged.clear();
  // Nothing more of this round counts.
  ++peer.round;
  peer.next_part = 0;
  Discover(peer.scope.node, self);
  return false;
}

void GroupScope::HeardTold(const group::v1::Told& told, Context& self) {
  const auto at = peers_.find(told.from().node());
  if (at == peers_.end() || !at->second.synced ||
      at->second.scope != Pid::FromProto(told.from())) {
    return;  // It has been asked for everything already.
  }
  InTurn(at->second, told.changes() == at->second.changes_heard, self);
}

void GroupScope::HeardJoined(const group::v1::Joined& joined, Context& self) {
  Peer* const peer = SyncedPeerOf(joined.from());
  if (peer == nullptr ||
      !InTurn(*peer, joined.number() == peer->changes_heard, self)) {
    return;
  }
  ++peer->changes_heard;
  if (!CheckGroupName(joined.group()).ok()) {
    ++rejected_;
    return;
  }
  std::vector<Pid> pids;
  std::vector<Pid> updated;
  for (const group::v1::Member& member : joined.members()) {
    if (!Plausible(member, peer->scope) ||
        pids.size() + member.count() > kJoinsMax) {
      ++rejected_;
      continue;
    }
    const Pid pid = Pid::FromProto(member.pid());
    std::optional<core::v1::Payload> meta;
    if (member.has_meta()) meta = member.meta();
    if (!table_->Add(peer->scope.node, joined.group(), pid, member.count(),
                     meta)) {
      continue;
    }
    if (member.count() == 0) updated.push_back(pid);
    pids.insert(pids.end(), member.count(), pid);
  }
  Tell(GroupEvent::Kind::kJoin, joined.group(), std::move(pids), self);
  Tell(GroupEvent::Kind::kUpdate, joined.group(), std::move(updated), self);
}

void GroupScope::HeardLeft(const group::v1::Left& left, Context& self) {
  Peer* const peer = SyncedPeerOf(left.from());
  if (peer == nullptr ||
      !InTurn(*peer, left.number() == peer->changes_heard, self)) {
    return;
  }
  ++peer->changes_heard;
  for (const std::string& group : left.groups()) {
    std::vector<Pid> pids;
    for (const core::v1::Pid& proto : left.pids()) {
      Pid pid = Pid::FromProto(proto);
      if (table_->Remove(peer->scope.node, group, pid)) {
        pids.push_back(std::move(pid));
      }
    }
    Tell(GroupEvent::Kind::kLeave, group, std::move(pids), self);
  }
}

template <typename Message>
void GroupScope::Broadcast(const Message& message, Context& self) {
  Message signed_message = message;
  *signed_message.mutable_from() = self.pid().ToProto();
  for (auto& [node, peer] : peers_) {
    if (!peer.told) continue;
    signed_message.set_number(peer.changes_sent++);
    self.Send(peer.scope, signed_message);
  }
}

}  // namespace muster
