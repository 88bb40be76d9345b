// Supervisor: keeps children of one node running (otp section 7).
#ifndef MUSTER_NODE_SUPERVISOR_SUPERVISOR_H_
#define MUSTER_NODE_SUPERVISOR_SUPERVISOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "node/gen_server/gen_server.h"
#include "node/supervisor/child_spec.h"
#include "node/supervisor/restart_window.h"

namespace muster {

// What else is restarted when one child is.
enum class Strategy {
  kOneForOne,   // Nothing.
  kOneForAll,   // All others. Not yet: refused.
  kRestForOne,  // Those started after it. Not yet: refused.
};

struct SupervisorSpec {
  Strategy strategy = Strategy::kOneForOne;
  // Restarts tolerated within `period`; one more ends the supervisor with
  // `shutdown`. Too small gives up on a hiccup, too large hides a crash loop.
  uint32_t intensity = 1;
  absl::Duration period = absl::Seconds(5);
  // Started in this order, one after the other; stopped in reverse.
  std::vector<ChildSpec> children;
};

// Traps exits. Its start returns when all children have started; if one
// cannot, those before it are stopped in reverse and the start fails.
//
// Start it with Start() or StartLink(), or as a child of another supervisor.
class Supervisor final : public InfoServer {
 public:
  // INVALID_ARGUMENT (empty or duplicate id, no factory, period not positive),
  // UNIMPLEMENTED (strategies other than one_for_one).
  static absl::StatusOr<std::unique_ptr<Supervisor>> Make(SupervisorSpec spec);

  InitResult Init(Context& self) override;
  Next HandleInfo(Info info, Context& self) override;
  Next Terminate(const ExitReason& reason, Context& self) override;

 private:
  struct Child {
    ChildSpec spec;
    Pid pid;  // Empty: it does not run.
    bool kept = true;
  };
  struct Retry {
    size_t child;
  };

  explicit Supervisor(SupervisorSpec spec);

  std::vector<Child> children_;
  RestartWindow window_;
};

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_SUPERVISOR_H_
