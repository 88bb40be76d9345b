#include "tests/sim/sim_servers.h"

#include <stdexcept>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/wrappers.pb.h"
#include "node/process/signals.h"

namespace muster {
namespace {

using counter::v1::CounterOptions;
using counter::v1::CounterValue;
using counter::v1::DecrementRequest;
using counter::v1::GetValueRequest;
using counter::v1::IncrementRequest;
using counter::v1::ResetRequest;

constexpr absl::Duration kTick = absl::Milliseconds(200);
// A watcher asks for a new monitor so many ticks after a DOWN.
constexpr int kTicksToMonitor = 3;

struct CrashNow {};
struct TickNow {};

Info TextInfo(std::string text) {
  google::protobuf::StringValue value;
  value.set_value(std::move(text));
  return Info(std::move(value));
}

}  // namespace

// -- SimCounter
// ----------------------------------------------------------------

SimCounter::~SimCounter() {
  if (!started_) return;
  HistoryEvent& event = recorder_->Add(EventKind::kExit);
  event.node = pid_.node;
  event.node_epoch = pid_.epoch;
  event.seq = pid_.number;
  event.name = name_;
  event.reason = reason_;
  if (reason_ == "crash" && recorder_->open()) {
    recorder_->crashes[name_] = recorder_->Now();
  }
}

InitResult SimCounter::Init(const CounterOptions& options, Context& self) {
  pid_ = self.pid();
  name_ = self.name();
  started_ = true;
  reason_ = "unknown";
  self.TrapExit(true);
  self.MonitorNodes(true);
  const int64_t initial = options.initial_value();
  value_ = initial < 0 ? 0 : initial;
  recorder_->options[{pid_.node, pid_.epoch, pid_.number}] = initial;
  {
    HistoryEvent& event = recorder_->Add(EventKind::kStart);
    event.node = pid_.node;
    event.node_epoch = pid_.epoch;
    event.seq = pid_.number;
    event.name = name_;
    event.value = value_;
  }
  const auto crash = recorder_->crashes.find(name_);
  if (crash != recorder_->crashes.end()) {
    HistoryEvent& event = recorder_->Add(EventKind::kRestart);
    event.key = name_.substr(0, name_.find('_'));
    event.name = name_;
    event.value = crash->second;
    recorder_->crashes.erase(crash);
  }
  if (initial < 0) {
    self.SendAfter(absl::Milliseconds(-initial), Info(CrashNow{}));
  }
  return Ok();
}

void SimCounter::Begin(const std::string& call, Context& self) {
  const absl::StatusOr<Epoch> token = self.fencing_token();
  HistoryEvent& event = recorder_->Add(EventKind::kBegin);
  event.node = pid_.node;
  event.node_epoch = pid_.epoch;
  event.name = name_;
  event.call = call;
  if (token.ok()) event.epoch = *token;
}

void SimCounter::End(const std::string& call) {
  HistoryEvent& event = recorder_->Add(EventKind::kEnd);
  event.node = pid_.node;
  event.name = name_;
  event.call = call;
  event.value = value_;
}

void SimCounter::Crash() {
  reason_ = "crash";
  throw std::runtime_error("asked to");
}

Reply<CounterValue> SimCounter::Increment(const IncrementRequest& request,
                                          Context& self) {
  const std::string call = self.metadata(kCallKey);
  const std::string slow = self.metadata(kSlowKey);
  Begin(call, self);
  const int64_t read = recorder_->resources[name_].value;
  int wait = 0;
  if (absl::SimpleAtoi(slow, &wait)) {
    static_cast<void>(co_await self.Sleep(absl::Milliseconds(wait)));
  }
  value_ += request.by();
  const absl::StatusOr<Epoch> token = self.fencing_token();
  if (token.ok()) {
    HistoryEvent& pass = recorder_->Add(EventKind::kPass);
    pass.node = pid_.node;
    pass.name = name_;
    pass.epoch = *token;
    pass.op = "token";
    SimRecorder::Resource& resource = recorder_->resources[name_];
    if (*token >= resource.token) {
      resource.token = *token;
      resource.value = read + 1;
      HistoryEvent& event = recorder_->Add(EventKind::kAdmit);
      event.key = name_;
      event.name = name_;
      event.epoch = *token;
      event.call = call;
      event.value = resource.value;
      event.limit = read;
    }
  }
  End(call);
  CounterValue value;
  value.set_value(value_);
  co_return value;
}

Reply<CounterValue> SimCounter::Decrement(const DecrementRequest&,
                                          Context& self) {
  Begin(self.metadata(kCallKey), self);
  Crash();
}

Reply<CounterValue> SimCounter::GetValue(const GetValueRequest&,
                                         Context& self) {
  const std::string call = self.metadata(kCallKey);
  Begin(call, self);
  End(call);
  CounterValue value;
  value.set_value(value_);
  return value;
}

Next SimCounter::Reset(const ResetRequest&, Context& self) {
  Begin(self.metadata(kCallKey), self);
  return NoReply();
}

Next SimCounter::HandleInfo(Info info, Context& self) {
  if (info.As<CrashNow>() != nullptr) Crash();
  if (const NodeDown* down = info.As<NodeDown>()) {
    for (const auto& [key, pair] : recorder_->pairs) {
      if (pair.first != down->node || pair.second != name_) continue;
      HistoryEvent& event = recorder_->Add(EventKind::kBreak);
      event.key = key;
      event.op = "receiver";
    }
    return NoReply();
  }
  const auto* const text = info.As<google::protobuf::StringValue>();
  if (text == nullptr) return NoReply();
  // ping, pair, number, whom to answer.
  const std::vector<std::string> words = absl::StrSplit(text->value(), '|');
  uint64_t seq = 0;
  if (words.size() != 4 || !absl::SimpleAtoi(words[2], &seq)) return NoReply();
  const std::string call = absl::StrCat(words[1], "#", seq);
  Begin(call, self);
  const absl::StatusOr<Epoch> token = self.fencing_token();
  {
    HistoryEvent& event = recorder_->Add(EventKind::kDispatch);
    event.key = words[1];
    event.seq = seq;
    event.name = name_;
    event.epoch = token.value_or(Epoch());
  }
  End(call);
  const absl::StatusOr<Pid> watcher = Pid::Parse(words[3]);
  if (watcher.ok()) {
    self.Send(*watcher, TextInfo(absl::StrCat(
                            "pong|", name_, "|", pid_.ToString(), "|",
                            token.value_or(Epoch()).ToString(), "|", call)));
  }
  return NoReply();
}

Next SimCounter::Terminate(const ExitReason& reason, Context&) {
  if (reason_ != "crash") reason_ = reason.ToString();
  return NoReply();
}

void NoteLost(SimRecorder& recorder, const Info& info) {
  if (info.is_local() || info.type() != "google.protobuf.StringValue") return;
  Info copy(info.payload().Clone());
  const auto* const text = copy.As<google::protobuf::StringValue>();
  if (text == nullptr) return;
  const std::vector<std::string> words = absl::StrSplit(text->value(), '|');
  uint64_t seq = 0;
  if (words.size() != 4 || !absl::SimpleAtoi(words[2], &seq)) return;
  HistoryEvent& event = recorder.Add(EventKind::kRefused);
  event.key = words[1];
  event.seq = seq;
}

// -- SimWatcher
// ----------------------------------------------------------------

SimWatcher::~SimWatcher() {
  recorder_->Add(EventKind::kGone).session = session_;
}

std::string SimWatcher::PairWith(const std::string& name) const {
  return absl::StrCat(session_, ">", name);
}

InitResult SimWatcher::Init(Context& self) {
  self.MonitorNodes(true);
  for (const std::string& name : names_) {
    recorder_->pairs[PairWith(name)] = {self.node(), name};
  }
  self.SendAfter(kTick, Info(TickNow{}));
  return Ok();
}

void SimWatcher::Tick(Context& self) {
  ++ticks_;
  for (const std::string& name : names_) {
    const uint64_t seq = ++sent_[name];
    {
      HistoryEvent& event = recorder_->Add(EventKind::kSend);
      event.key = PairWith(name);
      event.seq = seq;
      event.session = session_;
    }
    self.Send(ServerRef::Global(name),
              TextInfo(absl::StrCat("ping|", PairWith(name), "|", seq, "|",
                                    self.pid().ToString())));
    if (monitors_[name] != 0 || ticks_ % kTicksToMonitor != 0) continue;
    const MonitorRef ref = self.Monitor(ServerRef::Global(name));
    monitors_[name] = ref.id;
    watched_[ref.id] = name;
    HistoryEvent& event = recorder_->Add(EventKind::kMonitor);
    event.key = absl::StrCat(session_, "#", ref.id);
    event.session = session_;
    event.name = name;
  }
  self.SendAfter(kTick, Info(TickNow{}));
}

Next SimWatcher::HandleInfo(Info info, Context& self) {
  if (info.As<TickNow>() != nullptr) {
    Tick(self);
    return NoReply();
  }
  if (const Down* down = info.As<Down>()) {
    const std::string name = watched_[down->ref.id];
    HistoryEvent& event = recorder_->Add(EventKind::kDown);
    event.key = absl::StrCat(session_, "#", down->ref.id);
    event.session = session_;
    event.name = name;
    event.node = down->pid.node;
    event.node_epoch = down->pid.epoch;
    event.seq = down->pid.number;
    event.reason = down->reason.ToString();
    if (monitors_[name] == down->ref.id) monitors_[name] = 0;
    return NoReply();
  }
  if (const NodeDown* down = info.As<NodeDown>()) {
    for (const std::string& name : names_) {
      HistoryEvent& event = recorder_->Add(EventKind::kBreak);
      event.key = PairWith(name);
      event.op = "sender";
      event.node = down->node;
    }
    return NoReply();
  }
  const auto* const text = info.As<google::protobuf::StringValue>();
  if (text == nullptr) return NoReply();
  const std::vector<std::string> words = absl::StrSplit(text->value(), '|');
  if (words.size() != 5) return NoReply();
  const absl::StatusOr<Pid> from = Pid::Parse(words[2]);
  const absl::StatusOr<Epoch> epoch = Epoch::Parse(words[3]);
  if (!from.ok()) return NoReply();
  HistoryEvent& event = recorder_->Add(EventKind::kMessage);
  event.session = session_;
  event.name = words[1];
  event.node = from->node;
  event.node_epoch = from->epoch;
  event.seq = from->number;
  event.epoch = epoch.value_or(Epoch());
  event.call = words[4];
  return NoReply();
}

// -- SimHolder
// -----------------------------------------------------------------

SimHolder::~SimHolder() {
  if (pid_.empty()) return;
  HistoryEvent& event = recorder_->Add(EventKind::kExit);
  event.node = pid_.node;
  event.node_epoch = pid_.epoch;
  event.seq = pid_.number;
  event.name = name_;
}

InitResult SimHolder::Init(Context& self) {
  pid_ = self.pid();
  return Ok();
}

}  // namespace muster
