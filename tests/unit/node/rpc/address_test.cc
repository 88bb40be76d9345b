#include "node/rpc/address.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/types/status.h"

namespace muster {
namespace {

using ::testing::HasSubstr;

TEST(AddressTest, LoopbackIsAccepted) {
  const std::pair<std::string, std::string> rows[] = {
      {"127.0.0.1:7001", "127.0.0.1:7001"},
      {"127.0.0.1:0", "127.0.0.1:0"},
      {"127.9.8.7:1", "127.9.8.7:1"},
      {"[::1]:7001", "[::1]:7001"},
      {"localhost:80", "127.0.0.1:80"},
      {"127.0.0.1:65535", "127.0.0.1:65535"},
  };
  for (const auto& [text, canonical] : rows) {
    const auto address = ParseLoopbackAddress(text);
    ASSERT_TRUE(address.ok()) << text << ": " << address.status();
    EXPECT_EQ(address->ToString(), canonical);
  }
}

TEST(AddressTest, OtherAddressesAreRefusedWithTheReason) {
  for (const char* const text :
       {"0.0.0.0:7001", "10.1.2.3:7001", "192.168.0.1:7001", "[::]:7001",
        "[fe80::1]:7001", "[::ffff:10.0.0.1]:7001", ":7001", "*:7001",
        "128.0.0.1:1"}) {
    const absl::Status status = ParseLoopbackAddress(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(ReasonOf(status), "NOT_LOOPBACK") << text;
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("elsewhere give --tls-dir"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("127.0.0.1:7001"));
  }
}

TEST(AddressTest, MalformedAddressesAreRefused) {
  for (const std::string& text :
       {std::string(""), std::string("127.0.0.1"), std::string("127.0.0.1:"),
        std::string("127.0.0.1:65536"), std::string("127.0.0.1:-1"),
        std::string("127.0.0.1:+1"), std::string("127.0.0.1: 1"),
        std::string("127.0.0.1:1x"), std::string("::1:7001"),
        std::string("[::1]7001"), std::string("[127.0.0.1]:7001"),
        std::string("[::1:7001"), std::string("example.com:7001"),
        std::string("127.1:7001"), std::string("unix:/tmp/s"),
        std::string("http://127.0.0.1:7001"), std::string(1000, 'a'),
        std::string("127.0.0.1\0:7001", 15)}) {
    const absl::Status status = ParseLoopbackAddress(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(ReasonOf(status), "BAD_ADDRESS") << text;
    EXPECT_LT(status.message().size(), 300u) << text;
  }
}

}  // namespace
}  // namespace muster
