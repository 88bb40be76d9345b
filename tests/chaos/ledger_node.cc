// The node binary of nemesis runs: hosts the type `ledger`, and records each
// execution in the file that CHAOS_RECORD names before it answers.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cluster/muster.h"
#include "tests/chaos/ledger.muster.server.h"
#include "tests/chaos/ledger.pb.h"
#include "tests/chaos/record.h"

namespace {

using chaos::Record;
using muster::Context;
using muster::Epoch;
using muster::InitResult;
using muster::Next;
using muster::Payload;
using muster::Reply;

class Ledger final : public chaos::v1::LedgerServer {
 public:
  explicit Ledger(std::shared_ptr<Record> record)
      : record_(std::move(record)) {}

  InitResult Init(const chaos::v1::LedgerOptions& options, Context&) override {
    count_ = options.count();
    return muster::Ok();
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
    return Execute("call", request.id(), self);
  }

  Next Put(const chaos::v1::AddRequest& request, Context& self) override {
    Execute("cast", request.id(), self);
    return muster::NoReply();
  }

  Reply<chaos::v1::AddResponse> Read(const chaos::v1::ReadRequest&,
                                     Context& self) override {
    return Answer(self.fencing_token(), self);
  }

 private:
  chaos::v1::AddResponse Execute(const char* kind, uint64_t id, Context& self) {
    const int64_t began = chaos::BootNanoseconds();
    const absl::StatusOr<Epoch> epoch = self.fencing_token();
    ++count_;
    record_->Write({{"event", "executed"},
                    {"kind", kind},
                    {"id", id},
                    {"name", self.name()},
                    {"node", self.node()},
                    {"pid", self.pid().ToString()},
                    {"epoch", epoch.ok() ? epoch->ToString() : ""},
                    {"count", count_},
                    {"began", began},
                    {"ended", chaos::BootNanoseconds()}});
    return Answer(epoch, self);
  }

  chaos::v1::AddResponse Answer(const absl::StatusOr<Epoch>& epoch,
                                Context& self) const {
    chaos::v1::AddResponse response;
    response.set_count(count_);
    response.set_node(self.node());
    if (epoch.ok()) response.set_epoch(epoch->ToString());
    return response;
  }

  const std::shared_ptr<Record> record_;
  int64_t count_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const char* const path = std::getenv("CHAOS_RECORD");
  auto record = std::make_shared<Record>(path != nullptr ? path : "/dev/null");
  return muster::Main(argc, argv,
                      {muster::ServerType<Ledger>("ledger", [record] {
                        return std::make_unique<Ledger>(record);
                      })});
}
