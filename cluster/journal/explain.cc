#include "cluster/journal/explain.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cluster/journal/event_select.h"
#include "google/protobuf/util/time_util.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

using google::protobuf::util::TimeUtil;

// Events that the answer carries.
constexpr int kEventsShown = 20;

using Events = std::vector<admin::v1::Event>;

absl::Duration Rounded(absl::Duration d) {
  return absl::Floor(d, absl::Milliseconds(1));
}

std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", text, "'");
}

std::string When(const admin::v1::Event& event) {
  return absl::StrCat(TimeUtil::ToString(event.record().at()), ", revision ",
                      event.revision());
}

// What happened and on which evidence.
std::string Because(const admin::v1::Event& event) {
  const std::string evidence = EvidenceText(event.record());
  return absl::StrCat(EventText(event.record()),
                      evidence.empty() ? "" : absl::StrCat(" [", evidence, "]"),
                      " (", When(event), ")");
}

bool EndsANode(const std::string& kind) {
  return kind == "node.attested" || kind == "node.reaped" ||
         kind == "node.left";
}

// A start of the named process: where it is now, it is by the last one.
bool IsAStart(const std::string& kind) {
  return kind == "name.claimed" || kind == "name.moved" ||
         kind == "child.moved" || kind == "child.started" ||
         kind == "child.restarted";
}

// Revision of the ownership that a start began. A claim's event has it for its
// own; what a supervisor writes when the start is done names it.
uint64_t StartOf(const admin::v1::Event& event) {
  const uint64_t named = event.record().new_epoch().revision();
  return named != 0 ? named : event.revision();
}

// How well an event tells of a start; of those of one start the best is shown.
int Telling(const admin::v1::Event& event) {
  if (event.record().kind() == "child.moved") return 3;
  if (event.record().kind() == "name.moved") return 2;
  return absl::StartsWith(event.record().kind(), "child.") ? 1 : 0;
}

// The last start of the name in `events`, newest first.
const admin::v1::Event* LastStart(const Events& newest) {
  const admin::v1::Event* best = nullptr;
  for (const admin::v1::Event& event : newest) {
    if (!IsAStart(event.record().kind())) continue;
    if (best != nullptr && StartOf(event) != StartOf(*best)) break;
    if (best == nullptr || Telling(event) > Telling(*best)) best = &event;
  }
  return best;
}

// What made it start anew: before `start`, and after the start before that
// one. The end of its node rather than the exit that came of that.
const admin::v1::Event* CauseOf(const Events& newest,
                                const admin::v1::Event& start) {
  const std::string& from = start.record().from_node();
  const admin::v1::Event* exited = nullptr;
  for (const admin::v1::Event& event : newest) {
    if (event.revision() >= start.revision()) continue;
    const std::string& kind = event.record().kind();
    if (EndsANode(kind) && (from.empty() || event.record().node() == from)) {
      return &event;
    }
    if (kind == "child.exited" || kind == "name.released") {
      if (exited == nullptr) exited = &event;
    } else if (IsAStart(kind) && StartOf(event) != StartOf(start)) {
      break;
    }
  }
  return exited;
}

class Explainer {
 public:
  explicit Explainer(const NameFacts& facts) : facts_(facts) {
    admin::v1::ListEventsRequest request;
    request.set_name(facts.name);
    request.set_limit(kEventsMax);
    newest_ = SelectEvents(facts.events, request);
    std::reverse(newest_.begin(), newest_.end());
  }

  absl::StatusOr<admin::v1::ExplainResponse> Run() {
    if (!facts_.record.has_value() && !HasChild() && newest_.empty()) {
      return Error(absl::StatusCode::kNotFound, "NO_NAME",
                   absl::StrCat("nobody has the name ", LogSafe(facts_.name),
                                ", no supervisor wants it, and the journal "
                                "does not know it: `muster name list` shows "
                                "what there is"))
          .NotExecuted();
    }
    Where();
    Owner();
    WhoWantsIt();
    WhyThere();
    WhatItWaitsFor();
    response_.set_state(State());
    if (facts_.record.has_value()) *response_.mutable_name() = *facts_.record;
    response_.mutable_name()->set_name(facts_.name);
    if (HasChild()) *response_.mutable_child() = Child();
    if (facts_.owner_silence.has_value()) {
      *response_.mutable_owner_silence() = TimeUtil::NanosecondsToDuration(
          absl::ToInt64Nanoseconds(*facts_.owner_silence));
    }
    for (const admin::v1::Event& event : newest_) {
      if (response_.events_size() == kEventsShown) break;
      *response_.add_events() = event;
    }
    return std::move(response_);
  }

 private:
  bool HasChild() const {
    return facts_.supervisor.has_value() &&
           facts_.supervisor->children_size() > 0;
  }
  const admin::v1::Child& Child() const {
    return facts_.supervisor->children(0);
  }
  // Longer than a node is used to.
  bool OwnerIsSilent() const {
    return facts_.owner_silence.has_value() &&
           *facts_.owner_silence > facts_.reap / 2;
  }
  void Say(std::string sentence) {
    *response_.add_text() = std::move(sentence);
  }

  std::string State() const {
    if (facts_.owner.has_value()) {
      if (OwnerIsSilent()) return "owner silent";
      return HasChild() && !Child().state().empty() ? Child().state()
                                                    : "running";
    }
    if (HasChild()) {
      // The supervisor may not have seen yet that its node is gone.
      return Child().state() == "running" || Child().state().empty()
                 ? "restarting"
                 : Child().state();
    }
    return facts_.record.has_value() && facts_.supervisor.has_value()
               ? "restarting"
               : "free";
  }

  void Where() {
    if (!facts_.record.has_value()) {
      Say(absl::StrCat(Quoted(facts_.name),
                       " is nowhere: nobody owns the "
                       "name."));
      return;
    }
    const admin::v1::Name& record = *facts_.record;
    const std::string pid = Pid::FromProto(record.pid()).ToString();
    const std::string epoch = Epoch::FromProto(record.epoch()).ToString();
    if (facts_.owner.has_value()) {
      Say(absl::StrCat(
          Quoted(facts_.name), " is on node ", Quoted(record.node()), " as ",
          pid, record.type().empty() ? "" : absl::StrCat(", a ", record.type()),
          "; its epoch is ", epoch, "."));
      return;
    }
    Say(absl::StrCat(Quoted(facts_.name), " is nowhere at the moment: it was ",
                     pid, " with epoch ", epoch, ", and that epoch of node ",
                     Quoted(record.node()), " has ended."));
  }

  void Owner() {
    if (!facts_.owner.has_value()) return;
    const std::string node =
        absl::StrCat("Node ", Quoted(facts_.owner->node()));
    if (facts_.owner->draining()) {
      Say(absl::StrCat(node, " is draining: what runs there moves away."));
    }
    if (!facts_.owner_silence.has_value()) return;
    if (*facts_.owner_silence == absl::ZeroDuration()) {
      Say(absl::StrCat(node, " lives: it is the one that says this."));
      return;
    }
    if (!OwnerIsSilent()) {
      Say(absl::StrCat(node, " was heard ",
                       absl::FormatDuration(Rounded(*facts_.owner_silence)),
                       " ago."));
      return;
    }
    Say(absl::StrCat(node, " has been silent for ",
                     absl::FormatDuration(Rounded(*facts_.owner_silence)),
                     "; after ", absl::FormatDuration(facts_.reap),
                     " its names go to other nodes."));
  }

  void WhoWantsIt() {
    if (!facts_.supervisor.has_value()) {
      Say(facts_.record.has_value()
              ? "It has no supervisor: when its process ends, the name is free."
              : "No supervisor wants it.");
      return;
    }
    const admin::v1::Supervisor& supervisor = *facts_.supervisor;
    const std::string who =
        absl::StrCat("supervisor ", Quoted(supervisor.id()));
    if (!supervisor.failed().empty()) {
      Say(absl::StrCat("Its ", who, " gave up: ", supervisor.failed(), "."));
      return;
    }
    if (!HasChild()) {
      Say(absl::StrCat("Its ", who,
                       supervisor.node().empty()
                           ? " is itself on its way to another node and cannot "
                             "be asked."
                           : " does not answer."));
      return;
    }
    const admin::v1::Child& child = Child();
    std::string restart = store::v1::Restart_Name(child.restart());
    std::transform(restart.begin(), restart.end(), restart.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    Say(absl::StrCat(
        "It is the ", restart, " child ", Quoted(child.id()), " of ", who,
        supervisor.node().empty()
            ? std::string(", which is on its way to another node itself")
            : absl::StrCat(", which runs on node ", Quoted(supervisor.node())),
        child.state() == "running" && !child.node().empty()
            ? absl::StrCat(" and wants it on node ", Quoted(child.node()))
            : "",
        "."));
  }

  void WhyThere() {
    const admin::v1::Event* const start = LastStart(newest_);
    if (start == nullptr) {
      Say("The journal does not reach back to its last start.");
      return;
    }
    Say(absl::StrCat("Its last start: ", Because(*start), "."));
    if (const admin::v1::Event* const cause = CauseOf(newest_, *start)) {
      Say(absl::StrCat("The reason: ", Because(*cause), "."));
    } else if (start->record().from_node().empty()) {
      Say("That was its first start, as far as the journal goes.");
    }
    // What has happened since, and nothing has come of it yet.
    for (const admin::v1::Event& event : newest_) {
      if (event.revision() <= start->revision()) break;
      const std::string& kind = event.record().kind();
      if (EndsANode(kind) || kind == "child.exited" ||
          kind == "supervisor.failed") {
        Say(absl::StrCat("Since then: ", Because(event), "."));
        break;
      }
    }
  }

  void WhatItWaitsFor() {
    if (!HasChild()) return;
    const admin::v1::Child& child = Child();
    if (child.state() == "running" && facts_.owner.has_value()) return;
    if (child.state() == "ended") {
      Say(absl::StrCat("It has ended and is not started again",
                       child.detail().empty()
                           ? std::string()
                           : absl::StrCat(": ", child.detail()),
                       "."));
      return;
    }
    if (!child.detail().empty()) {
      Say(absl::StrCat("It waits: ", child.detail(), "."));
    } else if (facts_.supervisor->node().empty()) {
      Say("It waits for its supervisor to run again.");
    } else {
      Say(absl::StrCat("It waits for supervisor ",
                       Quoted(facts_.supervisor->id()), " to start it."));
    }
  }

  const NameFacts& facts_;
  // Those of the name, newest first.
  Events newest_;
  admin::v1::ExplainResponse response_;
};

}  // namespace

absl::StatusOr<admin::v1::ExplainResponse> Explain(const NameFacts& facts) {
  return Explainer(facts).Run();
}

}  // namespace muster
