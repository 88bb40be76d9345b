// Sentinel: the parent OS process of a node.
//
// It runs the node as a child, learns of its end from waitpid, attests that to
// the cluster's store at once (guarantees R12), and starts it again. It holds
// no port, no name and none of the node's state, and it does little, so that
// it hardly has reason to die. If it does, the kernel kills the node with it
// (parent-death signal): a node without a sentinel would keep its port from the
// one that a service manager starts next. Others then find both dead by their
// silence: that costs time, never safety.
//
//            spawn               joined              ended: attest
//   (start) -------> [starting] --------> [serving] --------------+
//                        |  ^                  |                  |
//                        |  +-- after a pause -|------------------+
//                        v                     v
//                      (end, as restart_policy.h says)
#ifndef MUSTER_CLUSTER_BOOT_SENTINEL_H_
#define MUSTER_CLUSTER_BOOT_SENTINEL_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace muster {

struct SentinelConfig {
  std::string cluster;
  std::string node;
  // As the node's --store.
  std::string store;
  // As the node's --store-tls-dir; empty: plaintext.
  std::string store_tls_dir;
  // The node's argv; the first is the program's name. It runs this OS process's
  // own executable.
  std::vector<std::string> arguments;
};

// Runs the node until it ends for good; its exit code, or 128 and the signal
// that ended it. The first SIGTERM or SIGINT goes to the node, which leaves; a
// second one kills it.
//
// The node is made by posix_spawn, always from this thread, whose death would
// be taken for the sentinel's. posix_spawn runs nothing of ours between fork
// and exec and no fork handlers, so the threads of gRPC that talk to the store
// do not matter to it; the node closes what it was not meant to inherit.
//
// Blocks; to be called once, by the main thread, before other threads exist.
// INTERNAL SPAWN: the system makes no process for the first run; for later ones
// it is asked again, with the pauses of restart_policy.h. INVALID_ARGUMENT:
// `store`; what is wrong with `store_tls_dir`.
absl::StatusOr<int> RunSentinel(const SentinelConfig& config);

}  // namespace muster

#endif  // MUSTER_CLUSTER_BOOT_SENTINEL_H_
