// NodeRouter: finds where a message must go, in this node or another.
#ifndef MUSTER_NODE_PEER_NODE_ROUTER_H_
#define MUSTER_NODE_PEER_NODE_ROUTER_H_

#include <functional>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "node/peer/peers.h"
#include "node/process/message.h"
#include "node/process/router.h"
#include "node/process/runtime.h"
#include "node/registry/name_registry.h"
#include "node/types/info.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"

namespace muster {

// Routes by cluster-wide name (registry, then stream or local process), by pid
// and by node name. After a refusal for an old epoch (FENCED, NOT_EXECUTED) it
// resolves anew and tries again, at most 4 hops in all, then UNAVAILABLE
// ROUTING_LOOP; nothing else is ever sent twice. A cast or info that asks for
// no answer comes back from there, and is sent on once, unless that would put
// it behind something later. No message goes to an epoch of its name below one
// that this node or its client has seen (guarantees G5). A supervised name
// whose process is gone answers UNAVAILABLE RESTARTING; a client outside, which
// has this node for its caller, is held instead and tried again as long as its
// deadline allows, up to 10,000 of them. THREADS: any thread. ORDER: messages
// to a name that must first be looked up in the store wait for that in the
// order in which they came, and so does whatever follows them, even if the name
// is known again, or on this node, before the store has answered.
class NodeRouter final : public Router {
 public:
  NodeRouter(Runtime* runtime, NameRegistry* names, Peers* peers);
  ~NodeRouter() override;
  NodeRouter(const NodeRouter&) = delete;
  NodeRouter& operator=(const NodeRouter&) = delete;

  void RouteCall(Request request, std::shared_ptr<CallSlot> slot) override;
  void RouteCast(Request request,
                 absl::AnyInvocable<void(absl::Status)> taken) override;
  void RouteInfo(const ServerRef& target, Info info, Meta meta) override;
  // A monitor of a cluster-wide name: resolved in the registry, then a monitor
  // of that process; noproc if the name is free.
  void RouteSignal(Signal signal) override;
  bool Waits(absl::string_view name) const override;
  void Serves(absl::string_view name, Epoch epoch) override;
  void Reach(absl::string_view node) override { peers_->Reach(node); }
  // Told of each cast and info without an answer that is lost here, beside its
  // being counted; once, before the first is sent. Comes on any thread.
  using Lost = std::function<void(const ServerRef& target, const Info& info)>;
  void OnLost(Lost lost);

 private:
  // Shared with the look-ups under way, which may end after this.
  class Core;
  const std::shared_ptr<Core> core_;
  Peers* const peers_;
};

}  // namespace muster

#endif  // MUSTER_NODE_PEER_NODE_ROUTER_H_
