#include "tests/conformance/otp/paths.h"

#include <optional>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "google/protobuf/wrappers.pb.h"
#include "node/base/check.h"
#include "node/base/clock.h"
#include "node/base/fence.h"
#include "node/base/log.h"
#include "node/base/random.h"
#include "node/base/thread_scheduler.h"
#include "node/process/process.h"
#include "node/rpc/backend.h"
#include "node/rpc/descriptor_source.h"
#include "node/rpc/rpc_server.h"
#include "tests/conformance/otp/actor.h"
#include "tests/conformance/otp/otp_cluster.h"
#include "tests/testkit/fake_name_registry.h"

namespace muster {
namespace {

constexpr char kLocal[] = "server";
constexpr char kGlobal[] = "global";
constexpr char kKey[] = "key";

// -- The table ----------------------------------------------------------------

// Paths whose outcomes are the same.
enum Group : size_t {
  kHere,         // On the caller's node, by any reference.
  kThere,        // On another node: pid, (name, node), via.
  kThereByName,  // On another node: cluster-wide name.
  kOutside,      // Over gRPC.
  kGroups,
};

Group GroupOf(Path path) {
  if (IsGrpc(path)) return kOutside;
  if (path == Path::kRemoteGlobalName) return kThereByName;
  return IsRemote(path) ? kThere : kHere;
}

struct Line {
  Case what;
  absl::string_view text;
  absl::string_view rules;
  Expected expected[kGroups];
};

Expected Err(absl::StatusCode code, absl::string_view reason, Outcome outcome) {
  Expected expected;
  expected.kind = Expected::Kind::kError;
  expected.code = code;
  expected.reason = reason;
  expected.outcome = outcome;
  return expected;
}

Expected Fine() {
  Expected expected;
  expected.kind = Expected::Kind::kOk;
  return expected;
}

const std::vector<Line>& Table() {
  using Code = absl::StatusCode;
  constexpr Outcome kNot = Outcome::kNotExecuted;
  constexpr Outcome kMaybe = Outcome::kUnknown;
  static const auto* const kTable = [] {
    const Expected none;
    const Expected noproc = Err(Code::kNotFound, "NOPROC", kNot);
    const Expected exited = Err(Code::kAborted, "CALLEE_EXITED", kMaybe);
    const Expected exited_before = Err(Code::kAborted, "CALLEE_EXITED", kNot);
    const Expected late = Err(Code::kDeadlineExceeded, "TIMEOUT", kMaybe);
    const Expected dropped = Err(Code::kDeadlineExceeded, "TIMEOUT", kNot);
    const Expected either =
        Err(Code::kDeadlineExceeded, "TIMEOUT", Outcome::kUnspecified);
    const Expected negative = Err(Code::kInvalidArgument, "BAD_TIMEOUT", kNot);
    const Expected self = Err(Code::kFailedPrecondition, "CALLING_SELF", kNot);
    const Expected cycle = Err(Code::kFailedPrecondition, "CALL_CYCLE", kNot);
    const Expected full = Err(Code::kResourceExhausted, "MAILBOX_FULL", kNot);
    const Expected method = Err(Code::kUnimplemented, "UNKNOWN_METHOD", kNot);
    const Expected service = Err(Code::kUnimplemented, "WRONG_SERVICE", kNot);
    const Expected malformed = Err(Code::kInvalidArgument, "MALFORMED", kNot);
    const Expected own = Err(Code::kNotFound, "", Outcome::kExecuted);
    const Expected down = Err(Code::kUnavailable, "NODEDOWN", kNot);
    const Expected lost = Err(Code::kAborted, "NOCONNECTION", kMaybe);
    const Expected ok = Fine();
    return new std::vector<Line>{
        {Case::kNobody,
         "the name is free, or the process has ended",
         "C5 P5",
         {noproc, noproc, noproc, noproc}},
        {Case::kExits,
         "the server ends while it handles the call",
         "C5 C6",
         {exited, exited, exited, exited}},
        {Case::kExitsBefore,
         "the server ends while the call is queued",
         "C5",
         {exited_before, exited_before, exited_before, exited_before}},
        {Case::kTimeout,
         "no reply in time, the server had begun",
         "C9 C10",
         {late, late, late, late}},
        {Case::kTimeoutQueued,
         "no reply in time, the server had not begun",
         "C10",
         {dropped, late, late, either}},
        {Case::kNoTime,
         "a timeout of zero",
         "C3",
         {dropped, dropped, dropped, dropped}},
        {Case::kNegativeTime,
         "a negative timeout",
         "C3",
         {negative, negative, negative, negative}},
        {Case::kCallingSelf,
         "the server calls itself",
         "C8",
         {self, self, self, self}},
        {Case::kCycle,
         "the server calls one that calls it back",
         "C14",
         {cycle, cycle, cycle, cycle}},
        {Case::kMailboxFull,
         "the mailbox is full",
         "16.3",
         {full, full, full, full}},
        {Case::kUnknownMethod,
         "the service has no such method",
         "G7",
         {method, method, method, method}},
        {Case::kWrongService,
         "the server has another service",
         "G7",
         {service, service, service, service}},
        {Case::kMalformed,
         "the bytes are no request of the method",
         "16.2",
         {malformed, malformed, malformed, malformed}},
        {Case::kHandlerError,
         "the handler answers an error",
         "16.2",
         {own, own, own, own}},
        {Case::kNodeDown,
         "the server's node was gone before the call",
         "C5 C7",
         {none, down, down, down}},
        {Case::kNodeLost,
         "the server's node goes during the call",
         "C5 C11",
         {none, lost, lost, lost}},
        {Case::kNameFreed,
         "... and the cluster has freed its names",
         "C7",
         {none, down, noproc, none}},
        {Case::kCastNobody, "a cast to nobody", "C15", {ok, ok, ok, noproc}},
        {Case::kCastNodeDown,
         "a cast to a node that is gone",
         "C15",
         {none, ok, ok, down}},
        {Case::kCastFull,
         "a cast to a full mailbox",
         "C15 16.3",
         {full, ok, ok, full}},
    };
  }();
  return *kTable;
}

std::string CellOf(const Expected& expected) {
  switch (expected.kind) {
    case Expected::Kind::kNotApplicable:
      return "–";
    case Expected::Kind::kOk:
      return "OK";
    case Expected::Kind::kError:
      break;
  }
  return absl::StrCat(
      expected.reason.empty() ? "the handler's own code" : expected.reason,
      ", ",
      expected.outcome == Outcome::kUnspecified
          ? "UNKNOWN or NOT_EXECUTED"
          : OutcomeName(expected.outcome));
}

// The pid of no process, for calls before there is a server.
Pid NeverWas(const Runtime& runtime) {
  return Pid{runtime.node(), runtime.epoch(), 999'999};
}

// -- Processes in virtual time
// ---------------------------------------------------

class SimPathWorld final : public PathWorld {
 public:
  explicit SimPathWorld(Path path)
      : path_(path), cluster_({"a", "b"}), actor_(cluster_.StartActor("a")) {}

  bool virtual_time() const override { return true; }

  Pid StartServer(Script script) override {
    server_ = cluster_.StartScript(Node(), std::move(script),
                                   Names{kLocal, kGlobal, kKey});
    return server_;
  }
  Pid StartHelper(Script script) override {
    return cluster_.StartScript("a", std::move(script));
  }
  ServerRef ref() const override {
    switch (path_) {
      case Path::kLocalName:
        return ServerRef::Local(kLocal);
      case Path::kNameAndOwnNode:
        return ServerRef::Local(kLocal, "a");
      case Path::kRemoteNameAndNode:
        return ServerRef::Local(kLocal, "b");
      case Path::kGlobalName:
      case Path::kRemoteGlobalName:
        return ServerRef::Global(kGlobal);
      case Path::kVia:
      case Path::kRemoteVia:
        return ServerRef::Via("reg", kKey);
      default:
        return server_;
    }
  }
  Runtime& server_runtime() override { return cluster_.runtime(Node()); }

  Answer Begin(absl::string_view path, Payload request,
               CallOptions options) override {
    auto answer = std::make_shared<internal::Arrival<CallResult>>();
    auto payload = std::make_shared<Payload>(std::move(request));
    Tell(cluster_.runtime("a"), actor_,
         [to = ref(), path = std::string(path), payload, options,
          answer](Context& self) {
           self.StartCall(
               to, path, std::move(*payload), options,
               [answer](CallResult result) { answer->Set(std::move(result)); });
           return Next();
         });
    cluster_.RunReady();
    return answer;
  }
  CallResult Finish(const Answer& answer) override {
    cluster_.RunUntil([&] { return answer->ready(); });
    MUSTER_CHECK(answer->ready(), "the call never ended");
    return answer->Take();
  }
  absl::Status CastBytes(absl::string_view path, Payload request) override {
    auto payload = std::make_shared<Payload>(std::move(request));
    auto status = std::make_shared<std::optional<absl::Status>>();
    Tell(
        cluster_.runtime("a"), actor_,
        [to = ref(), path = std::string(path), payload, status](Context& self) {
          self.StartCast(to, path, std::move(*payload), CallOptions(),
                         [status](absl::Status s) { *status = std::move(s); });
          // A cast never waits (otp C15).
          EXPECT_TRUE(status->has_value());
          return Next();
        });
    cluster_.RunUntil([&] { return status->has_value(); });
    return **status;
  }
  void SendInfo(Info info) override {
    auto shared = std::make_shared<Info>(std::move(info));
    Tell(cluster_.runtime("a"), actor_, [to = ref(), shared](Context& self) {
      self.Send(to, std::move(*shared));
      return Next();
    });
  }
  void LoseNode() override { cluster_.KillNode("b"); }
  void FreeNames() override { cluster_.FreeNames("b"); }
  void AwaitNotes(const Notes& notes, size_t size) override {
    cluster_.RunUntil([&] { return notes.list().size() >= size; });
  }
  void AwaitQueued(size_t size) override {
    cluster_.RunUntil([&] { return Queued() >= size; });
  }
  ExitReason AwaitEnd() override { return cluster_.AwaitEnd(server_); }
  void RunFor(absl::Duration span) override { cluster_.RunFor(span); }

 private:
  std::string Node() const { return IsRemote(path_) ? "b" : "a"; }

  const Path path_;
  OtpCluster cluster_;
  const Pid actor_;
};

// -- A client over gRPC
// ----------------------------------------------------------

class NoDescriptors final : public DescriptorSource {
 public:
  std::vector<std::string> Services() const override { return {}; }
  void Describe(
      absl::string_view,
      absl::AnyInvocable<void(absl::StatusOr<DescriptorSet>)> done) override {
    done(absl::NotFoundError("nobody hosts it"));
  }
};

class GrpcPathWorld final : public PathWorld {
 public:
  explicit GrpcPathWorld(Path path)
      : path_(path), scheduler_(&clock_, {.workers = 2}) {
    RuntimeOptions options;
    options.node = "a";
    options.epoch = Epoch{1, 5};
    options.mailbox_bytes_max = size_t{1} << 20;
    runtime_ = std::make_unique<Runtime>(options, &scheduler_, &random_, &log_,
                                         &fence_);
    server_ = NeverWas(*runtime_);
    auto server = RpcServer::Start(RpcServerOptions(), {});
    MUSTER_CHECK(server.ok(), "no server on loopback");
    rpc_ = *std::move(server);
    rpc_->SetBackend(std::make_shared<RpcBackend>(
        RpcBackend{runtime_.get(), &names_, &descriptors_}));
    ClientOptions client_options;
    client_options.attempts_max = 1;
    client_options.random = &random_;
    auto client = Client::Connect(rpc_->address(), client_options);
    MUSTER_CHECK(client.ok(), "no client");
    client_ = *std::move(client);
  }
  ~GrpcPathWorld() override {
    client_.reset();
    CloseRpc();
    runtime_->KillAll();
    for (const ProcessInfo& process : runtime_->List()) {
      internal::BlockUntil([&](absl::AnyInvocable<void()> done) {
        runtime_->ObserveExit(
            process.pid,
            [done = std::move(done)](const ExitReason&) mutable { done(); });
      });
    }
    scheduler_.Stop();
  }

  bool virtual_time() const override { return false; }

  Pid StartServer(Script script) override {
    SpawnOptions spawn;
    spawn.local_name = kLocal;
    spawn.global_name = kGlobal;
    spawn.global_epoch = Epoch{1, ++revision_};
    NameEntry entry;
    entry.name = kGlobal;
    entry.epoch = spawn.global_epoch;
    server_ = Spawn(std::move(script), std::move(spawn));
    entry.pid = server_;
    names_.Put(std::move(entry));
    ended_ = std::make_shared<internal::Arrival<ExitReason>>();
    runtime_->ObserveExit(server_, [this, ended = ended_](ExitReason reason) {
      names_.Erase(kGlobal);
      ended->Set(std::move(reason));
    });
    return server_;
  }
  Pid StartHelper(Script script) override {
    return Spawn(std::move(script), SpawnOptions());
  }
  ServerRef ref() const override {
    switch (path_) {
      case Path::kGrpcGlobalName:
        return ServerRef::Global(kGlobal);
      case Path::kGrpcLocalName:
        return ServerRef::Local(kLocal, "a");
      default:
        return server_;
    }
  }
  Runtime& server_runtime() override { return *runtime_; }

  Answer Begin(absl::string_view path, Payload request,
               CallOptions options) override {
    auto answer = std::make_shared<internal::Arrival<CallResult>>();
    client_->StartCall(
        ref(), path, std::move(request), options,
        [answer](CallResult result) { answer->Set(std::move(result)); });
    return answer;
  }
  CallResult Finish(const Answer& answer) override {
    internal::BlockUntil([&](absl::AnyInvocable<void()> done) {
      answer->OnReady(std::move(done));
    });
    return answer->Take();
  }
  absl::Status CastBytes(absl::string_view path, Payload request) override {
    auto arrival = std::make_shared<internal::Arrival<absl::Status>>();
    client_->StartCast(
        ref(), path, std::move(request), CallOptions(),
        [arrival](absl::Status status) { arrival->Set(std::move(status)); });
    return Pending<absl::Status>(arrival).Wait();
  }
  void SendInfo(Info) override {
    MUSTER_CHECK(false, "a client outside sends no infos");
  }
  void LoseNode() override { CloseRpc(); }
  void FreeNames() override {
    MUSTER_CHECK(false, "there is no other node that could do it");
  }
  void AwaitNotes(const Notes& notes, size_t size) override {
    notes.AwaitSize(size);
  }
  void AwaitQueued(size_t size) override {
    while (Queued() < size) std::this_thread::yield();
  }
  ExitReason AwaitEnd() override {
    internal::BlockUntil([&](absl::AnyInvocable<void()> done) {
      ended_->OnReady(std::move(done));
    });
    return ended_->Take();
  }
  void RunFor(absl::Duration) override {
    MUSTER_CHECK(false, "time is the machine's");
  }

 private:
  // Ends what is under way; afterwards nobody listens on the port.
  void CloseRpc() {
    if (rpc_ == nullptr) return;
    rpc_->Shutdown(absl::ZeroDuration());
    rpc_->SetBackend(nullptr);
    rpc_.reset();
  }
  Pid Spawn(Script script, SpawnOptions spawn) {
    auto started = std::make_shared<internal::Arrival<absl::Status>>();
    const Pid pid = runtime_->Spawn(
        ScriptServer::Make(std::move(script)), Payload(), std::move(spawn),
        [started](absl::Status status) { started->Set(std::move(status)); });
    MUSTER_CHECK(Pending<absl::Status>(started).Wait().ok(),
                 "a server of the test did not start");
    return pid;
  }

  const Path path_;
  uint64_t revision_ = 6;
  SystemClock clock_;
  SystemRandom random_;
  NullLogger log_;
  Fence fence_;
  FakeNameRegistry names_;
  NoDescriptors descriptors_;
  std::shared_ptr<internal::Arrival<ExitReason>> ended_;
  ThreadScheduler scheduler_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<RpcServer> rpc_;
  std::unique_ptr<Client> client_;
};

}  // namespace

std::vector<Path> AllPaths() {
  return {Path::kPid,
          Path::kLocalName,
          Path::kNameAndOwnNode,
          Path::kGlobalName,
          Path::kVia,
          Path::kRemotePid,
          Path::kRemoteNameAndNode,
          Path::kRemoteGlobalName,
          Path::kRemoteVia,
          Path::kGrpcGlobalName,
          Path::kGrpcLocalName,
          Path::kGrpcPid};
}

std::string PathName(Path path) {
  switch (path) {
    case Path::kPid:
      return "Pid";
    case Path::kLocalName:
      return "LocalName";
    case Path::kNameAndOwnNode:
      return "NameAndOwnNode";
    case Path::kGlobalName:
      return "GlobalName";
    case Path::kVia:
      return "Via";
    case Path::kRemotePid:
      return "RemotePid";
    case Path::kRemoteNameAndNode:
      return "RemoteNameAndNode";
    case Path::kRemoteGlobalName:
      return "RemoteGlobalName";
    case Path::kRemoteVia:
      return "RemoteVia";
    case Path::kGrpcGlobalName:
      return "GrpcGlobalName";
    case Path::kGrpcLocalName:
      return "GrpcLocalName";
    case Path::kGrpcPid:
      return "GrpcPid";
  }
  return "";
}

bool IsRemote(Path path) {
  return path == Path::kRemotePid || path == Path::kRemoteNameAndNode ||
         path == Path::kRemoteGlobalName || path == Path::kRemoteVia;
}

bool IsGrpc(Path path) {
  return path == Path::kGrpcGlobalName || path == Path::kGrpcLocalName ||
         path == Path::kGrpcPid;
}

Expected ExpectedOf(Case what, Path path) {
  for (const Line& line : Table()) {
    if (line.what == what) return line.expected[GroupOf(path)];
  }
  MUSTER_CHECK(false, "a case that the table does not have");
  return Expected();
}

std::string ExpectationsAsMarkdown() {
  std::string text = absl::StrCat(
      "| case | on the caller's node | on another node, by pid, (name, node) "
      "or via | on another node, by cluster-wide name | over gRPC | rules |\n",
      "| --- | --- | --- | --- | --- | --- |\n");
  for (const Line& line : Table()) {
    absl::StrAppend(&text, "| ", line.text);
    for (const Expected& expected : line.expected) {
      absl::StrAppend(&text, " | ", CellOf(expected));
    }
    absl::StrAppend(&text, " | ", line.rules, " |\n");
  }
  return text;
}

std::unique_ptr<PathWorld> PathWorld::Make(Path path) {
  if (IsGrpc(path)) return std::make_unique<GrpcPathWorld>(path);
  return std::make_unique<SimPathWorld>(path);
}

absl::StatusOr<Int64> PathWorld::Value(const Answer& answer) {
  CallResult result = Finish(answer);
  if (!result.status.ok()) return result.status;
  std::unique_ptr<Int64> value = result.reply.Take<Int64>();
  if (value == nullptr) return absl::InternalError("the reply is no Int64");
  return *value;
}

ExitReason PathWorld::End(const ExitReason& reason) {
  server_runtime().SendExit(Pid(), server_, reason);
  return AwaitEnd();
}

size_t PathWorld::Queued() {
  const std::shared_ptr<Process> process = server_runtime().Find(server_);
  return process == nullptr ? 0 : process->Describe().mailbox;
}

void PathWorld::FillMailbox() {
  Runtime& runtime = server_runtime();
  // One that leaves little room, then small ones for that.
  google::protobuf::BytesValue big;
  big.set_value(std::string(runtime.options().mailbox_bytes_max - 2048, 'x'));
  runtime.SendLocal(server_, Info(std::move(big)));
  size_t before;
  do {
    before = Queued();
    runtime.SendLocal(server_, Info(MakeInt64(1)));
  } while (Queued() > before);
}

}  // namespace muster
