// Admin: what operators ask of a node, without the wire.
#ifndef MUSTER_CLUSTER_SERVICE_ADMIN_H_
#define MUSTER_CLUSTER_SERVICE_ADMIN_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "cluster/journal/event_tail.h"
#include "cluster/journal/explain.h"
#include "cluster/membership/membership.h"
#include "cluster/registry/global_registry.h"
#include "cluster/service/descriptor_cache.h"
#include "cluster/supervisor/supervisor_host.h"
#include "muster/admin/v1/admin.pb.h"
#include "node/gen_server/runtime_caller.h"

namespace muster {

struct AdminParts {
  std::string cluster;
  std::string cluster_id;
  std::string version;
  std::string grpc_version;
  Profile profile;
  Store* store = nullptr;
  const Membership* membership = nullptr;
  GlobalRegistry* registry = nullptr;
  SupervisorHost* host = nullptr;
  DescriptorCache* descriptors = nullptr;
  Runtime* runtime = nullptr;
  // Whether peers cannot reach a node that the store can (guarantees R14); may
  // be empty.
  std::function<bool(absl::string_view node)> is_suspect;
};

// The methods of muster.admin.v1.AdminService; errors as listed there.
// LIFETIME: the parts outlive it. THREADS: any; callbacks come once, possibly
// inside the call.
class Admin {
 public:
  template <typename T>
  using Done = absl::AnyInvocable<void(absl::StatusOr<T>)>;

  explicit Admin(AdminParts parts)
      : parts_(std::move(parts)), caller_(parts_.runtime) {}

  void GetStatus(const admin::v1::GetStatusRequest& request,
                 Done<admin::v1::GetStatusResponse> done);
  void ListNodes(const admin::v1::ListNodesRequest& request,
                 Done<admin::v1::ListNodesResponse> done);
  void ListProcesses(const admin::v1::ListProcessesRequest& request,
                     Done<admin::v1::ListProcessesResponse> done);
  void ListNames(const admin::v1::ListNamesRequest& request,
                 Done<admin::v1::ListNamesResponse> done);
  void GetTree(const admin::v1::GetTreeRequest& request,
               Done<admin::v1::GetTreeResponse> done);
  void Apply(const admin::v1::ApplyRequest& request,
             Done<admin::v1::ApplyResponse> done);
  void RemoveNode(const admin::v1::RemoveNodeRequest& request,
                  Done<admin::v1::RemoveNodeResponse> done);
  void RaiseGeneration(const admin::v1::RaiseGenerationRequest& request,
                       Done<admin::v1::RaiseGenerationResponse> done);
  void ListEvents(const admin::v1::ListEventsRequest& request,
                  Done<admin::v1::ListEventsResponse> done);
  void Explain(const admin::v1::ExplainRequest& request,
               Done<admin::v1::ExplainResponse> done);
  // The journal and then what happens, until it is closed, which must be before
  // the store goes.
  std::shared_ptr<EventTail> TailEvents(
      const admin::v1::ListEventsRequest& request,
      EventTail::OnEvents on_events);

 private:
  struct Applying;

  // "alive", "draining", "suspect" or "silent", as far as this node knows.
  std::string StateOf(const Member& member) const;
  StoreOp Journal(store::v1::EventRecord event) const;
  NameFacts Facts(const std::string& name,
                  const admin::v1::GetTreeResponse& tree,
                  std::vector<admin::v1::Event> events) const;

  // ALREADY_EXISTS NAME_TAKEN if a name belongs to somebody else.
  absl::Status CheckNames(const std::string& supervisor,
                          const cluster::v1::ApplyRequest& request) const;
  void Compile(std::shared_ptr<Applying> applying);
  void Send(std::shared_ptr<Applying> applying);

  const AdminParts parts_;
  RuntimeCaller caller_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_SERVICE_ADMIN_H_
