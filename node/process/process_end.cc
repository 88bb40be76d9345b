// How a Process ends.
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/process/answer.h"
#include "node/process/crash_report.h"
#include "node/process/process.h"
#include "node/types/utf8.h"

namespace muster {
namespace {

// Of a state in a report; it is a line of a log.
constexpr size_t kReportStateBytesMax = 4096;

}  // namespace

void Process::PrepareReport(const ExitReason& reason) {
  if (reason.IsNormal()) return;
  const ProcessInfo info = Describe();
  report_ = std::make_unique<CrashReport>(pid_, reason);
  report_->name = info.name;
  report_->label = info.label;
  report_->type = info.type;
  report_->handler = CurrentHandler();
  report_->parent = info.parent;
  report_->ancestors = info.ancestors;
  report_->links = info.links;
  report_->mailbox = info.mailbox;
  report_->trap_exit = info.trap_exit;
  // What failed to begin has no state (otp H9).
  if (stage_ == Stage::kInit) return;
  std::string state;
  const ServerStatus status = FormattedStatus(reason, &state);
  std::string& details = report_->details;
  details = absl::StrCat("last message: ",
                         status.message.empty() ? "none" : status.message);
  if (const Request* request = current_request()) {
    absl::StrAppend(&details, " from ",
                    request->caller.empty() ? "a client outside"
                                            : request->caller.ToString());
    if (!request->meta.identity.empty()) {
      absl::StrAppend(&details, " (", request->meta.identity, ")");
    }
  }
  absl::StrAppend(&details,
                  "; state: ", CutUtf8WithNote(state, kReportStateBytesMax));
  if (!status.log.empty()) absl::StrAppend(&details, "; last events: ");
  for (size_t i = 0; i < status.log.size(); ++i) {
    absl::StrAppend(&details, i == 0 ? "" : ", ",
                    internal::EventText(status.log[i]));
  }
}

void Process::LogEnding(const ExitReason& reason) {
  if (reason.IsNormal()) return;  // otp G23
  if (report_ == nullptr) PrepareReport(reason);
  report_->reason = reason;
  runtime_->log().Error(report_->ToString());
  report_ = nullptr;
}

void Process::Crash(Stage stage, const ExitReason& reason) {
  switch (stage) {
    case Stage::kInit:
    case Stage::kTerminate:
      // Init gets no Terminate (otp H9); what Terminate throws replaces the
      // reason (otp G21).
      LogEnding(reason);
      Finish(reason);
      return;
    default:
      BeginTerminate(reason);
  }
}

void Process::FinishCurrent() {
  current_ = Envelope();
  stage_ = Stage::kNone;
  on_cancel_ = nullptr;
}

void Process::ReportStarted(absl::Status status) {
  if (!started_) return;
  auto started = std::move(started_);
  started_ = nullptr;
  started(std::move(status));
}

void Process::Finish(const ExitReason& reason) {
  const Stage stage = stage_;
  std::deque<Envelope> mailbox;
  absl::btree_map<Pid, LinkIds> links;
  absl::btree_map<uint64_t, Watcher> watchers;
  absl::btree_set<uint64_t> monitors;
  absl::Status start_error;
  Epoch epoch;
  bool killed;
  {
    MutexLock lock(&mu_);
    life_ = Life::kDead;
    waiting_ = false;
    ended_ = reason;
    killed = doomed_.has_value();
    mailbox.swap(mailbox_);
    mailbox_bytes_ = 0;
    reserved_queued_ = 0;
    aliases_ = Aliases();
    monitors.swap(own_monitors_);
    systems_queued_ = 0;
    systems_bytes_ = 0;
    exits_queued_ = 0;
    awaited_call_ = 0;
    start_error = start_error_;
    epoch = global_epoch_;
    ++wait_token_;
  }
  // The coroutine goes before what it refers to; then the server itself.
  result_.reset();
  on_cancel_ = nullptr;
  become_.reset();
  body_.reset();
  CancelOutgoing(/*all=*/true);
  if (start_timer_ != 0) {
    runtime_->scheduler().Cancel(std::exchange(start_timer_, 0));
  }
  if (idle_timer_ != 0) {
    runtime_->scheduler().Cancel(std::exchange(idle_timer_, 0));
  }
  for (const uint64_t ref : monitors) {
    runtime_->Demonitor(pid_, MonitorRef{ref});
  }
  // Names are free before anybody hears of the end (otp P8).
  runtime_->Forget(*this);
  {
    // Only now: whoever linked or watched until here hears of the end as the
    // others do, and whoever comes later finds the names free.
    MutexLock lock(&mu_);
    gone_ = true;
    links.swap(links_);
    watchers.swap(watchers_);
    // Calls and system requests that came meanwhile.
    for (Envelope& envelope : mailbox_) mailbox.push_back(std::move(envelope));
    for (Envelope& envelope : handed_) mailbox.push_back(std::move(envelope));
    handed_.clear();
    mailbox_.clear();
    mailbox_bytes_ = 0;
    reserved_queued_ = 0;
    systems_queued_ = 0;
    systems_bytes_ = 0;
    exits_queued_ = 0;
  }
  if (started_) {
    // A failed start leaves the starter neither Exit nor Down: it gets the
    // error (otp H6), or dies of the link (otp H7).
    if (const auto link = links.find(spawn_.link_to); link != links.end()) {
      if (auto starter = runtime_->Find(spawn_.link_to)) {
        starter->SignalStartFailed(pid_, reason);
        links.erase(link);
      }
    }
    if (spawn_.monitor != nullptr) {
      runtime_->Demonitor(spawn_.monitor_by, *spawn_.monitor);
      if (auto watcher = runtime_->Find(spawn_.monitor_by)) {
        watcher->DisownMonitor(spawn_.monitor->id);
      }
    }
  }
  // The stop's own reply comes after Terminate and before the exit signals
  // (otp G6, 3.2), unless it was killed.
  if (current_.slot != nullptr && stop_reply_.has_value() && !killed) {
    internal::Answer(*current_.slot, CallResult(*std::move(stop_reply_)),
                     *runtime_, epoch);
  }
  for (const auto& [other, link] : links) {
    runtime_->SendLinkExit(pid_, other, reason, link);
  }
  for (auto& [ref, watcher] : watchers) {
    if (watcher.observer) {
      watcher.observer(reason);
    } else {
      runtime_->SendDown(ref, pid_, reason);
    }
  }
  FailEnvelope(current_, reason);
  for (const auto& slot : std::exchange(unanswered_, {})) {
    slot->Fail(Exited(reason));
  }
  for (Envelope& envelope : mailbox) {
    FailEnvelope(envelope, reason);
  }
  if (started_) {
    if (start_error.ok()) {
      start_error =
          Error(absl::StatusCode::kAborted, "INIT_FAILED",
                absl::StrCat(spawn_.type.empty() ? "the process" : spawn_.type,
                             stage == Stage::kInit ? " ended in Init: "
                                                   : " ended before Init: ",
                             reason.ToString()))
              .With("exit_reason", reason.ToString())
              .Executed();
    }
    ReportStarted(std::move(start_error));
  }
  FinishCurrent();
}

std::vector<std::shared_ptr<CallSlot>> Process::Abandon() {
  std::shared_ptr<Process> self;
  std::vector<std::shared_ptr<CallSlot>> calls = std::move(unanswered_);
  std::deque<Envelope> mailbox;
  absl::btree_map<uint64_t, Watcher> watchers;
  {
    MutexLock lock(&mu_);
    life_ = Life::kDead;
    gone_ = true;
    ended_ = ExitReason::Killed();
    self = std::move(self_);
    mailbox.swap(mailbox_);
    for (Envelope& envelope : handed_) mailbox.push_back(std::move(envelope));
    handed_.clear();
    watchers.swap(watchers_);
    ++wait_token_;
  }
  result_.reset();
  body_.reset();
  on_cancel_ = nullptr;
  become_.reset();
  if (current_.slot != nullptr) calls.push_back(std::move(current_.slot));
  for (Envelope& envelope : mailbox) {
    if (envelope.slot != nullptr) calls.push_back(std::move(envelope.slot));
  }
  current_ = Envelope();
  outgoing_.clear();
  unanswered_.clear();
  started_ = nullptr;
  continue_.reset();
  return calls;
}

}  // namespace muster
