// Peers: what must still be true of who sends and of who is meant.
//
// N, the epoch of the other node, is that of its stream's hello: a stream whose
// N is known to be dead is closed at once. E, a name's, travels in each message
// for it and from it (guarantees R9).
#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "node/base/fence.h"
#include "node/base/planted.h"
#include "node/peer/codec.h"
#include "node/peer/peers_impl.h"
#include "node/peer/target.h"
#include "node/process/process.h"

namespace muster {
namespace {

using peer::v1::Frame;

// Of a request that tells it from another under the same id.
constexpr size_t kDigestBytes = 1024;

uint64_t Digest(const peer::v1::Call& call) {
  return absl::HashOf(
      call.method(), call.request().size(),
      absl::string_view(call.request()).substr(0, kDigestBytes));
}

// The reply came, but nobody can say that its server's epoch still stood.
Error TooLate(absl::string_view name, Epoch epoch, absl::string_view why) {
  return Error(absl::StatusCode::kAborted, "FENCED",
               absl::StrCat("'", name, "' answered under epoch ",
                            epoch.ToString(), ", which ", why,
                            ": read the state, then decide"))
      .With("name", name)
      .With("epoch", epoch.ToString())
      .Unknown();
}

}  // namespace

// -- At most once -------------------------------------------------------------

absl::Status Peers::Impl::AdmitCall(const ConnPtr& conn,
                                    const peer::v1::Call& call) {
  if (Planted(PlantedBug::kNoDedup)) return absl::OkStatus();
  CallWindow::Verdict verdict;
  {
    MutexLock lock(&mu_);
    verdict = conn->peer->window.Admit(call.call_id(), Digest(call));
  }
  const auto id = [&] {
    return absl::StrCat("call ", call.call_id(), " of node '", conn->peer->node,
                        "'");
  };
  switch (verdict) {
    case CallWindow::Verdict::kNew:
      return absl::OkStatus();
    case CallWindow::Verdict::kAgain:
      return absl::AlreadyExistsError(absl::StrCat(id(), " came again"));
    case CallWindow::Verdict::kReused:
      runtime_->log().Error(
          absl::StrCat(id(), " came again with another payload: refused"));
      return Error(absl::StatusCode::kInvalidArgument, "CALL_ID_REUSED",
                   absl::StrCat(id(), " was another one"))
          .Unknown();
    case CallWindow::Verdict::kExpired:
      return Error(absl::StatusCode::kAborted, "CALL_EXPIRED",
                   absl::StrCat(id(), " is too old to know whether it ran"))
          .Unknown();
  }
  return absl::OkStatus();
}

// -- Who sends, who is meant --------------------------------------------------

absl::Status Peers::Impl::CheckSender(const Meta& meta) {
  if (meta.sender_epoch.empty() || Planted(PlantedBug::kIgnoreEpochs) ||
      seen_.Admit(meta.sender_name, meta.sender_epoch)) {
    return absl::OkStatus();
  }
  Error error(absl::StatusCode::kAborted, "FENCED",
              absl::StrCat("'", meta.sender_name, "' sent this under epoch ",
                           meta.sender_epoch.ToString(), ", which is over"));
  error.With("sender", meta.sender_name)
      .With("epoch", seen_.Greatest(meta.sender_name).ToString())
      .NotExecuted();
  if (const auto entry = names_->WhereIs(meta.sender_name)) {
    error.With("pid", entry->pid.ToString()).With("node", entry->pid.node);
  }
  return error;
}

absl::StatusOr<Pid> Peers::Impl::Find(const ServerRef& target, const Meta& meta,
                                      const Pid& resolved) {
  if (absl::Status sender = CheckSender(meta); !sender.ok()) {
    Count(counters_.frames_fenced);
    return sender;
  }
  absl::StatusOr<Pid> pid =
      FindTarget(*runtime_, *names_, target, meta.target_epoch, resolved);
  if (pid.ok() || !IsFencedTarget(pid.status())) return pid;
  Count(counters_.frames_fenced);
  const auto here = runtime_->Find(runtime_->WhereIsGlobal(target.name()));
  const Epoch ours =
      here != nullptr ? here->global_epoch() : seen_.Greatest(target.name());
  if (meta.target_epoch > ours) Revalidate(target.name(), ours);
  return pid;
}

void Peers::Impl::Revalidate(const std::string& name, Epoch ours) {
  names_->Resolve(
      name, ours,
      [weak = weak_from_this(), name](const absl::StatusOr<NameEntry>& found) {
        const auto impl = weak.lock();
        if (impl == nullptr || !found.ok()) return;
        const auto here =
            impl->runtime_->Find(impl->runtime_->WhereIsGlobal(name));
        // This node runs a name that the store gives to another.
        if (here == nullptr || here->global_name() != name ||
            here->global_epoch() >= found->epoch ||
            impl->runtime_->IsLocal(found->pid) ||
            !impl->options_.refused_as_dead) {
          return;
        }
        impl->options_.refused_as_dead(impl->runtime_->epoch());
      });
}

// -- Messages that come back --------------------------------------------------

void Peers::Impl::Return(const ConnPtr& conn, const absl::Status& why,
                         peer::v1::Returned returned) {
  *returned.mutable_status() = ToRpcStatus(why);
  Frame frame;
  *frame.mutable_returned() = std::move(returned);
  if (frame.ByteSizeLong() > kFrameBytesMax) {
    Count(counters_.signals_dropped);
    return;
  }
  SubmitAnswer(conn->session, Item(Frame::kReturned, SerializeFrame(frame)));
}

void Peers::Impl::DeliverReturned(const ConnPtr& conn,
                                  peer::v1::Returned& returned) {
  std::function<void(Returned)> takes;
  {
    MutexLock lock(&mu_);
    takes = returned_;
  }
  const BootTime now = clock().Boot();
  std::optional<Returned> message;
  if (returned.has_cast()) {
    absl::StatusOr<Request> cast = DecodeCast(returned.mutable_cast(), now);
    if (cast.ok()) {
      message.emplace(cast->target);
      message->meta = cast->meta;
      message->cast = *std::move(cast);
    }
  } else if (returned.has_info()) {
    peer::v1::Info& info = *returned.mutable_info();
    absl::StatusOr<Meta> meta = DecodeMeta(info.meta(), now);
    if (meta.ok()) {
      message.emplace(ServerRef::FromProto(info.target()));
      message->meta = *std::move(meta);
      core::v1::Payload& payload = *info.mutable_payload();
      message->info = Info(Payload::FromBytes(
          std::move(*payload.mutable_value()), payload.type()));
    }
  }
  if (!message.has_value() || !takes ||
      message->target.kind() != ServerRef::Kind::kGlobal) {
    Count(counters_.signals_dropped);
    return;
  }
  message->stands = [weak = weak_from_this(),
                     weak_session = WeakSession(conn->session)] {
    const std::shared_ptr<Impl> impl = weak.lock();
    const SessionPtr session = weak_session.lock();
    if (impl == nullptr || session == nullptr) return false;
    MutexLock lock(&impl->mu_);
    return session->open;
  };
  takes(*std::move(message));
}

// -- Replies ------------------------------------------------------------------

bool Peers::Impl::Lives(const Pid& owner) const {
  const std::optional<PeerAddress> now = directory_->Find(owner.node);
  return now.has_value() && now->epoch == owner.epoch;
}

void Peers::Impl::DeliverReply(const ConnPtr& conn, peer::v1::Reply& reply,
                               Waiting waiting) {
  if (waiting.call.slot == nullptr) {
    Count(counters_.frames_ignored);
    return;
  }
  CallResult result = DecodeReply(&reply);
  Sent& call = waiting.call;
  if (result.epoch.empty() ||
      result.fence_remaining == absl::InfiniteDuration() ||
      Planted(PlantedBug::kAcceptLateReplies)) {
    call.slot->Complete(std::move(result));
    return;
  }
  const std::string name = call.name.empty() ? reply.name() : call.name;
  if (result.owner.empty()) {
    result.owner = call.owner;
    result.owner.node = conn->peer->node;
    result.owner.epoch = conn->session->epoch;
  }
  const BootTime now = clock().Boot();
  // Less than nothing: only the store can say that it is good; who gets it from
  // here must not be told that it is in time.
  result.fence_until = call.at + result.fence_remaining * options_.fence_ratio;
  // A reply that was under way when its node was attested dead is good too: it
  // ran before. Unless somebody is known to have followed (guarantees G8).
  // While its node lives, who follows does so by its consent: a move, or a
  // restart, which are after what it has answered. That is the node of who
  // answered, not one that relays it.
  const bool followed = seen_.Greatest(name) > result.epoch;
  if (followed && !Lives(result.owner)) {
    call.slot->Complete(
        CallResult(TooLate(name, result.epoch, "is over").status()));
    return;
  }
  if (!followed && ReplyAcceptable(now - call.at, result.fence_remaining,
                                   options_.fence_ratio)) {
    call.slot->Complete(std::move(result));
    return;
  }
  Count(counters_.replies_confirmed);
  auto held = std::make_shared<CallResult>(std::move(result));
  auto confirmed = [slot = call.slot, name, held](const absl::Status& stands) {
    if (stands.ok()) {
      slot->Complete(std::move(*held));
      return;
    }
    const bool over = ReasonOf(stands) == "FENCED";
    slot->Complete(CallResult(
        TooLate(name, held->epoch,
                over ? "is over" : "the store could not be asked about")
            .status()));
  };
  if (followed) {
    // The list of members may be older than what is known of the name.
    names_->ConfirmMember(held->owner, std::move(confirmed));
    return;
  }
  names_->Confirm(name, held->owner, held->epoch,
                  [names = names_, owner = held->owner,
                   confirmed = std::move(confirmed)](absl::Status stands) {
                    // Somebody has followed, of whom nothing was known here.
                    if (ReasonOf(stands) == "FENCED") {
                      names->ConfirmMember(owner, confirmed);
                    } else {
                      confirmed(stands);
                    }
                  });
}

}  // namespace muster
