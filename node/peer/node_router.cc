#include "node/peer/node_router.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/base/planted.h"
#include "node/peer/codec.h"
#include "node/peer/target.h"
#include "node/process/process.h"
#include "node/types/names.h"
#include "node/types/pid.h"
#include "node/types/status.h"

namespace muster {
namespace {

// Messages that may wait for one name to be looked up.
constexpr size_t kWaitingMax = 10'000;
// How long a call to a name that restarts is held before it is tried again.
constexpr absl::Duration kHoldDelay = absl::Milliseconds(50);

using Found = absl::StatusOr<NameEntry>;

// Names of which it is known where casts and infos have gone.
constexpr size_t kSentMax = 100'000;

// The greatest epoch below `epoch`.
Epoch JustBelow(Epoch epoch) {
  if (epoch.revision > 0) {
    --epoch.revision;
  }
  return epoch;
}

// The smallest epoch above `epoch`.
Epoch JustAbove(Epoch epoch) {
  ++epoch.revision;
  return epoch;
}

// Its supervisor brings it back, and it has not run.
bool IsRestarting(const absl::Status& status) {
  return absl::IsUnavailable(status) && ReasonOf(status) == "RESTARTING" &&
         OutcomeOf(status) == Outcome::kNotExecuted;
}

// Cancels `attempt` with the call that it is for.
void CancelWith(CallSlot& call, const std::shared_ptr<CallSlot>& attempt) {
  call.OnCancel([weak = std::weak_ptr<CallSlot>(attempt)] {
    if (const auto alive = weak.lock()) alive->Cancel();
  });
}

Error Expired(const ServerRef& target) {
  return Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
               absl::StrCat("the deadline passed while looking for '",
                            target.ToString(), "'"))
      .NotExecuted();
}

}  // namespace

class NodeRouter::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(Runtime* runtime, NameRegistry* names, Peers* peers)
      : runtime_(runtime), names_(names), peers_(peers) {}

  void RouteCall(Request request, std::shared_ptr<CallSlot> slot);
  void RouteCast(Request request, absl::AnyInvocable<void(absl::Status)> taken);
  void RouteInfo(const ServerRef& target, Info info, Meta meta);
  void RouteSignal(Signal signal);
  // A message that came back because its name had moved: once more, if that
  // keeps the order (guarantees R9, G9).
  void Reroute(Returned returned) ABSL_LOCKS_EXCLUDED(mu_);
  // The router goes: whoever still waits for the store is dropped, since what
  // waits refers to this object.
  void Drop() ABSL_LOCKS_EXCLUDED(mu_) {
    decltype(waiting_) dropped;
    MutexLock lock(&mu_);
    dropped.swap(waiting_);
    waiting_names_.store(0, std::memory_order_relaxed);
  }
  bool Waits(absl::string_view name) const ABSL_LOCKS_EXCLUDED(mu_) {
    if (NobodyWaits()) return false;
    MutexLock lock(&mu_);
    return waiting_.contains(name);
  }
  // Something goes to the name under `epoch`, or may: see Router::Serves.
  void NoteSent(absl::string_view name, Epoch epoch) ABSL_LOCKS_EXCLUDED(mu_);
  void OnLost(Lost lost) { lost_ = std::move(lost); }

 private:
  // A message to a cluster-wide name on its way.
  struct Call {
    Call(Request r, std::shared_ptr<CallSlot> s)
        : request(std::move(r)), slot(std::move(s)) {}
    Request request;
    std::shared_ptr<CallSlot> slot;
    bool tried = false;  // At another node.
    uint32_t hops = 0;   // As it came.
  };
  struct Cast {
    Cast(Request r, absl::AnyInvocable<void(absl::Status)> t)
        : request(std::move(r)), taken(std::move(t)) {}
    Request request;
    absl::AnyInvocable<void(absl::Status)> taken;
  };
  struct Told {
    Told(ServerRef t, Info i, Meta m)
        : target(std::move(t)), info(std::move(i)), meta(std::move(m)) {}
    ServerRef target;
    Info info;
    Meta meta;
  };

  // Who waits for the store to say where a name is.
  struct Waiter {
    Waiter(Epoch m, absl::AnyInvocable<void(Found)> d)
        : min_epoch(m), done(std::move(d)) {}
    Epoch min_epoch;
    absl::AnyInvocable<void(Found)> done;
  };

  // Relaxed: who has made a name wait sees it, and nobody else must.
  bool NobodyWaits() const {
    return waiting_names_.load(std::memory_order_relaxed) == 0;
  }
  // Where a name is, under an epoch that FloorOf() allows when `done` is
  // called: from this node's copy, else from the store. Who joins others that
  // wait has its turn after them.
  void LookUp(const std::string& name, Epoch min_epoch,
              absl::AnyInvocable<void(Found)> done) ABSL_LOCKS_EXCLUDED(mu_);
  // Asks the store for an epoch above `above`, for all who wait.
  void Ask(const std::string& name, Epoch above) ABSL_LOCKS_EXCLUDED(mu_);
  // The same for who was refused under `tried`; waits for nobody.
  void LookAgain(const std::string& name, Epoch min_epoch, Epoch tried,
                 absl::AnyInvocable<void(Found)> done);
  // The smallest epoch that may serve a message for the name (guarantees G5).
  Epoch FloorOf(absl::string_view name, Epoch min_epoch) const;
  // True: something went to the name above `epoch`.
  bool Overtook(const std::string& name, Epoch epoch) ABSL_LOCKS_EXCLUDED(mu_);
  // Where its name is now.
  void ForwardReturned(Returned& message, const NameEntry& entry);
  void LoseReroute(const Returned& message, absl::string_view why);
  // How it went is told or, where nobody asked, counted (guarantees G9).
  void Done(Cast& cast, const absl::Status& status);
  void LoseInfo(const Told& told);
  // What the store has said, or what is known here of a later epoch by now.
  Found Newest(const std::string& name, const Found& found) const;
  // Hands the store's answer, to a question for more than `above`, to all who
  // wait for it.
  void Answer(const std::string& name, Epoch above, const Found& found)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Why `found` holds no entry, for the caller.
  absl::Status NotFound(const ServerRef& target, const Found& found) const;

  // One more hop for a message; OK, or why not.
  absl::Status CountHop(Request* request, const NameEntry& entry) const;
  // The process of this node that serves `entry`, or why none does.
  absl::StatusOr<Pid> FindHere(const ServerRef& target,
                               const NameEntry& entry) const;
  void Forward(std::shared_ptr<Call> call, const Found& found);
  // Ends the call, or tries again a little later: see NodeRouter.
  void Finish(const std::shared_ptr<Call>& call, CallResult result);
  void Forward(std::shared_ptr<Cast> cast, const Found& found);
  void Forward(std::shared_ptr<Told> told, const Found& found);

  Runtime* const runtime_;
  NameRegistry* const names_;
  Peers* const peers_;

  std::atomic<size_t> held_{0};  // Calls that wait in Finish.
  Lost lost_;

  std::atomic<size_t> waiting_names_{0};  // The size of `waiting_`.
  mutable Mutex mu_;
  // Name -> who waits for the store's answer, in order.
  absl::flat_hash_map<std::string, std::deque<Waiter>> waiting_
      ABSL_GUARDED_BY(mu_);
  // The greatest epoch of each name to which a cast or info went from here;
  // names that are not in it went to none above `sent_floor_`.
  absl::flat_hash_map<std::string, Epoch> sent_ ABSL_GUARDED_BY(mu_);
  Epoch sent_floor_ ABSL_GUARDED_BY(mu_);
};

void NodeRouter::Core::LookUp(const std::string& name, Epoch min_epoch,
                              absl::AnyInvocable<void(Found)> done) {
  // Invalid names never get as far as the store.
  if (absl::Status status = ValidateName(name); !status.ok()) {
    done(std::move(status));
    return;
  }
  // Those who wait go first, whatever the copy knows by now.
  const auto join = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto found = waiting_.find(name);
    if (found == waiting_.end()) return false;
    if (found->second.size() < kWaitingMax) {
      found->second.emplace_back(min_epoch, std::move(done));
      done = nullptr;
    }
    return true;
  };
  bool joined = false;
  if (!NobodyWaits()) {
    MutexLock lock(&mu_);
    joined = join();
  }
  const Epoch floor = FloorOf(name, min_epoch);
  if (!joined) {
    std::optional<NameEntry> entry = names_->WhereIs(name);
    if (entry.has_value() && entry->epoch >= floor) {
      done(*std::move(entry));
      return;
    }
    MutexLock lock(&mu_);
    joined = join();
    if (!joined) {
      waiting_[name].emplace_back(min_epoch, std::move(done));
      waiting_names_.store(waiting_.size(), std::memory_order_relaxed);
      done = nullptr;
    }
  }
  if (done) {
    done(Error(
             absl::StatusCode::kResourceExhausted, "QUEUE_FULL",
             absl::StrCat("over ", kWaitingMax, " messages wait for the name '",
                          name, "' to be looked up"))
             .RetryAfter(absl::Milliseconds(100))
             .NotExecuted()
             .status());
    return;
  }
  if (!joined) Ask(name, JustBelow(floor));
}

void NodeRouter::Core::Ask(const std::string& name, Epoch above) {
  names_->Resolve(name, above,
                  [core = shared_from_this(), name, above](const Found& found) {
                    core->Answer(name, above, found);
                  });
}

Found NodeRouter::Core::Newest(const std::string& name,
                               const Found& found) const {
  Found newest = found;
  const auto take = [&newest](NameEntry entry) {
    if (newest.ok() && newest->epoch >= entry.epoch) return;
    newest = std::move(entry);
  };
  if (auto known = names_->WhereIs(name)) take(*std::move(known));
  if (const auto process = runtime_->Find(runtime_->WhereIsGlobal(name))) {
    NameEntry entry;
    entry.name = name;
    entry.pid = process->pid();
    entry.epoch = process->global_epoch();
    take(std::move(entry));
  }
  return newest;
}

void NodeRouter::Core::Answer(const std::string& name, Epoch above,
                              const Found& found) {
  while (true) {
    Found newest = Newest(name, found);
    const Epoch seen = FloorOf(name, Epoch());
    Epoch floor;
    absl::AnyInvocable<void(Found)> done;
    {
      MutexLock lock(&mu_);
      const auto at = waiting_.find(name);
      if (at == waiting_.end()) return;  // Dropped.
      if (at->second.empty()) {
        waiting_.erase(at);
        waiting_names_.store(waiting_.size(), std::memory_order_relaxed);
        return;
      }
      Waiter& first = at->second.front();
      floor = std::max(seen, first.min_epoch);
      // The question was another one than that of the first who waits.
      const bool unasked =
          newest.ok()
              ? newest->epoch < floor && above < JustBelow(floor)
              : absl::IsNotFound(newest.status()) && above > JustBelow(floor);
      if (!unasked) {
        done = std::move(first.done);
        at->second.pop_front();
      }
    }
    if (!done)
      return Ask(name, JustBelow(floor));  // Those behind it wait, too.
    if (newest.ok() && newest->epoch < floor) {
      newest = OlderThanSeen(ServerRef::Global(name), floor);
    }
    done(std::move(newest));
  }
}

void NodeRouter::Core::LookAgain(const std::string& name, Epoch min_epoch,
                                 Epoch tried,
                                 absl::AnyInvocable<void(Found)> done) {
  const Epoch floor = FloorOf(name, min_epoch);
  names_->Resolve(name, std::max(tried, JustBelow(floor)),
                  [name, floor, done = std::move(done)](Found found) mutable {
                    if (found.ok() && found->epoch < floor) {
                      found = OlderThanSeen(ServerRef::Global(name), floor);
                    }
                    done(std::move(found));
                  });
}

Epoch NodeRouter::Core::FloorOf(absl::string_view name, Epoch min_epoch) const {
  if (Planted(PlantedBug::kRoutesGoBack)) return min_epoch;
  return std::max(min_epoch, peers_->Seen(name));
}

void NodeRouter::Core::NoteSent(absl::string_view name, Epoch epoch) {
  MutexLock lock(&mu_);
  if (sent_.size() >= kSentMax && !sent_.contains(name)) {
    for (const auto& [other, sent] : sent_) {
      sent_floor_ = std::max(sent_floor_, sent);
    }
    sent_.clear();
  }
  Epoch& sent = sent_[name];
  sent = std::max(sent, epoch);
}

absl::Status NodeRouter::Core::NotFound(const ServerRef& target,
                                        const Found& found) const {
  if (found.status().code() == absl::StatusCode::kNotFound) {
    // The store has nothing newer than what was refused: its record stands, and
    // its supervisor will bring it back.
    const std::optional<NameEntry> entry = names_->WhereIs(target.name());
    if (entry.has_value() && !entry->supervisor.empty()) {
      return Restarting(*entry);
    }
    return NobodyIs(target);
  }
  // Whatever kept the store from answering, nothing was sent.
  return WithOutcome(found.status(), Outcome::kNotExecuted);
}

absl::Status NodeRouter::Core::CountHop(Request* request,
                                        const NameEntry& entry) const {
  if (request->meta.deadline <= runtime_->clock().Boot()) {
    return Expired(request->target);
  }
  if (request->meta.hops >= kHopsMax) {
    return Error(absl::StatusCode::kUnavailable, "ROUTING_LOOP",
                 absl::StrCat("'", request->target.ToString(),
                              "' was not where it should be ", kHopsMax,
                              " times"))
        .With("name", request->target.name())
        .RetryAfter(absl::Milliseconds(100))
        .NotExecuted();
  }
  ++request->meta.hops;
  request->meta.target_epoch = entry.epoch;
  return absl::OkStatus();
}

absl::StatusOr<Pid> NodeRouter::Core::FindHere(const ServerRef& target,
                                               const NameEntry& entry) const {
  const Pid here = runtime_->WhereIsGlobal(target.name());
  if (!here.empty()) return here;
  if (AwaitsItsName(*runtime_, entry.pid)) return entry.pid;
  if (entry.supervisor.empty()) return NobodyIs(target);
  return Restarting(entry);
}

// -- Calls --------------------------------------------------------------------

void NodeRouter::Core::RouteCall(Request request,
                                 std::shared_ptr<CallSlot> slot) {
  const ServerRef& target = request.target;
  switch (target.kind()) {
    case ServerRef::Kind::kVia:  // The runtime has resolved it.
      slot->Complete(CallResult(NobodyIs(target).status()));
      return;
    case ServerRef::Kind::kPid:
    case ServerRef::Kind::kAlias: {
      const Pid pid = target.pid();
      if (pid.node == runtime_->node()) {
        runtime_->CallLocal(pid, std::move(request), std::move(slot));
      } else {
        peers_->SendCall(pid.node, pid, request, std::move(slot));
      }
      return;
    }
    case ServerRef::Kind::kLocal: {
      if (!target.node().empty() && target.node() != runtime_->node()) {
        peers_->SendCall(target.node(), Pid(), request, std::move(slot));
        return;
      }
      const Pid pid = runtime_->WhereIsLocal(target.name());
      runtime_->CallLocal(pid, std::move(request), std::move(slot));
      return;
    }
    case ServerRef::Kind::kGlobal: {
      const std::string name = target.name();
      auto call = std::make_shared<Call>(std::move(request), std::move(slot));
      call->hops = call->request.meta.hops;
      LookUp(name, call->request.meta.min_epoch,
             [core = shared_from_this(), call](const Found& found) {
               core->Forward(call, found);
             });
      return;
    }
  }
}

void NodeRouter::Core::Forward(std::shared_ptr<Call> call, const Found& found) {
  if (call->slot->done()) return;  // The caller gave up.
  Request& request = call->request;
  const auto fail = [this, &call](absl::Status status) {
    Finish(call, CallResult(std::move(status)));
  };
  if (!found.ok()) return fail(NotFound(request.target, found));
  if (absl::Status status = CountHop(&request, *found); !status.ok()) {
    return fail(std::move(status));
  }
  if (found->pid.node == runtime_->node()) {
    const absl::StatusOr<Pid> pid = FindHere(request.target, *found);
    if (!pid.ok()) return fail(pid.status());
    std::shared_ptr<CallSlot> slot = call->slot;
    if (call->tried) {
      // An attempt that was refused elsewhere has marked the caller's slot as
      // dispatched; whoever runs the call needs one that is not.
      slot = std::make_shared<CallSlot>([call](CallResult result) {
        call->slot->Complete(std::move(result));
      });
      CancelWith(*call->slot, slot);
    }
    runtime_->CallLocal(*pid, std::move(request), std::move(slot));
    return;
  }
  call->tried = true;
  auto attempt =
      std::make_shared<CallSlot>([core = shared_from_this(), call,
                                  tried = found->epoch](CallResult result) {
        if (!IsFencedTarget(result.status)) {
          core->Finish(call, std::move(result));
          return;
        }
        // It did not run there and will not: look again, and only there.
        core->LookAgain(
            call->request.target.name(), call->request.meta.min_epoch, tried,
            [core, call](const Found& newer) { core->Forward(call, newer); });
      });
  CancelWith(*call->slot, attempt);
  peers_->SendCall(found->pid.node, found->pid, request, std::move(attempt),
                   call->slot);
}

void NodeRouter::Core::Finish(const std::shared_ptr<Call>& call,
                              CallResult result) {
  const BootTime now = runtime_->clock().Boot();
  const BootTime next = now + kHoldDelay;
  const BootTime deadline = call->request.meta.deadline;
  const bool holds = IsRestarting(result.status) &&
                     call->request.caller.empty() && !deadline.is_infinite() &&
                     next + kHoldDelay < deadline && !call->slot->done();
  // Relaxed: a bound that need not be exact.
  if (!holds || held_.load(std::memory_order_relaxed) >= kWaitingMax) {
    call->slot->Complete(std::move(result));
    return;
  }
  held_.fetch_add(1, std::memory_order_relaxed);
  call->request.meta.hops = call->hops;
  runtime_->scheduler().At(next, [core = shared_from_this(), call] {
    core->held_.fetch_sub(1, std::memory_order_relaxed);
    core->LookUp(
        call->request.target.name(), call->request.meta.min_epoch,
        [core, call](const Found& found) { core->Forward(call, found); });
  });
}

// -- Casts and infos ----------------------------------------------------------

void NodeRouter::Core::RouteCast(Request request,
                                 absl::AnyInvocable<void(absl::Status)> taken) {
  const ServerRef& target = request.target;
  Pid here;
  switch (target.kind()) {
    case ServerRef::Kind::kVia:
      break;
    case ServerRef::Kind::kPid:
    case ServerRef::Kind::kAlias:
      if (target.pid().node != runtime_->node()) {
        const Pid pid = target.pid();
        peers_->SendCast(pid.node, pid, request, std::move(taken));
        return;
      }
      here = target.pid();
      break;
    case ServerRef::Kind::kLocal:
      if (!target.node().empty() && target.node() != runtime_->node()) {
        peers_->SendCast(target.node(), Pid(), request, std::move(taken));
        return;
      }
      here = runtime_->WhereIsLocal(target.name());
      break;
    case ServerRef::Kind::kGlobal: {
      const std::string name = target.name();
      auto cast = std::make_shared<Cast>(std::move(request), std::move(taken));
      LookUp(name, cast->request.meta.min_epoch,
             [core = shared_from_this(), cast](const Found& found) {
               core->Forward(cast, found);
             });
      return;
    }
  }
  absl::Status status = runtime_->CastLocal(here, std::move(request));
  if (taken) taken(std::move(status));
}

void NodeRouter::Core::Done(Cast& cast, const absl::Status& status) {
  if (cast.taken) {
    cast.taken(status);
  } else if (!status.ok()) {
    peers_->CountDropped();
    if (lost_) lost_(cast.request.target, Info());
  }
}

void NodeRouter::Core::Forward(std::shared_ptr<Cast> cast, const Found& found) {
  Request& request = cast->request;
  if (!found.ok()) return Done(*cast, NotFound(request.target, found));
  if (absl::Status status = CountHop(&request, *found); !status.ok()) {
    return Done(*cast, status);
  }
  NoteSent(request.target.name(), found->epoch);
  if (found->pid.node == runtime_->node()) {
    const absl::StatusOr<Pid> pid = FindHere(request.target, *found);
    Done(*cast, pid.ok() ? runtime_->CastLocal(*pid, std::move(request))
                         : pid.status());
    return;
  }
  if (!cast->taken) {
    peers_->SendCast(found->pid.node, found->pid, request, nullptr);
    return;
  }
  peers_->SendCast(
      found->pid.node, found->pid, request,
      [core = shared_from_this(), cast,
       tried = found->epoch](const absl::Status& status) {
        if (!IsFencedTarget(status)) {
          return core->Done(*cast, status);
        }
        core->LookAgain(
            cast->request.target.name(), cast->request.meta.min_epoch, tried,
            [core, cast](const Found& newer) { core->Forward(cast, newer); });
      });
}

void NodeRouter::Core::RouteInfo(const ServerRef& target, Info info,
                                 Meta meta) {
  switch (target.kind()) {
    case ServerRef::Kind::kVia:
      return;
    case ServerRef::Kind::kPid:
    case ServerRef::Kind::kAlias:
      if (target.pid().node == runtime_->node()) {
        runtime_->SendLocal(target.pid(), std::move(info), target.alias());
      } else {
        peers_->SendInfo(target.pid().node, target, info, meta);
      }
      return;
    case ServerRef::Kind::kLocal:
      if (target.node().empty() || target.node() == runtime_->node()) {
        runtime_->SendLocal(runtime_->WhereIsLocal(target.name()),
                            std::move(info));
      } else {
        peers_->SendInfo(target.node(), target, info, meta);
      }
      return;
    case ServerRef::Kind::kGlobal: {
      auto told =
          std::make_shared<Told>(target, std::move(info), std::move(meta));
      LookUp(target.name(), told->meta.min_epoch,
             [core = shared_from_this(), told](const Found& found) {
               core->Forward(told, found);
             });
      return;
    }
  }
}

void NodeRouter::Core::Forward(std::shared_ptr<Told> told, const Found& found) {
  if (!found.ok()) return LoseInfo(*told);
  NoteSent(told->target.name(), found->epoch);
  if (found->pid.node == runtime_->node()) {
    const absl::StatusOr<Pid> pid = FindHere(told->target, *found);
    if (!pid.ok()) return LoseInfo(*told);
    runtime_->SendLocal(*pid, std::move(told->info));
    return;
  }
  told->meta.target_epoch = found->epoch;
  ++told->meta.hops;
  peers_->SendInfo(found->pid.node, told->target, told->info, told->meta);
}

bool NodeRouter::Core::Overtook(const std::string& name, Epoch epoch) {
  MutexLock lock(&mu_);
  const auto sent = sent_.find(name);
  return (sent == sent_.end() ? sent_floor_ : sent->second) > epoch;
}

void NodeRouter::Core::Reroute(Returned returned) {
  const std::string name = returned.target.name();
  const Epoch tried = returned.meta.target_epoch;
  if (Overtook(name, tried)) {
    LoseReroute(returned, "something later has gone to where it is now");
    return;
  }
  if (returned.meta.hops > 1) {
    LoseReroute(returned, "it has moved again");
    return;
  }
  LookUp(name, JustAbove(tried),
         [core = shared_from_this(), tried,
          message = std::make_shared<Returned>(std::move(returned))](
             const Found& found) {
           if (!found.ok()) {
             core->LoseReroute(*message, "nobody has it now");
             return;
           }
           // Something later may have waited before it.
           if (core->Overtook(message->target.name(), tried)) {
             core->LoseReroute(*message, "something later has gone before it");
             return;
           }
           if (message->stands && !message->stands()) {
             core->LoseReroute(*message, "what followed it is lost");
             return;
           }
           core->peers_->CountReroute(/*lost=*/false);
           core->ForwardReturned(*message, *found);
         });
}

void NodeRouter::Core::ForwardReturned(Returned& message,
                                       const NameEntry& entry) {
  const bool here = entry.pid.node == runtime_->node();
  if (message.cast.has_value()) {
    Request& cast = *message.cast;
    absl::Status status = CountHop(&cast, entry);
    if (status.ok() && here) {
      const absl::StatusOr<Pid> pid = FindHere(cast.target, entry);
      status =
          pid.ok() ? runtime_->CastLocal(*pid, std::move(cast)) : pid.status();
    } else if (status.ok()) {
      peers_->SendCast(entry.pid.node, entry.pid, cast, nullptr);
    }
    if (!status.ok()) LoseReroute(message, status.message());
    return;
  }
  if (here) {
    const absl::StatusOr<Pid> pid = FindHere(message.target, entry);
    if (!pid.ok()) return LoseReroute(message, pid.status().message());
    runtime_->SendLocal(*pid, std::move(message.info));
    return;
  }
  message.meta.target_epoch = entry.epoch;
  ++message.meta.hops;
  peers_->SendInfo(entry.pid.node, message.target, message.info, message.meta);
}

void NodeRouter::Core::LoseInfo(const Told& told) {
  peers_->CountDropped();
  if (lost_) lost_(told.target, told.info);
}

void NodeRouter::Core::LoseReroute(const Returned& message,
                                   absl::string_view why) {
  const ServerRef& target = message.target;
  peers_->CountReroute(/*lost=*/true);
  if (lost_) lost_(target, message.info);
  const uint64_t lost = peers_->stats().reroutes_lost;
  // The first, and then more and more seldom.
  if ((lost & (lost - 1)) != 0) return;
  runtime_->log().Warning(absl::StrCat("a message to '", target.ToString(),
                                       "', which had moved, is lost: ", why,
                                       " (", lost, " so far)"));
}

// -- Signals ------------------------------------------------------------------

void NodeRouter::Core::RouteSignal(Signal signal) {
  if (signal.kind != Signal::Kind::kMonitor ||
      signal.target.kind() != ServerRef::Kind::kGlobal) {
    peers_->SendSignal(std::move(signal));
    return;
  }
  LookUp(signal.target.name(), Epoch(),
         [core = shared_from_this(), ref = signal.ref](const Found& found) {
           if (found.ok()) {
             core->runtime_->MonitorAt(ref, found->pid);
             return;
           }
           core->runtime_->Deliver(
               Signal::Down(ref, Pid(),
                            found.status().code() == absl::StatusCode::kNotFound
                                ? ExitReason::Noproc()
                                : ExitReason::Noconnection()));
         });
}

// -- NodeRouter ---------------------------------------------------------------

NodeRouter::NodeRouter(Runtime* runtime, NameRegistry* names, Peers* peers)
    : core_(std::make_shared<Core>(runtime, names, peers)), peers_(peers) {
  peers_->OnReturned([weak = std::weak_ptr<Core>(core_)](Returned returned) {
    if (const auto core = weak.lock()) core->Reroute(std::move(returned));
  });
}

NodeRouter::~NodeRouter() { core_->Drop(); }

void NodeRouter::RouteCall(Request request, std::shared_ptr<CallSlot> slot) {
  core_->RouteCall(std::move(request), std::move(slot));
}

void NodeRouter::RouteCast(Request request,
                           absl::AnyInvocable<void(absl::Status)> taken) {
  core_->RouteCast(std::move(request), std::move(taken));
}

bool NodeRouter::Waits(absl::string_view name) const {
  return core_->Waits(name);
}

void NodeRouter::Serves(absl::string_view name, Epoch epoch) {
  core_->NoteSent(name, epoch);
}

void NodeRouter::OnLost(Lost lost) { core_->OnLost(std::move(lost)); }

void NodeRouter::RouteSignal(Signal signal) {
  core_->RouteSignal(std::move(signal));
}

void NodeRouter::RouteInfo(const ServerRef& target, Info info, Meta meta) {
  core_->RouteInfo(target, std::move(info), std::move(meta));
}

}  // namespace muster
