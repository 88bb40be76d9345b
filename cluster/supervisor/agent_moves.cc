// Hand-off of a child from one node's agent to another's (guarantees R3: the
// name's living owner consents to the claim).
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/store/event.h"
#include "cluster/supervisor/agent.h"
#include "muster/cluster/v1/cluster.muster.client.h"
#include "node/types/status.h"

namespace muster {
namespace {

using cluster::v1::AcceptChildRequest;
using cluster::v1::AcceptChildResponse;
using cluster::v1::AgentClient;
using cluster::v1::MoveChildResponse;

// How long a child that moves may go on answering the calls that it owes a
// reply before it stops; callers have 5 s and more.
constexpr absl::Duration kQuietPatience = absl::Seconds(2);
// How long the new place may take to answer. Then the child goes on here if the
// name has not been claimed; if it has, what waits goes there all the same.
constexpr absl::Duration kAcceptTimeout = absl::Seconds(4);
// How long a child at its new place waits for the rest of what its old one has.
constexpr absl::Duration kHandOffPatience = absl::Seconds(2);
// Detail of a failed AcceptChild: the claim that it has made.
constexpr absl::string_view kInstance = "instance";

Error Busy(absl::string_view child, absl::string_view what) {
  return Error(absl::StatusCode::kUnavailable, "CHILD_BUSY",
               absl::StrCat("child '", child, "' ", what))
      .RetryAfter(absl::Milliseconds(100))
      .NotExecuted();
}

}  // namespace

// -- The old place -----------------------------------------------------------

Reply<MoveChildResponse> Agent::MoveChild(
    const cluster::v1::MoveChildRequest& request, Context& self) {
  if (absl::Status fenced = CheckOrder(request.order()); !fenced.ok()) {
    return fenced;
  }
  const Key key{request.order().supervisor(), request.child()};
  const auto at = children_.find(key);
  if (at == children_.end() || at->second.ended.has_value()) {
    return Error(absl::StatusCode::kNotFound, "NO_CHILD",
                 absl::StrCat("child '", key.second, "' does not run on node '",
                              self.node(), "'"))
        .NotExecuted()
        .status();
  }
  Entry& entry = at->second;
  if (entry.move != nullptr && !entry.move->moved.has_value() &&
      entry.move->request.to_node() == request.to_node()) {
    entry.move->movers.push_back(self.from());
    return NoReply();
  }
  if (entry.move != nullptr) return Busy(key.second, "is moving").status();
  if (entry.starting) return Busy(key.second, "is starting").status();
  if (!entry.stoppers.empty()) {
    return Busy(key.second, "is being stopped").status();
  }
  if (entry.accept != nullptr && !entry.accept->ended) {
    return Busy(key.second, "has not yet got what its last place had").status();
  }
  if (request.to_node() == self.node() ||
      !env_.membership->Find(request.to_node()).has_value()) {
    return Error(absl::StatusCode::kFailedPrecondition, "BAD_TARGET",
                 absl::StrCat("child '", key.second, "' cannot move to '",
                              request.to_node(), "': ",
                              request.to_node() == self.node()
                                  ? "it runs there"
                                  : "that is no member"))
        .NotExecuted()
        .status();
  }
  const auto view = env_.registry->Record(entry.spec.name());
  if (!view.has_value() || view->record.instance() != entry.instance ||
      view->record.owner() != self.node()) {
    return Busy(key.second, "has a record that this node does not know yet")
        .status();
  }
  auto move = std::make_unique<Move>();
  move->request = request;
  // What the new place is to run is what runs here.
  *move->request.mutable_spec() = entry.spec;
  move->record = view->record;
  while (move->alias == 0) move->alias = self.random().Next();
  move->movers.push_back(self.from());
  entry.move = std::move(move);
  Runtime* const runtime = env_.runtime;
  runtime->Hold(entry.pid, kQuietPatience,
                [runtime, agent = self.pid(), key,
                 pid = entry.pid](absl::StatusOr<Payload> snapshot) {
                  runtime->SendLocal(
                      agent, Info(HoldDone{key, pid, std::move(snapshot)}));
                });
  return NoReply();
}

Agent::Entry* Agent::Moving(const Key& key, const Pid& pid) {
  const auto at = children_.find(key);
  if (at == children_.end() || at->second.pid != pid ||
      at->second.move == nullptr || at->second.move->moved.has_value()) {
    return nullptr;
  }
  return &at->second;
}

void Agent::Held(HoldDone& done, Context& self) {
  Entry* const entry = Moving(done.key, done.pid);
  if (entry == nullptr) return;
  Move& move = *entry->move;
  if (done.snapshot.ok() && !done.snapshot->is_local()) {
    core::v1::Payload& snapshot = move.snapshot.emplace();
    snapshot.set_type(done.snapshot->type());
    snapshot.set_value(done.snapshot->ToBytes());
    SendAccept(done.key, *entry, self);
    return;
  }
  if (!done.snapshot.ok() && !absl::IsUnimplemented(done.snapshot.status())) {
    // A state that it has and cannot give is not thrown away.
    move.failure = WithOutcome(done.snapshot.status(), Outcome::kNotExecuted);
    CallOff(done.key, *entry, Epoch(), self);
    return;
  }
  // No state to move: it ends as its supervisor ends it, and begins anew.
  Runtime* const runtime = env_.runtime;
  runtime->Retire(
      done.pid, ExitReason::Shutdown("moved"),
      [runtime, agent = self.pid(), key = done.key, pid = done.pid] {
        runtime->SendLocal(agent, Info(RetireDone{key, pid}));
      });
}

void Agent::SendAccept(const Key& key, Entry& entry, Context& self) {
  const Move& move = *entry.move;
  AcceptChildRequest request;
  *request.mutable_order() = move.request.order();
  *request.mutable_spec() = move.request.spec();
  request.set_name_revision(entry.epoch.revision);
  *request.mutable_from() = entry.pid.ToProto();
  if (move.snapshot.has_value()) *request.mutable_snapshot() = *move.snapshot;
  request.set_alias(move.alias);
  CallOptions options;
  options.timeout = kAcceptTimeout;
  Runtime* const runtime = env_.runtime;
  AgentClient agent(self, ServerRef::Local(kAgentName, move.request.to_node()));
  agent.AcceptChild(std::move(request), options)
      .Then([runtime, agent = self.pid(), key,
             pid = entry.pid](absl::StatusOr<AcceptChildResponse> result) {
        runtime->SendLocal(agent,
                           Info(AcceptDone{key, pid, std::move(result)}));
      });
}

void Agent::Accepted(AcceptDone& done, Context& self) {
  Entry* const entry = Moving(done.key, done.pid);
  if (entry == nullptr) return;
  Move& move = *entry->move;
  const std::string& node = move.request.to_node();
  if (done.result.ok()) {
    const Pid pid = Pid::FromProto(done.result->pid());
    store::v1::NameRecord record = move.record;
    record.set_owner(node);
    record.set_owner_revision(pid.epoch.revision);
    record.set_process(pid.number);
    record.set_instance(done.result->instance());
    HandOver(*entry, record, Epoch::FromProto(done.result->epoch()), self);
    return;
  }
  const absl::Status& status = done.result.status();
  self.LogWarning(absl::StrCat("'", entry->spec.name(), "' did not move to '",
                               node, "': ", status.message()));
  move.failure = status;
  BeginTakeBack(done.key, *entry, self);
}

// Before it may act again here, no claim by its consent may commit any more.
void Agent::BeginTakeBack(const Key& key, Entry& entry, Context& self) {
  const Move& move = *entry.move;
  Runtime* const runtime = env_.runtime;
  // A failure that was told is one of a process that does not run any more, and
  // says for which claim. Its supervisor may have started the child there anew
  // since, under another claim, which stands.
  env_.registry->TakeBack(
      move.record, DetailOf(move.failure, kInstance),
      [runtime, agent = self.pid(), key,
       pid = entry.pid](absl::StatusOr<Epoch> result) {
        runtime->SendLocal(agent, Info(TakenBack{key, pid, std::move(result)}));
      });
}

void Agent::TookBack(TakenBack& done, Context& self) {
  Entry* const entry = Moving(done.key, done.pid);
  if (entry == nullptr) return;
  Move& move = *entry->move;
  if (done.result.ok()) {
    move.failure = WithOutcome(move.failure, Outcome::kNotExecuted);
    CallOff(done.key, *entry, *done.result, self);
    return;
  }
  // Then what runs there is not what was handed over.
  const bool told = OutcomeOf(move.failure) != Outcome::kUnknown;
  const auto view = env_.registry->Record(entry->spec.name());
  if (!told && ReasonOf(done.result.status()) == "MOVED" && view.has_value() &&
      view->record.supervisor() == done.key.first &&
      view->record.child() == done.key.second &&
      view->record.owner() == move.request.to_node()) {
    // It did move, though nobody could say so.
    HandOver(*entry, view->record,
             Epoch{env_.membership->generation(),
                   static_cast<uint64_t>(view->mod_revision)},
             self);
    return;
  }
  // The name is somebody else's, or this node's epoch is dead: what runs here
  // must not go on, and there is nowhere to send what waits.
  for (const From& from : move.movers) from.ReplyError(move.failure);
  children_.erase(done.key);
  self.SendExit(done.pid, ExitReason::Kill());
}

void Agent::CallOff(const Key& key, Entry& entry, Epoch epoch, Context& self) {
  const std::unique_ptr<Move> move = std::move(entry.move);
  if (!epoch.empty()) entry.epoch = epoch;
  if (move->retired) {
    move->failure = WithOutcome(move->failure, Outcome::kExecuted);
  }
  for (const From& from : move->movers) from.ReplyError(move->failure);
  if (!move->retired) {
    env_.runtime->Unhold(entry.pid, epoch);
    return;
  }
  // Its Terminate has run; its supervisor starts it again.
  self.LogWarning(
      absl::StrCat("'", key.second, "' had no state to keep and ends here"));
  self.SendExit(entry.pid, ExitReason::Kill());
}

void Agent::HandOver(Entry& entry, const store::v1::NameRecord& record,
                     Epoch epoch, Context& self) {
  Move& move = *entry.move;
  Pid pid;
  pid.node = record.owner();
  pid.epoch = Epoch{env_.membership->generation(), record.owner_revision()};
  pid.number = record.process();
  MoveChildResponse& moved = move.moved.emplace();
  moved.set_node(pid.node);
  *moved.mutable_pid() = pid.ToProto();
  *moved.mutable_epoch() = epoch.ToProto();
  moved.set_instance(record.instance());
  moved.set_with_state(move.snapshot.has_value());
  // Before the old process is gone, so that nobody is told that it restarts.
  env_.registry->Learn(record, static_cast<int64_t>(epoch.revision));
  env_.runtime->HandOff(entry.pid, ServerRef::Alias(pid, move.alias));
  self.LogInfo(absl::StrCat(
      "'", entry.spec.name(), "' has moved to '", pid.node, "' as ",
      pid.ToString(),
      move.snapshot.has_value() ? " with its state" : ", starting anew"));
}

void Agent::MoveEnded(std::map<Key, Entry>::iterator at, Context& self) {
  const std::unique_ptr<Move> move = std::move(at->second.move);
  children_.erase(at);
  // After everything that the old process had, on the same stream.
  cluster::v1::EndHandOffRequest request;
  *request.mutable_pid() = move->moved->pid();
  AgentClient agent(self, ServerRef::Local(kAgentName, move->moved->node()));
  agent.EndHandOff(std::move(request));
  for (const From& from : move->movers) from.Reply(*move->moved);
}

void Agent::FailMove(Entry& entry) {
  const std::unique_ptr<Move> move = std::move(entry.move);
  const absl::Status ended =
      Error(absl::StatusCode::kAborted, "CALLEE_EXITED",
            absl::StrCat("'", entry.spec.name(), "' ended while it moved"))
          .Unknown();
  for (const From& from : move->movers) from.ReplyError(ended);
}

// -- The new place -----------------------------------------------------------

Reply<AcceptChildResponse> Agent::AcceptChild(const AcceptChildRequest& request,
                                              Context& self) {
  if (absl::Status fenced = CheckOrder(request.order()); !fenced.ok()) {
    return fenced;
  }
  if (request.alias() == 0 || request.name_revision() == 0) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_REQUEST",
                 "a hand-off needs an alias and the name's revision")
        .NotExecuted()
        .status();
  }
  const Key key{request.order().supervisor(), request.spec().id()};
  if (const auto at = children_.find(key);
      at != children_.end() && !at->second.ended.has_value()) {
    Entry& entry = at->second;
    if (entry.accept == nullptr || entry.accept->alias != request.alias()) {
      return Error(absl::StatusCode::kAlreadyExists, "ALREADY_STARTED",
                   absl::StrCat("child '", key.second, "' is already on node '",
                                self.node(), "'"))
          .NotExecuted()
          .status();
    }
    if (entry.starting) {
      entry.accept->senders.push_back(self.from());
      return NoReply();
    }
    AcceptChildResponse response;
    *response.mutable_pid() = entry.pid.ToProto();
    *response.mutable_epoch() = entry.epoch.ToProto();
    response.set_instance(entry.instance);
    return response;
  }
  const auto type = env_.types->find(request.spec().type());
  if (type == env_.types->end()) {
    return Error(absl::StatusCode::kNotFound, "UNKNOWN_TYPE",
                 absl::StrCat("node '", self.node(), "' has no server type '",
                              request.spec().type(), "'"))
        .NotExecuted()
        .status();
  }
  if (env_.membership->draining()) {
    return Error(absl::StatusCode::kFailedPrecondition, "DRAINING",
                 absl::StrCat("node '", self.node(), "' is draining"))
        .NotExecuted()
        .status();
  }
  Entry& entry = children_[key];
  entry.spec = request.spec();
  entry.instance.clear();  // Not that of an earlier stay here.
  entry.accept = std::make_unique<Accept>();
  entry.accept->supervisor = key.first;
  entry.accept->alias = request.alias();
  entry.accept->from_node = Pid::FromProto(request.from()).node;
  entry.accept->senders.push_back(self.from());
  SpawnOptions spawn;
  spawn.hand_off_alias = request.alias();
  if (request.has_snapshot()) {
    spawn.restore = std::make_shared<Payload>(Payload::FromBytes(
        request.snapshot().value(), request.snapshot().type()));
  }
  Claim claim;
  claim.consent_revision = static_cast<int64_t>(request.name_revision());
  store::v1::EventRecord event;
  event.set_kind("child.moved");
  event.set_name(entry.spec.name());
  event.set_supervisor(key.first);
  event.set_child(key.second);
  event.set_from_node(entry.accept->from_node);
  event.set_to_node(self.node());
  *event.mutable_old_epoch() =
      Epoch{env_.membership->generation(), request.name_revision()}.ToProto();
  event.set_text(absl::StrCat(
      "'", entry.spec.name(), "' moved from '", entry.accept->from_node,
      "' to '", self.node(), "' ",
      request.has_snapshot() ? "with its state" : "and started anew"));
  (*event.mutable_evidence())["with_state"] =
      request.has_snapshot() ? "true" : "false";
  claim.then.push_back(PutEvent(env_.membership->keys(), self.node(),
                                std::move(event), self.WallTime(),
                                self.random().Hex(8)));
  Begin(key, entry, type->second, request.order(), std::move(claim),
        std::move(spawn), self);
  return NoReply();
}

void Agent::AnswerAccept(Entry& entry, const absl::Status& status,
                         Context& self) {
  if (entry.accept == nullptr) return;
  const std::vector<From> senders = std::exchange(entry.accept->senders, {});
  for (const From& from : senders) {
    if (status.ok()) {
      AcceptChildResponse response;
      *response.mutable_pid() = entry.pid.ToProto();
      *response.mutable_epoch() = entry.epoch.ToProto();
      response.set_instance(entry.instance);
      from.Reply(response);
    } else {
      from.ReplyError(entry.instance.empty()
                          ? status
                          : WithDetail(status, kInstance, entry.instance));
    }
  }
  if (!status.ok()) return;
  // Its old place may die before it has sent everything.
  const Key key{entry.accept->supervisor, entry.spec.id()};
  self.SendAfter(kHandOffPatience, Info(AcceptLate{key, entry.pid}));
}

Next Agent::EndHandOff(const cluster::v1::EndHandOffRequest& request,
                       Context&) {
  const Pid pid = Pid::FromProto(request.pid());
  for (auto& [key, entry] : children_) {
    if (entry.pid == pid && entry.accept != nullptr) entry.accept->ended = true;
  }
  env_.runtime->EndHandOff(pid);
  return NoReply();
}

Reply<cluster::v1::SetDrainingResponse> Agent::SetDraining(
    const cluster::v1::SetDrainingRequest& request, Context& self) {
  if (!env_.set_draining) {
    return Error(absl::StatusCode::kUnimplemented, "",
                 "this node does not drain")
        .NotExecuted()
        .status();
  }
  env_.set_draining(request.draining(),
                    [from = self.from()](const absl::Status& written) {
                      if (written.ok()) {
                        from.Reply(cluster::v1::SetDrainingResponse());
                      } else {
                        from.ReplyError(written);
                      }
                    });
  return NoReply();
}

bool Agent::MoveInfo(Info& info, Context& self) {
  if (auto* held = info.MutableValue<HoldDone>()) {
    Held(*held, self);
  } else if (auto* retired = info.MutableValue<RetireDone>()) {
    Entry* const entry = Moving(retired->key, retired->pid);
    if (entry == nullptr) return true;
    entry->move->retired = true;
    SendAccept(retired->key, *entry, self);
  } else if (auto* accepted = info.MutableValue<AcceptDone>()) {
    Accepted(*accepted, self);
  } else if (auto* taken = info.MutableValue<TakenBack>()) {
    TookBack(*taken, self);
  } else if (auto* late = info.MutableValue<AcceptLate>()) {
    const auto at = children_.find(late->key);
    if (at == children_.end() || at->second.pid != late->pid ||
        at->second.accept == nullptr || at->second.accept->ended) {
      return true;
    }
    at->second.accept->ended = true;
    env_.runtime->EndHandOff(late->pid);
  } else {
    return false;
  }
  return true;
}

}  // namespace muster
