#include "cluster/boot/labels.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "node/types/status.h"

namespace muster {
namespace {

TEST(LabelsTest, ReadsKeysAndValues) {
  const auto labels =
      ParseLabels({"zone=a", "rack=", "example.com/disk=ssd-1.2_x"});
  ASSERT_TRUE(labels.ok()) << labels.status();
  EXPECT_EQ(
      *labels,
      (std::map<std::string, std::string>{
          {"zone", "a"}, {"rack", ""}, {"example.com/disk", "ssd-1.2_x"}}));
  EXPECT_TRUE(ParseLabels({})->empty());
  EXPECT_TRUE(ParseLabels({absl::StrCat(std::string(63, 'k'), "=",
                                        std::string(63, 'v'))})
                  .ok());
}

TEST(LabelsTest, RefusesWhatIsNone) {
  for (const std::string& word :
       {std::string("zone"), std::string("=a"), std::string(""),
        std::string("zone=a b"), std::string("zo ne=a"), std::string(".z=a"),
        std::string("zone=a=b"), std::string("zone=a/b"),
        std::string("z\xff=a"), absl::StrCat(std::string(64, 'k'), "=v"),
        absl::StrCat("k=", std::string(64, 'v'))}) {
    EXPECT_EQ(ReasonOf(ParseLabels({word}).status()), "BAD_LABEL") << word;
  }
  EXPECT_EQ(ReasonOf(ParseLabels({"zone=a", "zone=a"}).status()), "BAD_LABEL");
  std::vector<std::string> many;
  for (int i = 0; i < 33; ++i) many.push_back(absl::StrCat("k", i, "=v"));
  EXPECT_EQ(ReasonOf(ParseLabels(many).status()), "BAD_LABEL");
  many.pop_back();
  EXPECT_TRUE(ParseLabels(many).ok());
}

}  // namespace
}  // namespace muster
