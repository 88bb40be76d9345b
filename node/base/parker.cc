#include "node/base/parker.h"

namespace muster {

void CondVarParker::Park(BootTime until) {
  MutexLock lock(&mu_);
  while (!unparked_ && wake_.WaitUntil(&mu_, *clock_, until)) {
  }
  unparked_ = false;
}

void CondVarParker::Unpark() {
  {
    MutexLock lock(&mu_);
    unparked_ = true;
  }
  wake_.Signal();
}

}  // namespace muster
