#include "cluster/cli/format.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/cli/words.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/json_util.h"
#include "muster/core/v1/core.pb.h"
#include "nlohmann/json.hpp"
#include "node/gen_server/sys.h"
#include "node/types/pid.h"
#include "node/types/proto_time.h"

namespace muster {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Json = nlohmann::ordered_json;

std::string PidText(const core::v1::Pid& pid) {
  return Pid::FromProto(pid).ToString();
}

std::string EpochText(const core::v1::Epoch& epoch) {
  return Epoch::FromProto(epoch).ToString();
}

// --- JSON --------------------------------------------------------------------

Json MessageJson(const Message& message);

// A message of protobuf's own (Duration, Timestamp, Struct) in its own JSON.
Json WellKnownJson(const Message& message) {
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text).ok()) {
    return nullptr;
  }
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

Json SubmessageJson(const Message& message) {
  const std::string& type = message.GetDescriptor()->full_name();
  if (type == core::v1::Pid::descriptor()->full_name()) {
    core::v1::Pid pid;
    pid.CopyFrom(message);
    return PidText(pid);
  }
  if (type == core::v1::Epoch::descriptor()->full_name()) {
    core::v1::Epoch epoch;
    epoch.CopyFrom(message);
    return EpochText(epoch);
  }
  if (absl::string_view(type).substr(0, 16) == "google.protobuf.") {
    return WellKnownJson(message);
  }
  return MessageJson(message);
}

// Element `i` of a repeated field, or the field itself if i < 0.
Json ValueJson(const Message& message, const FieldDescriptor& field, int i) {
  const Reflection& r = *message.GetReflection();
  const auto pick = [&](auto single, auto repeated) {
    return i < 0 ? (r.*single)(message, &field)
                 : (r.*repeated)(message, &field, i);
  };
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return pick(&Reflection::GetInt32, &Reflection::GetRepeatedInt32);
    case FieldDescriptor::CPPTYPE_UINT32:
      return pick(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(
          pick(&Reflection::GetInt64, &Reflection::GetRepeatedInt64));
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrCat(
          pick(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return pick(&Reflection::GetDouble, &Reflection::GetRepeatedDouble);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return pick(&Reflection::GetFloat, &Reflection::GetRepeatedFloat);
    case FieldDescriptor::CPPTYPE_BOOL:
      return pick(&Reflection::GetBool, &Reflection::GetRepeatedBool);
    case FieldDescriptor::CPPTYPE_ENUM:
      return pick(&Reflection::GetEnum, &Reflection::GetRepeatedEnum)->name();
    case FieldDescriptor::CPPTYPE_STRING:
      return pick(&Reflection::GetString, &Reflection::GetRepeatedString);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return SubmessageJson(i < 0 ? r.GetMessage(message, &field)
                              : r.GetRepeatedMessage(message, &field, i));
}

// A map of strings as an object, sorted by key.
Json MapJson(const Message& message, const FieldDescriptor& field) {
  const Reflection& r = *message.GetReflection();
  const FieldDescriptor& key = *field.message_type()->map_key();
  const FieldDescriptor& value = *field.message_type()->map_value();
  std::map<std::string, Json> sorted;
  for (int i = 0; i < r.FieldSize(message, &field); ++i) {
    const Message& entry = r.GetRepeatedMessage(message, &field, i);
    sorted.emplace(entry.GetReflection()->GetString(entry, &key),
                   ValueJson(entry, value, -1));
  }
  Json object = Json::object();
  for (auto& [name, json] : sorted) object[name] = std::move(json);
  return object;
}

Json FieldJson(const Message& message, const FieldDescriptor& field) {
  const Reflection& r = *message.GetReflection();
  if (field.is_map()) return MapJson(message, field);
  if (field.is_repeated()) {
    Json list = Json::array();
    for (int i = 0; i < r.FieldSize(message, &field); ++i) {
      list.push_back(ValueJson(message, field, i));
    }
    return list;
  }
  if (field.has_presence() && !r.HasField(message, &field)) return nullptr;
  return ValueJson(message, field, -1);
}

Json MessageJson(const Message& message) {
  Json object = Json::object();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    object[field.name()] = FieldJson(message, field);
  }
  return object;
}

std::string Dump(const Json& json) {
  // Whatever a node sent, the output is JSON.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

// --- Tables ------------------------------------------------------------------

// No cell breaks the table or the terminal.
std::string Cell(absl::string_view text) {
  std::string cell;
  for (const char c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      cell.push_back(' ');
    } else {
      cell.push_back(c);
    }
  }
  return cell.empty() ? "-" : cell;
}

// Columns it takes on a terminal, one for each character of UTF-8.
size_t Width(absl::string_view cell) {
  return static_cast<size_t>(std::count_if(
      cell.begin(), cell.end(),
      [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

// The two largest units: "3s", "2m5s", "4h10m", "12d3h".
std::string AgeText(absl::Duration age) {
  const int64_t s = std::max<int64_t>(0, absl::ToInt64Seconds(age));
  const auto two = [](int64_t a, const char* ua, int64_t b, const char* ub) {
    return b == 0 ? absl::StrCat(a, ua) : absl::StrCat(a, ua, b, ub);
  };
  if (s < 60) return absl::StrCat(s, "s");
  if (s < 3600) return two(s / 60, "m", s % 60, "s");
  if (s < 86400) return two(s / 3600, "h", s % 3600 / 60, "m");
  return two(s / 86400, "d", s % 86400 / 3600, "h");
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%SZ",
                          absl::FromUnixSeconds(time.seconds()),
                          absl::UTCTimeZone());
}

std::string StrategyText(store::v1::Strategy strategy) {
  return strategy == store::v1::STRATEGY_UNSPECIFIED
             ? ""
             : absl::AsciiStrToLower(store::v1::Strategy_Name(strategy));
}

std::string ProtoDurationText(const google::protobuf::Duration& d) {
  return DurationText(FromProtoDuration(d));
}

// Sorted: "rack=7,zone=a".
std::string LabelsText(const admin::v1::Node& node) {
  const std::map<std::string, std::string> sorted(node.labels().begin(),
                                                  node.labels().end());
  return absl::StrJoin(sorted, ",", absl::PairFormatter("="));
}

}  // namespace

std::string ToJson(const Message& message) {
  return Dump(MessageJson(message));
}

std::string ListToJson(const Message& message, const std::string& field) {
  return Dump(
      FieldJson(message, *message.GetDescriptor()->FindFieldByName(field)));
}

std::string WhereIsJson(const process::v1::WhereIsResponse& response) {
  Json object;
  for (const char* field : {"name", "node", "pid", "epoch"}) {
    object[field] =
        FieldJson(response, *response.GetDescriptor()->FindFieldByName(field));
  }
  return Dump(object);
}

std::string ProcessJson(const sys::v1::GetStatusResponse& response) {
  Json object = MessageJson(response);
  if (!response.state_type().empty()) {
    Json state = Json::parse(response.formatted_state(), nullptr,
                             /*allow_exceptions=*/false);
    if (!state.is_discarded()) object["formatted_state"] = std::move(state);
  }
  return Dump(object);
}

std::string EventJsonLine(const sys::v1::Event& event) {
  return MessageJson(event).dump(-1, ' ', false,
                                 Json::error_handler_t::replace) +
         "\n";
}

std::string EventLine(const sys::v1::Event& event) {
  const absl::Time time = absl::FromUnixSeconds(event.time().seconds()) +
                          absl::Nanoseconds(event.time().nanos());
  return absl::StrCat(
      absl::FormatTime("%H:%M:%E3SZ", time, absl::UTCTimeZone()), " ",
      Cell(sys::EventText(event)), "\n");
}

std::string Table(std::vector<std::vector<std::string>> rows) {
  std::vector<size_t> widths;
  for (std::vector<std::string>& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      row[i] = Cell(row[i]);
      widths[i] = std::max(widths[i], Width(row[i]));
    }
  }
  std::string text;
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const size_t pad = widths[i] - Width(row[i]) + 2;
      absl::StrAppend(&line, row[i], std::string(pad, ' '));
    }
    absl::StripTrailingAsciiWhitespace(&line);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

std::string StatusPage(const admin::v1::GetStatusResponse& r) {
  const store::v1::Profile& profile = r.profile();
  std::vector<std::vector<std::string>> rows = {
      {"cluster", absl::StrCat(r.cluster(), " (id ", r.cluster_id(), ")")},
      {"node", absl::StrCat(r.node(), ", epoch ", EpochText(r.node_epoch()))},
      {"version", absl::StrCat(r.version(), ", gRPC ", r.grpc_version())},
      {"store", r.store()},
      {"nodes", absl::StrCat(r.nodes())},
      {"names", absl::StrCat(r.names())},
      {"supervisors", absl::StrCat(r.supervisors())},
      {"children", absl::StrCat(r.children_running(), " of ",
                                r.children_wanted(), " running")},
  };
  if (r.has_profile()) {
    rows.push_back(
        {"times",
         absl::StrCat("heartbeat ", ProtoDurationText(profile.heartbeat()),
                      ", fence ", ProtoDurationText(profile.fence()), ", reap ",
                      ProtoDurationText(profile.reap()), ", guard ",
                      ProtoDurationText(profile.guard()))});
  }
  rows.push_back(
      {"fence", r.has_fence_remaining()
                    ? ProtoDurationText(r.fence_remaining()) + " left"
                    : "never closes"});
  return Table(std::move(rows));
}

std::string NodePage(const admin::v1::Node& node) {
  return Table({{"name", node.name()},
                {"state", node.state()},
                {"address", node.address()},
                {"epoch", EpochText(node.epoch())},
                {"joined", node.has_joined_at() ? TimeText(node.joined_at())
                                                : std::string()},
                {"children", absl::StrCat(node.children())},
                {"types", absl::StrJoin(node.types(), ",")},
                {"labels", LabelsText(node)},
                {"version", node.version()}});
}

std::string NodeTable(const admin::v1::ListNodesResponse& response) {
  std::vector<std::vector<std::string>> rows = {{"NAME", "STATE", "ADDRESS",
                                                 "CHILDREN", "LABELS", "TYPES",
                                                 "VERSION", "JOINED", "EPOCH"}};
  for (const admin::v1::Node& node : response.nodes()) {
    rows.push_back({node.name(), node.state(), node.address(),
                    absl::StrCat(node.children()), LabelsText(node),
                    absl::StrJoin(node.types(), ","), node.version(),
                    node.has_joined_at() ? TimeText(node.joined_at()) : "",
                    EpochText(node.epoch())});
  }
  return Table(std::move(rows));
}

std::string ProcessTable(const admin::v1::ListProcessesResponse& response) {
  std::vector<std::vector<std::string>> rows = {
      {"NAME", "TYPE", "NODE", "STATE", "MAILBOX", "HANDLED", "AGE", "PID"}};
  for (const cluster::v1::Process& process : response.processes()) {
    rows.push_back(
        {process.name(), process.type(), process.pid().node(), process.state(),
         absl::StrCat(process.mailbox()), absl::StrCat(process.handled()),
         AgeText(FromProtoDuration(process.age())), PidText(process.pid())});
  }
  return Table(std::move(rows));
}

std::string ProcessPage(const sys::v1::GetStatusResponse& response) {
  std::vector<std::string> on;
  if (response.statistics()) on.push_back("statistics");
  if (response.log_limit() > 0) {
    on.push_back(absl::StrCat("log of ", response.log_limit()));
  }
  if (response.trace()) on.push_back("trace");
  for (const std::string& hook : response.hooks()) {
    on.push_back(absl::StrCat("hook ", hook));
  }
  const std::vector<std::pair<std::string, std::string>> lines = {
      {"pid", PidText(response.pid())},
      {"name", response.name()},
      {"type", response.type()},
      {"service", response.service()},
      {"state", response.state()},
      {"parent", response.has_parent() ? PidText(response.parent()) : ""},
      {"mailbox", absl::StrCat(response.mailbox())},
      {"handled", absl::StrCat(response.handled())},
      {"age", AgeText(FromProtoDuration(response.age()))},
      {"switched on", absl::StrJoin(on, ", ")},
      {"its state", response.formatted_state()}};
  std::string page;
  for (const auto& [name, value] : lines) {
    absl::StrAppend(&page, name, std::string(13 - name.size(), ' '),
                    Cell(value), "\n");
  }
  for (const sys::v1::Event& event : response.log()) {
    absl::StrAppend(&page, EventLine(event));
  }
  return page;
}

std::string NameTable(const admin::v1::ListNamesResponse& response) {
  std::vector<std::vector<std::string>> rows = {
      {"NAME", "NODE", "TYPE", "SUPERVISOR", "EPOCH", "PID"}};
  for (const admin::v1::Name& name : response.names()) {
    rows.push_back({name.name(), name.node(), name.type(), name.supervisor(),
                    EpochText(name.epoch()), PidText(name.pid())});
  }
  return Table(std::move(rows));
}

std::string WhereIsTable(const process::v1::WhereIsResponse& response) {
  return Table({{"NAME", "NODE", "TYPE", "EPOCH", "PID"},
                {response.name(), response.node(), response.type(),
                 EpochText(response.epoch()), PidText(response.pid())}});
}

std::string TreeTable(const admin::v1::GetTreeResponse& response) {
  std::vector<std::vector<std::string>> rows = {
      {"SUPERVISOR/CHILD", "STATE", "NODE", "TYPE", "NAME", "PID", "DETAIL"}};
  for (const admin::v1::Supervisor& supervisor : response.supervisors()) {
    std::string state = "running";
    if (supervisor.node().empty()) state = "failing over";
    if (!supervisor.failed().empty()) state = "failed";
    rows.push_back(
        {supervisor.id(), state, supervisor.node(),
         StrategyText(supervisor.strategy()), "", "",
         supervisor.failed().empty()
             ? absl::StrCat("at most ", supervisor.intensity(), " restarts in ",
                            ProtoDurationText(supervisor.period()))
             : supervisor.failed()});
    for (const admin::v1::Child& child : supervisor.children()) {
      rows.push_back({absl::StrCat("  ", child.id()), child.state(),
                      child.node(), child.type(), child.name(),
                      child.has_pid() ? PidText(child.pid()) : "",
                      child.detail()});
    }
  }
  return Table(std::move(rows));
}

std::string ApplyTable(const cluster::v1::Manifest& manifest,
                       const admin::v1::ApplyResponse& response) {
  std::vector<std::vector<std::string>> rows = {
      {"CHILD", "NAME", "TYPE", "ACTION"}};
  const auto has = [](const auto& list, const std::string& id) {
    return std::find(list.begin(), list.end(), id) != list.end();
  };
  for (const cluster::v1::ManifestChild& child : manifest.children()) {
    std::string action;
    if (has(response.started(), child.id())) action = "started";
    if (has(response.restarted(), child.id())) action = "restarted";
    if (has(response.unchanged(), child.id())) action = "unchanged";
    rows.push_back({child.id(), child.name(), child.type(), action});
  }
  for (const std::string& id : response.stopped()) {
    rows.push_back({id, "", "", "stopped"});
  }
  return Table(std::move(rows));
}

}  // namespace muster
