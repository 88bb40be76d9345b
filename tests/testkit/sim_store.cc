#include "tests/testkit/sim_store.h"

#include <algorithm>
#include <cstddef>
#include <deque>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "cluster/store/validate.h"
#include "node/base/clock.h"
#include "node/types/status.h"

namespace muster {

// What a SimStore shares with what it has sent.
struct SimStoreService::Client {
  explicit Client(Scheduler& node) : node(node) {}

  Scheduler& node;
  // False once the SimStore is destroyed: nothing is called any more.
  bool alive = true;
  bool cut = false;
  SimCut how = SimCut::kSilent;
  // Answers to transactions that will be lost.
  int lose_answers = 0;
  bool watches_stalled = false;
  absl::Duration request_delay;
  // Counts resets: what was sent before the latest one is lost.
  int64_t connection = 0;
  std::vector<std::shared_ptr<Operation>> under_way;
  std::vector<std::shared_ptr<Follower>> followers;
};

// One request and what becomes of it.
struct SimStoreService::Operation {
  std::shared_ptr<Client> client;
  int64_t connection = 0;
  bool is_txn = false;
  // At the service. Returns what to do with the answer at the client.
  absl::AnyInvocable<absl::AnyInvocable<void()>(StoreState&)> apply;
  absl::AnyInvocable<void(absl::Status)> fail;
  TimerId deadline = 0;
  bool finished = false;

  // Forgets it at the client; false if it had finished before.
  bool Finish() {
    if (finished) return false;
    finished = true;
    if (deadline != 0) client->node.Cancel(deadline);
    auto& all = client->under_way;
    all.erase(std::remove_if(all.begin(), all.end(),
                             [this](const std::shared_ptr<Operation>& other) {
                               return other.get() == this;
                             }),
              all.end());
    return client->alive;
  }
};

// One watch.
struct SimStoreService::Follower {
  std::shared_ptr<Client> client;
  std::string prefix;
  // The service has sent what is below.
  int64_t next_revision = 0;
  WatchHandler handler;
  // Closed by its watch, or ended.
  bool done = false;
  // On the way to the client, in order; a closure is a call of the handler.
  std::deque<absl::AnyInvocable<void(WatchHandler&)>> sent;
  // Timers that will each hand over the front of `sent`.
  size_t armed = 0;
};

class SimStoreService::SimWatch final : public Watch {
 public:
  explicit SimWatch(std::shared_ptr<Follower> follower)
      : follower_(std::move(follower)) {}
  ~SimWatch() override {
    follower_->done = true;
    follower_->sent.clear();
    auto& all = follower_->client->followers;
    all.erase(std::remove(all.begin(), all.end(), follower_), all.end());
  }

 private:
  const std::shared_ptr<Follower> follower_;
};

SimStoreService::SimStoreService(Scheduler& scheduler, RandomSource& random,
                                 Options options)
    : scheduler_(scheduler),
      random_(random),
      options_(options),
      state_(std::make_unique<StoreState>(options.state)),
      alive_(std::make_shared<bool>(true)) {}

SimStoreService::~SimStoreService() { *alive_ = false; }

std::unique_ptr<SimStore> SimStoreService::NewClient(Scheduler& node) {
  auto client = std::make_shared<Client>(node);
  client->cut = cut_;
  client->how = how_;
  clients_.push_back(client);
  return std::unique_ptr<SimStore>(new SimStore(*this, std::move(client)));
}

absl::Duration SimStoreService::Latency() {
  return (options_.latency_min +
          random_.Jitter(options_.latency_max - options_.latency_min)) *
         slowness_;
}

// --- Operations ---

void SimStoreService::Send(std::shared_ptr<Operation> operation) {
  Client& client = *operation->client;
  operation->connection = client.connection;
  client.under_way.push_back(operation);
  if (client.cut && client.how == SimCut::kRefused) {
    client.node.At(client.node.clock().Boot() + Latency(), [operation] {
      if (!operation->Finish()) return;
      operation->fail(Error(absl::StatusCode::kUnavailable, "STORE_UNREACHABLE",
                            "connection refused")
                          .NotExecuted());
    });
    return;
  }
  absl::Duration delay = Latency();
  if (client.request_delay > absl::ZeroDuration()) {
    delay += random_.Jitter(client.request_delay);
  }
  scheduler_.At(scheduler_.clock().Boot() + delay,
                [this, alive = alive_, operation] {
                  if (*alive) Arrive(operation);
                });
}

void SimStoreService::Arrive(std::shared_ptr<Operation> operation) {
  Client& client = *operation->client;
  // The packet was lost, or its connection was reset before it was read.
  if (client.cut || operation->connection != client.connection) return;
  const int64_t before = state_->revision();
  absl::AnyInvocable<void()> answer = operation->apply(*state_);
  if (state_->revision() != before) PumpAll();
  if (operation->is_txn && client.lose_answers > 0) {
    --client.lose_answers;
    return;
  }
  client.node.At(client.node.clock().Boot() + Latency(),
                 [operation, answer = std::move(answer)]() mutable {
                   const Client& client = *operation->client;
                   if (client.cut || operation->connection != client.connection)
                     return;
                   if (operation->Finish()) answer();
                 });
}

// --- Watches ---

void SimStoreService::PumpAll() {
  for (const std::shared_ptr<Client>& client : clients_) {
    for (const std::shared_ptr<Follower>& follower : client->followers) {
      Pump(follower);
    }
  }
}

void SimStoreService::Pump(const std::shared_ptr<Follower>& follower) {
  if (follower->done || follower->client->cut ||
      follower->client->watches_stalled) {
    return;
  }
  absl::StatusOr<StoreState::Slice> slice =
      state_->Events(follower->prefix, follower->next_revision, SIZE_MAX);
  if (!slice.ok()) {
    follower->done = true;
    follower->sent.push_back(
        [status = slice.status()](WatchHandler& handler) mutable {
          if (handler.on_end) handler.on_end(std::move(status));
        });
  } else {
    follower->next_revision = slice->next_revision;
    if (slice->events.empty()) return;
    follower->sent.push_back(
        [events = std::move(slice->events)](WatchHandler& handler) mutable {
          if (handler.on_events) handler.on_events(std::move(events));
        });
  }
  Arm(follower);
}

void SimStoreService::Arm(const std::shared_ptr<Follower>& follower) {
  Scheduler& node = follower->client->node;
  for (; follower->armed < follower->sent.size(); ++follower->armed) {
    node.At(node.clock().Boot() + Latency(), [follower] {
      --follower->armed;
      // What is left in `sent` goes on its way again at Reconnect().
      if (follower->client->cut || follower->sent.empty()) return;
      auto call = std::move(follower->sent.front());
      follower->sent.pop_front();
      call(follower->handler);
    });
  }
}

// --- Faults ---

void SimStoreService::Break(Client& client) {
  ++client.connection;
  const std::vector<std::shared_ptr<Operation>> under_way = client.under_way;
  for (const std::shared_ptr<Operation>& operation : under_way) {
    client.node.Post([operation] {
      if (!operation->Finish()) return;
      Error error(operation->is_txn ? absl::StatusCode::kAborted
                                    : absl::StatusCode::kUnavailable,
                  "NOCONNECTION", "connection reset");
      if (operation->is_txn) {
        error.Unknown();
      } else {
        error.NotExecuted();
      }
      operation->fail(error);
    });
  }
  for (const std::shared_ptr<Follower>& follower : client.followers) {
    follower->sent.clear();
    if (std::exchange(follower->done, true)) continue;
    client.node.Post([follower] {
      // Its watch may have been destroyed meanwhile.
      const auto& all = follower->client->followers;
      if (std::find(all.begin(), all.end(), follower) == all.end()) return;
      if (follower->handler.on_end) {
        follower->handler.on_end(Error(absl::StatusCode::kUnavailable,
                                       "NOCONNECTION", "connection reset")
                                     .NotExecuted());
      }
    });
  }
}

void SimStoreService::Disconnect(SimStore& client, SimCut cut) {
  client.client_->cut = true;
  client.client_->how = cut;
  if (cut == SimCut::kRefused) Break(*client.client_);
}

void SimStoreService::Reconnect(SimStore& client) {
  client.client_->cut = false;
  for (const auto& follower : client.client_->followers) {
    Arm(follower);
    Pump(follower);
  }
}

void SimStoreService::DisconnectAll(SimCut cut) {
  cut_ = true;
  how_ = cut;
  for (const std::shared_ptr<Client>& client : clients_) {
    client->cut = true;
    client->how = cut;
    if (cut == SimCut::kRefused) Break(*client);
  }
}

void SimStoreService::ReconnectAll() {
  cut_ = false;
  for (const std::shared_ptr<Client>& client : clients_) {
    client->cut = false;
    for (const auto& follower : client->followers) {
      Arm(follower);
      Pump(follower);
    }
  }
}

void SimStoreService::LoseAnswers(SimStore& client, int count) {
  client.client_->lose_answers = count;
}

TxnResult SimStoreService::Apply(Txn txn) {
  TxnResult result = state_->Apply(std::move(txn));
  PumpAll();
  return result;
}

void SimStoreService::StallWatches(SimStore& client, bool stalled) {
  client.client_->watches_stalled = stalled;
  if (stalled) return;
  for (const auto& follower : client.client_->followers) Pump(follower);
}

void SimStoreService::DelayRequests(SimStore& client, absl::Duration most) {
  client.client_->request_delay = most;
}

void SimStoreService::ResetConnection(SimStore& client) {
  Break(*client.client_);
}

void SimStoreService::Restore(StoreState state) {
  state_ = std::make_unique<StoreState>(std::move(state));
  for (const std::shared_ptr<Client>& client : clients_) Break(*client);
}

absl::Status SimStoreService::Compact(int64_t revision) {
  return state_->Compact(revision);
}

// --- The client ---

SimStore::SimStore(SimStoreService& service,
                   std::shared_ptr<SimStoreService::Client> client)
    : service_(service), client_(std::move(client)) {}

SimStore::~SimStore() {
  client_->alive = false;
  for (auto& operation : std::exchange(client_->under_way, {})) {
    operation->finished = true;
    if (operation->deadline != 0) client_->node.Cancel(operation->deadline);
  }
  auto& all = service_.clients_;
  all.erase(std::remove(all.begin(), all.end(), client_), all.end());
}

void SimStore::Commit(Txn txn, absl::Duration timeout, Done<TxnResult> done) {
  if (absl::Status status = ValidateTxn(txn); !status.ok()) {
    client_->node.Post([client = client_, done = std::move(done),
                        status = std::move(status)]() mutable {
      if (client->alive) done(std::move(status));
    });
    return;
  }
  auto operation = std::make_shared<SimStoreService::Operation>();
  auto shared_done = std::make_shared<Done<TxnResult>>(std::move(done));
  operation->client = client_;
  operation->is_txn = true;
  operation->apply = [txn = std::move(txn), shared_done,
                      service = &service_](StoreState& state) mutable {
    const Txn copy = service->options_.on_txn ? txn : Txn();
    TxnResult result = state.Apply(std::move(txn));
    if (service->options_.on_txn) service->options_.on_txn(copy, result);
    return [shared_done, result = std::move(result)]() mutable {
      (*shared_done)(std::move(result));
    };
  };
  operation->fail = [shared_done](absl::Status status) {
    (*shared_done)(std::move(status));
  };
  operation->deadline =
      client_->node.At(client_->node.clock().Boot() + timeout, [operation] {
        operation->deadline = 0;
        if (!operation->Finish()) return;
        operation->fail(Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
                              "no answer from the store in time")
                            .Unknown());
      });
  service_.Send(std::move(operation));
}

void SimStore::List(std::string prefix, absl::Duration timeout,
                    Done<RangeResult> done) {
  auto operation = std::make_shared<SimStoreService::Operation>();
  auto shared_done = std::make_shared<Done<RangeResult>>(std::move(done));
  operation->client = client_;
  operation->apply = [prefix = std::move(prefix),
                      shared_done](StoreState& state) {
    return [shared_done, result = state.List(prefix)]() mutable {
      (*shared_done)(std::move(result));
    };
  };
  operation->fail = [shared_done](absl::Status status) {
    (*shared_done)(std::move(status));
  };
  operation->deadline =
      client_->node.At(client_->node.clock().Boot() + timeout, [operation] {
        operation->deadline = 0;
        if (!operation->Finish()) return;
        operation->fail(Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
                              "no answer from the store in time")
                            .NotExecuted());
      });
  service_.Send(std::move(operation));
}

void SimStore::Compact(int64_t revision, absl::Duration timeout,
                       absl::AnyInvocable<void(absl::Status)> done) {
  auto operation = std::make_shared<SimStoreService::Operation>();
  auto shared_done =
      std::make_shared<absl::AnyInvocable<void(absl::Status)>>(std::move(done));
  operation->client = client_;
  operation->apply = [revision, shared_done](StoreState& state) {
    return [shared_done, status = state.Compact(revision)] {
      (*shared_done)(status);
    };
  };
  operation->fail = [shared_done](absl::Status status) {
    (*shared_done)(std::move(status));
  };
  operation->deadline =
      client_->node.At(client_->node.clock().Boot() + timeout, [operation] {
        operation->deadline = 0;
        if (!operation->Finish()) return;
        operation->fail(Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
                              "no answer from the store in time")
                            .NotExecuted());
      });
  service_.Send(std::move(operation));
}

std::unique_ptr<Watch> SimStore::Follow(std::string prefix,
                                        int64_t from_revision,
                                        WatchHandler handler) {
  auto follower = std::make_shared<SimStoreService::Follower>();
  follower->client = client_;
  follower->prefix = std::move(prefix);
  follower->next_revision = std::max<int64_t>(from_revision, 1);
  follower->handler = std::move(handler);
  client_->followers.push_back(follower);
  if (client_->cut && client_->how == SimCut::kRefused) {
    follower->done = true;
    Scheduler& node = client_->node;
    node.At(node.clock().Boot() + service_.Latency(), [follower] {
      const auto& all = follower->client->followers;
      if (std::find(all.begin(), all.end(), follower) == all.end()) return;
      if (follower->handler.on_end) {
        follower->handler.on_end(Error(absl::StatusCode::kUnavailable,
                                       "STORE_UNREACHABLE",
                                       "connection refused")
                                     .NotExecuted());
      }
    });
  } else {
    // The request takes its time to the service.
    service_.scheduler_.At(
        service_.scheduler_.clock().Boot() + service_.Latency(),
        [service = &service_, alive = service_.alive_, follower] {
          if (*alive) service->Pump(follower);
        });
  }
  return std::make_unique<SimStoreService::SimWatch>(std::move(follower));
}

}  // namespace muster
