#include "examples/periodic/periodic.h"

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "examples/duration_option.h"

namespace examples {

using muster::Context;
using muster::Info;
using muster::InitResult;
using muster::Next;
using muster::Reply;
using periodic::v1::GetCountRequest;
using periodic::v1::PeriodicTaskOptions;
using periodic::v1::TickCount;

InitResult PeriodicTask::Init(const PeriodicTaskOptions& options,
                              Context& self) {
  const absl::StatusOr<absl::Duration> interval = DurationOption(
      "interval", options.has_interval(), options.interval(), absl::Seconds(1));
  if (!interval.ok()) return interval.status();
  interval_ = *interval;
  ScheduleTick(self);
  return muster::Ok();
}

Reply<TickCount> PeriodicTask::GetCount(const GetCountRequest&, Context&) {
  TickCount count;
  count.set_count(count_);
  return count;
}

Next PeriodicTask::HandleInfo(Info info, Context& self) {
  if (info.As<Tick>() == nullptr) {
    self.LogWarning(absl::StrCat("Received unexpected message: ", info.type()));
    return muster::NoReply();
  }
  self.LogInfo(absl::StrCat("Tick number: ", count_));
  ++count_;
  ScheduleTick(self);
  return muster::NoReply();
}

void PeriodicTask::ScheduleTick(Context& self) {
  self.SendAfter(interval_, Tick());
}

}  // namespace examples
