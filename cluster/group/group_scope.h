// GroupScope: the process of one node that keeps one scope of process groups
// (otp section 12).
#ifndef MUSTER_CLUSTER_GROUP_GROUP_SCOPE_H_
#define MUSTER_CLUSTER_GROUP_GROUP_SCOPE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/group/group_table.h"
#include "muster/group/v1/group.pb.h"
#include "node/base/clock.h"
#include "node/gen_server/gen_server.h"
#include "node/process/attachments.h"
#include "node/process/context.h"
#include "node/process/signals.h"
#include "node/types/payload.h"
#include "node/types/pid.h"

namespace muster {

// The scope that every node of a cluster runs.
inline constexpr absl::string_view kDefaultScope = "pg";

// The local name of a scope's process, which is also that of its table among
// the node's attachments.
std::string ScopeName(absl::string_view scope);

// Names one subscription to group events; 0 names none.
struct GroupMonitorRef {
  uint64_t id = 0;
  friend bool operator==(GroupMonitorRef, GroupMonitorRef) = default;
};

// What a subscriber is told, as an info: one for each operation, with exactly
// the pids of that operation (otp PG8).
struct GroupEvent {
  // kUpdate: only the metadata of members changed.
  enum class Kind { kJoin, kLeave, kUpdate };
  GroupEvent(GroupMonitorRef r, Kind k, std::string g, std::vector<Pid> p)
      : ref(r), kind(k), group(std::move(g)), pids(std::move(p)) {}

  GroupMonitorRef ref;
  Kind kind;
  std::string group;
  std::vector<Pid> pids;
};

struct GroupScopeOptions {
  std::string scope = std::string(kDefaultScope);
  // Nodes that may run the scope; asked every `look_interval`, since streams to
  // them are only opened when something is sent. Empty: only nodes that are
  // connected for other reasons are found.
  std::function<std::vector<std::string>()> nodes;
  // Also how often peers are told how far they should be. Too long delays the
  // first meeting with a node that joined and the repair of what was lost; too
  // short costs a small message to each peer.
  absl::Duration look_interval = absl::Seconds(2);
  // True: a process joins and leaves for itself alone (otp SY2).
  bool strict = false;
  // A Sync is cut into infos of about this size.
  size_t sync_bytes = size_t{256} << 10;
};

// What the scope's process understands as calls; for Groups alone.
namespace group_internal {

struct Done {};
struct Join {
  Join(std::string g, std::vector<Pid> p)
      : group(std::move(g)), pids(std::move(p)) {}
  std::string group;
  std::vector<Pid> pids;
  // Given: sets the metadata, and joins only who is not a member.
  std::optional<core::v1::Payload> meta;
  // With `meta`: joins nobody.
  bool only_update = false;
};
struct Leave {
  Leave(std::string g, std::vector<Pid> p)
      : group(std::move(g)), pids(std::move(p)) {}
  std::string group;
  std::vector<Pid> pids;
};
struct Subscribe {
  explicit Subscribe(Pid s) : subscriber(std::move(s)) {}
  Pid subscriber;
  std::optional<std::string> group;  // Absent: all of the scope.
};
struct Unsubscribe {
  Unsubscribe(Pid s, GroupMonitorRef r) : subscriber(std::move(s)), ref(r) {}
  Pid subscriber;
  GroupMonitorRef ref;
};
struct Subscribed {
  Subscribed() = default;
  GroupMonitorRef ref;
  std::map<std::string, std::vector<Pid>> groups;
};

inline constexpr absl::string_view kJoin = "/muster.group.Scope/Join";
inline constexpr absl::string_view kLeave = "/muster.group.Scope/Leave";
inline constexpr absl::string_view kSubscribe = "/muster.group.Scope/Subscribe";
inline constexpr absl::string_view kUnsubscribe =
    "/muster.group.Scope/Unsubscribe";

}  // namespace group_internal

// Owns the memberships of this node's processes in one scope, tells the scope's
// processes on other nodes of them, and keeps what those tell. Eventually
// consistent: a join is in force here when it returns, elsewhere a moment later
// (otp PG5). Start it under the local name ScopeName(scope). If it is started
// anew, local processes have to join again (otp PG7).
//
//   peer unknown --(1)--> known --(2)--> synced --(3)--> unknown
//   (1) its Discover or Sync: it is monitored and asked for its members
//   (2) its Sync
//   (3) its end or the loss of the stream: its members are gone at once
class GroupScope final : public GenServer {
 public:
  // `attachments` outlives it: the runtime's, where readers find the table.
  GroupScope(GroupScopeOptions options, absl::string_view node,
             Attachments* attachments);
  ~GroupScope() override;

  Next HandleInfo(Info info, Context& self) override;

  // Messages of peers that made no sense.
  uint64_t rejected() const { return rejected_; }
  size_t subscriptions() const { return subscriptions_.size(); }

 private:
  // Time to look for nodes without a peer.
  struct Look {};
  // Time to answer who asked for our members; sent through the mailbox, so that
  // many who ask at once cost one answer each, and joins in between are not
  // delayed (otp PG9).
  struct Answer {};
  // Why a process is watched.
  struct Watched {
    MonitorRef monitor;
    // Group -> joins, of a local member.
    std::map<std::string, uint32_t> joins;
    size_t subscriptions = 0;
  };
  struct Peer {
    Pid scope;
    MonitorRef monitor;
    bool asked = false;   // Wants our members.
    bool told = false;    // Knows them, and hears of every change.
    bool synced = false;  // We know its members.
    uint64_t round = 0;
    uint32_t next_part = 0;
    NodeGroups staged;
    uint64_t changes_sent = 0;   // Since the latest Sync to it.
    uint64_t changes_heard = 0;  // Since its latest Sync.
  };
  struct Subscription {
    Pid subscriber;
    std::optional<std::string> group;
  };

  const ServiceInfo& service_info() const override;
  HandlerResult OnInit(Payload& options, Context& self) override;
  HandlerResult OnCall(absl::string_view method, Payload& request,
                       Context& self) override;
  HandlerResult OnCast(absl::string_view method, Payload& request,
                       Context& self) override;

  // Why these processes cannot join or leave here.
  absl::Status CheckPids(const std::vector<Pid>& pids, Context& self) const;
  uint32_t JoinsOf(const Pid& pid, const std::string& group) const;
  Reply<group_internal::Done> Join(const group_internal::Join& join,
                                   Context& self);
  Reply<group_internal::Done> Leave(const group_internal::Leave& leave,
                                    Context& self);
  Reply<group_internal::Subscribed> Subscribe(
      const group_internal::Subscribe& subscribe, Context& self);
  Reply<group_internal::Done> Unsubscribe(
      const group_internal::Unsubscribe& unsubscribe, Context& self);

  Watched& Watch(const Pid& pid, Context& self);
  void UnwatchIfIdle(const Pid& pid, Context& self);
  void WatchedEnded(const Pid& pid, Context& self);

  void Discover(absl::string_view node, Context& self);
  // Looks for nodes without a peer and tells peers how far they should be, if
  // it is time.
  void LookIfDue(Context& self);
  // The record of who sent a message, made if it is new; null: it is no scope
  // of another node.
  Peer* PeerOf(const core::v1::Pid& from, Context& self);
  Peer* SyncedPeerOf(const core::v1::Pid& from);
  void DropPeer(const std::string& node, Context& self);
  void HeardDiscover(const group::v1::Discover& discover, Context& self);
  void HeardSync(const group::v1::Sync& sync, Context& self);
  void HeardJoined(const group::v1::Joined& joined, Context& self);
  void HeardLeft(const group::v1::Left& left, Context& self);
  void HeardTold(const group::v1::Told& told, Context& self);
  // False: something of the peer's was lost; it has been asked for everything.
  bool InTurn(Peer& peer, bool in_turn, Context& self);
  void AnswerAll(Context& self);
  void SendSync(Peer& peer, Context& self);
  template <typename Message>
  void Broadcast(const Message& message, Context& self);
  void Tell(GroupEvent::Kind kind, const std::string& group,
            std::vector<Pid> pids, Context& self);

  const GroupScopeOptions options_;
  const std::string node_;
  const std::string name_;
  Attachments* const attachments_;
  const std::shared_ptr<GroupTable> table_;
  std::map<Pid, Watched> watched_;
  std::map<std::string, Peer> peers_;
  std::map<uint64_t, Subscription> subscriptions_;
  uint64_t next_subscription_ = 1;
  uint64_t next_round_ = 1;
  BootTime next_look_;
  uint64_t rejected_ = 0;
  bool answer_queued_ = false;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_GROUP_GROUP_SCOPE_H_
