// Muster: a cluster of GenServers. The one header that a user includes.
//
//   int main(int argc, char** argv) {
//     return muster::Main(argc, argv,
//     {muster::ServerType<Counter>("counter")});
//   }
#ifndef MUSTER_CLUSTER_MUSTER_H_
#define MUSTER_CLUSTER_MUSTER_H_

#include <vector>

#include "client/client.h"
#include "cluster/boot/cluster_node.h"
#include "cluster/group/groups.h"
#include "node/node.h"

namespace muster {

// The whole program of a node: daemon and command line in one, with the same
// commands as the stock `muster` binary (`node start`, `apply`, `call`, ...),
// hosting `types`. Returns the exit code of docs/cli.md. Call it from main,
// before starting threads.
int Main(int argc, char** argv, std::vector<ServerTypeInfo> types);
// And what each node runs for itself: tasks for others
// (node/supervisor/erpc.h), a supervision tree of its own, scopes of process
// groups.
int Main(int argc, char** argv, std::vector<ServerTypeInfo> types,
         LocalParts local);

}  // namespace muster

#endif  // MUSTER_CLUSTER_MUSTER_H_
