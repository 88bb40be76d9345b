// FakeNameRegistry: cluster-wide names in a map, for tests of what uses them.
#ifndef MUSTER_TESTS_TESTKIT_FAKE_NAME_REGISTRY_H_
#define MUSTER_TESTS_TESTKIT_FAKE_NAME_REGISTRY_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "node/base/mutex.h"
#include "node/process/runtime.h"
#include "node/registry/name_registry.h"
#include "node/types/exit_reason.h"
#include "node/types/names.h"
#include "node/types/pid.h"
#include "node/types/status.h"

namespace muster {

// Epochs are {1, 1}, {1, 2}, ... in order of registration. Callbacks come
// inside the call. THREADS: any thread.
class FakeNameRegistry final : public NameRegistry {
 public:
  // From now on a registered process learns its name, and its end frees it, as
  // a node's own registry does it. Once; the runtime outlives what it starts.
  void Serve(Runtime* runtime) { runtime_ = runtime; }
  // As if the cluster had agreed on it; replaces an earlier entry.
  void Put(NameEntry entry) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    entries_[entry.name] = std::move(entry);
  }
  void Erase(absl::string_view name) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    entries_.erase(std::string(name));
  }

  std::optional<NameEntry> WhereIs(absl::string_view name) const override
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const auto at = entries_.find(std::string(name));
    if (at == entries_.end()) return std::nullopt;
    return at->second;
  }

  void Resolve(
      absl::string_view name, Epoch above,
      absl::AnyInvocable<void(absl::StatusOr<NameEntry>)> done) override {
    std::optional<NameEntry> entry = WhereIs(name);
    if (entry.has_value() && entry->epoch > above) {
      done(*std::move(entry));
    } else {
      done(NoProcess(name));
    }
  }

  void Confirm(absl::string_view name, const Pid& owner, Epoch epoch,
               absl::AnyInvocable<void(absl::Status)> done) override {
    const std::optional<NameEntry> entry = WhereIs(name);
    const bool stands = entry.has_value() && entry->epoch == epoch &&
                        entry->pid.node == owner.node &&
                        entry->pid.epoch == owner.epoch;
    done(stands ? absl::OkStatus()
                : Error(absl::StatusCode::kAborted, "FENCED",
                        absl::StrCat(LogSafe(name), " has moved"))
                      .status());
  }

  void ConfirmMember(const Pid& owner,
                     absl::AnyInvocable<void(absl::Status)> done) override
      ABSL_LOCKS_EXCLUDED(mu_) {
    bool gone;
    {
      MutexLock lock(&mu_);
      gone = gone_.contains(owner.node);
    }
    done(gone ? Error(absl::StatusCode::kAborted, "FENCED",
                      absl::StrCat(owner.node, " is no member"))
                    .status()
              : absl::OkStatus());
  }
  // No incarnation of the node is a member any more.
  void Bury(const std::string& node) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    gone_.insert(node);
  }

  void Register(absl::string_view name, const Pid& pid,
                absl::AnyInvocable<void(absl::StatusOr<Epoch>)> done) override
      ABSL_LOCKS_EXCLUDED(mu_) {
    absl::Status status = ValidateName(name);
    if (!status.ok()) return done(std::move(status));
    absl::StatusOr<Epoch> epoch = Claim(name, pid);
    if (epoch.ok() && runtime_ != nullptr) {
      status = runtime_->SetGlobalName(pid, name, *epoch);
      if (!status.ok()) {
        Erase(name);
        return done(std::move(status));
      }
      runtime_->ObserveExit(
          pid, [this, pid, name = std::string(name)](const ExitReason&) {
            EraseOf(name, pid);
          });
    }
    done(std::move(epoch));
  }

  void Unregister(absl::string_view name,
                  absl::AnyInvocable<void(absl::Status)> done) override
      ABSL_LOCKS_EXCLUDED(mu_) {
    bool erased = false;
    if (runtime_ != nullptr) runtime_->ClearGlobalName(name);
    {
      MutexLock lock(&mu_);
      erased = entries_.erase(std::string(name)) > 0;
    }
    done(erased ? absl::OkStatus() : NoProcess(name));
  }

  std::vector<NameEntry> List(absl::string_view prefix) const override
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    std::vector<NameEntry> list;
    for (const auto& [name, entry] : entries_) {
      if (absl::StartsWith(name, prefix)) list.push_back(entry);
    }
    return list;
  }

 private:
  static absl::Status NoProcess(absl::string_view name) {
    return Error(absl::StatusCode::kNotFound, "NOPROC",
                 absl::StrCat("no process is registered as ", LogSafe(name)))
        .NotExecuted();
  }

  void EraseOf(const std::string& name, const Pid& pid)
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const auto at = entries_.find(name);
    if (at != entries_.end() && at->second.pid == pid) entries_.erase(at);
  }

  absl::StatusOr<Epoch> Claim(absl::string_view name, const Pid& pid)
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const auto at = entries_.find(std::string(name));
    if (at != entries_.end()) {
      return Error(absl::StatusCode::kAlreadyExists, "ALREADY_STARTED",
                   absl::StrCat(LogSafe(name), " is taken"))
          .With("pid", at->second.pid.ToString())
          .NotExecuted();
    }
    NameEntry entry;
    entry.name = std::string(name);
    entry.pid = pid;
    entry.epoch = Epoch{1, next_revision_++};
    entries_[entry.name] = entry;
    return entry.epoch;
  }

  Runtime* runtime_ = nullptr;
  mutable Mutex mu_;
  uint64_t next_revision_ ABSL_GUARDED_BY(mu_) = 1;
  std::map<std::string, NameEntry> entries_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> gone_ ABSL_GUARDED_BY(mu_);
};

}  // namespace muster

#endif  // MUSTER_TESTS_TESTKIT_FAKE_NAME_REGISTRY_H_
