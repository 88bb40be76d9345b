// ServiceInfo: what the runtime knows of a gRPC service that a server has.
#ifndef MUSTER_NODE_TYPES_SERVICE_INFO_H_
#define MUSTER_NODE_TYPES_SERVICE_INFO_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace muster {

struct MethodInfo {
  absl::string_view name;  // "Increment"
  bool cast = false;
};

// Generated as a constant; a server without a service has an empty name.
struct ServiceInfo {
  absl::string_view service;  // "counter.v1.Counter"
  absl::Span<const MethodInfo> methods;
};

}  // namespace muster

#endif  // MUSTER_NODE_TYPES_SERVICE_INFO_H_
