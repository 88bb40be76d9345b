// The suite on SystemRandom.
#include <memory>

#include "gtest/gtest.h"
#include "node/base/random.h"
#include "tests/conformance/random/random_conformance.h"

namespace muster {
namespace {

INSTANTIATE_TEST_SUITE_P(System, RandomConformanceTest,
                         testing::Values(RandomFactory([] {
                           return std::make_unique<SystemRandom>();
                         })));

}  // namespace
}  // namespace muster
