// SendRequest: calls whose answer is asked for later (otp 4.4).
//
//   RequestId id = SendRequest(self, "counter_a", kIncrement, request);
//   ...
//   std::optional<absl::StatusOr<CounterValue>> value =
//       co_await Receive<CounterValue>(self, id, absl::Seconds(1));
//
// Several under labels, in the order in which they are answered:
//
//   RequestIds<std::string> ids;
//   ids.Add(SendRequest(self, "a", kGet, get), "a");
//   ids.Add(SendRequest(self, "b", kGet, get), "b");
//   auto got = co_await ids.Receive(self, absl::Seconds(1));
//   if (got.kind == CollectedKind::kResponse) {
//     absl::StatusOr<CounterValue> value = got.response.As<CounterValue>();
//   }
//
// A server that cannot wait lets the answer come to HandleInfo (to_mailbox)
// and asks Check() whose it is.
//
// No operation here looks at the mailbox, so none costs more with a long one
// (otp C13).
#ifndef MUSTER_NODE_GEN_SERVER_SEND_REQUEST_H_
#define MUSTER_NODE_GEN_SERVER_SEND_REQUEST_H_

#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/clock.h"
#include "node/process/caller.h"
#include "node/process/context.h"
#include "node/types/info.h"
#include "node/types/payload.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"

namespace muster {

namespace internal {
class RequestState;
}  // namespace internal

struct RequestOptions {
  // After so long the response is DEADLINE_EXCEEDED TIMEOUT, and the server
  // drops the request if it has not begun. Infinite (the default): only
  // Receive's own limit gives it up.
  absl::Duration timeout = absl::InfiniteDuration();
  // ASCII metadata for the handler; at most 8 KiB.
  std::vector<std::pair<std::string, std::string>> metadata;
  // The response also comes to HandleInfo, as an info that only Check() can
  // read. It is never refused, however full the mailbox is.
  bool to_mailbox = false;
};

// Names one request of one process; copies name the same. Only that process
// may ask for the response (otp C24).
class RequestId {
 public:
  RequestId() = default;  // Names none.
  explicit RequestId(std::shared_ptr<internal::RequestState> state)
      : state_(std::move(state)) {}

  friend bool operator==(const RequestId&, const RequestId&) = default;
  // For the functions below.
  internal::RequestState* state() const { return state_.get(); }

 private:
  std::shared_ptr<internal::RequestState> state_;
};

// How a request was answered: the server's reply, or why there is none:
//   NOT_FOUND NOPROC              nobody is there (NOT_EXECUTED)
//   UNAVAILABLE or ABORTED NOCONNECTION  the node is not reachable, or was
//                                 lost; never called nodedown here (otp C19)
//   ABORTED CALLEE_EXITED         it ended, detail exit_reason
//   whatever else a call can fail with, and the handler's own error
// Movable, not copyable.
class Response {
 public:
  Response() {}
  explicit Response(CallResult result) : result_(std::move(result)) {}

  const absl::Status& status() const { return result_.status; }
  // The reply as a T; INTERNAL BUG if it is another type. Once.
  template <typename T>
  absl::StatusOr<T> As() {
    if (!result_.status.ok()) return result_.status;
    std::unique_ptr<T> reply = result_.reply.template Take<T>();
    if (reply == nullptr) {
      return Error(absl::StatusCode::kInternal, "BUG",
                   "the reply is no " + internal::TypeNameOf<T>())
          .Executed();
    }
    return std::move(*reply);
  }

 private:
  CallResult result_;
};

// How long to wait: a span from now, for ever, or an instant of the boot clock
// (otp C21). An instant in the past is zero: only a response that is there
// counts.
class ResponseTimeout {
 public:
  ResponseTimeout(absl::Duration span) : span_(span) {}       // NOLINT
  ResponseTimeout(BootTime at) : at_(at), absolute_(true) {}  // NOLINT

  // INVALID_ARGUMENT BAD_TIMEOUT for a negative span.
  absl::Status Check() const;
  BootTime At(BootTime now) const { return absolute_ ? at_ : now + span_; }

 private:
  absl::Duration span_;
  BootTime at_;
  bool absolute_ = false;
};

namespace internal {

RequestId StartRequest(Context& self, const ServerRef& to,
                       absl::string_view path, Payload request,
                       RequestOptions options);

// The id of the request whose response `info` is; names none if it is another
// message.
RequestId RequestOf(Info& info);

// OK, or FAILED_PRECONDITION NOT_YOURS: `id` is another process's, or none.
absl::Status CheckOwner(const Context& self, const RequestId& id);
// The response, if it is there and nobody has taken it.
std::optional<Response> TakeResponse(const RequestId& id);
// When the response came, among those of its process; 0: it is not there.
uint64_t ArrivedAt(const RequestId& id);
// The response will not be asked for: it never comes (otp C20).
void AbandonRequest(const RequestId& id);

// Lets a coroutine wait until `count` of the requests have been answered, or a
// deadline has come. Taking the responses is the waiter's, when it has been
// resumed: so none that slipped in is lost (otp C9). LIFETIME: a local of the
// coroutine; the context outlives it.
class ResponseWait {
 public:
  ResponseWait(Context& self, std::vector<RequestId> ids, size_t count,
               BootTime deadline);
  ~ResponseWait();
  ResponseWait(const ResponseWait&) = delete;
  ResponseWait& operator=(const ResponseWait&) = delete;

  bool ready() const;
  void Suspend();
  // Forgets the timer and the requests.
  void End();

 private:
  class Waker;

  Context& self_;
  const std::vector<RequestId> ids_;
  const size_t count_;
  const BootTime deadline_;
  std::shared_ptr<Waker> waker_;
};

enum class AtTimeout { kAbandon, kKeep };

}  // namespace internal

// Sends a request and returns at once. Never fails: whatever goes wrong is the
// response. The caller does not count as waiting, so a request to itself, or
// one that comes back to it, is no CALLING_SELF and no CALL_CYCLE.
template <typename Request>
RequestId SendRequest(Context& self, const ServerRef& to,
                      absl::string_view path, Request request,
                      RequestOptions options = RequestOptions()) {
  return internal::StartRequest(self, to, path, Payload::Of(std::move(request)),
                                std::move(options));
}

// What Receive and Wait give: co_await it, in a coroutine of the process that
// made the request.
template <typename T>
class [[nodiscard]] PendingResponse {
 public:
  PendingResponse(Context& self, RequestId id, const ResponseTimeout& timeout,
                  internal::AtTimeout at_timeout)
      : id_(std::move(id)),
        at_timeout_(at_timeout),
        refused_(internal::CheckOwner(self, id_)),
        wait_(self, {id_}, 1, timeout.At(self.Now())) {
    if (refused_.ok()) refused_ = timeout.Check();
  }
  PendingResponse(const PendingResponse&) = delete;
  PendingResponse& operator=(const PendingResponse&) = delete;

  bool await_ready() const { return !refused_.ok() || wait_.ready(); }
  void await_suspend(std::coroutine_handle<>) { wait_.Suspend(); }
  std::optional<absl::StatusOr<T>> await_resume() {
    wait_.End();
    if (!refused_.ok()) return absl::StatusOr<T>(refused_);
    std::optional<Response> response = internal::TakeResponse(id_);
    if (response.has_value()) return response->template As<T>();
    if (at_timeout_ == internal::AtTimeout::kAbandon) {
      internal::AbandonRequest(id_);
    }
    return std::nullopt;
  }

 private:
  RequestId id_;
  const internal::AtTimeout at_timeout_;
  absl::Status refused_;
  internal::ResponseWait wait_;
};

// Waits for the response. Nullopt: it has not come in time, and never will:
// the request is abandoned (otp C20). A response that was taken before does
// not come again. Errors of the question itself: FAILED_PRECONDITION NOT_YOURS
// and INVALID_ARGUMENT BAD_TIMEOUT; they leave the request as it is.
template <typename T>
PendingResponse<T> Receive(Context& self, const RequestId& id,
                           ResponseTimeout timeout) {
  return PendingResponse<T>(self, id, timeout, internal::AtTimeout::kAbandon);
}

// As Receive, but a timeout abandons nothing: ask again.
template <typename T>
PendingResponse<T> Wait(Context& self, const RequestId& id,
                        ResponseTimeout timeout) {
  return PendingResponse<T>(self, id, timeout, internal::AtTimeout::kKeep);
}

// The response that `info` brings, if it is that of `id` (sent with
// to_mailbox). Nullopt: it is another message, to be handled as such.
template <typename T>
std::optional<absl::StatusOr<T>> Check(const Context& self, Info& info,
                                       const RequestId& id) {
  absl::Status owner = internal::CheckOwner(self, id);
  if (!owner.ok()) return absl::StatusOr<T>(std::move(owner));
  if (!(internal::RequestOf(info) == id)) return std::nullopt;
  std::optional<Response> response = internal::TakeResponse(id);
  if (!response.has_value()) return std::nullopt;
  return response->template As<T>();
}

// What a collection gives.
enum class CollectedKind {
  kResponse,   // One of its requests was answered.
  kTimeout,    // None in time.
  kNoRequest,  // It is empty.
  kNoReply,    // Check: the message is no response to one of its requests.
  kRefused,    // The question itself is wrong: see `response.status()`.
};

// What becomes of an id whose response was given (otp C23).
enum class Handled {
  kDelete,
  // It stays in the collection: then kNoRequest never comes, and waiting on
  // handled ids only lasts until the timeout.
  kKeep,
};

template <typename Label>
struct Collected {
  explicit Collected(CollectedKind k) : kind(k) {}

  CollectedKind kind;
  Label label = Label();  // kResponse
  Response response;      // kResponse, kRefused
};

template <typename Label>
class PendingCollected;

// Requests of one process under labels (otp C22). What it does leaves other
// requests alone. Each operation costs time in proportion to its size.
// THREADS: as the Context of its process.
template <typename Label = std::string>
class RequestIds {
 public:
  RequestIds() {}

  // INVALID_ARGUMENT DUPLICATE_REQUEST if it is in it, NO_REQUEST if it names
  // none.
  absl::Status Add(RequestId id, Label label) {
    if (id.state() == nullptr) {
      return Error(absl::StatusCode::kInvalidArgument, "NO_REQUEST",
                   "the id names no request");
    }
    for (const auto& [other, unused] : list_) {
      if (other == id) {
        return Error(absl::StatusCode::kInvalidArgument, "DUPLICATE_REQUEST",
                     "the request is in the collection already");
      }
    }
    list_.emplace_back(std::move(id), std::move(label));
    return absl::OkStatus();
  }
  size_t size() const { return list_.size(); }
  bool empty() const { return list_.empty(); }
  // In the order in which they were added.
  const std::vector<std::pair<RequestId, Label>>& list() const { return list_; }

  // Waits for the next response, in the order in which they arrive. At the
  // timeout all that have not been answered are abandoned; the collection
  // keeps their ids.
  //   auto got = co_await ids.Receive(self, absl::Seconds(1));
  PendingCollected<Label> Receive(Context& self, ResponseTimeout timeout,
                                  Handled handled = Handled::kDelete) {
    return PendingCollected<Label>(self, this, timeout, handled,
                                   internal::AtTimeout::kAbandon);
  }
  // As Receive, but a timeout abandons nothing.
  PendingCollected<Label> Wait(Context& self, ResponseTimeout timeout,
                               Handled handled = Handled::kDelete) {
    return PendingCollected<Label>(self, this, timeout, handled,
                                   internal::AtTimeout::kKeep);
  }
  // Whether `info` is the response to one of them (sent with to_mailbox).
  Collected<Label> Check(const Context& self, Info& info,
                         Handled handled = Handled::kDelete) {
    if (list_.empty()) return Collected<Label>(CollectedKind::kNoRequest);
    absl::Status owner = CheckOwners(self);
    if (!owner.ok()) return Refused(std::move(owner));
    const RequestId id = internal::RequestOf(info);
    for (size_t at = 0; at < list_.size(); ++at) {
      if (!(list_[at].first == id)) continue;
      std::optional<Response> response = internal::TakeResponse(id);
      if (!response.has_value()) break;
      return Give(at, *std::move(response), handled);
    }
    return Collected<Label>(CollectedKind::kNoReply);
  }

 private:
  friend class PendingCollected<Label>;

  absl::Status CheckOwners(const Context& self) const {
    for (const auto& [id, label] : list_) {
      absl::Status owner = internal::CheckOwner(self, id);
      if (!owner.ok()) return owner;
    }
    return absl::OkStatus();
  }
  std::vector<RequestId> Ids() const {
    std::vector<RequestId> ids;
    for (const auto& [id, label] : list_) ids.push_back(id);
    return ids;
  }
  // The one that was answered first and not taken, or size().
  size_t First() const {
    size_t first = list_.size();
    uint64_t earliest = 0;
    for (size_t at = 0; at < list_.size(); ++at) {
      const uint64_t arrived = internal::ArrivedAt(list_[at].first);
      if (arrived == 0 || (earliest != 0 && arrived > earliest)) continue;
      earliest = arrived;
      first = at;
    }
    return first;
  }
  Collected<Label> Give(size_t at, Response response, Handled handled) {
    Collected<Label> given(CollectedKind::kResponse);
    given.response = std::move(response);
    given.label = list_[at].second;
    if (handled == Handled::kDelete) list_.erase(list_.begin() + at);
    return given;
  }
  static Collected<Label> Refused(absl::Status why) {
    Collected<Label> refused(CollectedKind::kRefused);
    refused.response = Response(CallResult(std::move(why)));
    return refused;
  }

  std::vector<std::pair<RequestId, Label>> list_;
};

// What RequestIds::Receive and Wait give. LIFETIME: the collection outlives
// it.
template <typename Label>
class [[nodiscard]] PendingCollected {
 public:
  PendingCollected(Context& self, RequestIds<Label>* ids,
                   const ResponseTimeout& timeout, Handled handled,
                   internal::AtTimeout at_timeout)
      : ids_(ids),
        handled_(handled),
        at_timeout_(at_timeout),
        refused_(ids->CheckOwners(self)),
        wait_(self, ids->Ids(), 1, timeout.At(self.Now())) {
    if (refused_.ok()) refused_ = timeout.Check();
  }
  PendingCollected(const PendingCollected&) = delete;
  PendingCollected& operator=(const PendingCollected&) = delete;

  bool await_ready() const {
    return !refused_.ok() || ids_->empty() || wait_.ready();
  }
  void await_suspend(std::coroutine_handle<>) { wait_.Suspend(); }
  Collected<Label> await_resume() {
    wait_.End();
    if (!refused_.ok()) return RequestIds<Label>::Refused(refused_);
    if (ids_->empty()) return Collected<Label>(CollectedKind::kNoRequest);
    const size_t first = ids_->First();
    if (first < ids_->size()) {
      std::optional<Response> response =
          internal::TakeResponse(ids_->list_[first].first);
      return ids_->Give(first, *std::move(response), handled_);
    }
    if (at_timeout_ == internal::AtTimeout::kAbandon) {
      for (const auto& [id, label] : ids_->list_) internal::AbandonRequest(id);
    }
    return Collected<Label>(CollectedKind::kTimeout);
  }

 private:
  RequestIds<Label>* const ids_;
  const Handled handled_;
  const internal::AtTimeout at_timeout_;
  absl::Status refused_;
  internal::ResponseWait wait_;
};

}  // namespace muster

#endif  // MUSTER_NODE_GEN_SERVER_SEND_REQUEST_H_
