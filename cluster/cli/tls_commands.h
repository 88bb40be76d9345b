// `muster tls`: a certificate authority for small clusters, its certificates,
// and a look at a directory of them.
//
// They touch files only; no node is asked. For cli.cc.
#ifndef MUSTER_CLUSTER_CLI_TLS_COMMANDS_H_
#define MUSTER_CLUSTER_CLI_TLS_COMMANDS_H_

#include <string>
#include <vector>

#include "cluster/cli/cli.h"
#include "cluster/cli/commands.h"

namespace muster {

// What the flags say.
struct TlsFlags {
  std::string dir;  // of the authority, or the one to be checked
  std::string out;
  std::string trust_domain;
  std::string cluster;  // for issue: empty is the authority's
  std::string role;
  std::string name;
  std::vector<std::string> hosts;
  int days = 0;  // 0: the default
  bool any_certificate = false;
};

// Makes the authority's ca.pem, ca-key.pem (mode 0600) and `authority`, which
// says for whom. ALREADY_EXISTS AUTHORITY_EXISTS: there is one.
CommandResult TlsInit(const CliEnv& env, const TlsFlags& flags);

// Writes ca.pem, cert.pem and key.pem (mode 0600) to `out`, each replaced as a
// whole; what was there is overwritten, which is how one rotates by hand.
// The role `etcd` is a certificate without a SPIFFE id for an etcd's members.
CommandResult TlsIssue(const CliEnv& env, const TlsFlags& flags);

// Whether a node could use a directory now: exit code 8 if not.
CommandResult TlsCheck(const CliEnv& env, const TlsFlags& flags, bool json);

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_TLS_COMMANDS_H_
