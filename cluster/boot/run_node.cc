#include "cluster/boot/run_node.h"

#include <grpcpp/grpcpp.h>
#include <pthread.h>
#include <signal.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/boot/cluster_node.h"
#include "cluster/boot/data_dir.h"
#include "cluster/boot/sentinel_link.h"
#include "cluster/boot/stderr_logger.h"
#include "cluster/boot/version.h"
#include "cluster/service/admin_service.h"
#include "cluster/store/store_factory.h"
#include "node/base/check.h"
#include "node/base/mutex.h"
#include "node/base/random.h"
#include "node/base/thread_scheduler.h"
#include "node/peer/grpc_transport.h"
#include "node/rpc/rpc_server.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::Duration kDrainGrace = absl::Seconds(1);

// Why the main thread wakes up.
class Wakeup {
 public:
  enum class Why { kNone, kJoined, kFailed, kReaped, kSignal };

  void Set(Why why, absl::Status status = absl::OkStatus())
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    // A signal outlasts everything, a reaped node what came before.
    if (why_ >= why) return;
    why_ = why;
    status_ = std::move(status);
    cv_.SignalAll();
  }
  // Waits for something after `seen`.
  Why Wait(Why seen) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    while (why_ <= seen) cv_.Wait(&mu_);
    return why_;
  }
  void Reset() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (why_ != Why::kSignal) why_ = Why::kNone;
  }
  absl::Status status() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return status_;
  }

 private:
  Mutex mu_;
  CondVar cv_;
  Why why_ ABSL_GUARDED_BY(mu_) = Why::kNone;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
};

// Blocks SIGTERM and SIGINT in all threads made after it and waits for them on
// one of its own. A second signal ends the OS process at once.
class SignalThread {
 public:
  explicit SignalThread(Wakeup* wakeup) {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGTERM);
    sigaddset(&signals_, SIGINT);
    ending_ = signals_;
    sigaddset(&signals_, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    signal(SIGPIPE, SIG_IGN);
    wakeup_ = wakeup;
    MUSTER_CHECK(pthread_create(&thread_, nullptr, &SignalThread::Main, this) ==
                 0);
  }
  ~SignalThread() {
    // Wakes sigwait, if no signal has come.
    pthread_kill(thread_, SIGUSR1);
    pthread_join(thread_, nullptr);
  }

 private:
  static void* Main(void* self) {
    auto* const waiter = static_cast<SignalThread*>(self);
    int number;
    sigwait(&waiter->signals_, &number);
    waiter->wakeup_->Set(Wakeup::Why::kSignal);
    pthread_sigmask(SIG_UNBLOCK, &waiter->ending_, nullptr);
    return nullptr;
  }

  sigset_t signals_;
  sigset_t ending_;  // Those that end the node.
  Wakeup* wakeup_;
  pthread_t thread_;
};

// One incarnation: from joining to leaving. Sets `*again` if it was reaped, and
// `*generation`, where there is no data directory, to the cluster's.
absl::Status RunIncarnation(
    const NodeConfig& config, const std::vector<ServerTypeInfo>& types,
    DataDir* data_dir, Logger* logger, Wakeup* wakeup, std::string* listen,
    uint64_t* generation,
    const std::function<void(const std::string&)>& on_ready, bool* again) {
  *again = false;
  SystemClock clock;
  SystemRandom random;
  ThreadSchedulerOptions scheduler_options;
  scheduler_options.on_stall = [logger](const Stall& stall) {
    logger->Warning(absl::StrCat(
        stall.activity.empty() ? "a closure" : stall.activity,
        " has kept a worker for ", absl::FormatDuration(stall.running),
        stall.worker_added
            ? "; another worker was added meanwhile"
            : "; there are as many workers as there may be, so others wait",
        ". What blocks belongs into self.RunBlocking(...)"));
  };
  ThreadScheduler scheduler(&clock, std::move(scheduler_options));
  absl::StatusOr<std::unique_ptr<Store>> store =
      MakeStore(config.store, scheduler);
  if (!store.ok()) return store.status();
  GrpcTransport transport(&scheduler);
  AdminService admin;
  RpcServerOptions rpc_options;
  rpc_options.listen = *listen;
  absl::StatusOr<std::unique_ptr<RpcServer>> rpc =
      RpcServer::Start(std::move(rpc_options), {&admin},
                       [&transport](grpc::ServerBuilder* builder) {
                         transport.Register(builder);
                       });
  if (!rpc.ok()) return rpc.status();
  *listen = (*rpc)->address();  // The same port again after a reap.

  ClusterNodeOptions options;
  options.cluster = config.cluster;
  options.node = config.name;
  options.address = (*rpc)->address();
  options.types = types;
  options.local = config.local;
  options.build = std::string(kVersion);
  options.profile = config.profile;
  options.min_generation = *generation;
  options.raise_generation = !config.raise_generation.empty();
  options.on_generation = [generation](uint64_t seen) { *generation = seen; };
  options.grpc_version = grpc::Version();
  options.labels = config.labels;
  if (data_dir != nullptr) {
    options.cluster_id_seen = data_dir->cluster_id();
    options.min_generation = data_dir->generation();
    options.on_generation = [data_dir](uint64_t generation) {
      data_dir->Seen(generation);
    };
    options.proof_of_death = [dead = data_dir->dead()](
                                 const store::v1::NodeRecord&,
                                 Epoch epoch) -> std::optional<std::string> {
      if (dead != epoch) return std::nullopt;
      return "holds the lock of its data directory";
    };
  }
  Joined joined;
  options.on_joined = [&config, &joined,
                       address = options.address](const Joined& now) {
    joined = now;
    if (config.sentinel == nullptr) return;
    JoinedNews news;
    news.epoch = now.epoch;
    news.address = address;
    config.sentinel->Joined(news);
  };
  absl::Status result;
  {
    ClusterNode node(std::move(options), *std::move(store), &scheduler, &random,
                     logger, &transport);
    node.Start(
        [wakeup](absl::Status status) {
          const bool ok = status.ok();
          wakeup->Set(ok ? Wakeup::Why::kJoined : Wakeup::Why::kFailed,
                      std::move(status));
        },
        [wakeup] { wakeup->Set(Wakeup::Why::kReaped); });
    Wakeup::Why why = wakeup->Wait(Wakeup::Why::kNone);
    if (why == Wakeup::Why::kFailed) result = wakeup->status();
    if (why == Wakeup::Why::kJoined) {
      if (data_dir != nullptr) {
        data_dir->Joined(joined.cluster_id, joined.epoch);
      }
      auto backend = std::make_shared<RpcBackend>();
      backend->runtime = &node.runtime();
      backend->names = &node.registry();
      backend->descriptors = &node.descriptors();
      (*rpc)->SetBackend(std::move(backend));
      admin.Set(node.admin());
      if (config.manifest.has_value()) {
        admin::v1::ApplyRequest request;
        *request.mutable_manifest() = *config.manifest;
        node.admin()->Apply(
            request,
            [logger](absl::StatusOr<admin::v1::ApplyResponse> applied) {
              if (!applied.ok()) logger->Error(applied.status().message());
            });
      }
      if (on_ready) on_ready((*rpc)->address());
      why = wakeup->Wait(Wakeup::Why::kJoined);
      if (why == Wakeup::Why::kReaped) *again = true;
      if (why == Wakeup::Why::kSignal) {
        logger->Info("leaving the cluster");
        internal::BlockUntil([&node](absl::AnyInvocable<void()> done) {
          node.Leave(std::move(done));
        });
      }
    }
    (*rpc)->SetBackend(nullptr);
    admin.Set(nullptr);
    (*rpc)->Shutdown(kDrainGrace);
    node.Close();
    transport.Shutdown();
    scheduler.Stop();
  }
  return result;
}

}  // namespace

absl::Status RunNode(const NodeConfig& config,
                     std::vector<ServerTypeInfo> types,
                     std::function<void(const std::string& address)> on_ready) {
  // Before anything else is touched: these need no cluster to be wrong.
  if (absl::Status valid = ValidateNodeName(config.name); !valid.ok()) {
    return valid;
  }
  if (absl::Status valid = ValidateClusterName(config.cluster); !valid.ok()) {
    return valid;
  }
  if (!config.raise_generation.empty() &&
      config.raise_generation != config.cluster) {
    return Error(
               absl::StatusCode::kInvalidArgument, "NOT_CONFIRMED",
               absl::StrCat("--raise-generation is to be the cluster's name, ",
                            config.cluster))
        .NotExecuted();
  }
  StderrLogger logger(config.name);
  std::unique_ptr<DataDir> data_dir;
  if (!config.data_dir.empty()) {
    absl::StatusOr<std::unique_ptr<DataDir>> opened =
        DataDir::Open(config.data_dir, config.cluster, config.name, &logger);
    if (!opened.ok()) return opened.status();
    data_dir = *std::move(opened);
  }
  Wakeup wakeup;
  SignalThread signals(&wakeup);
  // A restart serves where its first run did.
  std::string listen =
      config.sentinel != nullptr && !config.sentinel->listen().empty()
          ? config.sentinel->listen()
          : config.listen;
  bool again = true;
  uint64_t generation = 0;
  absl::Status result;
  while (again) {
    wakeup.Reset();
    result = RunIncarnation(config, types, data_dir.get(), &logger, &wakeup,
                            &listen, &generation, on_ready, &again);
  }
  return result;
}

}  // namespace muster
