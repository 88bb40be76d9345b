// Reads a supervision tree from YAML: `muster apply -f tree.yaml`.
//
// The schema, with every default, is examples/application.yaml; docs/cli.md
// describes it. Pure function, any thread.
#ifndef MUSTER_CLUSTER_CLI_MANIFEST_H_
#define MUSTER_CLUSTER_CLI_MANIFEST_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "muster/cluster/v1/cluster.pb.h"

namespace muster {

// Reads the manifest `text`; `file` is only for messages. A child without name
// gets its id; what else is absent stays absent and gets its default where it
// is applied. Whether a type exists, its options fit, and the strategy is
// supported is for the cluster to say.
//
// INVALID_ARGUMENT BAD_MANIFEST, NOT_EXECUTED:
//   file:line:column: field: what is wrong; what would be right
// where field is a path such as children[0].id, counted from 0. Nothing in the
// file is expanded: no environment, no shell.
absl::StatusOr<cluster::v1::Manifest> ParseManifest(absl::string_view text,
                                                    absl::string_view file);

// "file:line:column: " of the field `path` of that manifest, or of the closest
// one around it that is there; "" if `text` is no manifest. For what the
// cluster says about a field.
std::string PlaceInManifest(absl::string_view text, absl::string_view file,
                            absl::string_view path);

// One child alone, as a map with the fields that it has in a manifest. Errors
// as above.
absl::StatusOr<cluster::v1::ManifestChild> ParseManifestChild(
    absl::string_view text, absl::string_view file);

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_MANIFEST_H_
