// The clients of a nemesis run: sessions that call and cast at a steady rate
// and record what they were told, and probes on demand.
//
//   load --endpoints HOST:PORT,... --names PREFIX COUNT --record FILE
//        --session NAME --sessions N --calls RATE --casts RATE --tls-dir DIR
//
// Reads commands from standard input, one a line; answers each with one line
// of JSON on standard output:
//   probe SECONDS HOST:PORT,... NAME...
//          asks each name, through the first node that can be reached, until it
//          answers; milliseconds each
//   ask HOST:PORT,... NAME...
//          asks each name once; status, milliseconds and count each
//   stats  calls so far by how they ended
//   flood, steady, crowd
//          as tests/chaos/flood.h says
// and ends at the end of input.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "nlohmann/json.hpp"
#include "node/base/mutex.h"
#include "node/types/status.h"
#include "tests/chaos/flood.h"
#include "tests/chaos/ledger.muster.client.h"
#include "tests/chaos/record.h"

namespace {

using chaos::v1::AddResponse;
using chaos::v1::LedgerClient;
using muster::BootNanoseconds;
using muster::CallOptions;
using muster::Client;
using muster::Describe;
using muster::Epoch;
using muster::EventKind;
using muster::HistoryEvent;
using muster::Record;
using nlohmann::json;

// Failures of one kind of which the log has the text.
constexpr int64_t kShownMax = 200;

struct Options {
  std::string endpoints;
  std::string tls_dir;
  std::string prefix;
  int names = 0;
  std::string record;
  std::string session = "s";
  int sessions = 8;
  double calls = 200;
  double casts = 200;
  // Names that come and go, whose places are watched.
  std::vector<std::string> contested;
};

std::unique_ptr<Client> Connect(const std::string& endpoints,
                                const std::string& tls_dir) {
  muster::ClientOptions options;
  options.tls_dir = tls_dir;
  absl::StatusOr<std::unique_ptr<Client>> client =
      Client::Connect(endpoints, options);
  if (!client.ok()) {
    std::cerr << "load: " << client.status().message() << "\n";
    std::exit(2);
  }
  return *std::move(client);
}

// The endpoints, beginning with the one at `first`.
std::string Rotated(const std::string& endpoints, size_t first) {
  std::vector<std::string> list;
  std::stringstream stream(endpoints);
  for (std::string one; std::getline(stream, one, ',');) list.push_back(one);
  std::rotate(list.begin(), list.begin() + first % list.size(), list.end());
  std::string all;
  for (const std::string& one : list) {
    absl::StrAppend(&all, all.empty() ? "" : ",", one);
  }
  return all;
}

// Calls and casts of all sessions. THREADS: Stats from any.
class Sessions {
 public:
  Sessions(const Options& options, Record* record)
      : options_(options), record_(record) {
    for (int i = 0; i < options.sessions; ++i) {
      threads_.emplace_back([this, i] { Run(i); });
      if (!options.contested.empty()) {
        threads_.emplace_back([this, i] { Look(i); });
      }
    }
  }
  ~Sessions() {
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

  json Stats() {
    muster::MutexLock lock(&mu_);
    return json(ended_);
  }

 private:
  // A session is one client. It sends at its rate whether or not what it sent
  // before has been answered, as many clients together do.
  void Run(int number) {
    const std::unique_ptr<Client> client =
        Connect(Rotated(options_.endpoints, number), options_.tls_dir);
    const std::string session = absl::StrCat(options_.session, "-", number);
    const double rate = (options_.calls + options_.casts) / options_.sessions;
    const double share = options_.calls / (options_.calls + options_.casts);
    const absl::Duration pause = absl::Seconds(1) / rate;
    absl::Time due = absl::Now();
    // Ids that no other session has.
    uint64_t id = static_cast<uint64_t>(BootNanoseconds()) / 1000 * 64 +
                  static_cast<uint64_t>(number);
    double calls = 0;
    for (uint64_t turn = 0; !stopping_; ++turn) {
      id += 64;
      const std::string name = absl::StrCat(
          options_.prefix, (turn * 7 + static_cast<uint64_t>(number) * 31) %
                               static_cast<uint64_t>(options_.names));
      calls += share;
      if (calls >= 1) {
        calls -= 1;
        Call(*client, session, name, id);
      } else {
        Cast(*client, session, name, id);
      }
      due += pause;
      const absl::Time now = absl::Now();
      // What could not be sent in time is not made up for.
      if (due < now) due = now;
      absl::SleepFor(due - now);
    }
    // The client is not to cancel what is under way.
    muster::MutexLock lock(&mu_);
    while (under_way_ > 0) idle_.Wait(&mu_);
  }

  // Through one node a session: what it is told never goes back in time.
  void Look(int number) {
    const std::string endpoints = Rotated(options_.endpoints, number);
    const std::unique_ptr<Client> client =
        Connect(endpoints.substr(0, endpoints.find(',')), options_.tls_dir);
    CallOptions options;
    options.timeout = absl::Seconds(1);
    for (uint64_t turn = 0; !stopping_; ++turn) {
      const std::string& name =
          options_.contested[turn % options_.contested.size()];
      const absl::StatusOr<muster::process::v1::WhereIsResponse> answer =
          client->WhereIs(name, options).Wait();
      if (answer.ok()) {
        HistoryEvent event;
        event.kind = EventKind::kSeen;
        event.session = absl::StrCat(options_.session, "-look-", number);
        event.name = name;
        event.epoch =
            Epoch{answer->epoch().generation(), answer->epoch().revision()};
        record_->Write(std::move(event));
      }
      absl::SleepFor(absl::Milliseconds(50));
    }
  }

  HistoryEvent Invoke(const std::string& op, const std::string& session,
                      const std::string& name, uint64_t id) {
    HistoryEvent event;
    event.kind = EventKind::kInvoke;
    event.session = session;
    event.call = absl::StrCat(id);
    event.op = op;
    event.name = name;
    record_->Write(event);
    event.op.clear();
    event.name.clear();
    muster::MutexLock lock(&mu_);
    ++under_way_;
    return event;
  }

  void Call(Client& client, const std::string& session, const std::string& name,
            uint64_t id) {
    chaos::v1::AddRequest request;
    request.set_id(id);
    HistoryEvent event = Invoke("call", session, name, id);
    LedgerClient(client, name)
        .Add(request)
        .Then([this, event = std::move(event)](
                  const absl::StatusOr<AddResponse>& answer) mutable {
          if (answer.ok()) {
            const absl::StatusOr<Epoch> epoch = Epoch::Parse(answer->epoch());
            if (epoch.ok()) event.epoch = *epoch;
          }
          Finish(std::move(event), answer.status());
        });
  }

  // OK means that a mailbox has taken it; what runs afterwards is not recorded
  // as this call's.
  void Cast(Client& client, const std::string& session, const std::string& name,
            uint64_t id) {
    chaos::v1::AddRequest request;
    request.set_id(id);
    HistoryEvent event = Invoke("cast", session, name, id);
    LedgerClient(client, name)
        .Put(request)
        .Then([this,
               event = std::move(event)](const absl::Status& status) mutable {
          Finish(std::move(event), status);
        });
  }

  void Finish(HistoryEvent event, const absl::Status& status) {
    event.kind = status.ok() ? EventKind::kOk : EventKind::kError;
    if (!status.ok()) {
      event.outcome =
          std::string(muster::OutcomeName(muster::OutcomeOf(status)));
      event.reason = absl::StrCat(absl::StatusCodeToString(status.code()), " ",
                                  muster::ReasonOf(status));
    }
    record_->Write(std::move(event));
    const std::string described = Describe(status);
    muster::MutexLock lock(&mu_);
    const int64_t count = ++ended_[described];
    // The first ones in full, for whoever looks for the cause.
    if (!status.ok() && count <= kShownMax) {
      std::cerr << absl::FormatTime(absl::Now(), absl::UTCTimeZone()) << " "
                << described << ": " << status.message() << "\n";
    }
    if (--under_way_ == 0) idle_.SignalAll();
  }

  const Options options_;
  Record* const record_;
  std::atomic<bool> stopping_{false};
  muster::Mutex mu_;
  muster::CondVar idle_;
  int under_way_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, int64_t> ended_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> threads_;
};

// Milliseconds from now until `name` answers; -1: not within `patience`.
double Probe(Client& client, const std::string& name, absl::Duration patience,
             int64_t began) {
  CallOptions options;
  options.timeout = absl::Milliseconds(250);
  while (true) {
    const bool answered =
        LedgerClient(client, name).Read({}, options).Wait().ok();
    const int64_t taken = BootNanoseconds() - began;
    if (answered) return static_cast<double>(taken) / 1e6;
    if (absl::Nanoseconds(taken) > patience) return -1;
    absl::SleepFor(absl::Milliseconds(5));
  }
}

std::vector<std::string> RestOf(std::istream& words) {
  std::vector<std::string> rest;
  for (std::string word; words >> word;) rest.push_back(word);
  return rest;
}

// A client that sends nothing twice.
absl::StatusOr<std::unique_ptr<Client>> ConnectOnce(
    const Options& options, const std::string& endpoints) {
  muster::ClientOptions once;
  once.attempts_max = 1;
  once.tls_dir = options.tls_dir;
  return Client::Connect(endpoints, once);
}

// One after the other: what each takes is its own time.
json AskAll(const Options& options, std::istream& arguments) {
  std::string endpoints;
  arguments >> endpoints;
  absl::StatusOr<std::unique_ptr<Client>> client =
      ConnectOnce(options, endpoints);
  if (!client.ok()) return json{{"error", client.status().ToString()}};
  // The connection is not what is measured.
  (void)(*client)->WhereIs("n0").Wait();
  json answers = json::array();
  for (const std::string& name : RestOf(arguments)) {
    const int64_t began = BootNanoseconds();
    const absl::StatusOr<AddResponse> answer =
        LedgerClient(**client, name).Read({}).Wait();
    const double taken = static_cast<double>(BootNanoseconds() - began) / 1e6;
    answers.push_back({{"name", name},
                       {"status", Describe(answer.status())},
                       {"milliseconds", taken},
                       {"count", answer.ok() ? answer->count() : 0}});
  }
  return answers;
}

json ProbeAll(const Options& options, std::istream& arguments) {
  const int64_t began = BootNanoseconds();
  double seconds = 0;
  std::string endpoints;
  arguments >> seconds >> endpoints;
  const std::vector<std::string> names = RestOf(arguments);
  absl::StatusOr<std::unique_ptr<Client>> client =
      ConnectOnce(options, endpoints);
  if (!client.ok()) return json{{"error", client.status().ToString()}};
  std::vector<double> taken(names.size(), -1);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < names.size(); ++i) {
    threads.emplace_back([&, i] {
      taken[i] = Probe(**client, names[i], absl::Seconds(seconds), began);
    });
  }
  for (std::thread& thread : threads) thread.join();
  json result = json::object();
  for (size_t i = 0; i < names.size(); ++i) result[names[i]] = taken[i];
  return json{{"began", began}, {"milliseconds", std::move(result)}};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("The clients of a nemesis run.");
  app.add_option("--endpoints", options.endpoints)->required();
  app.add_option("--prefix", options.prefix)->required();
  app.add_option("--names", options.names)->required();
  app.add_option("--record", options.record)->required();
  app.add_option("--tls-dir", options.tls_dir)->required();
  app.add_option("--session", options.session);
  app.add_option("--sessions", options.sessions);
  app.add_option("--calls", options.calls);
  app.add_option("--casts", options.casts);
  app.add_option("--contested", options.contested);
  CLI11_PARSE(app, argc, argv);

  Record record(options.record);
  Sessions sessions(options, &record);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    json answer;
    if (verb == "probe") {
      answer = ProbeAll(options, words);
    } else if (verb == "ask") {
      answer = AskAll(options, words);
    } else if (verb == "stats") {
      answer = sessions.Stats();
    } else if (verb == "flood") {
      answer = muster::Flood(options.tls_dir,
                             absl::StrCat(options.session, "-", verb), &record,
                             words);
    } else if (verb == "steady") {
      answer = muster::Steady(options.tls_dir, words);
    } else if (verb == "crowd") {
      answer = muster::Crowd(options.tls_dir, words);
    } else {
      answer = json{{"error", "unknown command"}};
    }
    std::cout << answer.dump() << std::endl;
  }
  return 0;
}
