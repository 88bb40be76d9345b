// The node binary of nemesis runs: hosts the type `ledger`, and records each
// execution in the file that CHAOS_RECORD names before it answers. Two
// contenders fight others for names.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/muster.h"
#include "tests/chaos/contender.h"
#include "tests/chaos/ledger.muster.server.h"
#include "tests/chaos/ledger.pb.h"
#include "tests/chaos/record.h"

namespace {

using muster::Context;
using muster::Epoch;
using muster::EventKind;
using muster::HistoryEvent;
using muster::InitResult;
using muster::Next;
using muster::Payload;
using muster::Record;
using muster::Reply;

class Ledger final : public chaos::v1::LedgerServer {
 public:
  explicit Ledger(std::shared_ptr<Record> record)
      : record_(std::move(record)) {}

  InitResult Init(const chaos::v1::LedgerOptions& options,
                  Context& self) override {
    count_ = options.count();
    Note(EventKind::kStart, self);
    return muster::Ok();
  }

  Next Terminate(const muster::ExitReason& reason, Context& self) override {
    HistoryEvent event = Event(EventKind::kExit, self);
    event.reason = reason.ToString();
    record_->Write(std::move(event));
    return muster::NoReply();
  }

  absl::StatusOr<Payload> Snapshot(Context&) override {
    chaos::v1::LedgerOptions state;
    state.set_count(count_);
    return Payload::Of(std::move(state));
  }

  absl::Status Restore(Payload state, Context&) override {
    const auto* const read = state.As<chaos::v1::LedgerOptions>();
    if (read == nullptr) {
      return absl::InvalidArgumentError("not a state of a ledger");
    }
    count_ = read->count();
    return absl::OkStatus();
  }

  Reply<chaos::v1::AddResponse> Add(const chaos::v1::AddRequest& request,
                                    Context& self) override {
    const uint64_t id = request.id();
    const absl::Duration wait = Begun(request);
    if (wait > absl::ZeroDuration()) co_await self.Sleep(wait);
    co_return Execute(id, self);
  }

  Next Put(const chaos::v1::AddRequest& request, Context& self) override {
    const uint64_t id = request.id();
    const absl::Duration wait = Begun(request);
    if (wait > absl::ZeroDuration()) co_await self.Sleep(wait);
    Execute(id, self);
    co_return muster::NoReply();
  }

  Reply<chaos::v1::AddResponse> Read(const chaos::v1::ReadRequest&,
                                     Context& self) override {
    return Answer(self.fencing_token(), self);
  }

 private:
  HistoryEvent Event(EventKind kind, Context& self) const {
    HistoryEvent event;
    event.kind = kind;
    event.node = self.node();
    event.node_epoch = self.pid().epoch;
    event.name = self.name();
    event.seq = self.pid().number;
    return event;
  }
  void Note(EventKind kind, Context& self) const {
    record_->Write(Event(kind, self));
  }

  // How long the request's handler is to wait.
  absl::Duration Begun(const chaos::v1::AddRequest& request) {
    if (request.deadline_ns() != 0 &&
        muster::BootNanoseconds() > request.deadline_ns()) {
      ++expired_;
    }
    return absl::Microseconds(request.wait_us());
  }

  chaos::v1::AddResponse Execute(uint64_t id, Context& self) {
    const absl::StatusOr<Epoch> epoch = self.fencing_token();
    HistoryEvent event = Event(EventKind::kBegin, self);
    event.seq = 0;
    if (epoch.ok()) event.epoch = *epoch;
    event.call = absl::StrCat(id);
    record_->Write(event);
    ++count_;
    event.kind = EventKind::kEnd;
    event.node_epoch = Epoch();
    record_->Write(std::move(event));
    return Answer(epoch, self);
  }

  chaos::v1::AddResponse Answer(const absl::StatusOr<Epoch>& epoch,
                                Context& self) const {
    chaos::v1::AddResponse response;
    response.set_count(count_);
    response.set_node(self.node());
    response.set_expired(expired_);
    if (epoch.ok()) response.set_epoch(epoch->ToString());
    return response;
  }

  const std::shared_ptr<Record> record_;
  int64_t count_ = 0;
  int64_t expired_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const char* const path = std::getenv("CHAOS_RECORD");
  const auto record =
      std::make_shared<Record>(path != nullptr ? path : "/dev/null");
  muster::LocalParts local;
  local.application = muster::Contender::Tree(record, /*count=*/2);
  return muster::Main(
      argc, argv,
      {muster::ServerType<Ledger>(
          "ledger", [record] { return std::make_unique<Ledger>(record); })},
      std::move(local));
}
