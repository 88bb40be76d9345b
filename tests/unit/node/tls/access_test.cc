// The role table (guarantees section 9): every cell of it, and no method that
// is not in it.
#include "node/tls/access.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "muster/admin/v1/admin.pb.h"
#include "muster/cluster/v1/cluster.pb.h"
#include "muster/peer/v1/peer.pb.h"
#include "muster/process/v1/process.pb.h"
#include "muster/sys/v1/sys.pb.h"
#include "node/types/status.h"
#include "tests/testkit/test_authority.h"
#include "third_party/grpc/health/v1/health.pb.h"
#include "third_party/grpc/reflection/v1/reflection.pb.h"
#include "third_party/grpc/reflection/v1alpha/reflection.pb.h"

namespace muster {
namespace {

using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

constexpr Role kAllRoles[] = {Role::kNode, Role::kClient, Role::kViewer,
                              Role::kOperator, Role::kAdmin};

std::vector<const FileDescriptor*> Files() {
  return {
      admin::v1::ApplyRequest::descriptor()->file(),
      cluster::v1::Manifest::descriptor()->file(),
      peer::v1::Hello::descriptor()->file(),
      process::v1::CallRequest::descriptor()->file(),
      sys::v1::GetStateRequest::descriptor()->file(),
      grpc::health::v1::HealthCheckRequest::descriptor()->file(),
      grpc::reflection::v1::ServerReflectionRequest::descriptor()->file(),
      grpc::reflection::v1alpha::ServerReflectionRequest::descriptor()->file()};
}

std::string PathOf(const MethodDescriptor& method) {
  return absl::StrCat("/", method.service()->full_name(), "/", method.name());
}

// "ncvoa": who may, by first letters.
std::string WhoMay(const std::string& path) {
  const AccessPolicy policy;
  std::string who;
  for (const Role role : kAllRoles) {
    const absl::Status status =
        policy.Check(TestAuthority::Id(role, "x"), path, std::nullopt);
    if (status.ok()) {
      who.push_back(RoleName(role)[0]);
      continue;
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(ReasonOf(status), "DENIED");
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  }
  return who;
}

TEST(AccessTest, EveryMethodHasAnEntry) {
  size_t methods = 0;
  for (const FileDescriptor* file : Files()) {
    EXPECT_GT(file->service_count(), 0) << file->name();
    for (int i = 0; i < file->service_count(); ++i) {
      const ServiceDescriptor& service = *file->service(i);
      for (int j = 0; j < service.method_count(); ++j, ++methods) {
        const std::string path = PathOf(*service.method(j));
        EXPECT_NE(AccessOf(path), core::v1::ACCESS_UNSPECIFIED)
            << path << " has no entry: give it the option "
            << "(muster.core.v1.access)";
      }
    }
  }
  EXPECT_GT(methods, 40u);
}

// The table of section 9, row by row.
TEST(AccessTest, EveryCell) {
  const std::map<std::string, std::string> table = {
      {"/muster.peer.v1.PeerService/Connect", "n"},
      {"/counter.v1.Counter/Increment", "ncoa"},
      {"/Counter/Increment", "ncoa"},
      {"/muster.process.v1.ProcessService/Call", "ncoa"},
      {"/muster.process.v1.ProcessService/Cast", "ncoa"},
      {"/muster.process.v1.ProcessService/WhereIs", "ncvoa"},
      {"/grpc.health.v1.Health/Check", "ncvoa"},
      {"/grpc.health.v1.Health/Watch", "ncvoa"},
      {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "ncvoa"},
      {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
       "ncvoa"},
      {"/muster.admin.v1.AdminService/GetStatus", "nvoa"},
      {"/muster.admin.v1.AdminService/ListNodes", "nvoa"},
      {"/muster.admin.v1.AdminService/ListProcesses", "nvoa"},
      {"/muster.admin.v1.AdminService/ListNames", "nvoa"},
      {"/muster.admin.v1.AdminService/GetTree", "nvoa"},
      {"/muster.admin.v1.AdminService/ListEvents", "nvoa"},
      {"/muster.admin.v1.AdminService/TailEvents", "nvoa"},
      {"/muster.admin.v1.AdminService/Explain", "nvoa"},
      {"/muster.admin.v1.AdminService/Apply", "oa"},
      {"/muster.admin.v1.AdminService/DrainNode", "oa"},
      {"/muster.admin.v1.AdminService/UndrainNode", "oa"},
      {"/muster.admin.v1.AdminService/StartChild", "oa"},
      {"/muster.admin.v1.AdminService/ChangeChild", "oa"},
      {"/muster.admin.v1.AdminService/RemoveNode", "a"},
      {"/muster.admin.v1.AdminService/RaiseGeneration", "a"},
      {"/muster.sys.v1.Sys/GetStatistics", "oa"},
      {"/muster.sys.v1.Sys/SwitchStatistics", "oa"},
      {"/muster.sys.v1.Sys/Terminate", "oa"},
      {"/muster.sys.v1.Sys/GetState", "a"},
      {"/muster.sys.v1.Sys/ReplaceState", "a"},
      {"/muster.sys.v1.Sys/GetStatus", "a"},
      {"/muster.sys.v1.Sys/GetLog", "a"},
      {"/muster.sys.v1.Sys/SwitchLog", "a"},
      {"/muster.sys.v1.Sys/SwitchTrace", "a"},
      {"/muster.sys.v1.Sys/Suspend", "a"},
      {"/muster.sys.v1.Sys/Resume", "a"},
      {"/muster.sys.v1.Sys/RemoveHook", "a"},
      {"/muster.sys.v1.Sys/NoDebug", "a"},
  };
  for (const auto& [path, who] : table) EXPECT_EQ(WhoMay(path), who) << path;
  // And what is not in it, in none of the files.
  for (const FileDescriptor* file : Files()) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int j = 0; j < file->service(i)->method_count(); ++j) {
        const std::string path = PathOf(*file->service(i)->method(j));
        if (table.contains(path)) continue;
        EXPECT_EQ(AccessOf(path), core::v1::ACCESS_INSIDE) << path;
        EXPECT_EQ(WhoMay(path), "") << path;
      }
    }
  }
}

TEST(AccessTest, WhatIsNotInTheTableIsNobodys) {
  for (const char* path :
       {"/muster.admin.v1.AdminService/Nothing", "/muster.admin.v1.Nothing/X",
        "/muster.Supervisor/StartChild", "/muster.RemoteTasks/Run",
        "/grpc.channelz.v1.Channelz/GetServers", "/muster./", "muster./x",
        "/grpc.health.v1.HealthX/Check"}) {
    EXPECT_EQ(WhoMay(path), "") << path;
  }
}

TEST(AccessTest, ClientsByPrefix) {
  std::vector<ClientGrant> grants;
  for (const char* text : {"billing=counter_,ledger/", "root=", "*=public"}) {
    absl::StatusOr<ClientGrant> grant = ParseClientGrant(text);
    ASSERT_TRUE(grant.ok()) << grant.status();
    grants.push_back(*grant);
  }
  const AccessPolicy policy(grants);
  const auto may = [&](const char* who, absl::string_view name) {
    return policy
        .Check(TestAuthority::Id(Role::kClient, who),
               "/counter.v1.Counter/Increment", name)
        .ok();
  };
  EXPECT_TRUE(may("billing", "counter_a"));
  EXPECT_TRUE(may("billing", "ledger/1"));
  EXPECT_TRUE(may("billing", "public_x"));
  EXPECT_FALSE(may("billing", "counter"));
  EXPECT_FALSE(may("billing", "other"));
  EXPECT_FALSE(may("billing", ""));  // A pid.
  EXPECT_FALSE(may("other", "counter_a"));
  EXPECT_TRUE(may("other", "public"));
  EXPECT_TRUE(may("root", "anything"));
  EXPECT_TRUE(may("root", ""));
  // Nobody's prefix reaches Muster's own.
  EXPECT_FALSE(may("root", "muster/agent"));
  EXPECT_FALSE(AccessPolicy()
                   .Check(TestAuthority::Id(Role::kClient, "x"),
                          "/counter.v1.Counter/Increment", "muster/agent")
                   .ok());
  // Others have no prefixes.
  EXPECT_TRUE(policy
                  .Check(TestAuthority::Id(Role::kOperator, "x"),
                         "/counter.v1.Counter/Increment", "other")
                  .ok());
}

TEST(AccessTest, RefusesBadGrants) {
  for (const char* text :
       {"", "billing", "=x", "a b=x", "*", "x=a b", "x=a,,..", "../x=a"}) {
    EXPECT_EQ(ReasonOf(ParseClientGrant(text).status()), "BAD_GRANT") << text;
  }
}

}  // namespace
}  // namespace muster
