// Labels: what placement goes by, such as zone=a.
#ifndef MUSTER_CLUSTER_BOOT_LABELS_H_
#define MUSTER_CLUSTER_BOOT_LABELS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace muster {

// Reads "key=value" words. A key is 1 to 63 bytes of A-Z a-z 0-9 . _ - / and
// begins with a letter or digit; a value is up to 63 bytes of A-Z a-z 0-9 . _ -
// and may be empty. At most 32 of them. INVALID_ARGUMENT BAD_LABEL says which
// one and why; two of one key are refused.
absl::StatusOr<std::map<std::string, std::string>> ParseLabels(
    const std::vector<std::string>& words);

}  // namespace muster

#endif  // MUSTER_CLUSTER_BOOT_LABELS_H_
