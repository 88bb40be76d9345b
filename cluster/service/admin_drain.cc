// What drains nodes, and moves one child (design D9).
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cluster/service/admin.h"
#include "cluster/supervisor/env.h"
#include "cluster/supervisor/placement.h"
#include "muster/cluster/v1/cluster.muster.client.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::Duration kAgentTimeout = absl::Seconds(3);

Error NoNode(const std::string& node) {
  return Error(absl::StatusCode::kNotFound, "NO_NODE",
               absl::StrCat("no node is called ", LogSafe(node),
                            ": `muster node list` shows them"))
      .NotExecuted();
}

// What a drain says of one name. `child` is what its supervisor says, or
// nothing if that is on its way to another node.
admin::v1::DrainItem LeftOf(const NameEntry& entry,
                            const admin::v1::Child& child,
                            const std::vector<MemberView>& members) {
  admin::v1::DrainItem item;
  item.set_name(entry.name);
  if (entry.supervisor.empty()) {
    item.set_detail("no supervisor: it ends with its node");
    return item;
  }
  PlacementRequest request;
  request.name = entry.name;
  request.type = entry.type;
  request.placement = &child.placement();
  item.set_movable(std::any_of(members.begin(), members.end(),
                               [&](const MemberView& member) {
                                 return Ineligible(request, member).empty();
                               }));
  if (!item.movable()) {
    item.set_detail(WhyNowhere(request, members));
  } else {
    item.set_detail(child.detail().empty() ? child.state() : child.detail());
  }
  return item;
}

}  // namespace

void Admin::ListLeft(const std::string& node,
                     Done<admin::v1::DrainNodeResponse> done) {
  std::weak_ptr<bool> alive = alive_;
  // Supervisors know what a child asks for.
  GetTree(admin::v1::GetTreeRequest(),
          [this, alive, node, done = std::move(done)](
              absl::StatusOr<admin::v1::GetTreeResponse> tree) mutable {
            if (alive.expired()) return;
            std::map<std::string, admin::v1::Child> children;
            if (tree.ok()) {
              for (auto& supervisor : *tree->mutable_supervisors()) {
                for (auto& child : *supervisor.mutable_children()) {
                  std::string name = child.name();
                  children[std::move(name)] = std::move(child);
                }
              }
            }
            std::vector<MemberView> members;
            for (const Member& member : parts_.membership->Members()) {
              members.push_back(ViewOf(member.record));
              // As it is about to be.
              if (members.back().node == node) members.back().draining = true;
            }
            admin::v1::DrainNodeResponse response;
            for (const NameEntry& entry : parts_.registry->List("")) {
              if (entry.pid.node == node &&
                  !absl::StartsWith(entry.name, kSystemPrefix)) {
                *response.add_left() =
                    LeftOf(entry, children[entry.name], members);
              }
            }
            done(std::move(response));
          });
}

void Admin::DrainNode(const admin::v1::DrainNodeRequest& request,
                      Done<admin::v1::DrainNodeResponse> done) {
  if (!parts_.membership->Find(request.node()).has_value()) {
    done(NoNode(request.node()));
    return;
  }
  if (request.dry_run()) {
    ListLeft(request.node(), std::move(done));
    return;
  }
  std::weak_ptr<bool> alive = alive_;
  cluster::v1::AgentClient agent(caller_,
                                 ServerRef::Local(kAgentName, request.node()));
  cluster::v1::SetDrainingRequest set;
  set.set_draining(true);
  CallOptions options;
  options.timeout = kAgentTimeout;
  agent.SetDraining(std::move(set), options)
      .Then(
          [this, alive, node = request.node(), done = std::move(done)](
              absl::StatusOr<cluster::v1::SetDrainingResponse> answer) mutable {
            if (alive.expired()) return;
            if (!answer.ok()) {
              done(answer.status());
              return;
            }
            ListLeft(node, std::move(done));
          });
}

void Admin::UndrainNode(const admin::v1::UndrainNodeRequest& request,
                        Done<admin::v1::UndrainNodeResponse> done) {
  if (!parts_.membership->Find(request.node()).has_value()) {
    done(NoNode(request.node()));
    return;
  }
  cluster::v1::AgentClient agent(caller_,
                                 ServerRef::Local(kAgentName, request.node()));
  CallOptions options;
  options.timeout = kAgentTimeout;
  agent.SetDraining(cluster::v1::SetDrainingRequest(), options)
      .Then(
          [done = std::move(done)](
              absl::StatusOr<cluster::v1::SetDrainingResponse> answer) mutable {
            if (answer.ok()) {
              done(admin::v1::UndrainNodeResponse());
            } else {
              done(answer.status());
            }
          });
}

}  // namespace muster
