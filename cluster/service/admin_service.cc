#include "cluster/service/admin_service.h"

#include <atomic>
#include <utility>

#include "node/rpc/backend.h"
#include "node/rpc/grpc_status.h"

namespace muster {
namespace {

// One call: finishes once, with the answer or when the client has gone.
class Reactor final : public grpc::ServerUnaryReactor {
 public:
  void FinishOnce(const grpc::Status& status) {
    if (!finished_.exchange(true)) Finish(status);
  }
  // Whoever still holds the answer holds this object too.
  void OnDone() override { self_.reset(); }
  void OnCancel() override {
    FinishOnce(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled"));
  }
  void Hold(std::shared_ptr<Reactor> self) { self_ = std::move(self); }

  // True: this is the one to write the response.
  bool Claim() { return !finished_.exchange(true); }

 private:
  std::atomic<bool> finished_{false};
  std::shared_ptr<Reactor> self_;
};

}  // namespace

void AdminService::Set(std::shared_ptr<Admin> admin) {
  std::shared_ptr<Admin> old;
  MutexLock lock(&mu_);
  old = std::exchange(admin_, std::move(admin));
  while (inside_ > 0) left_.Wait(&mu_);
}

template <typename Request, typename Response>
grpc::ServerUnaryReactor* AdminService::Serve(
    grpc::CallbackServerContext*, const Request& request, Response* response,
    void (Admin::*method)(const Request&, Admin::Done<Response>)) {
  auto reactor = std::make_shared<Reactor>();
  Reactor* const raw = reactor.get();
  raw->Hold(reactor);
  std::shared_ptr<Admin> admin;
  {
    MutexLock lock(&mu_);
    admin = admin_;
    if (admin != nullptr) ++inside_;
  }
  if (admin == nullptr) {
    raw->FinishOnce(ToGrpcStatus(BackendCell::Starting()));
    return raw;
  }
  ((*admin).*method)(request,
                     [reactor, response](absl::StatusOr<Response> result) {
                       if (!reactor->Claim()) return;
                       // The response lives until Finish.
                       if (result.ok()) {
                         *response = *std::move(result);
                         reactor->Finish(grpc::Status::OK);
                       } else {
                         reactor->Finish(ToGrpcStatus(result.status()));
                       }
                     });
  {
    MutexLock lock(&mu_);
    --inside_;
    left_.SignalAll();
  }
  return raw;
}

grpc::ServerUnaryReactor* AdminService::GetStatus(
    grpc::CallbackServerContext* context,
    const admin::v1::GetStatusRequest* request,
    admin::v1::GetStatusResponse* response) {
  return Serve(context, *request, response, &Admin::GetStatus);
}

grpc::ServerUnaryReactor* AdminService::ListNodes(
    grpc::CallbackServerContext* context,
    const admin::v1::ListNodesRequest* request,
    admin::v1::ListNodesResponse* response) {
  return Serve(context, *request, response, &Admin::ListNodes);
}

grpc::ServerUnaryReactor* AdminService::ListProcesses(
    grpc::CallbackServerContext* context,
    const admin::v1::ListProcessesRequest* request,
    admin::v1::ListProcessesResponse* response) {
  return Serve(context, *request, response, &Admin::ListProcesses);
}

grpc::ServerUnaryReactor* AdminService::ListNames(
    grpc::CallbackServerContext* context,
    const admin::v1::ListNamesRequest* request,
    admin::v1::ListNamesResponse* response) {
  return Serve(context, *request, response, &Admin::ListNames);
}

grpc::ServerUnaryReactor* AdminService::GetTree(
    grpc::CallbackServerContext* context,
    const admin::v1::GetTreeRequest* request,
    admin::v1::GetTreeResponse* response) {
  return Serve(context, *request, response, &Admin::GetTree);
}

grpc::ServerUnaryReactor* AdminService::Apply(
    grpc::CallbackServerContext* context,
    const admin::v1::ApplyRequest* request,
    admin::v1::ApplyResponse* response) {
  return Serve(context, *request, response, &Admin::Apply);
}

grpc::ServerUnaryReactor* AdminService::RemoveNode(
    grpc::CallbackServerContext* context,
    const admin::v1::RemoveNodeRequest* request,
    admin::v1::RemoveNodeResponse* response) {
  return Serve(context, *request, response, &Admin::RemoveNode);
}

grpc::ServerUnaryReactor* AdminService::RaiseGeneration(
    grpc::CallbackServerContext* context,
    const admin::v1::RaiseGenerationRequest* request,
    admin::v1::RaiseGenerationResponse* response) {
  return Serve(context, *request, response, &Admin::RaiseGeneration);
}

}  // namespace muster
