#include "cluster/journal/event_select.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace muster {
namespace {

bool Matches(const std::string& wanted, const std::string& is) {
  return wanted.empty() || wanted == is;
}

bool IsOfNode(const store::v1::EventRecord& record) {
  return absl::StartsWith(record.kind(), "node.");
}

}  // namespace

std::vector<admin::v1::Event> ToEvents(std::vector<KeyValue> items) {
  std::sort(items.begin(), items.end(),
            [](const KeyValue& a, const KeyValue& b) {
              return std::tie(a.create_revision, a.key) <
                     std::tie(b.create_revision, b.key);
            });
  std::vector<admin::v1::Event> events;
  for (const KeyValue& item : items) {
    admin::v1::Event event;
    if (!event.mutable_record()->ParseFromString(item.value)) continue;
    event.set_revision(static_cast<uint64_t>(item.create_revision));
    events.push_back(std::move(event));
  }
  return events;
}

EventFilter::EventFilter(admin::v1::ListEventsRequest request)
    : request_(std::move(request)) {}

void EventFilter::Begin(const std::vector<admin::v1::Event>& events) {
  for (const admin::v1::Event& event : events) {
    const store::v1::EventRecord& record = event.record();
    if (request_.name().empty() || record.name() != request_.name()) continue;
    if (record.from_node().empty() && record.to_node().empty()) continue;
    owner_ = record.from_node();
    return;
  }
}

bool EventFilter::Wants(const admin::v1::Event& event) {
  const store::v1::EventRecord& record = event.record();
  bool of_name = request_.name().empty() || record.name() == request_.name();
  if (!request_.name().empty()) {
    // The end of a node concerns the names it had, also if one has moved in
    // the same transaction.
    of_name |= IsOfNode(record) && !owner_.empty() && record.node() == owner_;
    if (record.name() == request_.name()) {
      if (!record.to_node().empty()) owner_ = record.to_node();
      if (record.kind() == "name.released") owner_.clear();
    }
  }
  if (event.revision() <= request_.after_revision()) return false;
  const bool of_node = request_.node().empty() ||
                       record.node() == request_.node() ||
                       record.from_node() == request_.node() ||
                       record.to_node() == request_.node();
  return of_name && of_node &&
         Matches(request_.supervisor(), record.supervisor()) &&
         absl::StartsWith(record.kind(), request_.kind());
}

int LimitOf(const admin::v1::ListEventsRequest& request) {
  if (request.limit() <= 0) return kEventsDefault;
  return std::min(request.limit(), kEventsMax);
}

std::vector<admin::v1::Event> SelectEvents(
    const std::vector<admin::v1::Event>& all,
    const admin::v1::ListEventsRequest& request) {
  EventFilter filter(request);
  filter.Begin(all);
  std::vector<admin::v1::Event> wanted;
  for (const admin::v1::Event& event : all) {
    if (filter.Wants(event)) wanted.push_back(event);
  }
  const size_t limit = static_cast<size_t>(LimitOf(request));
  if (wanted.size() > limit) {
    wanted.erase(wanted.begin(),
                 wanted.end() - static_cast<std::ptrdiff_t>(limit));
  }
  return wanted;
}

std::string EventText(const store::v1::EventRecord& record) {
  if (!record.text().empty()) return record.text();
  const std::string subject =
      !record.name().empty()    ? absl::StrCat("'", record.name(), "'")
      : !record.child().empty() ? absl::StrCat("child '", record.child(), "'")
      : !record.supervisor().empty()
          ? absl::StrCat("supervisor '", record.supervisor(), "'")
      : !record.node().empty() ? absl::StrCat("node '", record.node(), "'")
                               : "the cluster";
  const std::string& from = record.from_node();
  const std::string& to = record.to_node();
  if (!from.empty() && !to.empty() && from != to) {
    return absl::StrCat(subject, " moved from node '", from, "' to node '", to,
                        "'");
  }
  if (!to.empty()) return absl::StrCat(subject, " is on node '", to, "'");
  if (!from.empty()) {
    return absl::StrCat(subject, " is not on node '", from, "' any more");
  }
  const size_t dot = record.kind().find('.');
  return dot == std::string::npos
             ? subject
             : absl::StrCat(subject, " ", record.kind().substr(dot + 1));
}

std::string EvidenceText(const store::v1::EventRecord& record) {
  const std::map<std::string, std::string> sorted(record.evidence().begin(),
                                                  record.evidence().end());
  return absl::StrJoin(sorted, ", ", absl::PairFormatter(": "));
}

}  // namespace muster
