// SysDebug: what is switched on for one process: statistics, log, trace, hooks
// (otp Y6, Y7).
#ifndef MUSTER_NODE_PROCESS_SYS_DEBUG_H_
#define MUSTER_NODE_PROCESS_SYS_DEBUG_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "muster/sys/v1/sys.pb.h"
#include "node/base/clock.h"
#include "node/base/log.h"
#include "node/process/sys_requests.h"

namespace muster::internal {

// "got call Increment (counter.v1.Request)", "sent counter.v1.Value".
std::string EventText(const sys::v1::Event& event);

// Owned by its process; null there while nothing is on. THREADS: the worker
// that runs the process.
class SysDebug {
 public:
  // Nothing is on: it can go.
  bool idle() const {
    return !statistics_.has_value() && log_size_ == 0 && !trace_ &&
           hooks_.empty();
  }

  // Counts, keeps, traces, calls the hooks. `event` is numbered here.
  void Record(sys::v1::Event event, absl::string_view server, BootTime now,
              Logger& logger);

  void SwitchStatistics(bool on, absl::Time now);
  // FAILED_PRECONDITION NO_STATISTICS.
  absl::StatusOr<sys::v1::GetStatisticsResponse> statistics(
      absl::Time now) const;

  // `size` 0: off. Kept at most kSysLogMax.
  void SwitchLog(size_t size, absl::Duration expire, BootTime now);
  sys::v1::GetLogResponse ReadLog(uint64_t after, BootTime now);
  std::vector<sys::v1::Event> log() const {
    return std::vector<sys::v1::Event>(log_.begin(), log_.end());
  }

  // A null `sink`: to the node's log.
  void SwitchTrace(bool on, SysTraceSink sink);
  // False: there is one of that id, which stays.
  bool InstallHook(std::string id, SysHook hook);
  void RemoveHook(absl::string_view id);

  // Fills in what is on.
  void Describe(sys::v1::GetStatusResponse* status) const;

 private:
  struct Statistics {
    Statistics() {}
    absl::Time start;
    uint64_t reductions = 0;
    uint64_t in = 0;
    uint64_t out = 0;
  };
  struct Hook {
    std::string id;
    SysHook call;
  };

  void ExpireLog(BootTime now);
  void CallHooks(const sys::v1::Event& event, absl::string_view server,
                 Logger& logger);

  std::optional<Statistics> statistics_;
  size_t log_size_ = 0;
  uint64_t log_number_ = 0;  // Of the last event.
  absl::Duration log_expire_ = absl::InfiniteDuration();
  BootTime log_read_;
  std::deque<sys::v1::Event> log_;
  bool trace_ = false;
  SysTraceSink sink_;
  std::vector<Hook> hooks_;
};

}  // namespace muster::internal

#endif  // MUSTER_NODE_PROCESS_SYS_DEBUG_H_
