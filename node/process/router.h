// Router: where the runtime hands what is not for a process it can see.
#ifndef MUSTER_NODE_PROCESS_ROUTER_H_
#define MUSTER_NODE_PROCESS_ROUTER_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "node/process/message.h"
#include "node/process/signals.h"
#include "node/types/info.h"
#include "node/types/pid.h"

namespace muster {

// Targets are cluster-wide names, pids of other nodes, or names on other
// nodes. LIFETIME: as long as the runtime that uses it. THREADS: any thread;
// never called with a lock held. May complete before it returns.
class Router {
 public:
  virtual ~Router() = default;
  // Completes `slot` exactly once unless somebody else did (its deadline).
  virtual void RouteCall(Request request, std::shared_ptr<CallSlot> slot) = 0;
  // `taken` is null for fire-and-forget; otherwise it learns once whether the
  // target's mailbox has taken the cast.
  virtual void RouteCast(Request request,
                         absl::AnyInvocable<void(absl::Status)> taken) = 0;
  // Lost without a word if it cannot be delivered (otp P3).
  virtual void RouteInfo(const ServerRef& target, Info info, Meta meta) = 0;
  // Keeps its place among what the same process sends to the same node. A link
  // or monitor that cannot be had, or whose stream is lost later, comes back
  // through Runtime::Deliver as an exit over the link or a Down, once: noproc
  // if the process cannot exist any more, else noconnection. Everything else
  // is lost without a word if there is no way to deliver it, but never for
  // lack of room. Never a Down.
  virtual void RouteSignal(Signal signal) = 0;
  // True: messages to this cluster-wide name wait here. What follows them must
  // come the same way, even if the name is on this node by now (guarantees G9).
  // Cheap as long as nothing waits.
  virtual bool Waits(absl::string_view) const { return false; }
  // From now on this node serves the name under `epoch`: what is sent to it
  // goes there without the router's knowledge, unless something Waits.
  virtual void Serves(absl::string_view, Epoch) {}
  // Opens a stream to `node` unless there is one; tells nobody.
  virtual void Reach(absl::string_view node) = 0;
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_ROUTER_H_
