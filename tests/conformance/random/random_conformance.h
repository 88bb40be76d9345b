// The contract of node/base/random.h as a test suite.
//
// A backend links this library and instantiates RandomConformanceTest with a
// factory.
#ifndef MUSTER_TESTS_CONFORMANCE_RANDOM_RANDOM_CONFORMANCE_H_
#define MUSTER_TESTS_CONFORMANCE_RANDOM_RANDOM_CONFORMANCE_H_

#include <functional>
#include <memory>

#include "gtest/gtest.h"
#include "node/base/random.h"

namespace muster {

using RandomFactory = std::function<std::unique_ptr<RandomSource>()>;

class RandomConformanceTest : public testing::TestWithParam<RandomFactory> {
 protected:
  void SetUp() override { random_ = GetParam()(); }

  std::unique_ptr<RandomSource> random_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_RANDOM_RANDOM_CONFORMANCE_H_
