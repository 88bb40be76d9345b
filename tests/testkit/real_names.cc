#include "tests/testkit/real_names.h"

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "node/base/check.h"

namespace muster {

RealNames::RealNames(Scheduler* scheduler, std::string node,
                     std::shared_ptr<Store> store)
    : scheduler_(scheduler),
      node_(std::move(node)),
      store_(std::move(store)),
      strand_(scheduler) {}

RealNames::~RealNames() {
  strand_.Close();
  if (runtime_ != nullptr) runtime_->KillAll();
  if (registry_ != nullptr) registry_->StopWatching();
  if (membership_ != nullptr) membership_->StopWatching();
  store_.reset();
}

void RealNames::Join() {
  MembershipOptions options;
  options.cluster = "names";
  options.node = node_;
  options.address = "127.0.0.1:1";
  MembershipListener listener;
  listener.on_change = [] {};
  listener.on_death = [](const std::string&, Epoch) {};
  listener.on_reaped = [] {};
  membership_ = std::make_unique<Membership>(
      std::move(options), store_.get(), &strand_, &scheduler_->clock(),
      &random_, &log_, std::move(listener));
  bool done = false;
  absl::StatusOr<Joined> joined;
  strand_.Post([&] {
    membership_->Join([&](absl::StatusOr<Joined> result) {
      MutexLock lock(&mu_);
      joined = std::move(result);
      done = true;
      changed_.SignalAll();
    });
  });
  {
    MutexLock lock(&mu_);
    while (!done) changed_.Wait(&mu_);
  }
  MUSTER_CHECK(joined.ok(), "it cannot join");
  RuntimeOptions runtime;
  runtime.node = node_;
  runtime.epoch = joined->epoch;
  runtime_ = std::make_unique<Runtime>(std::move(runtime), scheduler_, &random_,
                                       &log_, &membership_->fence());
  registry_ = std::make_unique<GlobalRegistry>(
      membership_.get(), store_.get(), &strand_, &scheduler_->clock(), &random_,
      &log_, runtime_.get(), [](const std::string&) {});
}

absl::Duration RealNames::Follow() {
  const BootTime begin = scheduler_->clock().Boot();
  bool done = false;
  strand_.Post([&] {
    registry_->Start([&] {
      MutexLock lock(&mu_);
      done = true;
      changed_.SignalAll();
    });
  });
  MutexLock lock(&mu_);
  while (!done) changed_.Wait(&mu_);
  return scheduler_->clock().Boot() - begin;
}

void RealNames::TakeMany(const std::string& prefix, size_t count,
                         size_t window) {
  size_t under_way = 0;
  absl::Status failed;
  for (size_t i = 0; i < count; ++i) {
    {
      MutexLock lock(&mu_);
      while (under_way >= window) changed_.Wait(&mu_);
      ++under_way;
    }
    Claim claim;
    claim.name = absl::StrCat(prefix, i);
    claim.process = i + 1;
    claim.type = "counter";
    registry_->Take(std::move(claim), [&](absl::StatusOr<Claimed> claimed) {
      MutexLock lock(&mu_);
      --under_way;
      if (!claimed.ok()) failed = claimed.status();
      changed_.SignalAll();
    });
  }
  MutexLock lock(&mu_);
  while (under_way > 0) changed_.Wait(&mu_);
  MUSTER_CHECK(failed.ok(), "a claim has failed");
}

bool RealNames::WaitUntil(absl::FunctionRef<bool()> condition) {
  const Clock& clock = scheduler_->clock();
  const BootTime deadline = clock.Boot() + absl::Seconds(30);
  while (!condition()) {
    if (clock.Boot() >= deadline) return false;
    MutexLock lock(&mu_);
    static_cast<void>(
        changed_.WaitUntil(&mu_, clock, clock.Boot() + absl::Milliseconds(2)));
  }
  return true;
}

}  // namespace muster
