#include "cluster/supervisor/agent.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/membership/descriptors.h"
#include "google/protobuf/util/time_util.h"
#include "muster/cluster/v1/cluster.muster.client.h"
#include "node/base/planted.h"
#include "node/process/thrown.h"
#include "node/types/status.h"

namespace muster {
namespace {

using cluster::v1::ChildReport;
using Op = Compare::Op;

// How often an end is reported again until the supervisor has decided.
constexpr absl::Duration kReportAgain = absl::Seconds(1);

// What an answer says of a start whose Init never ran, and of one of which that
// is not known: the outcome of an answer is always that it was given.
absl::Status WithInit(const absl::Status& status, absl::string_view init) {
  return Error(status.code(), ReasonOf(status), status.message())
      .With(kInitDetail, init);
}

// Runs code of users on the agent's worker: what it throws is a start that
// failed, as if Init had thrown it.
absl::StatusOr<std::unique_ptr<GenServer>> Make(const ServerTypeInfo& type) {
  ExitReason reason = ExitReason::Custom("it made no server");
  try {
    std::unique_ptr<GenServer> server = type.factory();
    if (server != nullptr) return server;
  } catch (...) {
    reason = internal::ThrownReason();
  }
  return Error(absl::StatusCode::kAborted, "INIT_FAILED",
               absl::StrCat("the factory of type '", type.name,
                            "' failed: ", reason.ToString()))
      .With("exit_reason", reason.ToString())
      .Executed()
      .status();
}

}  // namespace

absl::Status Agent::CheckOrder(const cluster::v1::Order& order) {
  if (Planted(PlantedBug::kOrdersWithoutEpoch)) return absl::OkStatus();
  const Epoch epoch = Epoch::FromProto(order.epoch());
  Epoch& greatest = orders_[order.supervisor()];
  if (epoch < greatest) {
    return Error(
               absl::StatusCode::kAborted, "FENCED",
               absl::StrCat("the order is of epoch ", epoch.ToString(),
                            " of supervisor '", order.supervisor(), "'; epoch ",
                            greatest.ToString(), " has given orders since"))
        .With("epoch", greatest.ToString())
        .NotExecuted();
  }
  greatest = epoch;
  return absl::OkStatus();
}

// -- Starting ----------------------------------------------------------------

Reply<cluster::v1::StartChildResponse> Agent::StartChild(
    const cluster::v1::StartChildRequest& request, Context& self) {
  if (absl::Status fenced = CheckOrder(request.order()); !fenced.ok()) {
    return fenced;
  }
  const Key key{request.order().supervisor(), request.spec().id()};
  Entry& entry = children_[key];
  if (!entry.stoppers.empty()) {
    return WithInit(
        Error(absl::StatusCode::kUnavailable, "STOPPING",
              absl::StrCat("child '", key.second, "' is being stopped")),
        kInitNotRun);
  }
  if (entry.move != nullptr && entry.move->moved.has_value()) {
    return Error(absl::StatusCode::kUnavailable, "CHILD_BUSY",
                 absl::StrCat("child '", key.second, "' has just moved to '",
                              entry.move->moved->node(), "'"))
        .RetryAfter(absl::Milliseconds(100))
        .NotExecuted()
        .status();
  }
  if (entry.starting) {
    entry.starters.push_back(self.from());
    return NoReply();
  }
  if (!entry.pid.empty() && !entry.ended.has_value()) {  // It runs: adopt it.
    cluster::v1::StartChildResponse response;
    *response.mutable_pid() = entry.pid.ToProto();
    *response.mutable_epoch() = entry.epoch.ToProto();
    response.set_instance(entry.instance);
    *response.mutable_spec() = entry.spec;
    return response;
  }
  const auto type = env_.types->find(request.spec().type());
  if (type == env_.types->end()) {
    children_.erase(key);
    return WithInit(
        Error(absl::StatusCode::kNotFound, "UNKNOWN_TYPE",
              absl::StrCat("node '", self.node(), "' has no server type '",
                           request.spec().type(), "'")),
        kInitNotRun);
  }
  entry.spec = request.spec();
  entry.accept.reset();
  entry.starters.push_back(self.from());
  Begin(key, entry, type->second, request.order(), Claim(), SpawnOptions(),
        self);
  return NoReply();
}

void Agent::Begin(const Key& key, Entry& entry, const ServerTypeInfo& type,
                  const cluster::v1::Order& order, Claim claim,
                  SpawnOptions spawn, Context& self) {
  self.CancelTimer(std::exchange(entry.report, TimerRef()));
  absl::StatusOr<std::unique_ptr<GenServer>> server = Make(type);
  if (!server.ok()) {
    MakeFailed(key, entry, server.status(), self);
    return;
  }
  entry.starting = true;
  entry.ended.reset();
  // The process takes messages from now on, but runs Init only under its
  // claim: who learns of the name before us finds its mailbox.
  Runtime* const runtime = env_.runtime;
  const Pid agent = self.pid();
  spawn.global_name = entry.spec.name();
  spawn.type = entry.spec.type();
  spawn.mailbox = type.mailbox;
  spawn.parent = agent;
  spawn.hold = true;
  auto pid = std::make_shared<Pid>();
  *pid = runtime->Spawn(
      *std::move(server),
      Payload::FromBytes(entry.spec.options().value(),
                         entry.spec.options().type()),
      std::move(spawn), [runtime, agent, key, pid](absl::Status status) {
        runtime->SendLocal(agent,
                           Info(StartDone{key, *pid, std::move(status)}));
      });
  entry.pid = *pid;
  claim.name = entry.spec.name();
  claim.process = pid->number;
  claim.type = entry.spec.type();
  claim.supervisor = key.first;
  claim.child = key.second;
  if (!Planted(PlantedBug::kOrdersWithoutEpoch)) {
    claim.also.push_back(Compare::ModRevision(
        env_.membership->keys().Name(SupervisorName(key.first)), Op::kEqual,
        static_cast<int64_t>(order.epoch().revision())));
  }
  env_.registry->Take(std::move(claim), [runtime, agent, key,
                                         pid](absl::StatusOr<Claimed> result) {
    runtime->SendLocal(agent, Info(ClaimDone{key, *pid, std::move(result)}));
  });
}

void Agent::MakeFailed(const Key& key, Entry& entry, const absl::Status& status,
                       Context& self) {
  if (!entry.instance.empty()) {  // Its record of before stands.
    FailStart(key, entry, status, self);
    return;
  }
  self.LogWarning(absl::StrCat("'", entry.spec.name(),
                               "' does not start: ", status.message()));
  for (const From& from : std::exchange(entry.starters, {})) {
    from.ReplyError(status);
  }
  AnswerAccept(entry, status, self);
  children_.erase(key);
}

void Agent::ClaimAnswered(ClaimDone& done, Context& self) {
  const auto at = children_.find(done.key);
  if (at == children_.end() || at->second.pid != done.pid) return;
  Entry& entry = at->second;
  if (!done.result.ok()) {
    // Init never ran.
    const absl::Status status = done.result.status();
    const std::string reason = ReasonOf(status);
    self.SendExit(done.pid, ExitReason::Kill());
    AnswerAccept(entry, status, self);
    std::vector<From> starters = std::exchange(entry.starters, {});
    // A renewal that failed leaves the record as it was, and one without an
    // answer may have made one: a stop must find the name to free it.
    const bool holds =
        reason != "ALREADY_STARTED" && reason != "FENCED" &&
        (!entry.instance.empty() || OutcomeOf(status) == Outcome::kUnknown);
    if (holds) {
      entry.starting = false;
      if (!entry.ended.has_value()) {
        entry.ended = ExitReason::Custom(status.message());
      }
      if (!entry.stoppers.empty()) {
        BeginRelease(done.key, entry, self);
      } else if (entry.accept != nullptr) {
        ReportLater(done.key, entry, self);
      }
    } else {
      std::vector<From> stoppers = std::move(entry.stoppers);
      children_.erase(at);
      for (const From& from : stoppers) {
        from.Reply(cluster::v1::StopChildResponse());
      }
    }
    const absl::Status refusal =
        WithInit(status, OutcomeOf(status) == Outcome::kUnknown ? kInitUnknown
                                                                : kInitNotRun);
    for (const From& from : starters) from.ReplyError(refusal);
    return;
  }
  entry.instance = done.result->instance;
  entry.epoch = done.result->epoch;
  Runtime* const runtime = env_.runtime;
  const Pid agent = self.pid();
  runtime->Release(done.pid, entry.epoch);
  runtime->ObserveExit(done.pid, [runtime, agent, key = done.key,
                                  pid = done.pid](ExitReason reason) {
    runtime->SendLocal(agent, Info(ChildEnded{key, pid, std::move(reason)}));
  });
}

void Agent::Started(StartDone& done, Context& self) {
  const auto at = children_.find(done.key);
  if (at == children_.end() || at->second.pid != done.pid) return;
  Entry& entry = at->second;
  if (!done.status.ok()) {
    FailStart(done.key, entry, done.status, self);
    return;
  }
  entry.starting = false;
  AnswerAccept(entry, absl::OkStatus(), self);
  self.LogInfo(absl::StrCat("started '", entry.spec.name(), "' (",
                            entry.spec.type(), ") as ", entry.pid.ToString()));
  cluster::v1::StartChildResponse response;
  *response.mutable_pid() = entry.pid.ToProto();
  *response.mutable_epoch() = entry.epoch.ToProto();
  response.set_instance(entry.instance);
  *response.mutable_spec() = entry.spec;
  for (const From& from : std::exchange(entry.starters, {})) {
    from.Reply(response);
  }
}

void Agent::FailStart(const Key& key, Entry& entry, const absl::Status& status,
                      Context& self) {
  entry.starting = false;
  if (!entry.ended.has_value()) {
    entry.ended = ReasonOf(status) == "IGNORED"
                      ? ExitReason::Normal()
                      : ExitReason::Custom(status.message());
  }
  for (const From& from : std::exchange(entry.starters, {})) {
    from.ReplyError(status);
  }
  AnswerAccept(entry, status, self);
  // Who gave the order may be gone; whoever took over has found the name.
  if (!entry.stoppers.empty() || entry.instance.empty()) return;
  if (entry.accept != nullptr) {
    ReportLater(key, entry, self);
  } else {
    Report(key, entry, self);
  }
}

// -- Ending ------------------------------------------------------------------

void Agent::Ended(ChildEnded& done, Context& self) {
  const auto at = children_.find(done.key);
  if (at == children_.end() || at->second.pid != done.pid) return;
  Entry& entry = at->second;
  if (entry.move != nullptr) {
    if (entry.move->moved.has_value()) {
      MoveEnded(at, self);
      return;
    }
    FailMove(entry);
  }
  entry.ended = done.reason;
  if (!entry.stoppers.empty()) {
    BeginRelease(done.key, entry, self);
    return;
  }
  if (entry.starting) return;  // StartDone answers the order.
  self.LogWarning(absl::StrCat("'", entry.spec.name(),
                               "' ended: ", done.reason.ToString()));
  Report(done.key, entry, self);
}

void Agent::Report(const Key& key, Entry& entry, Context& self) {
  cluster::v1::ChildExitedRequest request;
  request.set_supervisor(key.first);
  request.set_node(self.node());
  ChildReport& report = *request.mutable_report();
  report.set_child(key.second);
  report.set_instance(entry.instance);
  *report.mutable_pid() = entry.pid.ToProto();
  *report.mutable_epoch() = entry.epoch.ToProto();
  *report.mutable_ended() = entry.ended->ToProto();
  cluster::v1::ClusterSupervisorClient supervisor(self,
                                                  SupervisorName(key.first));
  supervisor.ChildExited(std::move(request));
  ReportLater(key, entry, self);
}

void Agent::ReportLater(const Key& key, Entry& entry, Context& self) {
  self.CancelTimer(entry.report);
  entry.report =
      self.SendAfter(kReportAgain, Info(ReportAgain{key, entry.instance}));
}

Reply<cluster::v1::StopChildResponse> Agent::StopChild(
    const cluster::v1::StopChildRequest& request, Context& self) {
  if (absl::Status fenced = CheckOrder(request.order()); !fenced.ok()) {
    return fenced;
  }
  const Key key{request.order().supervisor(), request.child()};
  const auto at = children_.find(key);
  if (at == children_.end()) return cluster::v1::StopChildResponse();
  Entry& entry = at->second;
  if (entry.move != nullptr) {
    return Error(absl::StatusCode::kUnavailable, "CHILD_BUSY",
                 absl::StrCat("child '", key.second, "' is being moved"))
        .RetryAfter(absl::Milliseconds(100))
        .NotExecuted()
        .status();
  }
  const bool first = entry.stoppers.empty();
  entry.stoppers.push_back(self.from());
  if (!first) return NoReply();
  self.CancelTimer(std::exchange(entry.report, TimerRef()));
  if (entry.ended.has_value()) {
    BeginRelease(key, entry, self);
    return NoReply();
  }
  absl::Duration limit = absl::Seconds(5);
  const store::v1::Shutdown& shutdown = request.shutdown();
  if (shutdown.brutal_kill()) {
    limit = absl::ZeroDuration();
  } else if (shutdown.infinity()) {
    limit = absl::InfiniteDuration();
  } else if (shutdown.has_timeout()) {
    // Zero still asks first, as it does locally (otp S25).
    limit =
        std::max(absl::Nanoseconds(
                     google::protobuf::util::TimeUtil::DurationToNanoseconds(
                         shutdown.timeout())),
                 absl::Nanoseconds(1));
  }
  // Its end comes as ChildEnded, or as a refused claim.
  env_.runtime->Stop(self.pid(), entry.pid, limit, [](ExitReason) {});
  return NoReply();
}

void Agent::BeginRelease(const Key& key, Entry& entry, Context& self) {
  Runtime* const runtime = env_.runtime;
  const Pid agent = self.pid();
  // The record's own instance, since the answer to its claim may be lost.
  const auto view = env_.registry->Record(entry.spec.name());
  const bool ours = view.has_value() && view->record.owner() == self.node() &&
                    env_.registry->IsOwned(view->record) &&
                    view->record.supervisor() == key.first &&
                    view->record.child() == key.second;
  env_.registry->Release(
      entry.spec.name(), ours ? view->record.instance() : entry.instance,
      [runtime, agent, key, instance = entry.instance](absl::Status status) {
        runtime->SendLocal(agent,
                           Info(Released{key, instance, std::move(status)}));
      });
}

Next Agent::HandleInfo(Info info, Context& self) {
  if (auto* claim = info.MutableValue<ClaimDone>()) {
    ClaimAnswered(*claim, self);
  } else if (auto* start = info.MutableValue<StartDone>()) {
    Started(*start, self);
  } else if (auto* ended = info.MutableValue<ChildEnded>()) {
    Ended(*ended, self);
  } else if (auto* released = info.MutableValue<Released>()) {
    const auto at = children_.find(released->key);
    if (at == children_.end() || at->second.instance != released->instance) {
      return NoReply();
    }
    std::vector<From> stoppers = std::move(at->second.stoppers);
    if (released->status.ok()) {
      children_.erase(at);
      for (const From& from : stoppers) {
        from.Reply(cluster::v1::StopChildResponse());
      }
    } else {
      for (const From& from : stoppers) from.ReplyError(released->status);
    }
  } else if (auto* again = info.MutableValue<ReportAgain>()) {
    const auto at = children_.find(again->key);
    if (at != children_.end() && at->second.instance == again->instance &&
        at->second.ended.has_value() && !at->second.starting &&
        at->second.stoppers.empty()) {
      const auto view = env_.registry->Record(at->second.spec.name());
      if (view.has_value() && env_.registry->IsOwned(view->record) &&
          (view->record.owner() != self.node() ||
           view->record.instance() != again->instance)) {
        // It runs under another claim: it moved as it ended, or its old place
        // has taken the name back.
        children_.erase(at);
      } else {
        Report(at->first, at->second, self);
      }
    }
  } else if (MoveInfo(info, self)) {
    return NoReply();
  } else {
    return AgentServer::HandleInfo(std::move(info), self);
  }
  return NoReply();
}

// -- Telling -----------------------------------------------------------------

Reply<cluster::v1::ReportChildrenResponse> Agent::ReportChildren(
    const cluster::v1::ReportChildrenRequest& request, Context&) {
  if (absl::Status fenced = CheckOrder(request.order()); !fenced.ok()) {
    return fenced;
  }
  cluster::v1::ReportChildrenResponse response;
  for (const auto& [key, entry] : children_) {
    if (key.first != request.order().supervisor()) continue;
    if (entry.move != nullptr && entry.move->moved.has_value()) continue;
    ChildReport& report = *response.add_children();
    report.set_child(key.second);
    report.set_instance(entry.instance);
    *report.mutable_pid() = entry.pid.ToProto();
    *report.mutable_epoch() = entry.epoch.ToProto();
    if (entry.ended.has_value()) {
      *report.mutable_ended() = entry.ended->ToProto();
    }
    report.set_starting(entry.starting);
  }
  return response;
}

Reply<cluster::v1::GetDescriptorsResponse> Agent::GetDescriptors(
    const cluster::v1::GetDescriptorsRequest& request, Context& self) {
  for (const auto& [name, type] : *env_.types) {
    std::string bytes = SerializeDescriptors(*type.service);
    if (DescriptorDigest(bytes) != request.digest()) continue;
    cluster::v1::GetDescriptorsResponse response;
    response.set_descriptor_set(std::move(bytes));
    return response;
  }
  return Error(absl::StatusCode::kNotFound, "NO_DESCRIPTORS",
               absl::StrCat("node '", self.node(),
                            "' has no descriptors with the digest ",
                            request.digest().substr(0, 64)))
      .status();
}

Reply<cluster::v1::ListProcessesResponse> Agent::ListProcesses(
    const cluster::v1::ListProcessesRequest&, Context& self) {
  cluster::v1::ListProcessesResponse response;
  const BootTime now = self.Now();
  for (const ProcessInfo& info : env_.runtime->List()) {
    cluster::v1::Process& process = *response.add_processes();
    *process.mutable_pid() = info.pid.ToProto();
    process.set_name(info.name);
    process.set_global(info.global);
    process.set_type(info.type);
    process.set_state(info.state);
    process.set_mailbox(info.mailbox);
    process.set_handled(info.handled);
    *process.mutable_age() =
        google::protobuf::util::TimeUtil::NanosecondsToDuration(
            absl::ToInt64Nanoseconds(now - info.started));
  }
  return response;
}

}  // namespace muster
