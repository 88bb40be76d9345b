#include "cluster/cli/event_commands.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cluster/cli/commands.h"
#include "cluster/cli/format.h"
#include "cluster/journal/event_select.h"
#include "google/protobuf/util/time_util.h"
#include "nlohmann/json.hpp"
#include "node/types/names.h"
#include "node/types/pid.h"
#include "node/types/status.h"

namespace muster {
namespace {

using google::protobuf::util::TimeUtil;
using store::v1::EventRecord;

std::string At(const EventRecord& record) {
  return TimeUtil::ToString(record.at());
}

// What happened and why.
std::string What(const EventRecord& record) {
  const std::string evidence = EvidenceText(record);
  return absl::StrCat(
      EventText(record),
      evidence.empty() ? "" : absl::StrCat(" [", evidence, "]"));
}

// What it is about, in one word.
std::string Subject(const EventRecord& record) {
  if (!record.name().empty()) return record.name();
  if (!record.child().empty()) {
    return absl::StrCat(record.supervisor(), "/", record.child());
  }
  if (!record.supervisor().empty()) return record.supervisor();
  return record.node();
}

std::string EpochText(bool has, const core::v1::Epoch& epoch) {
  return has ? Epoch::FromProto(epoch).ToString() : "";
}

absl::Status BadLimit() {
  return Error(absl::StatusCode::kInvalidArgument, "USAGE",
               absl::StrCat("--limit is 1 to ", kEventsMax))
      .NotExecuted();
}

// What was asked for is well formed.
absl::Status Check(const admin::v1::ListEventsRequest& request) {
  if (!request.name().empty()) {
    absl::Status valid = ValidateName(request.name());
    if (!valid.ok()) return valid;
  }
  if (!request.node().empty()) {
    absl::Status valid = ValidateNodeName(request.node());
    if (!valid.ok()) return valid;
  }
  if (request.limit() < 1 || request.limit() > kEventsMax) return BadLimit();
  return absl::OkStatus();
}

}  // namespace

std::string EventTable(const admin::v1::ListEventsResponse& response) {
  std::vector<std::vector<std::string>> rows = {
      {"AT", "REVISION", "KIND", "NODE", "ABOUT", "WHAT"}};
  for (const admin::v1::Event& event : response.events()) {
    const EventRecord& record = event.record();
    rows.push_back({At(record), absl::StrCat(event.revision()), record.kind(),
                    record.node().empty() ? record.reporter() : record.node(),
                    Subject(record), What(record)});
  }
  return Table(std::move(rows));
}

std::string EventTextLine(const admin::v1::Event& event) {
  const EventRecord& record = event.record();
  return absl::StrCat(At(record), " ", event.revision(), " ", record.kind(),
                      " ", Subject(record), ": ", What(record), "\n");
}

std::string HistoryTable(const admin::v1::ListEventsResponse& response) {
  std::vector<std::vector<std::string>> rows = {
      {"AT", "KIND", "FROM", "TO", "EPOCH", "WHAT"}};
  for (const admin::v1::Event& event : response.events()) {
    const EventRecord& record = event.record();
    // A claim is the write that makes the epoch, so its revision is its own.
    std::string epoch = EpochText(record.has_new_epoch(), record.new_epoch());
    if (epoch.empty() &&
        (record.kind() == "name.claimed" || record.kind() == "name.moved")) {
      epoch = absl::StrCat("revision ", event.revision());
    }
    rows.push_back({At(record), record.kind(), record.from_node(),
                    record.to_node(), epoch, What(record)});
  }
  return Table(std::move(rows));
}

std::string ExplainPage(const admin::v1::ExplainResponse& response) {
  std::string page =
      absl::StrCat(response.name().name(), ": ", response.state(), "\n\n");
  for (const std::string& sentence : response.text()) {
    absl::StrAppend(&page, sentence, "\n");
  }
  if (response.events().empty()) return page;
  absl::StrAppend(&page, "\nLast events, newest first:\n");
  for (const admin::v1::Event& event : response.events()) {
    absl::StrAppend(&page, "  ", EventTextLine(event));
  }
  return page;
}

CommandResult ClientCommands::EventList(
    const admin::v1::ListEventsRequest& request) {
  if (absl::Status valid = Check(request); !valid.ok()) return valid;
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  const auto response = client_->ListEvents(request, Left());
  if (!response.ok()) return response.status();
  if (flags_.json) {
    *env_.out << ListToJson(*response, "events");
  } else if (response->events().empty()) {
    *env_.err << "no such events\n";
  } else {
    *env_.out << EventTable(*response);
  }
  return {};
}

CommandResult ClientCommands::EventTail(
    const admin::v1::ListEventsRequest& request) {
  if (absl::Status valid = Check(request); !valid.ok()) return valid;
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  return client_->TailEvents(request, [this](const admin::v1::Event& event) {
    if (flags_.json) {
      // One line each.
      *env_.out << nlohmann::ordered_json::parse(ToJson(event)).dump() << "\n";
    } else {
      *env_.out << EventTextLine(event);
    }
    env_.out->flush();
    return env_.out->good();
  });
}

CommandResult ClientCommands::NameHistory(
    const admin::v1::ListEventsRequest& request) {
  if (absl::Status valid = Check(request); !valid.ok()) return valid;
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  const auto response = client_->ListEvents(request, Left());
  if (!response.ok()) return response.status();
  if (flags_.json) {
    *env_.out << ListToJson(*response, "events");
  } else if (response->events().empty()) {
    *env_.err << "the journal knows no name " << LogSafe(request.name())
              << "\n";
  } else {
    *env_.out << HistoryTable(*response);
  }
  return {};
}

CommandResult ClientCommands::Explain(const std::string& name) {
  if (absl::Status valid = ValidateName(name); !valid.ok()) return valid;
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  admin::v1::ExplainRequest request;
  request.set_name(name);
  const auto response = client_->Explain(request, Left());
  if (!response.ok()) return response.status();
  *env_.out << (flags_.json ? ToJson(*response) : ExplainPage(*response));
  return {};
}

}  // namespace muster
