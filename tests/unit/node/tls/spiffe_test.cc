// Identities: exactly one form is taken, everything else refused (guarantees
// 9.5 and section 10, certificates).
#include "node/tls/spiffe.h"

#include <gtest/gtest.h>

#include <string>

#include "node/types/status.h"

namespace muster {
namespace {

TEST(SpiffeTest, ReadsEachRole) {
  for (const char* role : {"node", "client", "viewer", "operator", "admin"}) {
    const std::string uri =
        std::string("spiffe://example.org/demo/") + role + "/a-1";
    const absl::StatusOr<Identity> identity = ParseIdentity(uri);
    ASSERT_TRUE(identity.ok()) << identity.status();
    EXPECT_EQ(identity->trust_domain, "example.org");
    EXPECT_EQ(identity->cluster, "demo");
    EXPECT_EQ(RoleName(identity->role), role);
    EXPECT_EQ(identity->name, "a-1");
    EXPECT_EQ(identity->ToString(), uri);
  }
}

TEST(SpiffeTest, RefusesEverythingElse) {
  const std::string bad[] = {
      "",
      "spiffe://",
      "SPIFFE://example.org/demo/node/a",
      "https://example.org/demo/node/a",
      "spiffe://example.org/demo/node",
      "spiffe://example.org/demo/node/",
      "spiffe://example.org/demo/node/a/",
      "spiffe://example.org/demo/node/a/b",
      "spiffe://example.org//node/a",
      "spiffe:///demo/node/a",
      "spiffe://Example.org/demo/node/a",
      "spiffe://example.org:443/demo/node/a",
      "spiffe://user@example.org/demo/node/a",
      "spiffe://-x/demo/node/a",
      "spiffe://example.org/demo/Node/a",
      "spiffe://example.org/demo/root/a",
      "spiffe://example.org/demo/node/A",
      "spiffe://example.org/demo/node/a?x=1",
      "spiffe://example.org/demo/node/a#x",
      "spiffe://example.org/demo/node/%61",
      "spiffe://example.org/demo/client/..",
      "spiffe://example.org/demo/client/.",
      "spiffe://example.org/demo/client/*",
      "spiffe://example.org/de_mo/node/a",
      std::string("spiffe://example.org/demo/node/a\0", 33),
      std::string("spiffe://example.org/demo/client/\xff"),
      "spiffe://example.org/demo/node/" + std::string(64, 'a'),
      "spiffe://" + std::string(256, 'd') + "/demo/node/a",
      "spiffe://" + std::string(1 << 20, 'd') + "/demo/node/a",
  };
  for (const std::string& uri : bad) {
    const absl::StatusOr<Identity> identity = ParseIdentity(uri);
    ASSERT_FALSE(identity.ok()) << uri.substr(0, 80);
    EXPECT_EQ(identity.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ReasonOf(identity.status()), "BAD_IDENTITY");
    EXPECT_EQ(OutcomeOf(identity.status()), Outcome::kNotExecuted);
    EXPECT_LT(identity.status().message().size(), 512u);
  }
}

TEST(SpiffeTest, RolesHaveNames) {
  EXPECT_EQ(*ParseRole("operator"), Role::kOperator);
  EXPECT_EQ(ReasonOf(ParseRole("Operator").status()), "BAD_ROLE");
  EXPECT_EQ(ReasonOf(ParseRole("").status()), "BAD_ROLE");
}

}  // namespace
}  // namespace muster
