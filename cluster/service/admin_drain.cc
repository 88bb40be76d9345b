// What drains nodes, and moves one child (design D9).
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cluster/service/admin.h"
#include "cluster/supervisor/env.h"
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

}  // namespace

void Admin::ListLeft(const std::string& node,
                     Done<admin::v1::DrainNodeResponse> done) {
  std::weak_ptr<bool> alive = alive_;
  // Supervisors know why a child does not move.
  GetTree(
      admin::v1::GetTreeRequest(),
      [this, alive, node, done = std::move(done)](
          absl::StatusOr<admin::v1::GetTreeResponse> tree) mutable {
        if (alive.expired()) return;
        std::map<std::string, std::string> details;
        if (tree.ok()) {
          for (const admin::v1::Supervisor& supervisor : tree->supervisors()) {
            for (const admin::v1::Child& child : supervisor.children()) {
              details[child.name()] =
                  child.detail().empty() ? child.state() : child.detail();
            }
          }
        }
        admin::v1::DrainNodeResponse response;
        for (const NameEntry& entry : parts_.registry->List("")) {
          if (entry.pid.node != node ||
              absl::StartsWith(entry.name, kSystemPrefix)) {
            continue;
          }
          admin::v1::DrainItem& item = *response.add_left();
          item.set_name(entry.name);
          item.set_movable(!entry.supervisor.empty());
          item.set_detail(entry.supervisor.empty()
                              ? "no supervisor: it ends with its node"
                              : details[entry.name]);
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
