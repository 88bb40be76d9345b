// Groups: process groups of a cluster, as a process uses them (otp section 12).
//
//   Groups groups(self);                       // the scope "pg"
//   absl::Status joined = co_await groups.Join("room:1");
//   groups.Publish("room:1", message);         // to every member, anywhere
//   for (const Pid& pid : groups.Members("room:1")) ...
#ifndef MUSTER_CLUSTER_GROUP_GROUPS_H_
#define MUSTER_CLUSTER_GROUP_GROUPS_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cluster/group/group_scope.h"
#include "cluster/group/group_table.h"
#include "node/base/mutex.h"
#include "node/process/caller.h"
#include "node/process/context.h"
#include "node/types/info.h"
#include "node/types/payload.h"
#include "node/types/pid.h"

namespace muster {

// What subscribing gave: the members at that moment; every change after it
// comes as a GroupEvent with `ref`.
struct GroupMonitor {
  GroupMonitor() = default;
  GroupMonitorRef ref;
  // All groups of the scope, or the one asked for.
  std::map<std::string, std::vector<Pid>> groups;
};

// What one member answered to a MultiCall.
template <typename Response>
struct GroupAnswer {
  explicit GroupAnswer(GroupMember m) : member(std::move(m)) {}
  GroupMember member;
  absl::StatusOr<Response> response;
};

// One scope as its user sees it. Scopes are independent of each other; a
// process may use several. Reading is local, never waits, and gives nothing
// where the scope does not run; the others answer NOT_FOUND NOPROC there.
//
// Not promised: that all nodes see a change at once, or that a member lives
// when it is sent to.
//
// LIFETIME: as the context. THREADS: as the context.
class Groups {
 public:
  explicit Groups(Context& self, absl::string_view scope = kDefaultScope);

  // This process, or processes of this node, join; every join counts (otp PG2).
  // INVALID_ARGUMENT NOT_LOCAL (nobody joined), BAD_GROUP, TOO_MANY_PIDS.
  Pending<absl::Status> Join(absl::string_view group);
  Pending<absl::Status> Join(absl::string_view group, std::vector<Pid> pids);
  // This process joins with metadata that others can read; if it is a member
  // already, only the metadata changes. At most 64 KiB, else INVALID_ARGUMENT
  // META_TOO_LARGE.
  Pending<absl::Status> JoinWith(absl::string_view group, Payload meta);
  // Changes what this process says of itself in a group it is in.
  // FAILED_PRECONDITION NOT_JOINED.
  Pending<absl::Status> SetMeta(absl::string_view group, Payload meta);
  // Undoes one join of each. FAILED_PRECONDITION NOT_JOINED if none was a
  // member; members are left behind by their end, too (otp PG3).
  Pending<absl::Status> Leave(absl::string_view group);
  Pending<absl::Status> Leave(absl::string_view group, std::vector<Pid> pids);

  // A pid appears once for each join; this node's come first.
  std::vector<Pid> Members(absl::string_view group) const;
  std::vector<Pid> LocalMembers(absl::string_view group) const;
  // Each process once, with its metadata.
  std::vector<GroupMember> Described(absl::string_view group) const;
  std::vector<std::string> Which() const;
  std::vector<std::string> WhichLocal() const;
  bool IsMember(absl::string_view group, const Pid& pid) const;
  // Processes in the group; with `node`, those of that node.
  size_t Count(absl::string_view group, absl::string_view node = "") const;

  // Sends a copy of `message` to every member, each process once; how many
  // there were.
  template <typename Message>
  size_t Publish(absl::string_view group, const Message& message) {
    return PublishTo(Described(group), message, /*only_here=*/false);
  }
  template <typename Message>
  size_t LocalPublish(absl::string_view group, const Message& message) {
    return PublishTo(Described(group), message, /*only_here=*/true);
  }

  // Calls the method at `path` of every member at once; what each answered, in
  // member order, when all have or the timeout has passed (otp SY7).
  //   auto answers = co_await groups.MultiCall<Value>("g", kGet, GetRequest());
  template <typename Response, typename Request>
  Pending<std::vector<GroupAnswer<Response>>> MultiCall(
      absl::string_view group, absl::string_view path, const Request& request,
      const CallOptions& options = CallOptions()) {
    using Answers = std::vector<GroupAnswer<Response>>;
    auto arrival = std::make_shared<internal::Arrival<Answers>>();
    struct Shared {
      Mutex mu;
      Answers answers ABSL_GUARDED_BY(mu);
      size_t left ABSL_GUARDED_BY(mu) = 0;
    };
    const std::vector<GroupMember> members = Described(group);
    auto shared = std::make_shared<Shared>();
    {
      MutexLock lock(&shared->mu);
      for (const GroupMember& member : members) {
        shared->answers.emplace_back(member);
      }
      shared->left = members.size();
    }
    if (members.empty()) arrival->Set(Answers());
    for (size_t i = 0; i < members.size(); ++i) {
      internal::TypedCall<Response>(self_, members[i].pid, path,
                                    Request(request), options)
          .Then([arrival, shared, i](absl::StatusOr<Response> answer) {
            Answers all;
            {
              MutexLock lock(&shared->mu);
              shared->answers[i].response = std::move(answer);
              if (--shared->left > 0) return;
              all = std::move(shared->answers);
            }
            arrival->Set(std::move(all));
          });
    }
    return Pending<Answers>(std::move(arrival));
  }

  // Subscribes to one group or to the whole scope. A process may subscribe
  // several times; its end ends all.
  Pending<absl::StatusOr<GroupMonitor>> Monitor(absl::string_view group);
  Pending<absl::StatusOr<GroupMonitor>> MonitorAll();
  // Ends a subscription; events of it that wait in the mailbox are dropped.
  // False: unknown, or somebody else's.
  Pending<bool> Demonitor(GroupMonitorRef ref);

 private:
  template <typename Message>
  size_t PublishTo(const std::vector<GroupMember>& members,
                   const Message& message, bool only_here) {
    size_t sent = 0;
    for (const GroupMember& member : members) {
      if (only_here && member.pid.node != self_.node()) continue;
      self_.Send(member.pid, Message(message));
      ++sent;
    }
    return sent;
  }
  Pending<absl::Status> AskMeta(absl::string_view group, const Payload& meta,
                                bool only_update);
  template <typename Request>
  Pending<absl::Status> Ask(absl::string_view path, Request request);
  Pending<absl::StatusOr<GroupMonitor>> Subscribe(
      group_internal::Subscribe request);
  std::shared_ptr<GroupTable> table() const;

  Context& self_;
  const std::string name_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_GROUP_GROUPS_H_
