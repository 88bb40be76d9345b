// What of a TLS directory is taken, and what is refused with which reason
// (guarantees section 10, certificates and key files).
#include "node/tls/certificate.h"

#include <gtest/gtest.h>

#include <string>

#include "node/types/status.h"
#include "tests/testkit/test_authority.h"

namespace muster {
namespace {

class CertificateTest : public ::testing::Test {
 protected:
  std::string Refused(const TlsMaterial& material,
                      Want want = Want::kIdentity) {
    const absl::StatusOr<CertificateInfo> info =
        CheckMaterial(material, now_, want);
    if (info.ok()) return "";
    EXPECT_EQ(info.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(OutcomeOf(info.status()), Outcome::kNotExecuted);
    EXPECT_EQ(info.status().message().find("PRIVATE"), std::string::npos);
    return ReasonOf(info.status());
  }

  const absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  const TestAuthority authority_{now_};
  const Identity node_ = TestAuthority::Id(Role::kNode, "a");
};

TEST_F(CertificateTest, TakesWhatFits) {
  const absl::StatusOr<CertificateInfo> info =
      CheckMaterial(authority_.Make(node_), now_, Want::kIdentity);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->identity, node_);
  EXPECT_EQ(info->not_after, now_ + absl::Hours(24));
  EXPECT_EQ(info->not_before, now_ - absl::Hours(1));
  EXPECT_EQ(info->serial.size(), 32u);
  EXPECT_FALSE(info->RunsOut(now_));
  EXPECT_TRUE(info->RunsOut(now_ + absl::Hours(17)));
}

TEST_F(CertificateTest, RefusesTheWrongTime) {
  LeafRequest request = authority_.Request(node_);
  request.not_after = now_ - absl::Seconds(1);
  EXPECT_EQ(Refused(authority_.Make(request)), "CERTIFICATE_EXPIRED");
  request.not_before = now_ + absl::Seconds(1);
  request.not_after = now_ + absl::Hours(1);
  EXPECT_EQ(Refused(authority_.Make(request)), "CERTIFICATE_NOT_YET_VALID");
}

TEST_F(CertificateTest, RefusesWhatDoesNotGoTogether) {
  const TlsMaterial good = authority_.Make(node_);
  const TlsMaterial other = authority_.Make(node_);
  TlsMaterial mixed = good;
  mixed.key = other.key;
  EXPECT_EQ(Refused(mixed), "KEY_MISMATCH");
  const TestAuthority stranger(now_, "stranger");
  mixed = good;
  mixed.roots = stranger.authority().certificate;
  EXPECT_EQ(Refused(mixed), "NOT_SIGNED");
  // Both authorities, while one follows the other.
  mixed.roots += good.roots;
  EXPECT_EQ(Refused(mixed), "");
}

TEST_F(CertificateTest, RefusesAnyOtherNumberOfUris) {
  LeafRequest request = authority_.Request(node_);
  request.uris = {"spiffe://example.org/demo/admin/root"};
  EXPECT_EQ(Refused(authority_.Make(request)), "BAD_IDENTITY");
  request.identity.reset();
  EXPECT_EQ(Refused(authority_.Make(request)), "");
  request.uris = {"https://example.org/"};
  EXPECT_EQ(Refused(authority_.Make(request)), "BAD_IDENTITY");
  // The common name alone is nobody.
  request.uris.clear();
  request.common_name = "spiffe://example.org/demo/admin/root";
  EXPECT_EQ(Refused(authority_.Make(request)), "BAD_IDENTITY");
  EXPECT_EQ(Refused(authority_.Make(request), Want::kAnything), "");
  request = authority_.Request(node_);
  for (int i = 0; i < 1000; ++i) {
    request.hosts.push_back(absl::StrCat("h", i, ".example.org"));
  }
  EXPECT_EQ(Refused(authority_.Make(request)), "BAD_IDENTITY");
}

TEST_F(CertificateTest, RefusesGarbage) {
  const TlsMaterial good = authority_.Make(node_);
  for (std::string TlsMaterial::* part :
       {&TlsMaterial::roots, &TlsMaterial::certificate, &TlsMaterial::key}) {
    for (const std::string& text :
         {std::string(), std::string("garbage"), std::string(1000, '\0'),
          (good.*part).substr(0, (good.*part).size() / 2),
          std::string(kPemBytesMax + 1, 'x')}) {
      TlsMaterial bad = good;
      bad.*part = text;
      EXPECT_EQ(Refused(bad), "BAD_PEM") << text.substr(0, 20);
    }
  }
  TlsMaterial chain = good;
  for (int i = 0; i < kChainMax; ++i) chain.certificate += good.certificate;
  EXPECT_EQ(Refused(chain), "BAD_PEM");
}

TEST_F(CertificateTest, ReadsADirectory) {
  const TlsMaterial good = authority_.Make(node_);
  TlsDir dir("certificate_test");
  EXPECT_EQ(ReasonOf(ReadMaterial(dir.path()).status()), "NO_TLS_FILE");
  dir.Swap(good);
  const absl::StatusOr<TlsMaterial> read = ReadMaterial(dir.path());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, good);
  for (const mode_t mode : {0604, 0644, 0620, 0666}) {
    WriteText(dir.path() + "/key.pem", good.key, mode);
    EXPECT_EQ(ReasonOf(ReadMaterial(dir.path()).status()), "KEY_READABLE")
        << mode;
  }
  WriteText(dir.path() + "/key.pem", good.key, 0640);
  EXPECT_TRUE(ReadMaterial(dir.path()).ok());
  WriteText(dir.path() + "/ca.pem", std::string(kPemBytesMax + 1, 'x'));
  EXPECT_EQ(ReasonOf(ReadMaterial(dir.path()).status()), "NO_TLS_FILE");
  std::filesystem::remove(dir.path() + "/ca.pem");
  std::filesystem::create_directory(dir.path() + "/ca.pem");
  EXPECT_EQ(ReasonOf(ReadMaterial(dir.path()).status()), "NO_TLS_FILE");
}

TEST_F(CertificateTest, TheAuthoritySignsLeavesOnly) {
  const TlsMaterial leaf = authority_.Make(node_);
  Authority pretended;
  pretended.certificate = leaf.certificate;
  pretended.key = leaf.key;
  const absl::StatusOr<TlsMaterial> below =
      Issue(pretended, authority_.Request(node_));
  ASSERT_TRUE(below.ok()) << below.status();
  TlsMaterial chained = *below;
  chained.roots = leaf.roots;
  chained.certificate += leaf.certificate;
  EXPECT_EQ(Refused(chained), "NOT_SIGNED");
}

TEST_F(CertificateTest, IssuesNothingForABadName) {
  LeafRequest request = authority_.Request(node_);
  request.hosts = {"a b"};
  EXPECT_EQ(ReasonOf(Issue(authority_.authority(), request).status()),
            "BAD_HOST");
  request.hosts = {"x,URI:spiffe://example.org/demo/admin/root"};
  EXPECT_EQ(ReasonOf(Issue(authority_.authority(), request).status()),
            "BAD_HOST");
  request = authority_.Request(node_);
  request.identity->name = "A/../b";
  EXPECT_EQ(ReasonOf(Issue(authority_.authority(), request).status()),
            "BAD_IDENTITY");
}

}  // namespace
}  // namespace muster
