#include "node/supervisor/partition_supervisor.h"

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "node/base/mutex.h"
#include "node/base/scheduler.h"
#include "node/process/process.h"
#include "node/process/via.h"
#include "node/supervisor/decide.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::string_view kService = "muster.PartitionSupervisor";
constexpr absl::string_view kPartitions =
    "/muster.PartitionSupervisor/Partitions";
constexpr absl::string_view kResize = "/muster.PartitionSupervisor/Resize";
constexpr absl::string_view kWhich =
    "/muster.PartitionSupervisor/WhichChildren";
constexpr absl::string_view kCount =
    "/muster.PartitionSupervisor/CountChildren";

struct Ask {};

Error BadSupervisor(absl::string_view text) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_SUPERVISOR_SPEC", text)
      .NotExecuted();
}

Error BadPartitions(int64_t partitions, size_t max) {
  return Error(
      absl::StatusCode::kInvalidArgument, "BAD_PARTITIONS",
      absl::StrCat(partitions, " partitions: it can have from 0 to ", max));
}

bool IsInteger(absl::string_view key, int64_t* value) {
  absl::string_view digits = key;
  if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) {
    digits.remove_prefix(1);
  }
  if (digits.empty() ||
      digits.find_first_not_of("0123456789") != absl::string_view::npos) {
    return false;
  }
  return absl::SimpleAtoi(key, value);
}

CallOptions NoLimit() {
  CallOptions options;
  options.timeout = absl::InfiniteDuration();
  return options;
}

}  // namespace

size_t PartitionOf(int64_t key, size_t partitions) {
  // The absolute value of the least integer is none itself.
  const uint64_t absolute = key < 0 ? uint64_t{0} - static_cast<uint64_t>(key)
                                    : static_cast<uint64_t>(key);
  return absolute % partitions;
}

size_t PartitionOf(absl::string_view key, size_t partitions) {
  int64_t integer;
  if (IsInteger(key, &integer)) return PartitionOf(integer, partitions);
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : key) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  return hash % partitions;
}

ServerRef PartitionRef(absl::string_view supervisor, int64_t key) {
  return ServerRef::Via(supervisor, absl::StrCat(key));
}

ServerRef PartitionRef(absl::string_view supervisor, absl::string_view key) {
  return ServerRef::Via(supervisor, key);
}

absl::Status CheckPartitionSupervisorSpec(const PartitionSupervisorSpec& spec) {
  if (spec.name.empty()) {
    return BadSupervisor(
        "a partition supervisor has no name, by which keys find its "
        "partitions");
  }
  if (!spec.child.has_value()) {
    return BadSupervisor(
        absl::StrCat("'", spec.name, "' has no child to make copies of"));
  }
  if (spec.partitions.has_value() && *spec.partitions < 1) {
    return BadSupervisor(absl::StrCat(
        "'", spec.name, "' has ", *spec.partitions, " partitions: at least 1"));
  }
  if (spec.period <= absl::ZeroDuration() ||
      spec.period == absl::InfiniteDuration()) {
    return BadSupervisor(absl::StrCat("period is ",
                                      absl::FormatDuration(spec.period),
                                      ": it must be positive and finite"));
  }
  if (spec.child->significant) {
    return BadSupervisor(
        "significant is for children of a supervisor with auto_shutdown, which "
        "a partition supervisor has not");
  }
  if (spec.child->start && spec.with_arguments) {
    return BadSupervisor(
        "with_arguments needs a child with a factory: its start takes none");
  }
  ChildSpec numbered = *spec.child;
  numbered.id = "0";
  return CheckChildSpec(numbered);
}

// -- The table of keys --------------------------------------------------------

// THREADS: any.
class PartitionSupervisor::Table final : public ViaRegistry {
 public:
  Pid WhereIs(absl::string_view key) const override ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return size_ == 0 ? Pid() : pids_[PartitionOf(key, size_)];
  }
  void Register(absl::string_view, const Pid&,
                absl::AnyInvocable<void(absl::Status)> done) override {
    done(Error(absl::StatusCode::kFailedPrecondition, "NOT_A_REGISTRY",
               "keys of a partition supervisor are not given to processes"));
  }
  void Unregister(absl::string_view, const Pid&) override {}

  void Set(size_t index, Pid pid) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (pids_.size() <= index) pids_.resize(index + 1);
    pids_[index] = std::move(pid);
  }
  void SetSize(size_t size) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    size_ = size;
  }

 private:
  mutable Mutex mu_;
  std::vector<Pid> pids_ ABSL_GUARDED_BY(mu_);
  size_t size_ ABSL_GUARDED_BY(mu_) = 0;
};

// -- The server ---------------------------------------------------------------

PartitionSupervisor::PartitionSupervisor(PartitionSupervisorSpec spec)
    : spec_(std::move(spec)),
      window_(spec_.intensity, spec_.period),
      table_(std::make_shared<Table>()) {}

PartitionSupervisor::~PartitionSupervisor() {
  if (runtime_ != nullptr) runtime_->RemoveVia(spec_.name);
}

ChildSpec PartitionSupervisor::AsChild(PartitionSupervisorSpec spec) {
  ChildSpec child;
  child.id = spec.name;
  child.name = spec.name;
  child.type = ChildType::kSupervisor;
  child.factory = [spec = std::move(spec)] {
    return std::make_unique<PartitionSupervisor>(spec);
  };
  return child;
}

const ServiceInfo& PartitionSupervisor::service_info() const {
  static constexpr MethodInfo kMethods[] = {{"Partitions", false},
                                            {"Resize", false},
                                            {"WhichChildren", false},
                                            {"CountChildren", false}};
  static const ServiceInfo kInfo{kService, kMethods};
  return kInfo;
}

HandlerResult PartitionSupervisor::OnInit(Payload&, Context& self) {
  return Start(self).Erase();
}

InitResult PartitionSupervisor::Start(Context& self) {
  self.TrapExit(true);
  absl::Status checked = CheckPartitionSupervisorSpec(spec_);
  if (!checked.ok()) co_return checked;
  if (!self.runtime().AddVia(spec_.name, table_)) {
    co_return Error(absl::StatusCode::kAlreadyExists, "ALREADY_STARTED",
                    absl::StrCat("'", spec_.name,
                                 "' is already the name of a registry of this "
                                 "node"))
        .status();
  }
  runtime_ = &self.runtime();
  if (!spec_.via.empty()) {
    const std::shared_ptr<ViaRegistry> via = self.runtime().HoldVia(spec_.via);
    if (via == nullptr) {
      co_return BadSupervisor(
          absl::StrCat("this node has no registry '", spec_.via, "'"))
          .status();
    }
    auto arrival = std::make_shared<internal::Arrival<absl::Status>>();
    via->Register(spec_.name, self.pid(), [arrival](absl::Status status) {
      arrival->Set(std::move(status));
    });
    Pending<absl::Status> pending(std::move(arrival));
    absl::Status registered = co_await pending;
    if (!registered.ok()) co_return registered;
  }
  const int workers = self.runtime().scheduler().workers();
  partitions_.resize(spec_.partitions.value_or(workers));
  for (size_t i = 0; i < partitions_.size(); ++i) table_->Set(i, Pid());
  for (size_t i = 0; i < partitions_.size(); ++i) {
    const ChildSpec spec = SpecOf(i);
    absl::StatusOr<StartedChild> started =
        co_await StartChildProcess(spec, self);
    if (started.ok()) {
      SetPid(i, started->pid);
      continue;
    }
    if (ReasonOf(started.status()) == "IGNORED") continue;  // otp S7
    for (size_t j = i; j-- > 0;) {                          // otp S8
      if (!partitions_[j].pid.empty()) {
        co_await StopChildProcess(*spec_.child, partitions_[j].pid, self);
      }
    }
    co_return Stop(ExitReason::Shutdown(absl::StrCat(
        "failed_to_start_child ", i, ": ", started.status().message())));
  }
  size_ = partitions_.size();
  table_->SetSize(size_);
  co_return Ok();
}

HandlerResult PartitionSupervisor::OnCast(absl::string_view method, Payload&,
                                          Context&) {
  return internal::UnknownMethod(method);
}

HandlerResult PartitionSupervisor::OnCall(absl::string_view method,
                                          Payload& request, Context& self) {
  if (method == "Partitions") return Reply<size_t>(size_).Erase();
  if (method == "WhichChildren") {
    return Reply<std::vector<ChildInfo>>(WhichChildren()).Erase();
  }
  if (method == "CountChildren") {
    return Reply<ChildCounts>(CountChildren()).Erase();
  }
  const auto* const partitions = request.MutableValue<int64_t>();
  if (partitions == nullptr) return internal::MalformedRequest("number");
  return Resize(*partitions, self).Erase();
}

ChildSpec PartitionSupervisor::SpecOf(size_t index) const {
  ChildSpec spec = *spec_.child;
  spec.id = absl::StrCat(index);
  spec.name = ServerName();
  if (!spec.init) spec.init = [] { return Payload(); };
  if (spec_.with_arguments) {
    spec.init = [own = spec.init, with = spec_.with_arguments, index] {
      return with(own(), index);
    };
  }
  return spec;
}

void PartitionSupervisor::SetPid(size_t index, Pid pid) {
  table_->Set(index, pid);
  partitions_[index].pid = std::move(pid);
  partitions_[index].restarting = false;
}

Reply<size_t> PartitionSupervisor::Resize(int64_t partitions, Context& self) {
  if (partitions < 0 ||
      static_cast<uint64_t>(partitions) > partitions_.size()) {
    co_return BadPartitions(partitions, partitions_.size()).status();
  }
  const size_t former = size_;
  const size_t size = static_cast<size_t>(partitions);
  // Keys leave a partition before it stops.
  if (size < former) table_->SetSize(size);
  for (size_t i = former; i-- > size;) {
    const Pid pid = partitions_[i].pid;
    SetPid(i, Pid());
    if (!pid.empty()) co_await StopChildProcess(*spec_.child, pid, self);
  }
  for (size_t i = former; i < size; ++i) {
    const ChildSpec spec = SpecOf(i);
    absl::StatusOr<StartedChild> started =
        co_await StartChildProcess(spec, self);
    if (started.ok()) {
      SetPid(i, started->pid);
      continue;
    }
    if (ReasonOf(started.status()) == "IGNORED") continue;
    for (size_t j = i; j-- > former;) {
      const Pid pid = partitions_[j].pid;
      SetPid(j, Pid());
      if (!pid.empty()) co_await StopChildProcess(*spec_.child, pid, self);
    }
    co_return std::move(started).status();
  }
  size_ = size;
  table_->SetSize(size);
  co_return former;
}

std::vector<ChildInfo> PartitionSupervisor::WhichChildren() const {
  std::vector<ChildInfo> list;
  for (size_t i = 0; i < partitions_.size(); ++i) {
    ChildInfo& info = list.emplace_back();
    info.id = absl::StrCat(i);
    info.pid = partitions_[i].pid;
    info.restarting = partitions_[i].restarting;
    info.type = spec_.child->type;
  }
  return list;
}

ChildCounts PartitionSupervisor::CountChildren() const {
  ChildCounts counts;
  counts.specs = partitions_.size();
  for (const Partition& partition : partitions_) {
    if (!partition.pid.empty()) ++counts.active;
  }
  if (spec_.child->type == ChildType::kSupervisor) {
    counts.supervisors = counts.specs;
  } else {
    counts.workers = counts.specs;
  }
  return counts;
}

Next PartitionSupervisor::HandleInfo(Info info, Context& self) {
  if (const Retry* const retry = info.As<Retry>()) {
    if (!partitions_[retry->partition].restarting) return NoReply();
    return Restart(retry->partition, self);
  }
  const Exit* const exit = info.As<Exit>();
  if (exit == nullptr) {
    self.LogWarning(
        absl::StrCat("unexpected message ", info.type(), " was dropped"));
    return NoReply();
  }
  for (size_t i = 0; i < partitions_.size(); ++i) {
    if (partitions_[i].pid != exit->from) continue;
    SetPid(i, Pid());
    const bool restart = EffectOfExit(spec_.child->restart, exit->reason) ==
                         ExitEffect::kRestart;
    self.LogWarning(absl::StrCat("partition ", i,
                                 " ended: ", exit->reason.ToString(),
                                 restart ? ", restarting" : ""));
    if (!restart) return NoReply();
    return Restart(i, self);
  }
  return NoReply();  // otp S11
}

Next PartitionSupervisor::Restart(size_t index, Context& self) {
  if (!window_.Add(self.Now())) {  // otp S19: Terminate stops the others.
    self.LogError(
        absl::StrCat("partition ", index, ": too many restarts, giving up"));
    co_return Stop(ExitReason::Shutdown());
  }
  const ChildSpec spec = SpecOf(index);
  absl::StatusOr<StartedChild> started = co_await StartChildProcess(spec, self);
  if (started.ok()) {
    SetPid(index, started->pid);
  } else if (ReasonOf(started.status()) == "IGNORED") {  // otp S24
    SetPid(index, Pid());
  } else {
    self.LogError(absl::StrCat("partition ", index,
                               " cannot start: ", started.status().message()));
    partitions_[index].restarting = true;
    // Through the mailbox, so that an order to shut down gets its turn
    // (otp S21); never refused, however full it is.
    self.process()->PushResponse(Info(Retry(index)), nullptr);
  }
  co_return NoReply();
}

Next PartitionSupervisor::Terminate(const ExitReason&, Context& self) {
  for (size_t i = partitions_.size(); i-- > 0;) {
    const Pid pid = partitions_[i].pid;
    if (pid.empty()) continue;
    SetPid(i, Pid());
    const ExitReason ended = co_await StopChildProcess(*spec_.child, pid, self);
    if (!ended.IsNormal() && ended != ExitReason::Noproc() &&
        !spec_.child->shutdown_or_default().brutal_kill()) {  // otp S27
      self.LogError(absl::StrCat(
          "partition ", i, " ended in its shutdown with ", ended.ToString()));
    }
  }
  co_return NoReply();
}

// -- The client ---------------------------------------------------------------

Pending<absl::StatusOr<size_t>> PartitionSupervisorClient::Partitions() {
  return internal::TypedCall<size_t>(*caller_, to_, kPartitions, Ask(),
                                     NoLimit());
}

Pending<absl::StatusOr<size_t>> PartitionSupervisorClient::Resize(
    int64_t partitions) {
  return internal::TypedCall<size_t>(*caller_, to_, kResize, partitions,
                                     NoLimit());
}

Pending<absl::StatusOr<std::vector<ChildInfo>>>
PartitionSupervisorClient::WhichChildren() {
  return internal::TypedCall<std::vector<ChildInfo>>(*caller_, to_, kWhich,
                                                     Ask(), NoLimit());
}

Pending<absl::StatusOr<ChildCounts>>
PartitionSupervisorClient::CountChildren() {
  return internal::TypedCall<ChildCounts>(*caller_, to_, kCount, Ask(),
                                          NoLimit());
}

}  // namespace muster
