#include "cluster/service/admin_service.h"

#include <atomic>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "node/rpc/backend.h"
#include "node/rpc/grpc_status.h"
#include "node/tls/access.h"

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

using Audit = std::function<void(const absl::Status& outcome)>;

// The method whose request that is; null: more than one, or none.
const google::protobuf::MethodDescriptor* MethodOf(
    const google::protobuf::Message& request) {
  const google::protobuf::ServiceDescriptor* const service =
      admin::v1::ApplyRequest::descriptor()->file()->FindServiceByName(
          "AdminService");
  const google::protobuf::MethodDescriptor* found = nullptr;
  for (int i = 0; i < service->method_count(); ++i) {
    if (service->method(i)->input_type() != request.GetDescriptor()) continue;
    if (found != nullptr) return nullptr;
    found = service->method(i);
  }
  return found;
}

// "node=a confirm=a supervisor=app": the texts of a request and of the messages
// in it; what is repeated, or bytes, is left out, as it may be anything.
void AppendTexts(const google::protobuf::Message& message, int depth,
                 std::string* out) {
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  reflection.ListFields(message, &fields);
  for (const google::protobuf::FieldDescriptor* field : fields) {
    if (field->is_repeated()) continue;
    if (field->type() == google::protobuf::FieldDescriptor::TYPE_STRING) {
      absl::StrAppend(out, out->empty() ? "" : " ", field->name(), "=",
                      reflection.GetString(message, field));
    } else if (depth > 0 &&
               field->cpp_type() ==
                   google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) {
      AppendTexts(reflection.GetMessage(message, field), depth - 1, out);
    }
  }
}

// Null: nothing to be written.
Audit MakeAudit(const std::shared_ptr<Authorizer>& authorizer,
                const grpc::CallbackServerContext& context,
                const google::protobuf::Message& request) {
  if (authorizer == nullptr) return nullptr;
  const google::protobuf::MethodDescriptor* const method = MethodOf(request);
  if (method == nullptr) return nullptr;
  const std::string path =
      absl::StrCat("/", method->service()->full_name(), "/", method->name());
  if (!IsAudited(AccessOf(path))) return nullptr;
  std::string target;
  AppendTexts(request, /*depth=*/1, &target);
  return [authorizer, auth = context.auth_context(), path,
          target](const absl::Status& outcome) {
    authorizer->Audit(*auth, path, target, outcome);
  };
}

}  // namespace

void AdminService::Set(std::shared_ptr<Admin> admin) {
  std::shared_ptr<Admin> old;
  MutexLock lock(&mu_);
  old = std::exchange(admin_, std::move(admin));
  while (inside_ > 0) left_.Wait(&mu_);
}

template <typename Request, typename Response>
grpc::ServerUnaryReactor* AdminService::Serve(
    grpc::CallbackServerContext* context, const Request& request,
    Response* response,
    void (Admin::*method)(const Request&, Admin::Done<Response>)) {
  const Audit audit = MakeAudit(authorizer_, *context, request);
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
  ((*admin).*method)(
      request, [reactor, response, audit](absl::StatusOr<Response> result) {
        if (audit != nullptr) audit(result.status());
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

}  // namespace muster
