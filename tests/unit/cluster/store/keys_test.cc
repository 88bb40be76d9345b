#include "cluster/store/keys.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"

namespace muster {
namespace {

TEST(KeysTest, AreWhereTheLayoutSays) {
  const Keys keys("shop");
  EXPECT_EQ(keys.Root(), "/muster/shop/");
  EXPECT_EQ(keys.Meta(), "/muster/shop/meta");
  EXPECT_EQ(keys.Node("a"), "/muster/shop/node/a");
  EXPECT_EQ(keys.Heartbeat("a"), "/muster/shop/hb/a");
  EXPECT_EQ(keys.Barrier("a"), "/muster/shop/barrier/a");
  EXPECT_EQ(keys.Name("user:7@x"), "/muster/shop/name/user:7@x");
  EXPECT_EQ(keys.Name("a/b"), "/muster/shop/name/a%2Fb");
  EXPECT_EQ(keys.Supervisor("s"), "/muster/shop/supervisor/s");
  EXPECT_EQ(keys.Child("s/1", "c/2"), "/muster/shop/child/s%2F1/c%2F2");
  EXPECT_EQ(keys.ChildPrefix("s/1"), "/muster/shop/child/s%2F1/");
}

TEST(KeysTest, ParseInvertsEachKey) {
  const Keys keys("shop");
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  for (const std::string& id :
       {std::string("a"), std::string("a/b"), std::string("%2F"), bytes}) {
    const auto node = keys.Parse(keys.Node(id));
    ASSERT_TRUE(node.ok()) << node.status();
    EXPECT_EQ(node->kind, Keys::Kind::kNode);
    EXPECT_EQ(node->id, id);
    const auto heartbeat = keys.Parse(keys.Heartbeat(id));
    ASSERT_TRUE(heartbeat.ok()) << heartbeat.status();
    EXPECT_EQ(heartbeat->kind, Keys::Kind::kHeartbeat);
    EXPECT_EQ(heartbeat->id, id);
    const auto barrier = keys.Parse(keys.Barrier(id));
    ASSERT_TRUE(barrier.ok()) << barrier.status();
    EXPECT_EQ(barrier->kind, Keys::Kind::kBarrier);
    EXPECT_EQ(barrier->id, id);
    const auto name = keys.Parse(keys.Name(id));
    ASSERT_TRUE(name.ok()) << name.status();
    EXPECT_EQ(name->kind, Keys::Kind::kName);
    EXPECT_EQ(name->id, id);
    const auto supervisor = keys.Parse(keys.Supervisor(id));
    ASSERT_TRUE(supervisor.ok()) << supervisor.status();
    EXPECT_EQ(supervisor->kind, Keys::Kind::kSupervisor);
    EXPECT_EQ(supervisor->id, id);
    const auto attested = keys.Parse(keys.Attested(id));
    ASSERT_TRUE(attested.ok()) << attested.status();
    EXPECT_EQ(attested->kind, Keys::Kind::kAttested);
    EXPECT_EQ(attested->id, id);
    const auto child = keys.Parse(keys.Child(id, "c/d"));
    ASSERT_TRUE(child.ok()) << child.status();
    EXPECT_EQ(child->kind, Keys::Kind::kChild);
    EXPECT_EQ(child->supervisor, id);
    EXPECT_EQ(child->id, "c/d");
  }
  const auto meta = keys.Parse(keys.Meta());
  ASSERT_TRUE(meta.ok()) << meta.status();
  EXPECT_EQ(meta->kind, Keys::Kind::kMeta);
  const auto compaction = keys.Parse(keys.Compaction());
  ASSERT_TRUE(compaction.ok()) << compaction.status();
  EXPECT_EQ(compaction->kind, Keys::Kind::kCompaction);
  EXPECT_EQ(compaction->id, "");
}

TEST(KeysTest, NoKeyIsUnderThePrefixOfAnother) {
  const Keys keys("a");
  const std::vector<std::string> ids = {"a",  "b",    "ab",    "a/b", "a/",
                                        "/a", "a%2F", "a%2Fb", "/"};
  for (const std::string& one : ids) {
    for (const std::string& other : ids) {
      const bool same = one == other;
      EXPECT_EQ(keys.Name(one) == keys.Name(other), same);
      EXPECT_EQ(absl::StartsWith(keys.Child(one, "x"), keys.ChildPrefix(other)),
                same)
          << one << " " << other;
    }
    EXPECT_TRUE(absl::StartsWith(keys.Child(one, "x"), keys.ChildPrefix()));
    EXPECT_FALSE(absl::StartsWith(keys.Name(one), keys.NodePrefix()));
  }
  // One cluster's name begins with another's.
  EXPECT_FALSE(absl::StartsWith(Keys("ab").Meta(), keys.Root()));
}

TEST(KeysTest, ParseRefusesWhatNoFunctionMakes) {
  const Keys keys("shop");
  for (const char* key : {"",
                          "/",
                          "/muster/shop",
                          "/muster/shop/",
                          "/muster/other/meta",
                          "/muster/shop/meta/",
                          "/muster/shop/meta2",
                          "/muster/shop/node/",
                          "/muster/shop/node/a/b",
                          "/muster/shop/name/a%2fb",
                          "/muster/shop/name/%41",
                          "/muster/shop/name/%",
                          "/muster/shop/name/%2",
                          "/muster/shop/name/%GG",
                          "/muster/shop/name/a b",
                          "/muster/shop/child/s",
                          "/muster/shop/child/s/",
                          "/muster/shop/child//c",
                          "/muster/shop/child/s/c/d",
                          "/muster/shop/tomb/a"}) {
    const absl::Status status = keys.Parse(key).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << key;
    EXPECT_EQ(ReasonOf(status), "BAD_KEY") << key;
  }
}

TEST(KeysTest, ErrorsAreBounded) {
  const absl::Status status =
      Keys("shop").Parse(std::string(100000, '\n')).status();
  EXPECT_LT(status.message().size(), 500u);
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
}

}  // namespace
}  // namespace muster
