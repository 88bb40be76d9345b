// Request, Meta and CallSlot: a call or cast on its way inside the runtime.
#ifndef MUSTER_NODE_PROCESS_MESSAGE_H_
#define MUSTER_NODE_PROCESS_MESSAGE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/process/caller.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"

namespace muster {

// What accompanies a message; core.v1.CallMeta in memory.
struct Meta {
  // When the caller gives up, on this node's clock.
  BootTime deadline = BootTime::Infinite();
  // Processes that wait for this call, outermost first; at most 16.
  std::vector<Pid> chain;
  // Which of its own calls each of them waits for; as long as `chain`, or
  // empty if the sender does not say.
  std::vector<uint64_t> chain_calls;
  std::string identity;
  std::string traceparent;
  std::string tracestate;
  std::vector<std::pair<std::string, std::string>> metadata;
  // Epoch of the target's name as the sender knows it; empty if it is no name.
  Epoch target_epoch;
  // The sending server's cluster-wide name and its epoch; empty for others.
  std::string sender_name;
  Epoch sender_epoch;
  // The client has seen this epoch of the target's name: an older one must not
  // serve it (guarantees G5). Only on the node that the client talks to.
  Epoch min_epoch;
  // How many nodes have forwarded it.
  uint32_t hops = 0;
};

struct Request {
  Request(ServerRef t, absl::string_view m, Payload p)
      : target(std::move(t)), method(m), payload(std::move(p)) {}

  ServerRef target;
  // "/counter.v1.Counter/Increment".
  std::string method;
  Payload payload;
  Meta meta;
  Pid caller;  // Empty: a client outside.
};

// One call's claim on one reply. The first completion wins; later ones are
// dropped (otp G9). Whoever still holds it may complete it at any time.
//
//   queued --(1)--> dispatched --(2)--> done
//     \------------(3)-------------------^
//   (1) the handler is about to run, or the request left this node
//   (2) a reply, an exit, a lost stream or a deadline: outcome not excluded
//   (3) refused, dropped or expired before dispatch: NOT_EXECUTED
// Cancel is (2) or (3), and besides tells whoever has the call. A deadline does
// not: what has begun goes on (otp C10).
//
// THREADS: any thread may call any method.
class CallSlot {
 public:
  explicit CallSlot(absl::AnyInvocable<void(CallResult)> done)
      : done_(std::move(done)) {}
  CallSlot(const CallSlot&) = delete;
  CallSlot& operator=(const CallSlot&) = delete;

  // (1). False: already done, and the call must not run.
  bool MarkDispatched();
  // (2) or (3). False: it was done already, and `result` is dropped.
  bool Complete(CallResult result);
  // Completes with `error` and outcome NOT_EXECUTED if it was not dispatched,
  // UNKNOWN if it was.
  bool Fail(Error error);
  // The caller has gone: fails the call with CANCELLED. False: it was done.
  bool Cancel() ABSL_LOCKS_EXCLUDED(mu_);
  // Runs `work` once if the call is cancelled from now on, at once if it has
  // been; replaces an earlier one. For whoever runs the call or hands it on;
  // `work` holds it weakly.
  void OnCancel(absl::AnyInvocable<void()> work) ABSL_LOCKS_EXCLUDED(mu_);
  // Acquire/release: as state_.
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
  bool done() const {
    return state_.load(std::memory_order_acquire) == State::kDone;
  }

 private:
  enum class State : uint8_t { kQueued, kDispatched, kDone };

  // Acquire/release: who wins the step to kDone owns done_.
  std::atomic<State> state_{State::kQueued};
  absl::AnyInvocable<void(CallResult)> done_;
  std::atomic<bool> cancelled_{false};
  Mutex mu_;
  absl::AnyInvocable<void()> on_cancel_ ABSL_GUARDED_BY(mu_);
};

// Splits "/pkg.Service/Method"; false if it is not of that form.
bool SplitMethodPath(absl::string_view path, absl::string_view* service,
                     absl::string_view* method);

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_MESSAGE_H_
