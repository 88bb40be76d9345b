// MultiCall and Abcast: one request to the server of one local name on many
// nodes (otp 4.5, C18).
//
//   auto got = co_await MultiCall<CounterValue>(
//       self, {"a", "b", "c"}, "counter", kGet, get, absl::Seconds(3));
//   for (const NodeReply<CounterValue>& reply : got->replies) ...
//   for (const BadNode& bad : got->bad_nodes) ...
#ifndef MUSTER_NODE_GEN_SERVER_MULTI_CALL_H_
#define MUSTER_NODE_GEN_SERVER_MULTI_CALL_H_

#include <coroutine>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/clock.h"
#include "node/gen_server/send_request.h"
#include "node/process/context.h"
#include "node/types/payload.h"
#include "node/types/server_ref.h"

namespace muster {

template <typename T>
struct NodeReply {
  NodeReply(std::string n, T r) : node(std::move(n)), reply(std::move(r)) {}
  std::string node;
  T reply;
};

// A node without a reply: not reachable, nobody of that name there, the server
// ended or answered an error, or the time was over.
struct BadNode {
  BadNode(std::string n, absl::Status w)
      : node(std::move(n)), why(std::move(w)) {}
  std::string node;
  absl::Status why;
};

// Both in the order of the nodes that were asked; a node that was given twice
// was asked twice.
template <typename T>
struct MultiCallResult {
  MultiCallResult() {}
  std::vector<NodeReply<T>> replies;
  std::vector<BadNode> bad_nodes;
};

// This node and those it is connected to, sorted.
std::vector<std::string> AllNodes(Context& self);

namespace internal {

// INVALID_ARGUMENT BAD_NODE if one of them cannot be a node's name.
absl::Status CheckNodes(const std::vector<std::string>& nodes);

}  // namespace internal

// What MultiCall gives; co_await it.
template <typename T>
class [[nodiscard]] PendingMultiCall {
 public:
  PendingMultiCall(Context& self, absl::Status refused,
                   std::vector<std::string> nodes, std::vector<RequestId> ids)
      : refused_(std::move(refused)),
        nodes_(std::move(nodes)),
        ids_(std::move(ids)),
        wait_(self, ids_, ids_.size(), BootTime::Infinite()) {}
  PendingMultiCall(const PendingMultiCall&) = delete;
  PendingMultiCall& operator=(const PendingMultiCall&) = delete;

  bool await_ready() const { return !refused_.ok() || wait_.ready(); }
  void await_suspend(std::coroutine_handle<>) { wait_.Suspend(); }
  absl::StatusOr<MultiCallResult<T>> await_resume() {
    wait_.End();
    if (!refused_.ok()) return refused_;
    MultiCallResult<T> result;
    for (size_t at = 0; at < nodes_.size(); ++at) {
      absl::StatusOr<T> reply =
          internal::TakeResponse(ids_[at])->template As<T>();
      if (reply.ok()) {
        result.replies.emplace_back(nodes_[at], *std::move(reply));
      } else {
        result.bad_nodes.emplace_back(nodes_[at], std::move(reply).status());
      }
    }
    return result;
  }

 private:
  const absl::Status refused_;
  const std::vector<std::string> nodes_;
  const std::vector<RequestId> ids_;
  internal::ResponseWait wait_;
};

// Sends `request` to the server called `name` on each of `nodes`, all before it
// waits (otp C27), and gives what came until one shared deadline, after which
// nothing comes any more. INVALID_ARGUMENT BAD_NODE or BAD_TIMEOUT: nothing was
// sent. Calls the calling process too if it has that name here: then its own
// node is bad when the time is over.
template <typename T, typename Request>
PendingMultiCall<T> MultiCall(
    Context& self, std::vector<std::string> nodes, absl::string_view name,
    absl::string_view path, const Request& request,
    absl::Duration timeout = absl::InfiniteDuration()) {
  absl::Status refused = internal::CheckTimeout(timeout);
  if (refused.ok()) refused = internal::CheckNodes(nodes);
  std::vector<RequestId> ids;
  if (refused.ok()) {
    RequestOptions options;
    options.timeout = timeout;
    for (const std::string& node : nodes) {
      ids.push_back(SendRequest(self, ServerRef::Local(name, node), path,
                                Request(request), options));
    }
  }
  return PendingMultiCall<T>(self, std::move(refused), std::move(nodes),
                             std::move(ids));
}

// To this node and all that it is connected to.
template <typename T, typename Request>
PendingMultiCall<T> MultiCall(
    Context& self, absl::string_view name, absl::string_view path,
    const Request& request, absl::Duration timeout = absl::InfiniteDuration()) {
  return MultiCall<T>(self, AllNodes(self), name, path, request, timeout);
}

// Casts `request` to the server called `name` on each of `nodes`; whatever
// becomes of it (otp C18). Does not wait, not even for a connection.
template <typename Request>
void Abcast(Context& self, const std::vector<std::string>& nodes,
            absl::string_view name, absl::string_view path,
            const Request& request) {
  for (const std::string& node : nodes) {
    self.StartCast(ServerRef::Local(name, node), path,
                   Payload::Of(Request(request)), CallOptions(),
                   [](const absl::Status&) {});
  }
}

// To this node and all that it is connected to.
template <typename Request>
void Abcast(Context& self, absl::string_view name, absl::string_view path,
            const Request& request) {
  Abcast(self, AllNodes(self), name, path, request);
}

}  // namespace muster

#endif  // MUSTER_NODE_GEN_SERVER_MULTI_CALL_H_
