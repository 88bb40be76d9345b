// RpcBackend and BackendCell: what the gRPC services of a node stand on.
#ifndef MUSTER_NODE_RPC_BACKEND_H_
#define MUSTER_NODE_RPC_BACKEND_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "node/base/mutex.h"
#include "node/process/runtime.h"
#include "node/registry/name_registry.h"
#include "node/rpc/descriptor_source.h"

namespace muster {

// All three live until the cell has let go of them.
struct RpcBackend {
  Runtime* runtime = nullptr;
  NameRegistry* names = nullptr;
  DescriptorSource* descriptors = nullptr;
};

// The services' way to the node, which comes after them and goes before them:
// a node listens before it has joined its cluster, and leaves it before it
// stops listening.
//
// THREADS: any thread; Set() one at a time and outside any Use.
class BackendCell {
 public:
  // Holds the backend for the few instructions that hand something to it. A
  // Use never waits for anything.
  class Use {
   public:
    explicit Use(BackendCell* cell) : cell_(cell), backend_(cell->Enter()) {}
    ~Use() {
      if (backend_ != nullptr) cell_->Leave();
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

    // False: there is no backend now; answer Starting().
    explicit operator bool() const { return backend_ != nullptr; }
    const RpcBackend* operator->() const { return backend_.get(); }
    const RpcBackend* get() const { return backend_.get(); }

   private:
    BackendCell* const cell_;
    const std::shared_ptr<RpcBackend> backend_;
  };

  // Null takes the backend away. Returns when no Use of the old one is left,
  // so that it may then be destroyed. Blocks for that long, which is short;
  // not for workers and gRPC threads.
  void Set(std::shared_ptr<RpcBackend> backend) ABSL_LOCKS_EXCLUDED(mu_);
  bool has_backend() const ABSL_LOCKS_EXCLUDED(mu_);

  // Calls of clients outside that have been begun and not answered.
  size_t calls() const { return calls_->load(std::memory_order_relaxed); }
  // Counts one for as long as it lives, which may be a moment longer than the
  // cell: a call's answer leaves before its closure goes.
  class CallCount {
   public:
    explicit CallCount(BackendCell* cell) : calls_(cell->calls_) {
      calls_->fetch_add(1, std::memory_order_relaxed);
    }
    CallCount(CallCount&& other) noexcept = default;
    CallCount& operator=(CallCount&&) = delete;
    ~CallCount() {
      if (calls_ != nullptr) calls_->fetch_sub(1, std::memory_order_relaxed);
    }

   private:
    std::shared_ptr<std::atomic<size_t>> calls_;
  };

  // UNAVAILABLE STARTING, NOT_EXECUTED, with a retry delay.
  static absl::Status Starting();

 private:
  std::shared_ptr<RpcBackend> Enter() ABSL_LOCKS_EXCLUDED(mu_);
  void Leave() ABSL_LOCKS_EXCLUDED(mu_);

  // Relaxed: a count.
  const std::shared_ptr<std::atomic<size_t>> calls_ =
      std::make_shared<std::atomic<size_t>>(0);

  mutable Mutex mu_;
  CondVar left_;
  std::shared_ptr<RpcBackend> backend_ ABSL_GUARDED_BY(mu_);
  size_t uses_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace muster

#endif  // MUSTER_NODE_RPC_BACKEND_H_
