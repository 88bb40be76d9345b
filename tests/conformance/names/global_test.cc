// GlobalRegistry keeps the contract of NameRegistry over a simulated store,
// with one seed after the other and a second node that looks on.
#include <cstdint>
#include <iostream>
#include <memory>
#include <tuple>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/conformance/names/names_conformance.h"
#include "tests/testkit/sim_cluster.h"

namespace muster {
namespace {

class GlobalEnvironment final : public NamesEnvironment {
 public:
  GlobalEnvironment(uint64_t seed, bool shuffle)
      : cluster_(seed, 2, Options(shuffle)) {
    std::cout << "seed " << seed << "\n";
    cluster_.StartAll();
  }
  NameRegistry& names() override { return cluster_.node(0).registry(); }
  Runtime& runtime() override { return cluster_.node(0).runtime(); }
  bool WaitUntil(absl::FunctionRef<bool()> condition) override {
    return cluster_.RunUntil(condition, absl::Seconds(30));
  }

 private:
  static SimClusterOptions Options(bool shuffle) {
    SimClusterOptions options;
    options.world.shuffle_lanes = shuffle;
    return options;
  }
  SimCluster cluster_;
};

std::vector<NewNamesEnvironment> Environments() {
  std::vector<NewNamesEnvironment> environments;
  for (const uint64_t seed : {1, 2, 3, 4}) {
    environments.push_back([seed] {
      return std::make_unique<GlobalEnvironment>(seed, /*shuffle=*/seed > 2);
    });
  }
  return environments;
}

INSTANTIATE_TEST_SUITE_P(Global, NamesConformanceTest,
                         ::testing::ValuesIn(Environments()));

}  // namespace
}  // namespace muster
