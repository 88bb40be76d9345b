#include "node/base/scheduler.h"

namespace muster {

namespace {

thread_local bool on_worker = false;

}  // namespace

bool Scheduler::OnWorker() { return on_worker; }

void Scheduler::SetOnWorker(bool on) { on_worker = on; }

}  // namespace muster
