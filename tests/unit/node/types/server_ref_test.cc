#include "node/types/server_ref.h"

#include <string>

#include "gtest/gtest.h"

namespace muster {
namespace {

TEST(ServerRefTest, AStringIsAClusterWideName) {
  for (const ServerRef& ref :
       {ServerRef("x"), ServerRef(std::string("x")),
        ServerRef(absl::string_view("x")), ServerRef::Global("x")}) {
    EXPECT_EQ(ref.kind(), ServerRef::Kind::kGlobal);
    EXPECT_EQ(ref.name(), "x");
  }
}

TEST(ServerRefTest, ReadsWell) {
  const Pid pid{"a", {1, 2}, 3};
  EXPECT_EQ(ServerRef("counter_a").ToString(), "counter_a");
  EXPECT_EQ(ServerRef::Local("log", "b").ToString(), "log on node b");
  EXPECT_EQ(ServerRef::Local("log").ToString(), "log on this node");
  EXPECT_EQ(ServerRef(pid).ToString(), pid.ToString());
}

TEST(ServerRefTest, ComesBack) {
  for (const ServerRef& ref :
       {ServerRef("x"), ServerRef::Local("x"), ServerRef::Local("x", "b"),
        ServerRef(Pid{"a", {1, 2}, 3})}) {
    EXPECT_EQ(ServerRef::FromProto(ref.ToProto()), ref);
  }
}

TEST(ServerRefTest, EmptyReferenceIsTheNameNobodyHas) {
  EXPECT_EQ(ServerRef::FromProto(core::v1::ServerRef()), ServerRef::Global(""));
}

}  // namespace
}  // namespace muster
