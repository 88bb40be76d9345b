#include "cluster/membership/rejoin.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace muster {
namespace {

using Nodes = std::map<std::string, uint64_t>;

Nodes Make(int count, uint64_t revision) {
  Nodes nodes;
  for (int i = 0; i < count; ++i) nodes[absl::StrCat("n", i)] = revision;
  return nodes;
}

TEST(RejoinTest, AFirstStartAndASingleLossWaitForNobody) {
  EXPECT_EQ(RejoinDelay("n0", {}, {}), absl::ZeroDuration());
  EXPECT_EQ(RejoinDelay("n0", {{"n0", 5}}, {}), absl::ZeroDuration());
  Nodes now = Make(3, 5);
  now.erase("n0");
  EXPECT_EQ(RejoinDelay("n0", Make(3, 5), now), absl::ZeroDuration());
}

TEST(RejoinTest, AFifthIsNoMassMoreIs) {
  Nodes now = Make(20, 5);
  for (int i = 0; i < 4; ++i) now.erase(absl::StrCat("n", i));
  EXPECT_EQ(RejoinDelay("n0", Make(20, 5), now), absl::ZeroDuration());
  now.erase("n4");
  EXPECT_GT(RejoinDelay("n0", Make(20, 5), now), absl::ZeroDuration());
  // Those that are back already have lost theirs all the same.
  for (int i = 0; i < 5; ++i) now[absl::StrCat("n", i)] = 9;
  EXPECT_GT(RejoinDelay("n0", Make(20, 5), now), absl::ZeroDuration());
}

TEST(RejoinTest, AMassIsSpreadEvenlyByNameAlone) {
  constexpr int kNodes = 200;
  std::vector<int> tenths(10);
  for (int i = 0; i < kNodes; ++i) {
    const std::string node = absl::StrCat("n", i);
    const absl::Duration delay = RejoinDelay(node, Make(kNodes, 5), {});
    EXPECT_EQ(delay, RejoinDelay(node, Make(50, 7), {}));
    ASSERT_GE(delay, absl::ZeroDuration());
    ASSERT_LT(delay, kRejoinSpread);
    ++tenths[static_cast<size_t>(delay / (kRejoinSpread / 10))];
  }
  EXPECT_GE(*std::min_element(tenths.begin(), tenths.end()), kNodes / 20);
  EXPECT_LE(*std::max_element(tenths.begin(), tenths.end()), kNodes / 5);
}

}  // namespace
}  // namespace muster
