// Exit, Down, NodeUp, NodeDown, Suspect and what timers say: the infos that the
// system itself sends (otp 1.3, 1.5, 6, 13); and Signal, by which links,
// monitors and exits reach other nodes.
#ifndef MUSTER_NODE_PROCESS_SIGNALS_H_
#define MUSTER_NODE_PROCESS_SIGNALS_H_

#include <any>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "node/types/exit_reason.h"
#include "node/types/info.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"

namespace muster {

// Names one monitor; id 0 names none.
struct MonitorRef {
  uint64_t id = 0;
  // Tells the process that made it from others.
  uint64_t owner = 0;
  friend bool operator==(MonitorRef, MonitorRef) = default;
};

// Names one timer; 0 names none.
struct TimerRef {
  uint64_t id = 0;
  friend bool operator==(TimerRef, TimerRef) = default;
};

// When an alias goes off by itself (otp A2); Unalias ends every one.
enum class AliasKind : uint8_t {
  kExplicit,        // Never.
  kReply,           // At the first message that comes through it.
  kDemonitor,       // When its monitor is removed or fires.
  kReplyDemonitor,  // Both; the first message also removes the monitor.
};

struct MonitorOptions {
  // Comes back in the Down: whatever tells the watcher what it was for
  // (otp M8).
  std::any tag;
  // The monitor is an alias too: Context::AliasOf. Any kind but kReply.
  std::optional<AliasKind> alias;
};

struct DemonitorOptions {
  // A Down that is already queued is removed.
  bool flush = false;
  // Demonitor says whether there was still something to remove.
  bool info = false;
};

// What a timer of StartTimer delivers: the info with the timer's ref, so that a
// late one can be told from the current one.
struct TimerFired {
  TimerFired(TimerRef r, Info i) : ref(r), info(std::move(i)) {}
  TimerRef ref;
  Info info;
};

// The answers of CancelTimerAsync and ReadTimerAsync (otp T4). `left` is
// nullopt if the timer has fired, was cancelled or is unknown.
struct TimerCancelled {
  TimerCancelled(TimerRef r, std::optional<absl::Duration> l)
      : ref(r), left(l) {}
  TimerRef ref;
  std::optional<absl::Duration> left;
};
struct TimerRead {
  TimerRead(TimerRef r, std::optional<absl::Duration> l) : ref(r), left(l) {}
  TimerRef ref;
  std::optional<absl::Duration> left;
};

// A linked process ended, or somebody sent an exit signal, to a process that
// traps exits.
struct Exit {
  Exit(Pid f, ExitReason r) : from(std::move(f)), reason(std::move(r)) {}
  Pid from;
  ExitReason reason;
};

// A monitored process ended, there was none (noproc), or it cannot be reached
// (noconnection); exactly one for each monitor (otp M2, M3).
struct Down {
  Down(MonitorRef m, ServerRef o, Pid p, ExitReason r, std::any t = std::any())
      : ref(m),
        object(std::move(o)),
        pid(std::move(p)),
        reason(std::move(r)),
        tag(std::move(t)) {}

  // The tag as a T; null if it is something else or there is none.
  template <typename T>
  const T* TagAs() const {
    return std::any_cast<T>(&tag);
  }

  MonitorRef ref;
  // What was monitored, as it was named then; a local name with its node.
  ServerRef object;
  Pid pid;  // Empty: there was none, or nobody knows.
  ExitReason reason;
  std::any tag;
};

// The stream to the owner of a monitored cluster-wide name was lost. That says
// nothing about the owner: the Down comes when its epoch can no longer act
// (guarantees G10). Until then this is a hint, taken back by `cleared` when
// the owner has been reached again.
struct Suspect {
  Suspect(MonitorRef m, ServerRef o, Pid p, bool c)
      : ref(m), object(std::move(o)), pid(std::move(p)), cleared(c) {}
  MonitorRef ref;
  ServerRef object;
  Pid pid;
  bool cleared;
};

// A stream to another node has opened; for whoever asked with
// Context::MonitorNodes (otp ND3). Comes once the node is in Context::Nodes()
// and before any signal from it.
struct NodeUp {
  explicit NodeUp(std::string n) : node(std::move(n)) {}
  std::string node;
};

// It was lost: noconnection, timeout (it was silent), or nodedown (its
// incarnation is known to be dead). Comes once the node is not in
// Context::Nodes() any more, after the Exits and Downs that the loss brought
// (otp ND4) and before the NodeUp of the next stream.
struct NodeDown {
  NodeDown(std::string n, ExitReason r)
      : node(std::move(n)), reason(std::move(r)) {}
  std::string node;
  ExitReason reason;
};

// Names one link between processes of two nodes, so that what is said about an
// earlier link of the two is not taken for the present one (otp L2). Each side
// that asked for the link while it had none gave it an id of its own; both did
// if they asked at once. 0: that side has not. On one node both are 0.
struct LinkIds {
  LinkIds() = default;
  LinkIds(uint64_t m, uint64_t t) : mine(m), theirs(t) {}
  // As the other side sees it.
  LinkIds Swapped() const { return LinkIds(theirs, mine); }

  uint64_t mine = 0;
  uint64_t theirs = 0;
};

// What a process says to one of another node about links, monitors and exits.
struct Signal {
  enum class Kind : uint8_t {
    kExit,
    kLink,
    kUnlink,
    kMonitor,
    kDemonitor,
    kDown,
  };

  // An explicit exit signal; `from` may be empty: the system.
  static Signal ExitTo(Pid from, Pid to, ExitReason reason) {
    Signal signal(Kind::kExit, std::move(from), std::move(to));
    signal.reason = std::move(reason);
    return signal;
  }
  // Over a link.
  static Signal LinkExit(Pid from, Pid to, ExitReason reason, LinkIds link) {
    Signal signal = ExitTo(std::move(from), std::move(to), std::move(reason));
    signal.via_link = true;
    signal.link = link;
    return signal;
  }
  static Signal Link(Pid from, Pid to, LinkIds link) {
    Signal signal(Kind::kLink, std::move(from), std::move(to));
    signal.link = link;
    return signal;
  }
  static Signal Unlink(Pid from, Pid to, LinkIds link) {
    Signal signal(Kind::kUnlink, std::move(from), std::move(to));
    signal.link = link;
    return signal;
  }
  static Signal Monitor(Pid watcher, uint64_t ref, ServerRef target) {
    Signal signal(Kind::kMonitor, std::move(watcher), Pid());
    signal.ref = ref;
    signal.target = std::move(target);
    return signal;
  }
  static Signal Demonitor(Pid watcher, uint64_t ref, ServerRef target) {
    Signal signal = Monitor(std::move(watcher), ref, std::move(target));
    signal.kind = Kind::kDemonitor;
    return signal;
  }
  // `ended` may be empty: a name that nobody had.
  static Signal Down(uint64_t ref, Pid ended, ExitReason reason) {
    Signal signal(Kind::kDown, std::move(ended), Pid());
    signal.ref = ref;
    signal.reason = std::move(reason);
    return signal;
  }

  // Where it goes; empty for a cluster-wide name. Not for kDown.
  const std::string& node() const {
    if (kind != Kind::kMonitor && kind != Kind::kDemonitor) return to.node;
    return target.kind() == ServerRef::Kind::kLocal ? target.node()
                                                    : target.pid().node;
  }

  Kind kind;
  Pid from;  // Who says it; the watcher, or with kDown who ended.
  Pid to;    // kExit, kLink, kUnlink.
  ExitReason reason = ExitReason::Normal();  // kExit, kDown.
  bool via_link = false;                     // kExit.
  LinkIds link;              // kExit, kLink, kUnlink; as the sender sees it.
  uint64_t ref = 0;          // kMonitor, kDemonitor, kDown.
  ServerRef target = Pid();  // kMonitor, kDemonitor.

 private:
  Signal(Kind k, Pid f, Pid t)
      : kind(k), from(std::move(f)), to(std::move(t)) {}
};

}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_SIGNALS_H_
