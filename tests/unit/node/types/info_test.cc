#include "node/types/info.h"

#include <memory>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/core/v1/core.pb.h"

namespace muster {
namespace {

struct Tick {
  int n = 0;
};

TEST(InfoTest, ProtobufMessagesTravel) {
  core::v1::Epoch epoch;
  epoch.set_revision(7);
  Info info(epoch);
  EXPECT_FALSE(info.is_local());
  EXPECT_EQ(info.type(), "muster.core.v1.Epoch");
  ASSERT_NE(info.As<core::v1::Epoch>(), nullptr);
  EXPECT_EQ(info.As<core::v1::Epoch>()->revision(), 7u);
  EXPECT_EQ(info.As<core::v1::Pid>(), nullptr);
  EXPECT_EQ(info.As<Tick>(), nullptr);

  Info received(
      Payload::FromBytes(info.payload().ToBytes(), info.payload().type()));
  ASSERT_NE(received.As<core::v1::Epoch>(), nullptr);
  EXPECT_EQ(received.As<core::v1::Epoch>()->revision(), 7u);
}

TEST(InfoTest, CppValuesStay) {
  Info info(Tick{3});
  EXPECT_TRUE(info.is_local());
  ASSERT_NE(info.As<Tick>(), nullptr);
  EXPECT_EQ(info.As<Tick>()->n, 3);
  EXPECT_EQ(info.As<int>(), nullptr);
  EXPECT_EQ(info.As<core::v1::Epoch>(), nullptr);
  EXPECT_THAT(info.type(), ::testing::HasSubstr("Tick"));
  EXPECT_GT(info.size_bytes(), 0u);
}

TEST(InfoTest, MoveOnlyValuesCanBeTakenOut) {
  Info info(std::make_unique<int>(5));
  Info moved(std::move(info));
  auto* const value = moved.MutableValue<std::unique_ptr<int>>();
  ASSERT_NE(value, nullptr);
  EXPECT_EQ(**value, 5);
}

TEST(InfoTest, BytesWithoutTypeAreNoMessage) {
  Info info(Payload::FromBytes(""));
  EXPECT_EQ(info.As<core::v1::Epoch>(), nullptr);
}

}  // namespace
}  // namespace muster
