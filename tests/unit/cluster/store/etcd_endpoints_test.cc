#include "cluster/store/etcd_endpoints.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"

namespace muster {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(EtcdEndpointsTest, ReadsHostsAndAddresses) {
  const auto endpoints =
      ParseEtcdSpec("etcd://10.0.0.1:2379,etcd-2.example:1,[::1]:65535");
  ASSERT_TRUE(endpoints.ok()) << endpoints.status();
  ASSERT_EQ(endpoints->size(), 3u);
  EXPECT_EQ((*endpoints)[0], (EtcdEndpoint{"10.0.0.1", 2379}));
  EXPECT_EQ((*endpoints)[1], (EtcdEndpoint{"etcd-2.example", 1}));
  EXPECT_EQ((*endpoints)[2], (EtcdEndpoint{"::1", 65535}));
  EXPECT_EQ((*endpoints)[2].ToString(), "[::1]:65535");
}

TEST(EtcdEndpointsTest, TargetsNameTheResolver) {
  EXPECT_EQ((EtcdEndpoint{"10.0.0.1", 2379}).ChannelTarget(),
            "ipv4:10.0.0.1:2379");
  EXPECT_EQ((EtcdEndpoint{"::1", 2379}).ChannelTarget(), "ipv6:%5B::1%5D:2379");
  EXPECT_EQ((EtcdEndpoint{"etcd-1", 2379}).ChannelTarget(),
            "dns:///etcd-1:2379");
}

TEST(EtcdEndpointsTest, ErrorsSayWhatIsWrongAndWhatWouldBeRight) {
  const struct {
    const char* spec;
    const char* wrong;
  } kCases[] = {
      {"", "does not begin with etcd://"},
      {"http://a:1", "does not begin with etcd://"},
      {"etcd:a:1", "does not begin with etcd://"},
      {"ETCD://a:1", "does not begin with etcd://"},
      {"etcd://", "names no endpoint"},
      {"etcd://a:1,", "empty etcd endpoint"},
      {"etcd://,a:1", "empty etcd endpoint"},
      {"etcd://a", "\"a\" has no port"},
      {"etcd://a:", "\"a:\" has no port"},
      {"etcd://[::1]", "has no port"},
      {"etcd://:2379", "has no host"},
      {"etcd://a:0", "bad port"},
      {"etcd://a:65536", "bad port"},
      {"etcd://a:-1", "bad port"},
      {"etcd://a:+1", "bad port"},
      {"etcd://a:1e3", "bad port"},
      {"etcd://a: 1", "bad port"},
      {"etcd://a:99999999999999999999", "bad port"},
      {"etcd://::1:2379", "more than one ':'"},
      {"etcd://[::1:2379", "has no ']'"},
      {"etcd://[::g]:2379", "no IPv6 address in its brackets"},
      {"etcd://[]:2379", "no IPv6 address in its brackets"},
      {"etcd://1.2.3:1", "bad IPv4 address"},
      {"etcd://1.2.3.256:1", "bad IPv4 address"},
      {"etcd://a b:1", "no name or address"},
      {"etcd://a:1/", "has a path"},
      {"etcd://a:1/x,b:1", "has a path"},
      {"etcd://a:1;b:1", "more than one ':'"},
      {"etcd://a:1, b:1", "no name or address"},
      {"etcd://user:secret@a:1", "has an '@'"},
      {"etcd://a:1,b:1,a:1", "named twice"},
  };
  for (const auto& c : kCases) {
    const absl::Status status = ParseEtcdSpec(c.spec).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.spec;
    EXPECT_EQ(ReasonOf(status), "BAD_STORE") << c.spec;
    const std::string message(status.message());
    EXPECT_THAT(message, HasSubstr(c.wrong)) << c.spec;
    EXPECT_THAT(message, Not(HasSubstr("secret")));
    EXPECT_LT(message.size(), 400u);
  }
}

TEST(EtcdEndpointsTest, TooManyEndpointsAreRefused) {
  std::string spec = "etcd://h0:1";
  for (int i = 1; i < kEtcdEndpointsMax; ++i) {
    absl::StrAppend(&spec, ",h", i, ":1");
  }
  EXPECT_TRUE(ParseEtcdSpec(spec).ok());
  absl::StrAppend(&spec, ",one-more:1");
  EXPECT_EQ(ReasonOf(ParseEtcdSpec(spec).status()), "BAD_STORE");
}

TEST(EtcdEndpointsTest, MessagesAreBounded) {
  const absl::Status status =
      ParseEtcdSpec(absl::StrCat("etcd://", std::string(100000, '\n')))
          .status();
  EXPECT_LT(status.message().size(), 500u);
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
}

}  // namespace
}  // namespace muster
