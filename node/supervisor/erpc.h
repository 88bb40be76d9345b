// erpc: tasks on other nodes, asked for by name (otp section 15).
//
//   absl::StatusOr<Image> small =
//       co_await erpc::Call<Image>(self, "b", "resize", image,
//                                  absl::Seconds(5));
//
// The node has a task type of that name (remote_tasks.h), which runs in a
// process of its own. What can come instead of its value:
//   the function's own error           EXECUTED
//   ABORTED CALLEE_EXITED              it ended without a value: exit_reason,
//                                      and class: "exit" (it stopped), "error"
//                                      (it threw), "signal" (it was ended)
//   UNIMPLEMENTED UNKNOWN_TASK         the node has no such type
//   INVALID_ARGUMENT MALFORMED         the message is of another type
//   NOT_FOUND NOPROC                   the node runs no tasks for others
//   UNAVAILABLE NODEDOWN, ABORTED NOCONNECTION
//                                      not reachable; lost on the way
//   DEADLINE_EXCEEDED TIMEOUT
//   RESOURCE_EXHAUSTED MAX_CHILDREN
//   INVALID_ARGUMENT BAD_NODE, BAD_TASK, BAD_TIMEOUT   nothing was sent
// After TIMEOUT and NOCONNECTION nobody knows whether the task ran: it may
// still be running. No late result arrives (otp E2).
#ifndef MUSTER_NODE_SUPERVISOR_ERPC_H_
#define MUSTER_NODE_SUPERVISOR_ERPC_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/mutex.h"
#include "node/gen_server/send_request.h"
#include "node/process/caller.h"
#include "node/process/context.h"
#include "node/supervisor/remote_tasks.h"
#include "node/types/payload.h"
#include "node/types/server_ref.h"

namespace muster::erpc {

// The longest finite timeout: 2^32 - 1 ms, as in OTP.
absl::Duration TimeoutMax();

namespace internal {

absl::Status Check(absl::string_view node, absl::string_view task,
                   absl::Duration timeout);
CallOptions Options(absl::string_view task, absl::Duration timeout);

// Results that come one by one, in any order; in theirs when all are there.
template <typename T>
class Gathered {
 public:
  using Results = absl::StatusOr<std::vector<absl::StatusOr<T>>>;

  Gathered(size_t count,
           std::shared_ptr<muster::internal::Arrival<Results>> arrival)
      : arrival_(std::move(arrival)), left_(count), results_(count) {}

  void Set(size_t at, absl::StatusOr<T> result) ABSL_LOCKS_EXCLUDED(mu_) {
    std::vector<absl::StatusOr<T>> all;
    {
      MutexLock lock(&mu_);
      results_[at].emplace(std::move(result));
      if (--left_ > 0) return;
      for (auto& one : results_) all.push_back(*std::move(one));
    }
    arrival_->Set(std::move(all));
  }

 private:
  const std::shared_ptr<muster::internal::Arrival<Results>> arrival_;
  Mutex mu_;
  size_t left_ ABSL_GUARDED_BY(mu_);
  std::vector<std::optional<absl::StatusOr<T>>> results_ ABSL_GUARDED_BY(mu_);
};

}  // namespace internal

// Runs the task on `node`, which may be the caller's own.
template <typename Response, typename Request>
PendingCall<Response> Call(Caller& self, absl::string_view node,
                           absl::string_view task, Request request,
                           absl::Duration timeout = absl::InfiniteDuration()) {
  static_assert(muster::internal::kIsMessage<Request>,
                "only protobuf messages go to other nodes");
  absl::Status checked = internal::Check(node, task, timeout);
  if (!checked.ok()) {
    auto arrival =
        std::make_shared<muster::internal::Arrival<absl::StatusOr<Response>>>();
    arrival->Set(std::move(checked));
    return PendingCall<Response>(std::move(arrival));
  }
  return muster::internal::TypedCall<Response>(
      self, ServerRef::Local(RemoteTasks::kName, node), RemoteTasks::kRun,
      std::move(request), internal::Options(task, timeout));
}

// Starts the task; nobody learns what becomes of it. Only what is malformed is
// an error (otp E3).
template <typename Request>
absl::Status Cast(Caller& self, absl::string_view node, absl::string_view task,
                  Request request) {
  absl::Status checked = internal::Check(node, task, absl::InfiniteDuration());
  if (!checked.ok()) return checked;
  self.StartCast(ServerRef::Local(RemoteTasks::kName, node),
                 RemoteTasks::kStart, Payload::Of(std::move(request)),
                 internal::Options(task, absl::InfiniteDuration()),
                 [](const absl::Status&) {});
  return absl::OkStatus();
}

// Runs the task on each of `nodes`, at one time and under one deadline; their
// results in the order of the nodes. A node that is given twice runs it twice.
// An error of all: what is malformed; then nothing was sent.
template <typename Response, typename Request>
Pending<absl::StatusOr<std::vector<absl::StatusOr<Response>>>> Multicall(
    Caller& self, const std::vector<std::string>& nodes, absl::string_view task,
    const Request& request, absl::Duration timeout = absl::InfiniteDuration()) {
  using Gathered = internal::Gathered<Response>;
  using Results = typename Gathered::Results;
  auto arrival = std::make_shared<muster::internal::Arrival<Results>>();
  absl::Status checked;
  for (const std::string& node : nodes) {
    if (checked.ok()) checked = internal::Check(node, task, timeout);
  }
  if (!checked.ok() || nodes.empty()) {
    Results none = std::vector<absl::StatusOr<Response>>();
    if (!checked.ok()) none = std::move(checked);
    arrival->Set(std::move(none));
    return Pending<Results>(std::move(arrival));
  }
  auto gathered = std::make_shared<Gathered>(nodes.size(), arrival);
  for (size_t at = 0; at < nodes.size(); ++at) {
    Call<Response>(self, nodes[at], task, Request(request), timeout)
        .Then([gathered, at](absl::StatusOr<Response> result) {
          gathered->Set(at, std::move(result));
        });
  }
  return Pending<Results>(std::move(arrival));
}

// A request whose response is asked for later, alone or in a collection, with
// Receive, Wait, Check and RequestIds (node/gen_server/send_request.h); an
// unreachable node is NOCONNECTION there. Error: what is malformed.
template <typename Request>
absl::StatusOr<RequestId> SendRequest(
    Context& self, absl::string_view node, absl::string_view task,
    Request request, RequestOptions options = RequestOptions()) {
  absl::Status checked = internal::Check(node, task, options.timeout);
  if (!checked.ok()) return checked;
  options.metadata = internal::Options(task, options.timeout).metadata;
  return muster::SendRequest(self, ServerRef::Local(RemoteTasks::kName, node),
                             RemoteTasks::kRun, std::move(request),
                             std::move(options));
}

}  // namespace muster::erpc

#endif  // MUSTER_NODE_SUPERVISOR_ERPC_H_
