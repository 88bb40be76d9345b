// The contract of node/registry/name_registry.h, as one suite for every
// implementation.
#ifndef MUSTER_TESTS_CONFORMANCE_NAMES_NAMES_CONFORMANCE_H_
#define MUSTER_TESTS_CONFORMANCE_NAMES_NAMES_CONFORMANCE_H_

#include <functional>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "node/process/runtime.h"
#include "node/registry/name_registry.h"
#include "node/types/pid.h"

namespace muster {

// One node and its names.
class NamesEnvironment {
 public:
  virtual ~NamesEnvironment() = default;
  virtual NameRegistry& names() = 0;
  virtual Runtime& runtime() = 0;
  // True once `condition` holds; false when it will not.
  virtual bool WaitUntil(absl::FunctionRef<bool()> condition) = 0;
};

using NewNamesEnvironment = std::function<std::unique_ptr<NamesEnvironment>()>;

class NamesConformanceTest
    : public ::testing::TestWithParam<NewNamesEnvironment> {
 protected:
  NamesConformanceTest();

  NameRegistry& names() { return environment_->names(); }
  // A process that does nothing.
  Pid Spawn();
  // Ends it and waits for its end.
  void End(const Pid& pid);
  absl::StatusOr<Epoch> Register(absl::string_view name, const Pid& pid);
  absl::Status Unregister(absl::string_view name);
  absl::StatusOr<NameEntry> Resolve(absl::string_view name,
                                    Epoch above = Epoch());
  bool BecomesFree(absl::string_view name);

  std::unique_ptr<NamesEnvironment> environment_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_NAMES_NAMES_CONFORMANCE_H_
