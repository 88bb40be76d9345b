// Which events of the journal somebody asked for.
//
// Pure: records in, events out.
#ifndef MUSTER_CLUSTER_JOURNAL_EVENT_SELECT_H_
#define MUSTER_CLUSTER_JOURNAL_EVENT_SELECT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/store/store.h"
#include "muster/admin/v1/admin.pb.h"

namespace muster {

// The records of event/ in the order in which they happened: that of their
// revisions, and within a transaction that of their keys. What cannot be parsed
// is left out.
std::vector<admin::v1::Event> ToEvents(std::vector<KeyValue> items);

// Says of one event after another, in order, whether it is asked for. Has to
// be shown all of them, since what becomes of a node concerns a name only
// while it is there.
class EventFilter {
 public:
  // `limit` is not its business.
  explicit EventFilter(admin::v1::ListEventsRequest request);

  // Where the name was before the first of the events that are to come: the
  // journal is cut off at its old end. Without it, the first that tells it
  // does.
  void Begin(const std::vector<admin::v1::Event>& events);
  bool Wants(const admin::v1::Event& event);

 private:
  const admin::v1::ListEventsRequest request_;
  // The node that has the name, as far as the events told so far.
  std::string owner_;
};

inline constexpr int kEventsDefault = 100;
inline constexpr int kEventsMax = 10'000;

// Those that match, the last `limit` of them, oldest first.
std::vector<admin::v1::Event> SelectEvents(
    const std::vector<admin::v1::Event>& all,
    const admin::v1::ListEventsRequest& request);

// How many are asked for.
int LimitOf(const admin::v1::ListEventsRequest& request);

// "'a' moved from node 'x' to node 'y'": its own text, or one made of its
// fields.
std::string EventText(const store::v1::EventRecord& record);
// "exit_reason: killed, silence_ms: 3755"; empty without evidence.
std::string EvidenceText(const store::v1::EventRecord& record);

}  // namespace muster

#endif  // MUSTER_CLUSTER_JOURNAL_EVENT_SELECT_H_
