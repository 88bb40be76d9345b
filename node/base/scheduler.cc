#include "node/base/scheduler.h"

#include <utility>

namespace muster {

namespace {

thread_local bool on_worker = false;

}  // namespace

bool Scheduler::OnWorker() { return on_worker; }

void Scheduler::SetOnWorker(bool on) { on_worker = on; }

namespace internal {
namespace {

// A void pointer, since the type is the schedulers' own.
thread_local void* current_showcase = nullptr;

}  // namespace
}  // namespace internal

void Scheduler::SetShowcase(Showcase* showcase) {
  internal::current_showcase = showcase;
}

std::string Scheduler::Showcase::Activity() const {
  // Under the lock, so that the task does not go away meanwhile.
  MutexLock lock(&mu_);
  return task_ == nullptr ? std::string() : task_->Activity();
}

const Task* Scheduler::Showcase::Show(const Task* task) {
  MutexLock lock(&mu_);
  return std::exchange(task_, task);
}

Scheduler::Working::Working(const Task* task) {
  if (internal::current_showcase == nullptr) return;
  outer_ = static_cast<Showcase*>(internal::current_showcase)->Show(task);
}

Scheduler::Working::~Working() {
  if (internal::current_showcase == nullptr) return;
  static_cast<Showcase*>(internal::current_showcase)->Show(outer_);
}

}  // namespace muster
