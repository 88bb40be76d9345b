// The version of this program.
#ifndef MUSTER_CLUSTER_BOOT_VERSION_H_
#define MUSTER_CLUSTER_BOOT_VERSION_H_

#include "absl/strings/string_view.h"

namespace muster {

inline constexpr absl::string_view kVersion = "0.1.0";

}  // namespace muster

#endif  // MUSTER_CLUSTER_BOOT_VERSION_H_
