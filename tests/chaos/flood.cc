#include "tests/chaos/flood.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "node/base/mutex.h"
#include "node/base/random.h"
#include "node/types/status.h"
#include "tests/chaos/ledger.muster.client.h"

namespace muster {
namespace {

using chaos::v1::AddRequest;
using chaos::v1::AddResponse;
using chaos::v1::LedgerClient;
using nlohmann::json;

// How much later than its client a node may count a deadline: from when the
// request has arrived.
constexpr absl::Duration kOnTheWay = absl::Milliseconds(50);

// What was sent and has ended how, after how long. THREADS: any.
class Tally {
 public:
  void Sent() {
    MutexLock lock(&mu_);
    ++sent_;
    ++under_way_;
  }
  void Ended(const absl::Status& status, int64_t began) {
    const double taken = static_cast<double>(BootNanoseconds() - began) / 1e6;
    const std::string described = Describe(status);
    MutexLock lock(&mu_);
    ended_[described].push_back(taken);
    if (--under_way_ == 0) idle_.SignalAll();
  }

  // Once all has ended.
  json Result() {
    MutexLock lock(&mu_);
    while (under_way_ > 0) idle_.Wait(&mu_);
    json ended = json::object();
    for (auto& [status, taken] : ended_) {
      std::sort(taken.begin(), taken.end());
      const auto at = [&taken = taken](size_t hundredths) {
        return taken[std::min(taken.size() - 1,
                              taken.size() * hundredths / 100)];
      };
      ended[status] = {{"n", taken.size()},
                       {"p50", at(50)},
                       {"p99", at(99)},
                       {"max", taken.back()}};
    }
    return json{{"sent", sent_}, {"ended", std::move(ended)}};
  }

 private:
  Mutex mu_;
  CondVar idle_;
  int64_t sent_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t under_way_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, std::vector<double>> ended_ ABSL_GUARDED_BY(mu_);
};

// Turns at a steady rate; what is late is not made up for.
class Pace {
 public:
  Pace(double seconds, double rate)
      : end_(absl::Now() + absl::Seconds(seconds)),
        pause_(absl::Seconds(1) / rate) {}
  // Waits for the next turn; false: it is over.
  bool Next() {
    due_ = std::max(due_, absl::Now());
    absl::SleepFor(due_ - absl::Now());
    due_ += pause_;
    return due_ < end_;
  }

 private:
  const absl::Time end_;
  const absl::Duration pause_;
  absl::Time due_ = absl::Now();
};

// A client draws once for each time it sends something again.
class CountingRandom final : public RandomSource {
 public:
  void Fill(void* out, size_t size) override {
    ++draws_;
    random_.Fill(out, size);
  }
  int64_t draws() const { return draws_; }

 private:
  SystemRandom random_;
  std::atomic<int64_t> draws_{0};
};

std::vector<std::string> RestOf(std::istream& words) {
  std::vector<std::string> rest;
  for (std::string word; words >> word;) rest.push_back(word);
  return rest;
}

json Failure(const absl::Status& status) {
  return json{{"error", status.ToString()}};
}

void NoteEnd(Record* record, HistoryEvent event, const absl::Status& status) {
  event.kind = status.ok() ? EventKind::kOk : EventKind::kError;
  event.op.clear();
  event.name.clear();
  if (!status.ok()) {
    event.outcome = std::string(OutcomeName(OutcomeOf(status)));
    event.reason = absl::StrCat(absl::StatusCodeToString(status.code()), " ",
                                ReasonOf(status));
  }
  record->Write(std::move(event));
}

// One message of a flood.
void SendOne(Client& client, const std::string& name, bool call,
             absl::Duration timeout, const AddRequest& request,
             HistoryEvent event, Record* record, Tally* tally) {
  tally->Sent();
  record->Write(event);
  CallOptions options;
  options.timeout = timeout;
  const int64_t began = BootNanoseconds();
  auto ended = [event = std::move(event), record, tally,
                began](const absl::Status& status) {
    NoteEnd(record, event, status);
    tally->Ended(status, began);
  };
  LedgerClient server(client, name);
  if (!call) {
    server.Put(request, options).Then(std::move(ended));
    return;
  }
  server.Add(request, options)
      .Then([ended = std::move(ended)](
                const absl::StatusOr<AddResponse>& answer) mutable {
        ended(answer.status());
      });
}

}  // namespace

std::string Describe(const absl::Status& status) {
  if (status.ok()) return "OK";
  return absl::StrCat(absl::StatusCodeToString(status.code()), " ",
                      ReasonOf(status), " ", OutcomeName(OutcomeOf(status)));
}

json Flood(const std::string& tls_dir, const std::string& session,
           Record* record, std::istream& arguments) {
  double seconds = 0;
  double rate = 0;
  std::string what;
  int64_t timeout_ms = 0;
  int64_t wait_us = 0;
  size_t bytes = 0;
  std::string endpoints;
  arguments >> seconds >> rate >> what >> timeout_ms >> wait_us >> bytes >>
      endpoints;
  const std::vector<std::string> names = RestOf(arguments);
  ClientOptions once;
  once.attempts_max = 1;
  once.tls_dir = tls_dir;
  const absl::StatusOr<std::unique_ptr<Client>> client =
      Client::Connect(endpoints, once);
  if (!client.ok()) return Failure(client.status());
  // The connection is not what is measured.
  (void)(*client)->WhereIs(names[0]).Wait();
  const absl::Duration timeout = absl::Milliseconds(timeout_ms);
  uint64_t id = static_cast<uint64_t>(BootNanoseconds()) / 1000 * 64 + 63;
  Tally tally;
  Pace pace(seconds, rate);
  for (size_t turn = 0; pace.Next(); ++turn) {
    id += 64;
    AddRequest request;
    request.set_id(id);
    request.set_wait_us(wait_us);
    request.set_pad(std::string(bytes, 'x'));
    if (what == "call") {
      request.set_deadline_ns(BootNanoseconds() +
                              absl::ToInt64Nanoseconds(timeout + kOnTheWay));
    }
    HistoryEvent event;
    event.kind = EventKind::kInvoke;
    event.session = session;
    event.call = absl::StrCat(id);
    event.op = what;
    event.name = names[turn % names.size()];
    SendOne(**client, event.name, what == "call", timeout, request, event,
            record, &tally);
  }
  return tally.Result();
}

json Steady(const std::string& tls_dir, std::istream& arguments) {
  double seconds = 0;
  std::string endpoints;
  arguments >> seconds >> endpoints;
  const std::vector<std::string> names = RestOf(arguments);
  ClientOptions options;
  options.tls_dir = tls_dir;
  const absl::StatusOr<std::unique_ptr<Client>> client =
      Client::Connect(endpoints, options);
  if (!client.ok()) return Failure(client.status());
  (void)(*client)->WhereIs(names[0]).Wait();
  Tally tally;
  // A pause, so that what is measured is a caller and not a load.
  Pace pace(seconds, /*rate=*/200);
  for (size_t turn = 0; pace.Next(); ++turn) {
    const int64_t began = BootNanoseconds();
    tally.Sent();
    tally.Ended(LedgerClient(**client, names[turn % names.size()])
                    .Read({})
                    .Wait()
                    .status(),
                began);
  }
  return tally.Result();
}

json Crowd(const std::string& tls_dir, std::istream& arguments) {
  int count = 0;
  double seconds = 0;
  double rate = 0;
  int64_t timeout_ms = 0;
  std::string endpoints;
  std::string name;
  arguments >> count >> seconds >> rate >> timeout_ms >> endpoints >> name;
  std::vector<std::string> nodes;
  std::stringstream stream(endpoints);
  for (std::string one; std::getline(stream, one, ',');) nodes.push_back(one);
  CountingRandom random;
  ClientOptions options;
  options.tls_dir = tls_dir;
  options.random = &random;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < count; ++i) {
    absl::StatusOr<std::unique_ptr<Client>> client =
        Client::Connect(nodes[static_cast<size_t>(i) % nodes.size()], options);
    if (!client.ok()) return Failure(client.status());
    clients.push_back(*std::move(client));
  }
  // A thousand connections take a while: they are made first.
  for (const std::unique_ptr<Client>& client : clients) {
    (void)client->WhereIs(name).Wait();
  }
  CallOptions call;
  call.timeout = absl::Milliseconds(timeout_ms);
  const int64_t before = random.draws();
  Tally tally;
  Pace pace(seconds, rate * count);
  for (size_t turn = 0; pace.Next(); ++turn) {
    const int64_t began = BootNanoseconds();
    tally.Sent();
    LedgerClient(*clients[turn % clients.size()], name)
        .Read({}, call)
        .Then([&tally, began](const absl::StatusOr<AddResponse>& answer) {
          tally.Ended(answer.status(), began);
        });
  }
  json result = tally.Result();
  result["again"] = random.draws() - before;
  return result;
}

}  // namespace muster
