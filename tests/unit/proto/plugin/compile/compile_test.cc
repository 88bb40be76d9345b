// Generated headers compile, whatever names a .proto uses, and say what they
// should. Running servers is for tests/unit/examples.
#include <type_traits>
#include <utility>

#include "google/protobuf/empty.pb.h"
#include "gtest/gtest.h"
#include "tests/unit/proto/plugin/compile/names.muster.client.h"
#include "tests/unit/proto/plugin/compile/names.muster.server.h"
#include "tests/unit/proto/plugin/compile/no_package.muster.client.h"
#include "tests/unit/proto/plugin/compile/no_package.muster.server.h"
#include "tests/unit/proto/plugin/compile/no_service.muster.client.h"
#include "tests/unit/proto/plugin/compile/no_service.muster.server.h"

namespace {

namespace names = plugintest::muster::absl;
using plugintest::other::v1::Outer;
using plugintest::other::v1::Outer_Inner;

class Names final : public names::NamesServer {
 public:
  muster::Reply<Outer_Inner> delete_(const Outer& request,
                                     muster::Context&) override {
    return request.inner();
  }
  muster::Reply<names::Response> Request(const names::Request&,
                                         muster::Context&) override {
    return names::Response();
  }
  muster::Reply<names::Response> Reply(const names::Request&,
                                       muster::Context&) override {
    return names::Response();
  }
  muster::Reply<names::Response> Caller(const names::Request&,
                                        muster::Context&) override {
    return names::Response();
  }
  muster::Reply<names::Response> method(const names::Request&,
                                        muster::Context&) override {
    return names::Response();
  }
  muster::Next options(const names::Request&, muster::Context&) override {
    return muster::NoReply();
  }
  muster::Next self(const names::Request&, muster::Context&) override {
    return muster::NoReply();
  }
};

class Casts final : public names::CastsServer {
 public:
  muster::Next co_await_(const google::protobuf::Empty&,
                         muster::Context&) override {
    return muster::NoReply();
  }
};

class Nothing final : public names::NothingServer {};

class Bare final : public PluginTestBareServer {
 public:
  muster::Reply<google::protobuf::Empty> Ping(const google::protobuf::Empty& e,
                                              muster::Context&) override {
    return e;
  }
};

const muster::ServiceInfo& InfoOf(const muster::ProcessBody& server) {
  return server.service_info();
}

TEST(GeneratedCodeTest, OptionsAreWhatInitNames) {
  static_assert(std::is_same_v<Names::Options, Outer_Inner>);
  static_assert(std::is_same_v<Casts::Options, google::protobuf::Empty>);
}

TEST(GeneratedCodeTest, ServiceInfoListsTheMethodsByTheirNameOnTheWire) {
  const Names server;
  const muster::ServiceInfo& info = InfoOf(server);
  EXPECT_EQ(info.service, "plugintest.muster.absl.Names");
  ASSERT_EQ(info.methods.size(), 7u);
  EXPECT_EQ(info.methods[0].name, "delete");
  EXPECT_FALSE(info.methods[0].cast);
  EXPECT_EQ(info.methods[5].name, "options");
  EXPECT_TRUE(info.methods[5].cast);
}

TEST(GeneratedCodeTest, AServiceWithoutMethodsHasNone) {
  const Nothing server;
  EXPECT_EQ(InfoOf(server).service, "plugintest.muster.absl.Nothing");
  EXPECT_TRUE(InfoOf(server).methods.empty());
}

TEST(GeneratedCodeTest, ServiceDescriptorIsFound) {
  ASSERT_NE(Names::ServiceDescriptor(), nullptr);
  EXPECT_EQ(Names::ServiceDescriptor()->full_name(),
            "plugintest.muster.absl.Names");
}

// Nothing but the lookup itself can make the linker take the file's code.
TEST(GeneratedCodeTest, ServiceDescriptorIsFoundInAFileWithoutMessages) {
  ASSERT_NE(Bare::ServiceDescriptor(), nullptr);
  EXPECT_EQ(Bare::ServiceDescriptor()->full_name(), "PluginTestBare");
}

TEST(GeneratedCodeTest, ClientsReturnWhatTheRpcSays) {
  using NamesClient = names::NamesClient;
  static_assert(
      std::is_same_v<decltype(std::declval<NamesClient&>().delete_(Outer())),
                     muster::PendingCall<Outer_Inner>>);
  static_assert(std::is_same_v<decltype(std::declval<NamesClient&>().options(
                                   names::Request())),
                               muster::PendingCast>);
  static_assert(
      std::is_same_v<decltype(std::declval<PluginTestBareClient&>().Ping({})),
                     muster::PendingCall<google::protobuf::Empty>>);
}

}  // namespace
