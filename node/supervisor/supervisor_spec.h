// SupervisorSpec: how a local supervisor treats its children (otp 7.1).
#ifndef MUSTER_NODE_SUPERVISOR_SUPERVISOR_SPEC_H_
#define MUSTER_NODE_SUPERVISOR_SUPERVISOR_SPEC_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "node/supervisor/child_spec.h"

namespace muster {

// What else is restarted when one child is (otp 7.4).
enum class Strategy {
  kOneForOne,   // Nothing.
  kOneForAll,   // All others.
  kRestForOne,  // Those started after it.
};

// When the end of significant children ends the supervisor (otp 7.9).
enum class AutoShutdown {
  kNever,
  kAnySignificant,  // With the first of them.
  kAllSignificant,  // With the last of them.
};

struct SupervisorSpec {
  SupervisorSpec() {}

  // For who wants to be made to name the strategy, as Elixir does:
  //   SupervisorSpec::Of(Strategy::kRestForOne, {child_a, child_b})
  static SupervisorSpec Of(Strategy strategy, std::vector<ChildSpec> children) {
    SupervisorSpec spec;
    spec.strategy = strategy;
    spec.children = std::move(children);
    return spec;
  }

  Strategy strategy = Strategy::kOneForOne;
  // Restarts tolerated within `period`; one more ends the supervisor with
  // `shutdown`. Too small gives up on a hiccup, too large hides a crash loop.
  uint32_t intensity = 1;
  absl::Duration period = absl::Seconds(5);
  AutoShutdown auto_shutdown = AutoShutdown::kNever;
  // Started in this order, one after the other; stopped in reverse.
  std::vector<ChildSpec> children;
};

// INVALID_ARGUMENT, whose text names what is wrong (otp S3, S4):
//   BAD_SUPERVISOR_SPEC  a flag
//   BAD_CHILD_SPEC       a child; two with one id; significant without
//                        auto_shutdown
absl::Status CheckSupervisorSpec(const SupervisorSpec& spec);
// One child beside others, under these flags.
absl::Status CheckChildOf(AutoShutdown auto_shutdown, const ChildSpec& spec);

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_SUPERVISOR_SPEC_H_
