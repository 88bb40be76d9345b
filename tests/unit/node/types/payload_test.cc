#include "node/types/payload.h"

#include <string>
#include <utility>

#include "google/protobuf/struct.pb.h"
#include "gtest/gtest.h"
#include "muster/core/v1/core.pb.h"

namespace muster {
namespace {

core::v1::Epoch Seven() {
  core::v1::Epoch epoch;
  epoch.set_revision(7);
  return epoch;
}

TEST(PayloadTest, ObjectIsHandedOnAsItIs) {
  Payload payload = Payload::Of(Seven());
  const core::v1::Epoch* const object = payload.As<core::v1::Epoch>();
  ASSERT_NE(object, nullptr);
  EXPECT_EQ(payload.As<core::v1::Epoch>(), object);
  EXPECT_EQ(payload.type(), "muster.core.v1.Epoch");
  const std::unique_ptr<core::v1::Epoch> taken =
      payload.Take<core::v1::Epoch>();
  EXPECT_EQ(taken.get(), object);
}

TEST(PayloadTest, BytesAreParsedOnce) {
  Payload payload = Payload::FromBytes(Seven().SerializeAsString());
  EXPECT_EQ(payload.type(), "");
  const core::v1::Epoch* const object = payload.As<core::v1::Epoch>();
  ASSERT_NE(object, nullptr);
  EXPECT_EQ(object->revision(), 7u);
  EXPECT_EQ(payload.As<core::v1::Epoch>(), object);
  EXPECT_EQ(payload.type(), "muster.core.v1.Epoch");
}

TEST(PayloadTest, AnotherTypeIsNull) {
  Payload object = Payload::Of(Seven());
  EXPECT_EQ(object.As<core::v1::Pid>(), nullptr);
  EXPECT_NE(object.As<core::v1::Epoch>(), nullptr);
  Payload bytes =
      Payload::FromBytes(Seven().SerializeAsString(), "muster.core.v1.Epoch");
  EXPECT_EQ(bytes.As<core::v1::Pid>(), nullptr);
  EXPECT_NE(bytes.As<core::v1::Epoch>(), nullptr);
}

TEST(PayloadTest, GarbageIsNullAndStays) {
  Payload payload = Payload::FromBytes("\xFF\xFF\xFF");
  EXPECT_EQ(payload.As<core::v1::Epoch>(), nullptr);
  EXPECT_EQ(payload.Take<core::v1::Epoch>(), nullptr);
  EXPECT_EQ(payload.ToBytes(), "\xFF\xFF\xFF");
}

TEST(PayloadTest, DeepNestingIsRefused) {
  google::protobuf::Value value;
  google::protobuf::Value* inner = &value;
  for (int i = 0; i < 40; ++i) {
    inner = inner->mutable_list_value()->add_values();
  }
  Payload payload = Payload::FromBytes(value.SerializeAsString());
  EXPECT_EQ(payload.As<google::protobuf::Value>(), nullptr);
}

TEST(PayloadTest, EmptyIsTheDefaultOfAnyMessage) {
  Payload payload;
  ASSERT_NE(payload.As<core::v1::Epoch>(), nullptr);
  EXPECT_EQ(Payload().ToBytes(), "");
}

TEST(PayloadTest, MapsAreSerializedInKeyOrder) {
  core::v1::ErrorInfo one;
  core::v1::ErrorInfo other;
  for (int i = 0; i < 100; ++i) {
    (*one.mutable_metadata())[std::to_string(i)] = "x";
    (*other.mutable_metadata())[std::to_string(99 - i)] = "x";
  }
  EXPECT_EQ(Payload::Of(one).ToBytes(), Payload::Of(other).ToBytes());
}

TEST(PayloadTest, ClonesShareNothing) {
  Payload object = Payload::Of(Seven());
  Payload copy = object.Clone();
  EXPECT_NE(copy.As<core::v1::Epoch>(), object.As<core::v1::Epoch>());
  EXPECT_EQ(copy.ToBytes(), object.ToBytes());
  const Payload bytes = Payload::FromBytes("b", "t");
  EXPECT_EQ(bytes.Clone().ToBytes(), "b");
  EXPECT_EQ(bytes.Clone().type(), "t");
  EXPECT_EQ(bytes.size_bytes(), 1u);
}

}  // namespace
}  // namespace muster
