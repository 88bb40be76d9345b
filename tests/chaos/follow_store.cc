// Records the store's journal of a nemesis run: joins, reaps, claims, releases.
//
//   follow_store --store etcd://HOST:PORT,... --tls-dir DIR --cluster NAME
//                --record FILE
//
// An event is stamped when the store told of it, a little after its commit: a
// bound that can hide a violation shorter than that, and never make one up.
// Ends at the end of standard input.
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/boot/stderr_logger.h"
#include "cluster/store/keys.h"
#include "cluster/store/store.h"
#include "cluster/store/store_factory.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/base/thread_scheduler.h"
#include "node/tls/credentials.h"
#include "node/tls/tls_directory.h"
#include "tests/chaos/record.h"
#include "tests/checkers/history.h"
#include "tests/checkers/store_journal.h"

namespace muster {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(2);

// Lists, follows, and does both again when that ends. THREADS: Stop by one;
// the rest are the store's.
class Follower {
 public:
  Follower(const std::string& cluster, Store* store, Record* record)
      : prefix_(Keys(cluster).Root()),
        store_(store),
        record_(record),
        journal_(cluster) {}

  // Until standard input ends.
  void Run() {
    std::thread end([this] {
      for (std::string line; std::getline(std::cin, line);) continue;
      MutexLock lock(&mu_);
      stopping_ = true;
      cv_.SignalAll();
    });
    while (!stopped()) {
      const absl::StatusOr<RangeResult> all = List();
      if (all.ok()) {
        std::unique_ptr<Watch> watch = Follow(*all);
        MutexLock lock(&mu_);
        while (!ended_ && !stopping_) cv_.Wait(&mu_);
        ended_ = false;
      }
    }
    end.join();
  }

 private:
  bool stopped() {
    MutexLock lock(&mu_);
    return stopping_;
  }

  absl::StatusOr<RangeResult> List() {
    absl::StatusOr<RangeResult> result = absl::UnknownError("no answer yet");
    bool done = false;
    store_->List(prefix_, kPatience, [&](absl::StatusOr<RangeResult> all) {
      MutexLock lock(&mu_);
      result = std::move(all);
      done = true;
      cv_.SignalAll();
    });
    MutexLock lock(&mu_);
    while (!done) cv_.Wait(&mu_);
    return result;
  }

  std::unique_ptr<Watch> Follow(const RangeResult& all) {
    int64_t from = last_ + 1;
    if (last_ == 0 || all.revision < last_) {
      History history;
      journal_.Begin(all, /*restored=*/last_ != 0, BootNanoseconds(), &history);
      Write(history);
      from = all.revision + 1;
      last_ = all.revision;
    }
    WatchHandler handler;
    handler.on_events = [this](std::vector<WatchEvent> events) {
      const int64_t now = BootNanoseconds();
      last_ = events.back().item.mod_revision;
      History history;
      journal_.Record(events, now, &history);
      Write(history);
    };
    handler.on_end = [this](const absl::Status& why) {
      std::cerr << "the watch has ended: " << why.message() << "\n";
      MutexLock lock(&mu_);
      ended_ = true;
      cv_.SignalAll();
    };
    return store_->Follow(prefix_, from, std::move(handler));
  }

  void Write(const History& history) {
    for (const HistoryEvent& event : history) record_->Write(event);
  }

  const std::string prefix_;
  Store* const store_;
  Record* const record_;
  // Written by one watch at a time.
  StoreJournal journal_;
  int64_t last_ = 0;
  Mutex mu_;
  CondVar cv_;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

int Main(int argc, char** argv) {
  std::string spec;
  std::string tls_dir;
  std::string cluster;
  std::string path;
  CLI::App app("Records the store's journal.");
  app.add_option("--store", spec)->required();
  app.add_option("--tls-dir", tls_dir)->required();
  app.add_option("--cluster", cluster)->required();
  app.add_option("--record", path)->required();
  CLI11_PARSE(app, argc, argv);

  Record record(path);
  SystemClock clock;
  ThreadScheduler scheduler(&clock, ThreadSchedulerOptions());
  StderrLogger logger("follow_store");
  TlsDirectoryOptions tls;
  tls.want = Want::kAnything;
  absl::StatusOr<std::unique_ptr<TlsDirectory>> directory =
      TlsDirectory::Open(tls_dir, &clock, &logger, tls);
  if (!directory.ok()) {
    std::cerr << directory.status().message() << "\n";
    return 2;
  }
  TlsCredentials credentials(directory->get());
  absl::StatusOr<std::unique_ptr<Store>> store =
      MakeStore(spec, scheduler, credentials.ForHost());
  if (!store.ok()) {
    std::cerr << store.status().message() << "\n";
    return 2;
  }
  Follower(cluster, store->get(), &record).Run();
  store->reset();
  scheduler.Stop();
  return 0;
}

}  // namespace
}  // namespace muster

int main(int argc, char** argv) { return muster::Main(argc, argv); }
