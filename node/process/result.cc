#include "node/process/result.h"

#include <utility>

namespace muster {

After Timeout(absl::Duration d) {
  After after;
  after.kind = After::Kind::kTimeout;
  after.timeout = d;
  return after;
}

After Continue(Info message) {
  After after;
  after.kind = After::Kind::kContinue;
  after.message = std::move(message);
  return after;
}

After Hibernate() {
  After after;
  after.kind = After::Kind::kHibernate;
  return after;
}

namespace internal {

Decision GoOn(After after) {
  Decision decision;
  decision.after = std::move(after);
  return decision;
}

Decision StopWith(ExitReason reason) {
  Decision decision;
  decision.kind = Decision::Kind::kStop;
  decision.stop = std::move(reason);
  return decision;
}

Decision ReplyWith(Payload reply, After after) {
  Decision decision;
  decision.kind = Decision::Kind::kReply;
  decision.replies = true;
  decision.reply = std::move(reply);
  decision.after = std::move(after);
  return decision;
}

Decision StopReplyWith(ExitReason reason, Payload reply) {
  Decision decision = StopWith(std::move(reason));
  decision.replies = true;
  decision.reply = std::move(reply);
  return decision;
}

Decision FailWith(absl::Status error) {
  Decision decision;
  decision.kind = Decision::Kind::kError;
  decision.error = std::move(error);
  return decision;
}

Decision RefuseWith(absl::Status error) {
  Decision decision = FailWith(std::move(error));
  decision.refused = true;
  return decision;
}

Decision IgnoreStart() {
  Decision decision;
  decision.kind = Decision::Kind::kIgnore;
  return decision;
}

}  // namespace internal
}  // namespace muster
