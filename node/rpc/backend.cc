#include "node/rpc/backend.h"

#include "absl/time/time.h"
#include "node/types/status.h"

namespace muster {

void BackendCell::Set(std::shared_ptr<RpcBackend> backend) {
  std::shared_ptr<RpcBackend> old;
  MutexLock lock(&mu_);
  // First nobody new, then wait: uses_ counts those of the old one only.
  old = std::move(backend_);
  backend_ = nullptr;
  while (uses_ > 0) left_.Wait(&mu_);
  backend_ = std::move(backend);
}

bool BackendCell::has_backend() const {
  MutexLock lock(&mu_);
  return backend_ != nullptr;
}

absl::Status BackendCell::Starting() {
  return Error(absl::StatusCode::kUnavailable, "STARTING",
               "this node is starting or stopping and serves nothing now")
      .NotExecuted()
      .RetryAfter(absl::Milliseconds(100));
}

std::shared_ptr<RpcBackend> BackendCell::Enter() {
  MutexLock lock(&mu_);
  if (backend_ != nullptr) ++uses_;
  return backend_;
}

void BackendCell::Leave() {
  MutexLock lock(&mu_);
  if (--uses_ == 0) left_.SignalAll();
}

}  // namespace muster
