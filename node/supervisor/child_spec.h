// ChildSpec: how a supervisor of this node starts, restarts and stops one child
// (otp S2).
#ifndef MUSTER_NODE_SUPERVISOR_CHILD_SPEC_H_
#define MUSTER_NODE_SUPERVISOR_CHILD_SPEC_H_

#include <coroutine>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <typeinfo>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/gen_server/server_type.h"
#include "node/process/caller.h"
#include "node/process/context.h"
#include "node/process/process_body.h"
#include "node/types/exit_reason.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "node/types/server_name.h"

namespace muster {

enum class ChildType { kWorker, kSupervisor };

// What starting a child gave.
struct StartedChild {
  StartedChild() = default;
  explicit StartedChild(Pid p) : pid(std::move(p)) {}
  StartedChild(Pid p, std::string i) : pid(std::move(p)), info(std::move(i)) {}

  Pid pid;  // Empty: the start was ignored.
  // Whatever else the start wants its caller to know.
  std::string info;
};

struct ChildSpec {
  // Unique within the supervisor.
  std::string id;
  // Makes the server anew for each start.
  std::function<std::unique_ptr<ProcessBody>()> factory;
  // What it is initialized with, made anew for each start.
  std::function<Payload()> init = [] { return Payload(); };
  // In place of `factory`, `init` and `name`: starts the child, linked to
  // `self`, the supervisor. ABORTED INIT_FAILED and the like if it cannot;
  // FAILED_PRECONDITION IGNORED if it does not want to.
  std::function<Pending<absl::StatusOr<StartedChild>>(Context& self)> start;
  // What it is registered as before Init runs: a plain string is a name on this
  // node, an empty one none; ServerName::Global("x") one of the cluster.
  ServerName name;
  Restart restart = Restart::kPermanent;
  // Default: 5 s for workers, infinite for supervisors.
  std::optional<Shutdown> shutdown;
  // Its own end may end the supervisor (otp S31); needs auto_shutdown, and
  // restart other than permanent (otp S4).
  bool significant = false;
  ChildType type = ChildType::kWorker;
  // The class that runs, for people; Of<T> fills it in.
  std::string module;

  // The child_spec/1 of a server type: name defaults to the id. Set what is to
  // be different:
  //   ChildSpec spec = ChildSpec::Of<Cache>(options, "cache");
  //   spec.restart = Restart::kTransient;
  template <typename T>
  static ChildSpec Of(typename T::Options options, std::string id) {
    ChildSpec spec;
    spec.id = std::move(id);
    spec.name = spec.id;
    spec.module = internal::CppTypeName(typeid(T));
    spec.factory = [] { return std::make_unique<T>(); };
    spec.init = [options] { return Payload::Of(options); };
    return spec;
  }

  Shutdown shutdown_or_default() const {
    if (shutdown.has_value()) return *shutdown;
    return Shutdown::Within(type == ChildType::kSupervisor
                                ? absl::InfiniteDuration()
                                : absl::Seconds(5));
  }
};

// INVALID_ARGUMENT BAD_CHILD_SPEC, whose text names what is wrong (otp S3): no
// id, not exactly one of factory and start, a value that no enumerator names, a
// negative shutdown, a permanent child that is significant.
absl::Status CheckChildSpec(const ChildSpec& spec);

// The start of one child, to be awaited once.
class ChildStart {
 public:
  // `id` and `node` outlive it: the child's, and the supervisor's.
  ChildStart(const std::string& id, const std::string& node,
             Pending<absl::StatusOr<StartedChild>> pending)
      : id_(&id), node_(&node), pending_(std::move(pending)) {}
  ChildStart(ChildStart&& other) noexcept
      : id_(other.id_),
        node_(other.node_),
        pending_(std::move(other.pending_)) {}
  ~ChildStart() {}

  bool await_ready() const { return pending_.await_ready(); }
  void await_suspend(std::coroutine_handle<> handle) {
    pending_.await_suspend(handle);
  }
  absl::StatusOr<StartedChild> await_resume();

 private:
  const std::string* id_;
  const std::string* node_;
  Pending<absl::StatusOr<StartedChild>> pending_;
};

// Starts the child, linked to `self`:
//   absl::StatusOr<StartedChild> child = co_await StartChildProcess(spec,
//   self);
// Whatever its factory, init or start throws, now or later, is a failed start
// like any other (otp S7). FAILED_PRECONDITION NOT_LOCAL: a start of its own
// gave a process of another node, which a supervisor of this one cannot keep.
ChildStart StartChildProcess(const ChildSpec& spec, Context& self);

// Stops a running child as its spec says (otp S25); how it ended.
Pending<ExitReason> StopChildProcess(const ChildSpec& spec, const Pid& pid,
                                     Context& self);

// "worker", "permanent" and the like, for people.
absl::string_view RestartName(Restart restart);

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_CHILD_SPEC_H_
