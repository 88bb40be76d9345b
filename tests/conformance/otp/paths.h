// Paths: every way in which a caller can reach a GenServer, so that one test
// body shows that all of them mean the same.
//
// A test is written once against PathWorld and instantiated for AllPaths().
// Where the outcome legitimately depends on the path, ExpectedOf() says so: it
// is the only table of that, and the one in docs/otp.md.
#ifndef MUSTER_TESTS_CONFORMANCE_OTP_PATHS_H_
#define MUSTER_TESTS_CONFORMANCE_OTP_PATHS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/base/mutex.h"
#include "node/process/caller.h"
#include "node/process/runtime.h"
#include "node/types/exit_reason.h"
#include "node/types/info.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"
#include "tests/testkit/script_server.h"

namespace muster {

enum class Path {
  // A process calls one of its own node.
  kPid,
  kLocalName,
  kNameAndOwnNode,
  kGlobalName,
  kVia,
  // A process calls one of another node, over the peer stream.
  kRemotePid,
  kRemoteNameAndNode,
  kRemoteGlobalName,
  kRemoteVia,
  // A client outside calls over gRPC: by cluster-wide name through the generic
  // service, else through muster.process.v1.
  kGrpcGlobalName,
  kGrpcLocalName,
  kGrpcPid,
};

std::vector<Path> AllPaths();
std::string PathName(Path path);
inline void PrintTo(Path path, std::ostream* out) { *out << PathName(path); }
bool IsRemote(Path path);
bool IsGrpc(Path path);

// What a case can come to, where that is an error.
enum class Case {
  kNobody,         // The name is free, or the process has ended.
  kExits,          // The server ends while it handles the call.
  kExitsBefore,    // The server ends while the call is queued.
  kTimeout,        // No reply in time; the server had begun.
  kTimeoutQueued,  // No reply in time; the server had not begun.
  kNoTime,         // A timeout of zero.
  kNegativeTime,   // A negative timeout.
  kCallingSelf,    // The server calls itself through the path's reference.
  kCycle,          // The server calls one that calls it back.
  kMailboxFull,
  kUnknownMethod,
  kWrongService,
  kMalformed,     // Bytes that are no request of the method.
  kHandlerError,  // The handler answers an error.
  kNodeDown,      // The server's node was gone before the call.
  kNodeLost,      // The server's node goes while the server handles it.
  kNameFreed,     // Its node was gone, and the cluster has freed its names.
  kCastNobody,    // Casts: as kNobody ...
  kCastNodeDown,  // ... and kNodeDown.
  kCastFull,      // ... and kMailboxFull.
};

struct Expected {
  enum class Kind { kError, kOk, kNotApplicable };
  Kind kind = Kind::kNotApplicable;
  absl::StatusCode code = absl::StatusCode::kOk;
  absl::string_view reason;
  // kUnspecified: UNKNOWN or NOT_EXECUTED, whichever of two clocks was first.
  Outcome outcome = Outcome::kUnspecified;
};

Expected ExpectedOf(Case what, Path path);
// ExpectedOf as the table of docs/otp.md.
std::string ExpectationsAsMarkdown();

// What servers of a test note down, from any thread.
class Notes {
 public:
  void Add(std::string what) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    list_.push_back(std::move(what));
    changed_.SignalAll();
  }
  std::vector<std::string> list() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return list_;
  }
  // Blocks; for worlds of real threads.
  void AwaitSize(size_t size) const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    while (list_.size() < size) changed_.Wait(&mu_);
  }

 private:
  mutable Mutex mu_;
  mutable CondVar changed_;
  std::vector<std::string> list_ ABSL_GUARDED_BY(mu_);
};

// Holds a handler until the test opens it:
//   auto opened = gate.Opened();
//   co_await opened;
class Gate {
 public:
  Gate() : arrival_(std::make_shared<internal::Arrival<bool>>()) {}
  Pending<bool> Opened() const { return Pending<bool>(arrival_); }
  void Open() { arrival_->Set(true); }

 private:
  std::shared_ptr<internal::Arrival<bool>> arrival_;
};

// A call under way.
using Answer = std::shared_ptr<internal::Arrival<CallResult>>;

// One caller, one server, one path between them. LIFETIME: shorter than what
// the scripts refer to.
class PathWorld {
 public:
  static std::unique_ptr<PathWorld> Make(Path path);
  virtual ~PathWorld() = default;

  // True: RunFor moves time; false: time is the machine's.
  virtual bool virtual_time() const = 0;

  // The server under test; at most one at a time.
  virtual Pid StartServer(Script script) = 0;
  // Another process, on the caller's side.
  virtual Pid StartHelper(Script script) = 0;
  // How the caller addresses the server; the server itself may use it too.
  virtual ServerRef ref() const = 0;
  virtual Runtime& server_runtime() = 0;

  virtual Answer Begin(absl::string_view path, Payload request,
                       CallOptions options) = 0;
  virtual CallResult Finish(const Answer& answer) = 0;
  virtual absl::Status CastBytes(absl::string_view path, Payload request) = 0;
  // Only where clients are processes.
  virtual void SendInfo(Info info) = 0;
  // The server's node is gone; only with IsRemote or IsGrpc.
  virtual void LoseNode() = 0;
  // The cluster frees the names of a lost node; only with IsRemote.
  virtual void FreeNames() = 0;
  // Waits until `notes` has so many entries.
  virtual void AwaitNotes(const Notes& notes, size_t size) = 0;
  // Waits until so many messages wait in the server's mailbox.
  virtual void AwaitQueued(size_t size) = 0;
  // Waits until the server under test has ended.
  virtual ExitReason AwaitEnd() = 0;
  // Only with virtual_time.
  virtual void RunFor(absl::Duration span) = 0;

  // -- In terms of the above ----------------------------------------------
  absl::StatusOr<Int64> Call(int64_t value,
                             CallOptions options = CallOptions()) {
    return Value(BeginCall(value, std::move(options)));
  }
  Answer BeginCall(int64_t value, CallOptions options = CallOptions()) {
    return Begin(kScriptCall, Payload::Of(MakeInt64(value)),
                 std::move(options));
  }
  absl::StatusOr<Int64> Value(const Answer& answer);
  absl::Status Cast(int64_t value) {
    return CastBytes(kScriptCast, Payload::Of(MakeInt64(value)));
  }
  // Ends the server with an exit signal, and waits for it.
  ExitReason End(const ExitReason& reason);
  // Puts infos into the server's mailbox until no more fit.
  void FillMailbox();

 protected:
  size_t Queued();

  Pid server_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_OTP_PATHS_H_
