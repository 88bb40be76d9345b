// HordeFailover: trees of which nodes stop, die or are cut off.
#ifndef MUSTER_TESTS_CONFORMANCE_OTP_HORDE_FIXTURE_H_
#define MUSTER_TESTS_CONFORMANCE_OTP_HORDE_FIXTURE_H_

#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/conformance/otp/tree_fixture.h"

namespace muster {

class HordeFailover : public TreeFixture {
 protected:
  explicit HordeFailover(int nodes = 2) : TreeFixture(nodes) {}

  // Soon all these run, each once, on nodes that live.
  void ExpectWhole(const std::vector<std::string>& ids) {
    EXPECT_TRUE(cluster_.RunUntil([&] {
      return script_->living == static_cast<int>(ids.size()) &&
             Pids(AnyJoined(), ids).size() == ids.size();
    }));
    cluster_.RunFor(absl::Seconds(2));
    const std::vector<int> joined = Joined();
    for (const int node : joined) {
      const std::set<Pid> pids = Pids(node, ids);
      EXPECT_EQ(pids.size(), ids.size()) << "as node " << node << " knows it";
      EXPECT_FALSE(pids.contains(Pid()));
    }
    EXPECT_EQ(script_->living, static_cast<int>(ids.size()));
    EXPECT_EQ(script_->overlaps, 0);
    EXPECT_GT(script_->beats, 0);
  }
};

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_OTP_HORDE_FIXTURE_H_
