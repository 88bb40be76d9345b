#include "cluster/boot/run_node.h"

#include <grpcpp/grpcpp.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

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
#include "node/rpc/address.h"
#include "node/rpc/authorizer.h"
#include "node/rpc/rpc_server.h"
#include "node/tls/access.h"
#include "node/tls/credentials.h"
#include "node/tls/tls_directory.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

// How long clients' calls that are under way may take once their connections
// have been told to go away.
constexpr absl::Duration kCallsGrace = absl::Seconds(5);
constexpr absl::Duration kCallsPoll = absl::Milliseconds(20);
// The same where the node's epoch has ended.
constexpr absl::Duration kReapedGrace = absl::Seconds(1);
// A service manager that signals a whole group of processes signals the node,
// and the sentinel passes its own signal on: within this span that is one.
constexpr absl::Duration kSameSignal = absl::Seconds(1);
// TlsCredentials needs a second.
constexpr absl::Duration kRenewDelay = absl::Seconds(2);

// Why the main thread wakes up.
class Wakeup {
 public:
  enum class Why { kNone, kJoined, kFailed, kReaped, kBroken, kSignal };

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
// one of its own. A second signal ends the OS process at once, unless it comes
// within kSameSignal of the first.
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
    SwallowDuplicates(waiter->signals_);
    pthread_sigmask(SIG_UNBLOCK, &waiter->ending_, nullptr);
    return nullptr;
  }

  // Until kSameSignal is over, or the destructor has no more use for it.
  static void SwallowDuplicates(const sigset_t& signals) {
    const SystemClock clock;
    const BootTime end = clock.Boot() + kSameSignal;
    for (;;) {
      const absl::Duration left = end - clock.Boot();
      if (left <= absl::ZeroDuration()) return;
      const timespec span = absl::ToTimespec(left);
      if (sigtimedwait(&signals, nullptr, &span) == SIGUSR1) return;
    }
  }

  sigset_t signals_;
  sigset_t ending_;  // Those that end the node.
  Wakeup* wakeup_;
  pthread_t thread_;
};

// What a node's connections are made with; all empty: plaintext.
// In this order: users go before what they use.
struct NodeTls {
  std::unique_ptr<TlsDirectory> directory;
  std::unique_ptr<TlsCredentials> credentials;
  std::shared_ptr<Authorizer> authorizer;
  std::unique_ptr<TlsDirectory> store_directory;
  std::unique_ptr<TlsCredentials> store_credentials;
};

absl::Status WrongCertificate(const NodeConfig& config, const Identity& is) {
  return Error(absl::StatusCode::kFailedPrecondition, "BAD_IDENTITY",
               absl::StrCat("the certificate in ", LogSafe(config.tls_dir, 256),
                            " is ", is.ToString(), ", not node '", config.name,
                            "' of cluster '", config.cluster, "'"))
      .NotExecuted();
}

absl::Status OpenTls(const NodeConfig& config, const Clock* clock,
                     Logger* logger, NodeTls* tls) {
  if (!config.tls_dir.empty()) {
    absl::StatusOr<std::unique_ptr<TlsDirectory>> directory =
        TlsDirectory::Open(config.tls_dir, clock, logger);
    if (!directory.ok()) return directory.status();
    tls->directory = *std::move(directory);
    // Joining is mutual: a node is what its certificate says (guarantees 9.18).
    const Identity& is = tls->directory->identity();
    if (is.role != Role::kNode || is.name != config.name ||
        is.cluster != config.cluster) {
      return WrongCertificate(config, is);
    }
    tls->credentials = std::make_unique<TlsCredentials>(tls->directory.get());
    tls->authorizer = std::make_shared<Authorizer>(
        is, AccessPolicy(config.clients), clock, logger);
    LogFailedHandshakes(logger, clock);
  }
  if (!config.store_tls_dir.empty()) {
    TlsDirectoryOptions options;
    options.want = Want::kAnything;
    absl::StatusOr<std::unique_ptr<TlsDirectory>> directory =
        TlsDirectory::Open(config.store_tls_dir, clock, logger, options);
    if (!directory.ok()) return directory.status();
    tls->store_directory = *std::move(directory);
    tls->store_credentials =
        std::make_unique<TlsCredentials>(tls->store_directory.get());
  }
  return absl::OkStatus();
}

// Where others reach a node that listens on `listening`.
absl::StatusOr<std::string> Advertised(const NodeConfig& config,
                                       const std::string& listening) {
  absl::StatusOr<NodeAddress> at =
      ParseNodeAddress(listening, HostNames::kRefused);
  if (!at.ok()) return at.status();
  if (config.advertise.empty()) {
    if (!at->IsWildcard()) return listening;
    return Error(absl::StatusCode::kInvalidArgument, "BAD_ADDRESS",
                 absl::StrCat("nobody can dial ", listening,
                              ": give --advertise HOST:PORT, too"))
        .NotExecuted();
  }
  absl::StatusOr<NodeAddress> told =
      ParseNodeAddress(config.advertise, HostNames::kAllowed);
  if (!told.ok()) return told.status();
  if (told->port == 0) told->port = at->port;
  return told->ToString();
}

// Ends the server while its calls go on: it tells its connections to go away
// on a thread of its own, since that takes until the last call has ended.
class ServerShutdown {
 public:
  explicit ServerShutdown(RpcServer* server) : server_(server) {
    MUSTER_CHECK(
        pthread_create(&thread_, nullptr, &ServerShutdown::Main, this) == 0);
  }
  ~ServerShutdown() { pthread_join(thread_, nullptr); }

 private:
  static void* Main(void* self) {
    static_cast<ServerShutdown*>(self)->server_->Shutdown(kCallsGrace);
    return nullptr;
  }

  RpcServer* const server_;
  pthread_t thread_;
};

// Returns when clients have their answers, or after kCallsGrace.
void AwaitCalls(const RpcServer& server, ThreadScheduler& scheduler) {
  struct Look {
    const RpcServer* server;
    ThreadScheduler* scheduler;
    BootTime end;
    absl::AnyInvocable<void()> done;

    static void Now(std::shared_ptr<Look> look) {
      const BootTime now = look->scheduler->clock().Boot();
      if (look->server->calls_under_way() == 0 || now >= look->end) {
        look->done();
        return;
      }
      ThreadScheduler* const scheduler = look->scheduler;
      scheduler->At(now + kCallsPoll, [look = std::move(look)]() mutable {
        Now(std::move(look));
      });
    }
  };
  internal::BlockUntil([&](absl::AnyInvocable<void()> done) {
    auto look = std::make_shared<Look>();
    look->server = &server;
    look->scheduler = &scheduler;
    look->end = scheduler.clock().Boot() + kCallsGrace;
    look->done = std::move(done);
    // Not before the server has begun to refuse new ones.
    const BootTime first = scheduler.clock().Boot() + kCallsPoll;
    scheduler.At(first, [look = std::move(look)]() mutable {
      Look::Now(std::move(look));
    });
  });
}

// SIGTERM: moves the children away, lets clients finish and sends them away,
// then leaves. What cannot move ends here and begins anew elsewhere.
void DrainAndLeave(const NodeConfig& config, ClusterNode& node,
                   RpcServer& server, GrpcTransport& transport,
                   ThreadScheduler& scheduler, Logger* logger) {
  server.SetHealth(false);
  if (config.drain_timeout > absl::ZeroDuration()) {
    logger->Info(absl::StrCat("draining, for up to ",
                              absl::FormatDuration(config.drain_timeout),
                              "; a second signal ends this at once"));
    std::vector<std::string> left;
    internal::BlockUntil([&](absl::AnyInvocable<void()> done) {
      node.Drain(config.drain_timeout,
                 [&left, done = std::move(done)](
                     std::vector<std::string> names) mutable {
                   left = std::move(names);
                   done();
                 });
    });
    for (const std::string& name : left) {
      logger->Warning(absl::StrCat("'", name, "' could not move"));
    }
  }
  logger->Info("leaving the cluster");
  {
    const ServerShutdown shutdown(&server);
    AwaitCalls(server, scheduler);
    internal::BlockUntil([&node](absl::AnyInvocable<void()> done) {
      node.Leave(std::move(done));
    });
    transport.Shutdown();  // Peers' streams are calls, too, and never end.
  }
}

// One incarnation: from joining to leaving. Sets `*again` if it was reaped, and
// then `*known` to whom it knew; and `*generation`, where there is no data
// directory, to the cluster's.
absl::Status RunIncarnation(
    const NodeConfig& config, const std::vector<ServerTypeInfo>& types,
    const NodeTls& tls, DataDir* data_dir, Logger* logger, Wakeup* wakeup,
    std::string* listen, uint64_t* generation,
    std::map<std::string, uint64_t>* known,
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
  absl::StatusOr<std::unique_ptr<Store>> store = MakeStore(
      config.store, scheduler,
      tls.store_credentials != nullptr ? tls.store_credentials->ForHost()
                                       : nullptr);
  if (!store.ok()) return store.status();
  GrpcTransportOptions transport_options;
  RpcServerOptions rpc_options;
  rpc_options.listen = *listen;
  rpc_options.logger = logger;
  if (tls.credentials != nullptr) {
    transport_options.credentials = [&tls](const std::string& node) {
      return tls.credentials->ForNode(node);
    };
    rpc_options.credentials = tls.credentials->ForServer();
    rpc_options.authorizer = tls.authorizer;
  }
  GrpcTransport transport(&scheduler, std::move(transport_options));
  AdminService admin(tls.authorizer);
  absl::StatusOr<std::unique_ptr<RpcServer>> rpc =
      RpcServer::Start(std::move(rpc_options), {&admin},
                       [&transport](grpc::ServerBuilder* builder) {
                         transport.Register(builder);
                       });
  if (!rpc.ok()) return rpc.status();
  *listen = (*rpc)->address();  // The same port again after a reap.
  absl::StatusOr<std::string> advertised = Advertised(config, *listen);
  if (!advertised.ok()) return advertised.status();

  ClusterNodeOptions options;
  options.cluster = config.cluster;
  options.node = config.name;
  options.address = *advertised;
  if (tls.directory != nullptr) {
    options.identity = tls.directory->identity().ToString();
  }
  options.types = types;
  options.local = config.local;
  options.build = std::string(kVersion);
  options.profile = config.profile;
  options.min_generation = *generation;
  options.known_before = std::exchange(*known, {});
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
  options.on_broken = [wakeup](absl::Status why) {
    wakeup->Set(Wakeup::Why::kBroken, std::move(why));
  };
  std::atomic<bool> has_joined{false};
  // Where it is bound, not what it advertises: a restart listens there.
  options.on_joined = [&config, &joined, &has_joined,
                       bound = *listen](const Joined& now) {
    joined = now;
    has_joined = true;
    if (config.sentinel == nullptr) return;
    JoinedNews news;
    news.epoch = now.epoch;
    news.listen = bound;
    config.sentinel->Joined(news);
  };
  absl::Status result;
  {
    ClusterNode node(std::move(options), *std::move(store), &scheduler, &random,
                     logger, &transport);
    std::vector<std::unique_ptr<TlsWatch>> watches;
    if (tls.directory != nullptr) {
      watches.push_back(std::make_unique<TlsWatch>(
          tls.directory.get(), &scheduler, [&node, &scheduler] {
            // Once gRPC has read what is new.
            scheduler.At(scheduler.clock().Boot() + kRenewDelay,
                         [&node] { node.RenewStreams(); });
          }));
    }
    if (tls.store_directory != nullptr) {
      watches.push_back(std::make_unique<TlsWatch>(tls.store_directory.get(),
                                                   &scheduler, [] {}));
    }
    node.Start(
        [wakeup](absl::Status status) {
          const bool ok = status.ok();
          wakeup->Set(ok ? Wakeup::Why::kJoined : Wakeup::Why::kFailed,
                      std::move(status));
        },
        [wakeup] { wakeup->Set(Wakeup::Why::kReaped); });
    Wakeup::Why why = wakeup->Wait(Wakeup::Why::kNone);
    if (why == Wakeup::Why::kFailed) result = wakeup->status();
    // Reaped between joining and being ready.
    if (why == Wakeup::Why::kReaped) *again = true;
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
    }
    if (why == Wakeup::Why::kBroken) result = wakeup->status();
    if (why == Wakeup::Why::kSignal) {
      if (has_joined) {
        DrainAndLeave(config, node, **rpc, transport, scheduler, logger);
      } else {
        internal::BlockUntil([&node](absl::AnyInvocable<void()> done) {
          node.Leave(std::move(done));
        });
      }
    }
    if (*again) *known = node.membership().Companions();
    watches.clear();
    (*rpc)->SetBackend(nullptr);
    admin.Set(nullptr);
    transport.Shutdown();  // Else the server waits for its peers' streams.
    (*rpc)->Shutdown(kReapedGrace);
    node.Close();
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
  const SystemClock clock;
  Wakeup wakeup;
  SignalThread signals(&wakeup);
  NodeTls tls;
  if (absl::Status bad = OpenTls(config, &clock, &logger, &tls); !bad.ok()) {
    return bad;
  }
  // A restart serves where its first run did.
  std::string listen =
      config.sentinel != nullptr && !config.sentinel->listen().empty()
          ? config.sentinel->listen()
          : config.listen;
  bool again = true;
  uint64_t generation = 0;
  std::map<std::string, uint64_t> known;
  absl::Status result;
  while (again) {
    wakeup.Reset();
    result =
        RunIncarnation(config, types, tls, data_dir.get(), &logger, &wakeup,
                       &listen, &generation, &known, on_ready, &again);
  }
  LogFailedHandshakes(nullptr, nullptr);
  return result;
}

}  // namespace muster
