#include "cluster/service/admin_service.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <utility>
#include <vector>

#include "cluster/journal/event_tail.h"
#include "node/rpc/backend.h"
#include "node/rpc/grpc_status.h"
#include "node/types/status.h"

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

// One stream of events. What its client does not read in time is kept here, up
// to a bound: then the stream ends.
class AdminService::TailReactor final
    : public grpc::ServerWriteReactor<admin::v1::Event> {
 public:
  // Holds itself until gRPC is done with it.
  // Without an `admin` it ends at once.
  void Begin(std::shared_ptr<TailReactor> self, Admin* admin,
             const admin::v1::ListEventsRequest& request) {
    std::weak_ptr<TailReactor> weak = self;
    {
      MutexLock lock(&mu_);
      self_ = std::move(self);
      if (admin == nullptr) {
        FinishLocked(ToGrpcStatus(BackendCell::Starting()));
        return;
      }
    }
    std::shared_ptr<EventTail> tail = admin->TailEvents(
        request, [weak](std::vector<admin::v1::Event> events) {
          if (auto reactor = weak.lock()) reactor->Add(std::move(events));
        });
    {
      MutexLock lock(&mu_);
      if (!done_) {
        tail_ = std::move(tail);
        return;
      }
    }
    tail->Close();
  }

  // Ends the stream and stops following the store, before it returns.
  void End(const grpc::Status& status) {
    CloseTail();
    MutexLock lock(&mu_);
    FinishLocked(status);
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(&mu_);
    writing_ = false;
    if (!ok) {
      FinishLocked(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled"));
      return;
    }
    queue_.pop_front();
    WriteLocked();
  }
  void OnCancel() override {
    MutexLock lock(&mu_);
    FinishLocked(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled"));
  }
  void OnDone() override {
    CloseTail();
    std::shared_ptr<TailReactor> self;
    MutexLock lock(&mu_);
    self = std::move(self_);
  }

 private:
  static constexpr size_t kQueueMax = 2 * kEventsMax;

  void Add(std::vector<admin::v1::Event> events) {
    MutexLock lock(&mu_);
    if (finished_) return;
    if (queue_.size() + events.size() > kQueueMax) {
      FinishLocked(ToGrpcStatus(
          Error(absl::StatusCode::kResourceExhausted, "SLOW_READER",
                "events happen faster than they are read")));
      return;
    }
    for (admin::v1::Event& event : events) queue_.push_back(std::move(event));
    WriteLocked();
  }
  void WriteLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (writing_ || finished_ || queue_.empty()) return;
    writing_ = true;
    StartWrite(&queue_.front());
  }
  void FinishLocked(const grpc::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!std::exchange(finished_, true)) Finish(status);
  }
  void CloseTail() {
    std::shared_ptr<EventTail> tail;
    {
      MutexLock lock(&mu_);
      done_ = true;
      tail = std::move(tail_);
    }
    if (tail != nullptr) tail->Close();
  }

  Mutex mu_;
  std::shared_ptr<TailReactor> self_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<EventTail> tail_ ABSL_GUARDED_BY(mu_);
  // The front one is being written while `writing_`.
  std::deque<admin::v1::Event> queue_ ABSL_GUARDED_BY(mu_);
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  bool done_ ABSL_GUARDED_BY(mu_) = false;
};

void AdminService::Set(std::shared_ptr<Admin> admin) {
  std::shared_ptr<Admin> old;
  std::vector<std::weak_ptr<TailReactor>> tails;
  {
    MutexLock lock(&mu_);
    old = std::exchange(admin_, std::move(admin));
    while (inside_ > 0) left_.Wait(&mu_);
    tails.swap(tails_);
  }
  for (const std::weak_ptr<TailReactor>& weak : tails) {
    if (auto tail = weak.lock()) {
      tail->End(ToGrpcStatus(BackendCell::Starting()));
    }
  }
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

grpc::ServerUnaryReactor* AdminService::ListEvents(
    grpc::CallbackServerContext* context,
    const admin::v1::ListEventsRequest* request,
    admin::v1::ListEventsResponse* response) {
  return Serve(context, *request, response, &Admin::ListEvents);
}

grpc::ServerUnaryReactor* AdminService::Explain(
    grpc::CallbackServerContext* context,
    const admin::v1::ExplainRequest* request,
    admin::v1::ExplainResponse* response) {
  return Serve(context, *request, response, &Admin::Explain);
}

grpc::ServerWriteReactor<admin::v1::Event>* AdminService::TailEvents(
    grpc::CallbackServerContext*, const admin::v1::ListEventsRequest* request) {
  auto reactor = std::make_shared<TailReactor>();
  TailReactor* const raw = reactor.get();
  std::shared_ptr<Admin> admin;
  {
    MutexLock lock(&mu_);
    admin = admin_;
    if (admin != nullptr) {
      ++inside_;
      tails_.erase(std::remove_if(tails_.begin(), tails_.end(),
                                  [](const std::weak_ptr<TailReactor>& tail) {
                                    return tail.expired();
                                  }),
                   tails_.end());
      tails_.push_back(reactor);
    }
  }
  raw->Begin(std::move(reactor), admin.get(), *request);
  if (admin != nullptr) {
    MutexLock lock(&mu_);
    --inside_;
    left_.SignalAll();
  }
  return raw;
}

}  // namespace muster
