// Main: the whole program of a node, with what the stock binary adds.
//
// Users include cluster/muster.h, which offers the first form.
#ifndef MUSTER_CLUSTER_CLI_MAIN_H_
#define MUSTER_CLUSTER_CLI_MAIN_H_

#include <string>
#include <vector>

#include "cluster/boot/cluster_node.h"
#include "node/gen_server/server_type.h"

namespace muster {

struct MainOptions {
  // YAML of the tree that `dev` runs. Empty: dev starts an empty node.
  std::string dev_manifest;
  LocalParts local;
};

// As cluster/muster.h says.
int Main(int argc, char** argv, std::vector<ServerTypeInfo> types);
int Main(int argc, char** argv, std::vector<ServerTypeInfo> types,
         LocalParts local);
int Main(int argc, char** argv, std::vector<ServerTypeInfo> types,
         const MainOptions& options);

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_MAIN_H_
