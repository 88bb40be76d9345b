// FakeNameRegistry keeps the contract of NameRegistry.
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/conformance/names/names_conformance.h"
#include "tests/testkit/fake_name_registry.h"
#include "tests/testkit/runtime_fixture.h"

namespace muster {
namespace {

class FakeEnvironment final : public NamesEnvironment {
 public:
  FakeEnvironment() { names_.Serve(&node_.runtime()); }
  NameRegistry& names() override { return names_; }
  Runtime& runtime() override { return node_.runtime(); }
  bool WaitUntil(absl::FunctionRef<bool()> condition) override {
    return node_.RunUntil(condition, absl::Seconds(30));
  }

 private:
  FakeNameRegistry names_;
  SimRuntime node_;
};

INSTANTIATE_TEST_SUITE_P(Fake, NamesConformanceTest, ::testing::Values([] {
                           return std::make_unique<FakeEnvironment>();
                         }));

}  // namespace
}  // namespace muster
