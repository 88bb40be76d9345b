// Keys: where the records of a cluster are in its store.
//
//   /muster/<cluster>/meta                       Meta
//   /muster/<cluster>/node/<node>                NodeRecord
//   /muster/<cluster>/hb/<node>                  HeartbeatRecord
//   /muster/<cluster>/barrier/<node>             BarrierRecord
//   /muster/<cluster>/name/<name>                NameRecord
//   /muster/<cluster>/supervisor/<supervisor>    SupervisorRecord
//   /muster/<cluster>/child/<supervisor>/<child> ChildRecord
//   /muster/<cluster>/grave/<node>               GraveRecord
//   /muster/<cluster>/attested/<node>            EventRecord
//   /muster/<cluster>/event/<event>              EventRecord
//   /muster/<cluster>/compaction                 CompactionRecord
//
// (guarantees R1, design D13; the records are in muster/store/v1/store.proto.)
// Each <part> is escaped: bytes [A-Za-z0-9._:@-] stand for themselves, every
// other byte is %XX with upper-case digits. So a part has no '/', and no key
// or prefix of one is a prefix of another's: the supervisor "a/b" is
// /muster/c/child/a%2Fb/..., outside of the children of "a" in
// /muster/c/child/a/.
#ifndef MUSTER_CLUSTER_STORE_KEYS_H_
#define MUSTER_CLUSTER_STORE_KEYS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace muster {

// Makes and reads the keys of one cluster.
// Ids and names are not validated here (node/types/names.h does), but must not
// be empty. THREADS: immutable; any thread.
class Keys {
 public:
  // What ValidateClusterName accepts.
  explicit Keys(absl::string_view cluster);

  // Of all records: ends in '/', as all prefixes do.
  const std::string& Root() const { return root_; }
  std::string Meta() const;
  std::string Node(absl::string_view node) const;
  std::string NodePrefix() const;
  std::string Heartbeat(absl::string_view node) const;
  std::string HeartbeatPrefix() const;
  std::string Barrier(absl::string_view node) const;
  std::string BarrierPrefix() const;
  std::string Name(absl::string_view name) const;
  std::string NamePrefix() const;
  std::string Supervisor(absl::string_view supervisor) const;
  std::string SupervisorPrefix() const;
  std::string Child(absl::string_view supervisor,
                    absl::string_view child) const;
  // Of all children; of those of one supervisor.
  std::string ChildPrefix() const;
  std::string ChildPrefix(absl::string_view supervisor) const;

  std::string Grave(absl::string_view node) const;
  std::string GravePrefix() const;
  // Of the last death of this node that was attested: one record for each node
  // id there ever was.
  std::string Attested(absl::string_view node) const;
  std::string Event(absl::string_view event) const;
  std::string EventPrefix() const;
  std::string Compaction() const;

  enum class Kind {
    kMeta,
    kNode,
    kHeartbeat,
    kBarrier,
    kName,
    kSupervisor,
    kChild,
    kGrave,
    kAttested,
    kEvent,
    kCompaction,
  };
  struct Parsed {
    Kind kind = Kind::kMeta;
    // Node, name, supervisor, child or event; empty for kMeta, kCompaction.
    std::string id;
    // The child's; empty for the others.
    std::string supervisor;
  };
  // The inverse of the functions above. INVALID_ARGUMENT BAD_KEY if none of
  // them makes `key`: put the record aside, never delete it (guarantees
  // section 10).
  absl::StatusOr<Parsed> Parse(absl::string_view key) const;

 private:
  std::string root_;
};

// The escaping alone. Empty stays empty.
std::string EscapeKeyPart(absl::string_view part);
// INVALID_ARGUMENT BAD_KEY unless EscapeKeyPart makes `escaped` of something
// that is not empty.
absl::StatusOr<std::string> UnescapeKeyPart(absl::string_view escaped);

}  // namespace muster

#endif  // MUSTER_CLUSTER_STORE_KEYS_H_
