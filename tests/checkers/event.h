// HistoryEvent: one thing that happened in a cluster, as a line of JSON.
//
// A history is what clients, servers, resources and the store's journal noted,
// in the order of one clock: the world's in a simulation, the host's boot clock
// with real OS processes. tests/checkers reads histories and says which
// guarantees they keep.
//
//   {"at":1200,"kind":"invoke","session":"c1","call":"7","name":"x","op":"add"}
//
// A field that is empty or zero is left out. Epochs are text
// (Epoch::ToString), 64-bit numbers are JSON integers. Unknown fields are an
// error: a misspelt one would make a checker blind.
#ifndef MUSTER_TESTS_CHECKERS_EVENT_H_
#define MUSTER_TESTS_CHECKERS_EVENT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "node/types/pid.h"

namespace muster {

// What each kind says with which fields, beside `at`. [x]: may be left out.
enum class EventKind : uint8_t {
  // -- Clients. A session is one client whose knowledge never goes back. ----
  // session, call (unique), op, name, [value: argument], [key: which process
  // or owner it is about]. Ops: call, add, get, put, register, unregister,
  // resolve, start_child, stop_child; others are only counted.
  kInvoke,
  // session, call, [epoch: that answered], [value: result], [key: the owner].
  kOk,
  // session, call, outcome, [reason], [epoch], [key: the owner].
  kError,
  // The client is gone: what it had under way never ends. session.
  kGone,
  // session, name, epoch: the name was resolved to this.
  kSeen,

  // -- Servers with a cluster-wide name. seq: number of the process. --------
  // node, node_epoch, name, seq: its Init has run.
  kStart,
  // node, node_epoch, name, seq, [reason]: it has ended.
  kExit,
  // node, node_epoch, name, epoch, call: a handler begins, the fence having
  // been asked.
  kBegin,
  // call, name, epoch, node: that handler is about to reply.
  kEnd,
  // node, name, epoch, [op: send, token]: the fence was asked and is open.
  kPass,
  // A resource that refuses smaller tokens took an effect. key: the resource,
  // name, epoch: the token, [call], value: what is there now, limit: what the
  // writer had read there.
  kAdmit,

  // -- The store's journal, in its order. -----------------------------------
  // node, node_epoch.
  kJoin,
  // node, node_epoch, op: left, attested, silent, forced. With `silent` and
  // `forced` the node may be alive.
  kReap,
  // name, epoch, node, node_epoch: the owner; seq: its process; key: the
  // instance; [session: the supervisor]; [op: moved, reason: the node whose
  // process gave it away, and may take it back].
  kClaim,
  // name: it is free from now on.
  kRelease,
  // The store went back to an earlier state. limit: its generation.
  kRestore,
  // node, name, epoch: the store was asked by a writing transaction whether
  // the epoch is current, and it was.
  kCheck,

  // -- Nodes. ---------------------------------------------------------------
  // node, node_epoch: no thread of it runs any more.
  kDied,

  // -- Monitors. ------------------------------------------------------------
  // key: reference, session: the watcher, name or [op: pid].
  kMonitor,
  // key, session, name, [node, node_epoch, seq: whom it was about], reason.
  kDown,
  // session: the watcher, name, node, node_epoch, seq, [epoch: of the name],
  // [call: the execution that sent it]: it handled a message of that process.
  kMessage,

  // -- Order. key: sender and receiver. -------------------------------------
  // key, seq: 1, 2, ...
  kSend,
  // key, seq, [name, epoch: the receiver's], [call: the execution that sent].
  kDispatch,
  // key, seq: the sender was told, or it was counted at the sender.
  kRefused,
  // key, op: sender, receiver. That side saw the stream between them break.
  kBreak,

  // -- Supervised children. key: the child's cluster-wide name. -------------
  // key, session: the supervisor, [value: options]. Acknowledged.
  kWanted,
  // key. Acknowledged.
  kUnwanted,
  // key, node, [value: options]: found running at the end.
  kRunning,
  // key: supervisor, limit: intensity, value: period in ns.
  kBudget,
  // key: supervisor, name: a child was started again after it had crashed.
  kRestart,
  // key: supervisor. It gave up, as its budget says; nothing of it is wanted.
  kGaveUp,

  // -- A store that is away, and nothing else wrong. op: begin, end; limit: ns
  // within which every name answers after the end. ------------------------
  kOutage,
  // name, op: before, after; value: hash of the state.
  kState,

  // -- Limits and doors. ----------------------------------------------------
  // key: what, value: measured, limit: stated.
  kMeasure,
  // session: role, op: method, value: 1 served, limit: 1 allowed.
  kAccess,

  // -- The run itself. ------------------------------------------------------
  // op: which fault.
  kFault,
  // op: heal, end. After `end` nothing is wanted of anybody.
  kPhase,
};

absl::string_view KindName(EventKind kind);

struct HistoryEvent {
  int64_t at_ns = 0;
  EventKind kind = EventKind::kFault;
  std::string node;
  Epoch node_epoch;
  std::string session;
  std::string name;
  Epoch epoch;
  std::string call;
  std::string op;
  std::string reason;
  std::string outcome;
  std::string key;
  int64_t value = 0;
  int64_t limit = 0;
  uint64_t seq = 0;

  friend bool operator==(const HistoryEvent&, const HistoryEvent&) = default;
};

// One line, without its end.
std::string ToJson(const HistoryEvent& event);
// INVALID_ARGUMENT says what is wrong with it.
absl::StatusOr<HistoryEvent> ParseEvent(absl::string_view line);

}  // namespace muster

#endif  // MUSTER_TESTS_CHECKERS_EVENT_H_
