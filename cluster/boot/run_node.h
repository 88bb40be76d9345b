// RunNode: one node as an OS process, from its configuration to its end.
#ifndef MUSTER_CLUSTER_BOOT_RUN_NODE_H_
#define MUSTER_CLUSTER_BOOT_RUN_NODE_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cluster/boot/cluster_node.h"
#include "cluster/boot/sentinel_link.h"
#include "muster/cluster/v1/cluster.pb.h"
#include "node/gen_server/server_type.h"

namespace muster {

struct NodeConfig {
  // Node name, [a-z0-9-]{1,63}.
  std::string name;
  // Cluster name, same form; nodes of one cluster share a store and this.
  std::string cluster = "muster";
  // host:port on loopback; port 0 takes a free one.
  std::string listen = "127.0.0.1:7700";
  // "memory" (a single node) or "etcd://h1:2379,h2:2379".
  std::string store = "memory";
  // What placement goes by; as ParseLabels takes them.
  std::map<std::string, std::string> labels;
  // Where it keeps its epoch and shows that its predecessor is dead
  // (data_dir.h). Empty: nowhere.
  std::string data_dir;
  // Told of each epoch; null: this OS process has no sentinel. Outlives
  // RunNode.
  SentinelLink* sentinel = nullptr;
  // Applied once the node has joined; for `muster dev`.
  std::optional<cluster::v1::Manifest> manifest;
  LocalParts local;
  // Times of the cluster, if this node is its first.
  Profile profile;
  // The cluster's name, to confirm: if the store's generation is smaller than
  // one that this node has seen, raise it instead of refusing to start.
  std::string raise_generation;
};

// Joins the cluster, serves until SIGTERM or SIGINT, and leaves cleanly.
// `on_ready` is called with the address it serves on once it has joined.
// Blocks; call it once, from the main thread, before other threads exist.
// Errors, each naming the cure:
//   INVALID_ARGUMENT     a field of `config`, or two types of one name
//   FAILED_PRECONDITION  ADDRESS_IN_USE; the data directory's (data_dir.h);
//                        OTHER_CLUSTER, OLD_GENERATION: the store is not the
//                        one that the data directory knows
//   DATA_LOSS            BAD_DATA_DIR
//   ALREADY_EXISTS       NODE_EXISTS: the name is a living node's
//   UNAVAILABLE          the store cannot be reached
absl::Status RunNode(const NodeConfig& config,
                     std::vector<ServerTypeInfo> types,
                     std::function<void(const std::string& address)> on_ready);

}  // namespace muster

#endif  // MUSTER_CLUSTER_BOOT_RUN_NODE_H_
