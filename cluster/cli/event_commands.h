// What `muster event`, `muster explain` and `muster name history` print.
//
// Pure functions, any thread; the text ends in a line end.
#ifndef MUSTER_CLUSTER_CLI_EVENT_COMMANDS_H_
#define MUSTER_CLUSTER_CLI_EVENT_COMMANDS_H_

#include <string>

#include "muster/admin/v1/admin.pb.h"

namespace muster {

// One row an event, oldest first.
std::string EventTable(const admin::v1::ListEventsResponse& response);
// One line: time, kind, where, what and on which evidence.
std::string EventTextLine(const admin::v1::Event& event);
// Where a name was, one row a change.
std::string HistoryTable(const admin::v1::ListEventsResponse& response);
// The sentences, then the events, newest first.
std::string ExplainPage(const admin::v1::ExplainResponse& response);

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_EVENT_COMMANDS_H_
