#include "tests/chaos/contender.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::Duration kPauseMin = absl::Milliseconds(100);
constexpr absl::Duration kPauseMore = absl::Milliseconds(400);

absl::Duration Pause(Context& self) {
  return kPauseMin + self.random().Jitter(kPauseMore);
}

// What became of an operation is not known.
bool Unsure(const absl::Status& status) {
  return !status.ok() && OutcomeOf(status) != Outcome::kNotExecuted;
}

}  // namespace

InitResult Contender::Init(Context& self) {
  self.TrapExit(true);  // So that its end is recorded.
  self.SendAfter(Pause(self), Tick());
  return Ok();
}

Next Contender::HandleInfo(Info info, Context& self) {
  if (info.As<Tick>() == nullptr) co_return NoReply();
  const std::string name =
      absl::StrCat(kContestedPrefix, self.random().Below(kContestedNames));
  HistoryEvent taking = Invoke("register", name, self);
  const absl::StatusOr<Epoch> epoch = co_await RegisterName(self, name);
  Finish(std::move(taking), epoch);
  // Whoever may have a name ends, which gives it back.
  if (Unsure(epoch.status())) {
    co_return Stop(ExitReason::Custom("unsure of its name"));
  }
  if (epoch.ok()) {
    co_await self.Sleep(Pause(self));
    HistoryEvent leaving = Invoke("unregister", name, self);
    const absl::Status left = co_await UnregisterName(self, name);
    Finish(std::move(leaving), left.ok() ? epoch : absl::StatusOr<Epoch>(left));
    if (!left.ok()) {
      co_return Stop(ExitReason::Custom("unsure of its name"));
    }
  }
  self.SendAfter(Pause(self), Tick());
  co_return NoReply();
}

Next Contender::Terminate(const ExitReason& reason, Context& self) {
  HistoryEvent event;
  event.kind = EventKind::kExit;
  event.node = self.node();
  event.node_epoch = self.pid().epoch;
  event.name = self.name();
  event.seq = self.pid().number;
  event.reason = reason.ToString();
  record_->Write(std::move(event));
  return NoReply();
}

HistoryEvent Contender::Invoke(const std::string& op, const std::string& name,
                               Context& self) {
  HistoryEvent event;
  event.kind = EventKind::kInvoke;
  event.session = self.pid().ToString();
  event.call = absl::StrCat(event.session, "/", ++operations_);
  event.op = op;
  event.name = name;
  event.key = event.session;
  record_->Write(event);
  event.op.clear();
  event.name.clear();
  event.key.clear();
  return event;
}

void Contender::Finish(HistoryEvent event, const absl::StatusOr<Epoch>& epoch) {
  event.kind = epoch.ok() ? EventKind::kOk : EventKind::kError;
  if (epoch.ok()) {
    event.epoch = *epoch;
  } else {
    event.outcome = std::string(OutcomeName(OutcomeOf(epoch.status())));
    event.reason = ReasonOf(epoch.status());
    event.key = DetailOf(epoch.status(), "pid");
  }
  record_->Write(std::move(event));
}

SupervisorSpec Contender::Tree(const std::shared_ptr<Record>& record,
                               int count) {
  SupervisorSpec tree;
  // They end on purpose.
  tree.intensity = 1000;
  tree.period = absl::Seconds(1);
  for (int i = 0; i < count; ++i) {
    ChildSpec child;
    child.id = absl::StrCat("contender", i);
    child.factory = [record] { return std::make_unique<Contender>(record); };
    tree.children.push_back(std::move(child));
  }
  return tree;
}

}  // namespace muster
