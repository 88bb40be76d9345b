#include "node/rpc/outside_call.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "node/base/scheduler.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

absl::string_view View(grpc::string_ref text) {
  return absl::string_view(text.data(), text.size());
}

absl::Status BadMetadata(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_METADATA", what)
      .NotExecuted();
}

bool IsPrintable(absl::string_view value) {
  return std::all_of(value.begin(), value.end(),
                     [](char c) { return c >= 0x20 && c <= 0x7e; });
}

bool IsTransportKey(absl::string_view key) {
  return absl::StartsWith(key, "grpc-") || absl::StartsWith(key, "muster-") ||
         absl::StartsWith(key, ":") || absl::EndsWith(key, "-bin") ||
         key == "user-agent" || key == "te" || key == "content-type";
}

Error TimedOut(absl::Duration after) {
  return Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
               absl::StrCat("no reply within ", absl::FormatDuration(after)));
}

// Calls `done` once: with what it is called with, or when it is dropped.
class CompleteOnce {
 public:
  explicit CompleteOnce(absl::AnyInvocable<void(CallResult)> done)
      : done_(std::move(done)) {}
  CompleteOnce(CompleteOnce&& other) noexcept
      : done_(std::exchange(other.done_, nullptr)) {}
  CompleteOnce& operator=(CompleteOnce&&) = delete;
  ~CompleteOnce() {
    if (done_ == nullptr) return;
    Complete(CallResult(Error(absl::StatusCode::kAborted, "CALLEE_EXITED",
                              "the node dropped the call while it ended")
                            .Unknown()
                            .status()));
  }
  void Complete(CallResult result) {
    auto done = std::exchange(done_, nullptr);
    if (done != nullptr) done(std::move(result));
  }

 private:
  absl::AnyInvocable<void(CallResult)> done_;
};

// The armed deadline of one call.
struct Deadline {
  BackendCell* cell;
  const RpcBackend* backend;  // Only to compare.
  // Relaxed: a reader that still sees 0 does not cancel, and the timer then
  // finds a slot that is done or gone.
  std::atomic<TimerId> timer{0};

  void Disarm() {
    const TimerId id = timer.load(std::memory_order_relaxed);
    if (id == 0) return;
    BackendCell::Use use(cell);
    if (use && use.get() == backend) use->runtime->scheduler().Cancel(id);
  }
};

}  // namespace

Meta ClientMetadata::ToMeta() && {
  Meta meta;
  meta.traceparent = std::move(traceparent);
  meta.tracestate = std::move(tracestate);
  meta.metadata = std::move(metadata);
  meta.min_epoch = min_epoch;
  return meta;
}

absl::StatusOr<ClientMetadata> ReadClientMetadata(
    const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
  ClientMetadata out;
  size_t bytes = 0;
  for (const auto& [k, v] : metadata) {
    const absl::string_view key = View(k);
    const absl::string_view value = View(v);
    if (key == "muster-name" || key == "muster-pid") {
      auto& slot = key == "muster-name" ? out.name : out.pid;
      if (slot.has_value()) {
        return BadMetadata(absl::StrCat("metadata key ", key, " given twice"));
      }
      slot = std::string(value);
      continue;
    }
    if (key == "muster-min-epoch") {
      const absl::StatusOr<Epoch> epoch = Epoch::Parse(value);
      if (!out.min_epoch.empty()) {
        return BadMetadata(absl::StrCat("metadata key ", key, " given twice"));
      }
      if (!epoch.ok()) {
        return Error(absl::StatusCode::kInvalidArgument, "BAD_EPOCH",
                     absl::StrCat("muster-min-epoch ", LogSafe(value),
                                  " is no epoch"))
            .NotExecuted();
      }
      out.min_epoch = *epoch;
      continue;
    }
    if (IsTransportKey(key)) continue;
    bytes += key.size() + value.size();
    if (bytes > kMetadataBytesMax) {
      return BadMetadata(
          absl::StrCat("more than ", kMetadataBytesMax, " bytes of metadata"));
    }
    if (!IsPrintable(value)) {
      return BadMetadata(absl::StrCat("the value of metadata key ",
                                      LogSafe(key), " is not printable ASCII"));
    }
    if (key == "traceparent") {
      out.traceparent = std::string(value);
    } else if (key == "tracestate") {
      out.tracestate = std::string(value);
    } else {
      out.metadata.emplace_back(std::string(key), std::string(value));
    }
  }
  return out;
}

absl::StatusOr<absl::Duration> TimeLeft(gpr_timespec deadline) {
  if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0) {
    return kDefaultTimeout;
  }
  // gRPC has turned the wire's "time left" into a point on a clock of its own;
  // only that clock can turn it back.
  const gpr_timespec left =
      gpr_time_sub(deadline, gpr_now(deadline.clock_type));
  const absl::Duration timeout =
      absl::Seconds(left.tv_sec) + absl::Nanoseconds(left.tv_nsec);
  if (timeout <= absl::ZeroDuration()) {
    return Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
                 "the deadline had passed when the call came in")
        .NotExecuted();
  }
  return std::min(timeout, kTimeoutMax);
}

absl::StatusOr<std::string> NormalizeMethodPath(absl::string_view path) {
  const std::string full =
      absl::StartsWith(path, "/") ? std::string(path) : absl::StrCat("/", path);
  absl::string_view service;
  absl::string_view method;
  if (full.size() > kMethodPathBytesMax || !IsPrintable(full) ||
      !SplitMethodPath(full, &service, &method) || service.empty() ||
      method.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_METHOD",
                 absl::StrCat("method ", LogSafe(path),
                              " is not of the form /package.Service/Method"))
        .NotExecuted();
  }
  return full;
}

absl::Status ReplyTooLarge(size_t bytes, size_t bytes_max) {
  return Error(absl::StatusCode::kResourceExhausted, "REPLY_TOO_LARGE",
               absl::StrCat("the reply has ", bytes, " bytes, the limit is ",
                            bytes_max))
      .Executed();
}

absl::Status RequestTooLarge(size_t bytes, size_t bytes_max) {
  return Error(absl::StatusCode::kResourceExhausted, "REQUEST_TOO_LARGE",
               absl::StrCat("the request has ", bytes, " bytes, the limit is ",
                            bytes_max, ": send it in parts"))
      .NotExecuted();
}

void OutsideCall::Start(
    BackendCell* cell, absl::Duration timeout,
    absl::AnyInvocable<void(CallResult)> done,
    absl::FunctionRef<void(const RpcBackend&, std::shared_ptr<CallSlot>)>
        start) {
  BackendCell::Use use(cell);
  if (!use) {
    done(CallResult(BackendCell::Starting()));
    return;
  }
  auto deadline = std::make_shared<Deadline>();
  deadline->cell = cell;
  deadline->backend = use.get();
  auto slot = std::make_shared<CallSlot>(
      [deadline,
       once = CompleteOnce(std::move(done))](CallResult result) mutable {
        deadline->Disarm();
        once.Complete(std::move(result));
      });
  bool cancelled = false;
  {
    MutexLock lock(&mu_);
    slot_ = slot;
    cancelled = cancelled_;
  }
  if (cancelled) {
    Cancel();
    return;
  }
  Scheduler& scheduler = use->runtime->scheduler();
  deadline->timer.store(
      scheduler.At(scheduler.clock().Boot() + timeout,
                   [weak = std::weak_ptr<CallSlot>(slot), timeout] {
                     auto slot = weak.lock();
                     if (slot != nullptr) slot->Fail(TimedOut(timeout));
                   }),
      std::memory_order_relaxed);
  start(*use.get(), std::move(slot));
}

void OutsideCall::Cancel() {
  std::shared_ptr<CallSlot> slot;
  {
    MutexLock lock(&mu_);
    cancelled_ = true;
    slot = slot_.lock();
  }
  if (slot == nullptr) return;
  slot->Cancel();
}

}  // namespace muster
