// ServiceInfo: what the runtime knows of a gRPC service that a server has.
#ifndef MUSTER_NODE_TYPES_SERVICE_INFO_H_
#define MUSTER_NODE_TYPES_SERVICE_INFO_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace muster {

struct MethodInfo {
  absl::string_view name;  // "Increment"
  bool cast = false;
  // Full name of the response; empty: not checked. For servers whose answers
  // are made at run time: a reply of another type ends them with
  // bad_return_value (otp 3.2). Generated code cannot answer another.
  absl::string_view response = "";
};

// Generated as a constant; a server without a service has an empty name.
struct ServiceInfo {
  absl::string_view service;  // "counter.v1.Counter"
  absl::Span<const MethodInfo> methods;
};

}  // namespace muster

#endif  // MUSTER_NODE_TYPES_SERVICE_INFO_H_
