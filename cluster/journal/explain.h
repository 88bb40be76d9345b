// Explain: why a name is where it is, in sentences.
//
// Pure: what is known in, what it means out.
#ifndef MUSTER_CLUSTER_JOURNAL_EXPLAIN_H_
#define MUSTER_CLUSTER_JOURNAL_EXPLAIN_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "muster/admin/v1/admin.pb.h"
#include "muster/store/v1/store.pb.h"
#include "node/types/pid.h"

namespace muster {

// All that one node knows about a name at one moment.
struct NameFacts {
  std::string name;
  // Its record as last seen, also of a dead owner.
  std::optional<admin::v1::Name> record;
  // The owner's, if that epoch is a member.
  std::optional<store::v1::NodeRecord> owner;
  // How long since a heartbeat of the owner was seen; absent: this node does
  // not watch heartbeats.
  std::optional<absl::Duration> owner_silence;
  // After that much silence the owner's names go elsewhere; infinite: never.
  absl::Duration reap = absl::InfiniteDuration();
  // The supervisor that has a child of this name, with that child alone.
  std::optional<admin::v1::Supervisor> supervisor;
  // All of the journal, oldest first.
  std::vector<admin::v1::Event> events;
};

// NOT_FOUND NO_NAME: nobody has it, wants it or had it.
absl::StatusOr<admin::v1::ExplainResponse> Explain(const NameFacts& facts);

}  // namespace muster

#endif  // MUSTER_CLUSTER_JOURNAL_EXPLAIN_H_
