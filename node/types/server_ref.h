// ServerRef: which process a message is for (otp C1).
#ifndef MUSTER_NODE_TYPES_SERVER_REF_H_
#define MUSTER_NODE_TYPES_SERVER_REF_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "muster/core/v1/core.pb.h"
#include "node/types/pid.h"

namespace muster {

// A pid, an alias of one, a name on one node, a cluster-wide name, or a key in
// a registry of this node. A plain string is a cluster-wide name, so
// `CounterClient(self, "counter_a")` reads as it should.
class ServerRef {
 public:
  enum class Kind { kPid, kAlias, kLocal, kGlobal, kVia };

  ServerRef(Pid pid) : kind_(Kind::kPid), pid_(std::move(pid)) {}  // NOLINT
  ServerRef(absl::string_view global)                              // NOLINT
      : ServerRef(Kind::kGlobal, global, "") {}
  ServerRef(const char* global)  // NOLINT
      : ServerRef(absl::string_view(global)) {}
  ServerRef(const std::string& global)  // NOLINT
      : ServerRef(absl::string_view(global)) {}

  // A name in the registry of `node`; empty: of the sender's node.
  static ServerRef Local(absl::string_view name, absl::string_view node = "") {
    return ServerRef(Kind::kLocal, name, node);
  }
  static ServerRef Global(absl::string_view name) {
    return ServerRef(Kind::kGlobal, name, "");
  }

  // A reply address of `pid` that it can switch off (otp A1).
  static ServerRef Alias(Pid pid, uint64_t alias) {
    ServerRef ref(Kind::kAlias, "", "");
    ref.pid_ = std::move(pid);
    ref.alias_ = alias;
    return ref;
  }
  // Whoever has `key` in the registry called `registry` of the sender's node
  // (node/process/via.h); resolved by the sender.
  static ServerRef Via(absl::string_view registry, absl::string_view key) {
    return ServerRef(Kind::kVia, key, registry);
  }

  Kind kind() const { return kind_; }
  const Pid& pid() const { return pid_; }    // kPid, kAlias
  uint64_t alias() const { return alias_; }  // kAlias
  // kLocal, kGlobal; the key with kVia.
  const std::string& name() const { return name_; }
  const std::string& node() const { return node_; }      // kLocal
  const std::string& registry() const { return node_; }  // kVia

  // For messages to people: "counter_a", "log on node b", or the pid.
  std::string ToString() const;
  core::v1::ServerRef ToProto() const;
  // An empty reference becomes the global name "", which no server has.
  static ServerRef FromProto(const core::v1::ServerRef& proto);

  friend bool operator==(const ServerRef&, const ServerRef&) = default;

 private:
  ServerRef(Kind kind, absl::string_view name, absl::string_view node)
      : kind_(kind), name_(name), node_(node) {}

  Kind kind_;
  Pid pid_;
  uint64_t alias_ = 0;
  std::string name_;
  std::string node_;  // Also the registry's name.
};

}  // namespace muster

#endif  // MUSTER_NODE_TYPES_SERVER_REF_H_
