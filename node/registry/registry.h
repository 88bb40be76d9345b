// Registry: processes of this node by key, with a value each (otp section 9).
//
// Made once, before its runtime; runs as a child of a supervisor:
//
//   muster::Registry sessions({.name = "sessions"});
//   spec.factory = [&] { return sessions.MakeProcess(); };
//   ...
//   sessions.Register(self, "user-1", Session{...});       // in a callback
//   for (const RegistryEntry& e : sessions.Lookup("user-1")) ...
//   ServerRef::Via("sessions", "user-1")                    // as an address
#ifndef MUSTER_NODE_REGISTRY_REGISTRY_H_
#define MUSTER_NODE_REGISTRY_REGISTRY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "node/base/mutex.h"
#include "node/process/caller.h"
#include "node/process/context.h"
#include "node/process/process_body.h"
#include "node/process/runtime.h"
#include "node/process/via.h"
#include "node/registry/shared_value.h"
#include "node/types/pid.h"

namespace muster {

enum class RegistryKind {
  kUnique,          // One process a key.
  kDuplicateByPid,  // Any number; a process's entries are in one partition.
  kDuplicateByKey,  // Any number; a key's entries are in one partition.
};

struct RegistryOptions {
  // By which ServerRef::Via and Registry::Find know it; unique on its node.
  std::string name;
  RegistryKind kind = RegistryKind::kUnique;
  // Tables with a lock and an owner each. One is enough for a few thousand
  // writes a second; as many as cores lets all of them write at once.
  int partitions = 1;
  // Names on this node of processes that get a Registered or an Unregistered
  // info for each explicit operation; not when a process ends, for which they
  // monitor (otp R10).
  std::vector<std::string> listeners = {};
  // What Meta() gives from the start on.
  std::map<std::string, SharedValue> meta = {};
};

// One process that has a key.
struct RegistryEntry {
  RegistryEntry() = default;
  RegistryEntry(Pid p, SharedValue v)
      : pid(std::move(p)), value(std::move(v)) {}
  Pid pid;
  SharedValue value;  // None: registered without one, as a via name is.
};
// A key's entries; no allocation for the one of a unique key.
using RegistryEntries = absl::InlinedVector<RegistryEntry, 1>;

// A line of the whole registry.
struct RegistryRow {
  RegistryRow(std::string k, Pid p, SharedValue v)
      : key(std::move(k)), pid(std::move(p)), value(std::move(v)) {}
  std::string key;
  Pid pid;
  SharedValue value;
};

// The infos that listeners get.
struct Registered {
  std::string registry;
  std::string key;
  Pid pid;
  SharedValue value;
};
struct Unregistered {
  std::string registry;
  std::string key;
  Pid pid;
};

// What UpdateValue changed.
struct RegistryUpdate {
  SharedValue now;
  SharedValue before;
};

// How much it holds; all zero when nobody is registered and nobody locks.
struct RegistrySize {
  size_t entries = 0;
  size_t processes = 0;  // That have an entry.
  size_t locks = 0;      // Held.
  friend bool operator==(const RegistrySize&, const RegistrySize&) = default;
};

// Keys are bytes without a meaning; they are compared as such.
//
// A registered process is linked to the owner of its partition, a process,
// until its last entry goes: an owner that crashes takes its processes with it.
// Then all partitions start anew, empty; with kDuplicateByPid only the one
// (otp R12).
//
// LIFETIME: outlives the runtime it runs in. Runs from the start of its process
// to its end; while it does not, registering is UNAVAILABLE RESTARTING and
// nobody is found. THREADS: any; what takes a Context, in its process's
// callbacks. Functions that are handed in run in the caller and under no lock.
class Registry final : public ViaRegistry {
 public:
  explicit Registry(RegistryOptions options);
  ~Registry() override;
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The registry that runs on this node under `name`. NOT_FOUND
  // UNKNOWN_REGISTRY.
  static absl::StatusOr<Registry*> Find(const Runtime& runtime,
                                        absl::string_view name);

  // The process that keeps it running; one for each start. Its start fails
  // with INVALID_ARGUMENT BAD_REGISTRY (options), ALREADY_EXISTS
  // ALREADY_STARTED (it runs, or its name is taken). It ends with `shutdown`
  // when owners crash more than three times in five seconds.
  std::unique_ptr<ProcessBody> MakeProcess();

  const RegistryOptions& options() const { return options_; }
  // The processes that own the partitions; empty while it does not run.
  std::vector<Pid> Owners() const;

  // -- Entries of the calling process --------------------------------------
  // Gives it `key`; the owner it is linked to. ALREADY_EXISTS
  // ALREADY_REGISTERED (detail pid: the holder, also if that is the caller):
  // unique keys only; a dead holder is replaced at once (otp R2).
  absl::StatusOr<Pid> Register(Context& self, absl::string_view key,
                               SharedValue value = SharedValue());
  // Takes all its entries of `key` from it; none is fine.
  void Unregister(Context& self, absl::string_view key);
  // As above, only those whose value the predicate takes.
  using Predicate = absl::FunctionRef<bool(const SharedValue& value)>;
  void UnregisterMatch(Context& self, absl::string_view key,
                       Predicate predicate);
  // Replaces its value of `key` by what `change` makes of it. NOT_FOUND
  // NOT_REGISTERED: it has no such key; FAILED_PRECONDITION NOT_UNIQUE;
  // `change` is called in neither case. If it throws, nothing changes.
  absl::StatusOr<RegistryUpdate> UpdateValue(
      Context& self, absl::string_view key,
      absl::FunctionRef<SharedValue(const SharedValue& before)> change);

  // -- Looking -------------------------------------------------------------
  // May contain processes that have just ended. In order of registration
  // within a partition.
  RegistryEntries Lookup(absl::string_view key) const;
  RegistryEntries Match(absl::string_view key, Predicate predicate) const;
  size_t CountMatch(absl::string_view key, Predicate predicate) const;
  // Sorted; as often as it has each.
  std::vector<std::string> Keys(const Pid& pid) const;
  std::vector<SharedValue> Values(absl::string_view key, const Pid& pid) const;
  // Of entries.
  size_t Count() const;
  // All entries that the predicate takes, sorted by key and pid.
  using RowPredicate = absl::FunctionRef<bool(const RegistryRow& row)>;
  std::vector<RegistryRow> Select(RowPredicate predicate) const;
  size_t CountSelect(RowPredicate predicate) const;
  RegistrySize Size() const;

  // -- Dispatch (otp R8) ---------------------------------------------------
  // Calls `send` once for each partition that has entries of `key`, never with
  // none; in the caller.
  void Dispatch(absl::string_view key,
                absl::FunctionRef<void(absl::Span<const RegistryEntry> entries)>
                    send) const;
  // As above, but with several partitions by pid each call runs in a process
  // of its own, all at once: `send` then runs on several threads. Complete when
  // all have returned; ABORTED CALLEE_EXITED if one threw.
  //   absl::Status sent = co_await events.DispatchInParallel(self, "x", send);
  Pending<absl::Status> DispatchInParallel(
      Context& self, absl::string_view key,
      std::function<void(absl::Span<const RegistryEntry> entries)> send) const;

  // -- Locks (otp R11) -----------------------------------------------------
  // Released by its destructor, so at the end of its scope, when that is left
  // by an exception, and when its process ends.
  class Lock {
   public:
    Lock(Lock&& other) noexcept;
    Lock& operator=(Lock&& other) noexcept;
    ~Lock();

   private:
    friend class Registry;
    Lock(Registry* registry, std::string key);
    Registry* registry_;  // Null: moved from.
    std::string key_;
  };
  // Waits until no other process holds the lock `key`, in order of arrival;
  // who has ended meanwhile is skipped. Locks have nothing to do with entries.
  // A process that waits for its own lock waits for ever.
  //   muster::Registry::Lock lock = co_await sessions.Acquire(self, "user-1");
  Pending<Lock> Acquire(Context& self, absl::string_view key);

  // -- Metadata ------------------------------------------------------------
  // None if there is none.
  SharedValue Meta(absl::string_view key) const ABSL_LOCKS_EXCLUDED(meta_mu_);
  void PutMeta(absl::string_view key, SharedValue value)
      ABSL_LOCKS_EXCLUDED(meta_mu_);
  void DeleteMeta(absl::string_view key) ABSL_LOCKS_EXCLUDED(meta_mu_);

  // -- ViaRegistry: unique registries --------------------------------------
  // FAILED_PRECONDITION NOT_UNIQUE with duplicate keys; else as Register, but
  // for a process that need not be the caller, and ALREADY_STARTED for
  // ALREADY_REGISTERED.
  Pid WhereIs(absl::string_view key) const override;
  void Register(absl::string_view key, const Pid& pid,
                absl::AnyInvocable<void(absl::Status)> done) override;
  void Unregister(absl::string_view key, const Pid& pid) override;

 private:
  class Keeper;
  class Owner;

  // What a partition knows of a process of its own.
  struct Holder {
    std::vector<std::string> keys;  // With repetitions.
    Pid pid;
    uint64_t observer = 0;
  };
  // A table of keys and one of processes. A key's entries and its process's
  // line may be in two partitions; the latter is written first and erased last.
  struct Partition {
    mutable Mutex mu;
    Pid owner ABSL_GUARDED_BY(mu);  // Empty: down, takes nothing.
    absl::flat_hash_map<std::string, RegistryEntries> keys ABSL_GUARDED_BY(mu);
    absl::flat_hash_map<uint64_t, Holder> holders ABSL_GUARDED_BY(mu);
  };
  struct Waiter {
    Waiter(Pid p, std::shared_ptr<internal::Arrival<Lock>> a)
        : pid(std::move(p)), arrival(std::move(a)) {}
    Pid pid;
    std::shared_ptr<internal::Arrival<Lock>> arrival;
  };

  bool unique() const { return options_.kind == RegistryKind::kUnique; }
  // An owner's crash restarts all.
  bool restarts_all() const {
    return options_.kind != RegistryKind::kDuplicateByPid;
  }
  Runtime* runtime() const {
    // Acquire: Begin wrote what the runtime needs before it.
    return runtime_.load(std::memory_order_acquire);
  }
  Partition& HomeOf(const Pid& pid) const;
  Partition& PartitionOf(absl::string_view key, const Pid& pid) const;

  // For the keeper.
  absl::Status Begin(Runtime* runtime, const Pid& keeper);
  void End(const Pid& keeper);
  void OwnerStarted(size_t partition, const Pid& owner);
  void OwnerEnded(size_t partition, const Pid& owner);

  absl::Status Restarting() const;
  absl::StatusOr<Pid> Add(absl::string_view key, const Pid& pid,
                          SharedValue value);
  // The holder in the way; the empty pid if `pid` has the key now.
  Pid Insert(absl::string_view key, const Pid& pid, const SharedValue& value);
  // Takes the entries of `pid` that `predicate` takes out of the key's table;
  // how many.
  size_t Erase(absl::string_view key, const Pid& pid, Predicate predicate);
  // Takes `count` keys out of a process's line; with the last goes its link.
  void Forget(absl::string_view key, const Pid& pid, size_t count);
  void Remove(absl::string_view key, const Pid& pid, Predicate predicate);
  void ProcessEnded(const Pid& pid);
  void Clear(Partition& partition);
  template <typename Event>
  void Tell(const Event& event) const;
  void Unlock(const std::string& key) ABSL_LOCKS_EXCLUDED(lock_mu_);

  // Constant after construction.
  const RegistryOptions options_;
  std::vector<std::unique_ptr<Partition>> partitions_;

  // Own synchronization.
  std::atomic<Runtime*> runtime_{nullptr};

  mutable Mutex state_mu_;
  Pid keeper_ ABSL_GUARDED_BY(state_mu_);

  mutable Mutex meta_mu_;
  absl::flat_hash_map<std::string, SharedValue> meta_ ABSL_GUARDED_BY(meta_mu_);

  mutable Mutex lock_mu_;
  // Held locks and who waits for each.
  absl::flat_hash_map<std::string, std::deque<Waiter>> locks_
      ABSL_GUARDED_BY(lock_mu_);
};

}  // namespace muster

#endif  // MUSTER_NODE_REGISTRY_REGISTRY_H_
