// AdminService: Admin over gRPC.
#ifndef MUSTER_CLUSTER_SERVICE_ADMIN_SERVICE_H_
#define MUSTER_CLUSTER_SERVICE_ADMIN_SERVICE_H_

#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "cluster/service/admin.h"
#include "muster/admin/v1/admin.grpc.pb.h"
#include "node/base/mutex.h"

namespace muster {

// Answers UNAVAILABLE STARTING while there is no Admin.
// THREADS: Set by one thread at a time, which may block; the rest are gRPC's.
class AdminService final : public admin::v1::AdminService::CallbackService {
 public:
  // From now on the methods are `admin`'s; null takes it away and returns when
  // no call is inside it any more. Streams end with UNAVAILABLE STARTING.
  void Set(std::shared_ptr<Admin> admin) ABSL_LOCKS_EXCLUDED(mu_);

  grpc::ServerUnaryReactor* GetStatus(
      grpc::CallbackServerContext* context,
      const admin::v1::GetStatusRequest* request,
      admin::v1::GetStatusResponse* response) override;
  grpc::ServerUnaryReactor* ListNodes(
      grpc::CallbackServerContext* context,
      const admin::v1::ListNodesRequest* request,
      admin::v1::ListNodesResponse* response) override;
  grpc::ServerUnaryReactor* ListProcesses(
      grpc::CallbackServerContext* context,
      const admin::v1::ListProcessesRequest* request,
      admin::v1::ListProcessesResponse* response) override;
  grpc::ServerUnaryReactor* ListNames(
      grpc::CallbackServerContext* context,
      const admin::v1::ListNamesRequest* request,
      admin::v1::ListNamesResponse* response) override;
  grpc::ServerUnaryReactor* GetTree(
      grpc::CallbackServerContext* context,
      const admin::v1::GetTreeRequest* request,
      admin::v1::GetTreeResponse* response) override;
  grpc::ServerUnaryReactor* Apply(grpc::CallbackServerContext* context,
                                  const admin::v1::ApplyRequest* request,
                                  admin::v1::ApplyResponse* response) override;
  grpc::ServerUnaryReactor* RemoveNode(
      grpc::CallbackServerContext* context,
      const admin::v1::RemoveNodeRequest* request,
      admin::v1::RemoveNodeResponse* response) override;
  grpc::ServerUnaryReactor* RaiseGeneration(
      grpc::CallbackServerContext* context,
      const admin::v1::RaiseGenerationRequest* request,
      admin::v1::RaiseGenerationResponse* response) override;
  grpc::ServerUnaryReactor* ListEvents(
      grpc::CallbackServerContext* context,
      const admin::v1::ListEventsRequest* request,
      admin::v1::ListEventsResponse* response) override;
  grpc::ServerUnaryReactor* Explain(
      grpc::CallbackServerContext* context,
      const admin::v1::ExplainRequest* request,
      admin::v1::ExplainResponse* response) override;
  grpc::ServerWriteReactor<admin::v1::Event>* TailEvents(
      grpc::CallbackServerContext* context,
      const admin::v1::ListEventsRequest* request) override;

 private:
  class TailReactor;

  template <typename Request, typename Response>
  grpc::ServerUnaryReactor* Serve(grpc::CallbackServerContext* context,
                                  const Request& request, Response* response,
                                  void (Admin::*method)(const Request&,
                                                        Admin::Done<Response>));

  Mutex mu_;
  CondVar left_;
  std::shared_ptr<Admin> admin_ ABSL_GUARDED_BY(mu_);
  int inside_ ABSL_GUARDED_BY(mu_) = 0;
  // Streams of `admin_`'s; one that has ended may still be here for a while.
  std::vector<std::weak_ptr<TailReactor>> tails_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_SERVICE_ADMIN_SERVICE_H_
