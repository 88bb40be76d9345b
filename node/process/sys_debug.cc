#include "node/process/sys_debug.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/process/thrown.h"
#include "node/types/pid.h"
#include "node/types/proto_time.h"
#include "node/types/status.h"

namespace muster::internal {
namespace {

std::string Peer(absl::string_view word, const sys::v1::Event& event) {
  if (!event.has_caller()) return absl::StrCat(word, "a client outside");
  return absl::StrCat(word, Pid::FromProto(event.caller()).ToString());
}

std::string Typed(const sys::v1::Event& event) {
  return absl::StrCat(event.type().empty() ? "" : event.type(),
                      event.type().empty() ? "" : ", ", event.bytes(),
                      event.bytes() == 1 ? " byte" : " bytes");
}

}  // namespace

std::string EventText(const sys::v1::Event& event) {
  switch (event.kind()) {
    case sys::v1::Event::CALL:
      return absl::StrCat("got call ", event.method(), " (", Typed(event), ")",
                          Peer(" from ", event));
    case sys::v1::Event::CAST:
      return absl::StrCat("got cast ", event.method(), " (", Typed(event), ")",
                          Peer(" from ", event));
    case sys::v1::Event::INFO:
      return absl::StrCat("got info (", Typed(event), ")");
    case sys::v1::Event::TIMEOUT:
      return "got inactivity timeout";
    case sys::v1::Event::CONTINUE:
      return absl::StrCat("continues with (", Typed(event), ")");
    case sys::v1::Event::REPLY:
      if (!event.error().empty()) {
        return absl::StrCat("sent error ", event.error(), Peer(" to ", event));
      }
      return absl::StrCat("sent reply (", Typed(event), ")",
                          Peer(" to ", event));
    case sys::v1::Event::NO_REPLY:
      return "goes on";
    default:
      return "did something that this version does not know";
  }
}

void SysDebug::Record(sys::v1::Event event, absl::string_view server,
                      BootTime now, Logger& logger) {
  if (statistics_.has_value()) {
    switch (event.kind()) {
      case sys::v1::Event::CALL:
      case sys::v1::Event::CAST:
      case sys::v1::Event::INFO:
      case sys::v1::Event::TIMEOUT:
        ++statistics_->in;
        ++statistics_->reductions;
        break;
      case sys::v1::Event::CONTINUE:
        ++statistics_->reductions;
        break;
      case sys::v1::Event::REPLY:
        ++statistics_->out;
        break;
      default:
        break;
    }
  }
  ExpireLog(now);
  if (log_size_ > 0) {
    event.set_number(++log_number_);
    log_.push_back(event);
    if (log_.size() > log_size_) log_.pop_front();
  }
  if (trace_) {
    const std::string line =
        absl::StrCat("trace: ", server, " ", EventText(event));
    if (!sink_) {
      logger.Info(line);
    } else {
      try {
        sink_(line);
      } catch (...) {
        SwitchTrace(false, nullptr);
        logger.Warning(absl::StrCat(
            "trace of ", server,
            ": its sink threw and was removed: ", ThrownReason().ToString()));
      }
    }
  }
  CallHooks(event, server, logger);
}

void SysDebug::CallHooks(const sys::v1::Event& event, absl::string_view server,
                         Logger& logger) {
  std::erase_if(hooks_, [&](Hook& hook) {
    try {
      return !hook.call(event, server);
    } catch (...) {
      logger.Warning(
          absl::StrCat("hook '", hook.id, "' of ", server,
                       " threw and was removed: ", ThrownReason().ToString()));
      return true;
    }
  });
}

void SysDebug::SwitchStatistics(bool on, absl::Time now) {
  statistics_.reset();
  if (on) statistics_.emplace().start = now;
}

absl::StatusOr<sys::v1::GetStatisticsResponse> SysDebug::statistics(
    absl::Time now) const {
  if (!statistics_.has_value()) {
    return Error(absl::StatusCode::kFailedPrecondition, "NO_STATISTICS",
                 "statistics are off: switch them on first")
        .NotExecuted();
  }
  sys::v1::GetStatisticsResponse response;
  *response.mutable_start_time() = ToProtoTimestamp(statistics_->start);
  *response.mutable_current_time() = ToProtoTimestamp(now);
  response.set_reductions(statistics_->reductions);
  response.set_messages_in(statistics_->in);
  response.set_messages_out(statistics_->out);
  return response;
}

void SysDebug::SwitchLog(size_t size, absl::Duration expire, BootTime now) {
  log_size_ = std::min(size, kSysLogMax);
  log_expire_ = expire;
  log_read_ = now;
  if (log_size_ == 0) log_number_ = 0;
  while (log_.size() > log_size_) log_.pop_front();
}

void SysDebug::ExpireLog(BootTime now) {
  if (log_size_ > 0 && log_expire_ != absl::InfiniteDuration() &&
      now - log_read_ > log_expire_) {
    SwitchLog(0, absl::InfiniteDuration(), now);
  }
}

sys::v1::GetLogResponse SysDebug::ReadLog(uint64_t after, BootTime now) {
  ExpireLog(now);
  log_read_ = now;
  sys::v1::GetLogResponse response;
  response.set_on(log_size_ > 0);
  for (const sys::v1::Event& event : log_) {
    if (event.number() > after) *response.add_events() = event;
  }
  const uint64_t first = log_.empty() ? log_number_ + 1 : log_.front().number();
  if (first > after + 1) response.set_missed(first - after - 1);
  return response;
}

void SysDebug::SwitchTrace(bool on, SysTraceSink sink) {
  trace_ = on;
  sink_ = on ? std::move(sink) : nullptr;
}

bool SysDebug::InstallHook(std::string id, SysHook hook) {
  for (const Hook& other : hooks_) {
    if (other.id == id) return false;
  }
  hooks_.push_back(Hook{std::move(id), std::move(hook)});
  return true;
}

void SysDebug::RemoveHook(absl::string_view id) {
  std::erase_if(hooks_, [id](const Hook& hook) { return hook.id == id; });
}

void SysDebug::Describe(sys::v1::GetStatusResponse* status) const {
  status->set_statistics(statistics_.has_value());
  status->set_log_limit(static_cast<uint32_t>(log_size_));
  status->set_trace(trace_);
  for (const Hook& hook : hooks_) status->add_hooks(hook.id);
}

}  // namespace muster::internal
