// What the command line prints: tables for people, JSON for programs.
//
// JSON has the protobuf field names and every field: absent messages are null,
// lists are arrays, pids and epochs their text forms, enums names, 64-bit
// integers strings as in protobuf's own JSON. A change of it is a breaking
// change. Pure functions, any thread; the text ends in a line end.
#ifndef MUSTER_CLUSTER_CLI_FORMAT_H_
#define MUSTER_CLUSTER_CLI_FORMAT_H_

#include <string>
#include <vector>

#include "google/protobuf/message.h"
#include "muster/admin/v1/admin.pb.h"
#include "muster/cluster/v1/cluster.pb.h"
#include "muster/process/v1/process.pb.h"
#include "muster/sys/v1/sys.pb.h"

namespace muster {

// --- JSON --------------------------------------------------------------------

std::string ToJson(const google::protobuf::Message& message);

// The elements of the repeated message field `field` as an array.
std::string ListToJson(const google::protobuf::Message& message,
                       const std::string& field);

// {name, node, pid, epoch}
std::string WhereIsJson(const process::v1::WhereIsResponse& response);

// `formatted_state` is an object if the state is a message.
std::string ProcessJson(const sys::v1::GetStatusResponse& response);
// One line.
std::string EventJsonLine(const sys::v1::Event& event);

// --- Tables ------------------------------------------------------------------

// Columns as wide as their widest cell, two spaces between, none at the end of
// a line. The first row is the header. Empty cells show as "-".
std::string Table(std::vector<std::vector<std::string>> rows);

std::string StatusPage(const admin::v1::GetStatusResponse& response);
std::string NodeTable(const admin::v1::ListNodesResponse& response);
std::string NodePage(const admin::v1::Node& node);
std::string ProcessTable(const admin::v1::ListProcessesResponse& response);
std::string ProcessPage(const sys::v1::GetStatusResponse& response);
// One line: "12:00:00.123Z got call Increment (...) from ...".
std::string EventLine(const sys::v1::Event& event);
std::string NameTable(const admin::v1::ListNamesResponse& response);
std::string WhereIsTable(const process::v1::WhereIsResponse& response);
// Supervisors, each with its children below it.
std::string TreeTable(const admin::v1::GetTreeResponse& response);
// One line for each child of the manifest, in its order, then the stopped.
std::string ApplyTable(const cluster::v1::Manifest& manifest,
                       const admin::v1::ApplyResponse& response);

}  // namespace muster

#endif  // MUSTER_CLUSTER_CLI_FORMAT_H_
