// The suite on SimRandom.
#include <memory>

#include "gtest/gtest.h"
#include "tests/conformance/random/random_conformance.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

INSTANTIATE_TEST_SUITE_P(
    Sim, RandomConformanceTest,
    testing::Values(
        RandomFactory([] { return std::make_unique<SimRandom>(1); }),
        RandomFactory([] { return std::make_unique<SimRandom>(2); })));

}  // namespace
}  // namespace muster
