// ServerName: the name that a process is started under (otp C1, H2).
#ifndef MUSTER_NODE_TYPES_SERVER_NAME_H_
#define MUSTER_NODE_TYPES_SERVER_NAME_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace muster {

// No name, a name on this node, a cluster-wide name, or a key in a registry of
// this node. A plain string is a name on this node; the empty one is none.
class ServerName {
 public:
  enum class Kind { kNone, kLocal, kGlobal, kVia };

  ServerName() = default;
  ServerName(absl::string_view local)  // NOLINT: a string is a local name
      : kind_(local.empty() ? Kind::kNone : Kind::kLocal), name_(local) {}
  ServerName(const char* local)  // NOLINT
      : ServerName(absl::string_view(local)) {}
  ServerName(const std::string& local)  // NOLINT
      : ServerName(absl::string_view(local)) {}

  static ServerName Local(absl::string_view name) {
    return ServerName(Kind::kLocal, name, "");
  }
  static ServerName Global(absl::string_view name) {
    return ServerName(Kind::kGlobal, name, "");
  }
  // `key` in the registry called `registry` (node/process/via.h).
  static ServerName Via(absl::string_view registry, absl::string_view key) {
    return ServerName(Kind::kVia, key, registry);
  }

  Kind kind() const { return kind_; }
  bool empty() const { return kind_ == Kind::kNone; }
  // The key with kVia.
  const std::string& name() const { return name_; }
  const std::string& registry() const { return registry_; }  // kVia

  // INVALID_ARGUMENT BAD_NAME, naming the bad value (otp H11).
  absl::Status Validate() const;
  // For people: "'log'", "'counter_a' (cluster-wide)", "'k' in registry r".
  std::string ToString() const;

  friend bool operator==(const ServerName&, const ServerName&) = default;

 private:
  ServerName(Kind kind, absl::string_view name, absl::string_view registry)
      : kind_(kind), name_(name), registry_(registry) {}

  Kind kind_ = Kind::kNone;
  std::string name_;
  std::string registry_;
};

}  // namespace muster

#endif  // MUSTER_NODE_TYPES_SERVER_NAME_H_
