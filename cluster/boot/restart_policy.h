// RestartPolicy: what a sentinel does when its node's OS process has ended.
//
// Pure: values in, values out; no clock, no process.
#ifndef MUSTER_CLUSTER_BOOT_RESTART_POLICY_H_
#define MUSTER_CLUSTER_BOOT_RESTART_POLICY_H_

#include <map>
#include <string>

#include "absl/time/time.h"
#include "node/base/random.h"

namespace muster {

// How an OS process ended.
struct NodeEnd {
  // 0: it exited by itself, with `code`.
  int signal = 0;
  int code = 0;
  bool core_dumped = false;

  // Of waitpid(); only for a process that has ended.
  static NodeEnd FromWaitStatus(int status);
  // "killed by signal 9 (KILL)", "exit code 3".
  std::string ToString() const;
  // What a shell would say: its code, or 128 and the signal.
  int ExitCode() const { return signal == 0 ? code : 128 + signal; }
};

struct Verdict {
  // False: the sentinel ends, too, with `exit_code`.
  bool restart = false;
  int exit_code = 0;
  // Until the restart.
  absl::Duration delay;
};

// Restarts what died, and lets be what ended on purpose:
// - told to stop, or exit code 0: the end, with that code;
// - exited by itself before any run has joined: the end, since what is wrong
//   (a flag, a port, a name that is taken, no store) is for people to cure;
// - else a restart, after 100 ms, doubling to 10 s with up to a quarter more
//   by chance, and from 100 ms again once a run has lived for 30 s. So do
//   exits after the first join: the store was away, or the node's name was
//   taken meanwhile.
class RestartPolicy {
 public:
  // `random` outlives it.
  explicit RestartPolicy(RandomSource* random) : random_(random) {}

  // A restart for which the system had no process: tried again as if it had
  // died at once.
  Verdict DidNotStart();
  // A run has joined.
  void Joined() { joined_ = true; }
  // A run has ended after `lived`.
  Verdict Ended(const NodeEnd& end, absl::Duration lived, bool told_to_stop);

 private:
  absl::Duration NextDelay(absl::Duration lived);

  RandomSource* const random_;
  bool joined_ = false;
  absl::Duration delay_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_BOOT_RESTART_POLICY_H_
