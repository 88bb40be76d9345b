#include "cluster/boot/sentinel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cluster/boot/attester.h"
#include "cluster/boot/restart_policy.h"
#include "cluster/boot/sentinel_link.h"
#include "cluster/boot/stderr_logger.h"
#include "cluster/store/keys.h"
#include "cluster/store/store.h"
#include "cluster/store/store_factory.h"
#include "node/base/check.h"
#include "node/base/clock.h"
#include "node/base/random.h"
#include "node/base/thread_scheduler.h"
#include "node/tls/credentials.h"
#include "node/tls/tls_directory.h"
#include "node/types/status.h"

extern char** environ;

namespace muster {
namespace {

// Between two small reads that keep the connection to the store.
constexpr absl::Duration kWarmEvery = absl::Seconds(5);
// How long a sentinel that is to end waits for the store to take what it
// attested.
constexpr absl::Duration kLastWords = absl::Seconds(3);
constexpr absl::Duration kLastWordsPoll = absl::Milliseconds(20);
constexpr char kOwnProgram[] = "/proc/self/exe";

absl::Status SystemError(absl::string_view what, int error) {
  return Error(absl::StatusCode::kInternal, "SPAWN",
               absl::StrCat(what, ": ", strerror(error)))
      .NotExecuted();
}

// A descriptor that is closed with it.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

// The signals that a sentinel lives by: read from a descriptor, so that none
// interrupts anything.
class Signals {
 public:
  Signals() {
    sigemptyset(&all_);
    for (const int number : {SIGCHLD, SIGTERM, SIGINT}) {
      sigaddset(&all_, number);
    }
    pthread_sigmask(SIG_BLOCK, &all_, &before_);
    // A broken pipe to whoever reads our log must not end us.
    signal(SIGPIPE, SIG_IGN);
    fd_ = Descriptor(signalfd(-1, &all_, SFD_CLOEXEC | SFD_NONBLOCK));
  }

  int fd() const { return fd_.get(); }
  // What the node is to begin with.
  const sigset_t& before() const { return before_; }
  // The next one; 0: none.
  int Next() const {
    signalfd_siginfo info;
    return read(fd_.get(), &info, sizeof info) == sizeof info
               ? static_cast<int>(info.ssi_signo)
               : 0;
  }

 private:
  sigset_t all_;
  sigset_t before_;
  Descriptor fd_;
};

// One run of the node.
struct Run {
  pid_t pid = 0;
  // The reading end.
  Descriptor pipe;
  NewsReader reader;
  BootTime began;
  std::optional<Epoch> epoch;
};

class Sentinel {
 public:
  explicit Sentinel(const SentinelConfig& config)
      : config_(config),
        logger_(absl::StrCat("sentinel of ", config.node)),
        policy_(&random_) {}

  ~Sentinel() {
    if (scheduler_ != nullptr) scheduler_->Stop();
    // The store first: its callbacks find the attester.
    store_.reset();
  }

  absl::StatusOr<int> Main() {
    if (signals_.fd() < 0) return SystemError("signalfd", errno);
    for (bool first = true;; first = false) {
      absl::StatusOr<Run> run = Spawn();
      if (!run.ok()) {
        if (first) return run.status();
        // The system may have a process later, and what was attested is
        // attested meanwhile.
        const absl::Duration delay = policy_.DidNotStart().delay;
        logger_.Error(absl::StrCat(
            run.status().message(), "; tried again in ",
            absl::FormatDuration(absl::Floor(delay, absl::Milliseconds(1)))));
        Pause(delay);
        if (told_to_stop_) return Finish(0);
        continue;
      }
      const NodeEnd end = Watch(*run);
      const absl::Duration lived = clock_.Boot() - run->began;
      const Verdict verdict = policy_.Ended(end, lived, told_to_stop_);
      Attest(*run, end);
      if (!verdict.restart) {
        if (end.signal != 0) logger_.Error(Told(*run, end));
        return Finish(verdict.exit_code);
      }
      logger_.Error(absl::StrCat(Told(*run, end), "; it is started again in ",
                                 absl::FormatDuration(absl::Floor(
                                     verdict.delay, absl::Milliseconds(1)))));
      Pause(verdict.delay);
      if (told_to_stop_) return Finish(0);
    }
  }

 private:
  // Once a run has joined: until then there is nothing to attest.
  void ConnectToStore() {
    if (store_ != nullptr) return;
    if (scheduler_ == nullptr) {
      ThreadSchedulerOptions options;
      options.workers = 1;
      options.workers_max = 1;
      options.stall_after = absl::InfiniteDuration();
      options.blocking_threads_max = 1;
      scheduler_ =
          std::make_unique<ThreadScheduler>(&clock_, std::move(options));
    }
    std::shared_ptr<grpc::ChannelCredentials> credentials;
    if (!config_.store_tls_dir.empty()) {
      TlsDirectoryOptions tls;
      tls.want = Want::kAnything;
      absl::StatusOr<std::unique_ptr<TlsDirectory>> directory =
          TlsDirectory::Open(config_.store_tls_dir, &clock_, &logger_, tls);
      if (!directory.ok()) {
        // A node has joined with it, so it has changed just now: the next run
        // tries again, and meanwhile an end is known by silence.
        logger_.Error(directory.status().message());
        return;
      }
      tls_ = *std::move(directory);
      credentials_ = std::make_unique<TlsCredentials>(tls_.get());
      credentials = credentials_->ForHost();
    }
    absl::StatusOr<std::unique_ptr<Store>> store =
        MakeStore(config_.store, *scheduler_, std::move(credentials));
    MUSTER_CHECK(store.ok(), "a node has joined with it");
    store_ = *std::move(store);
    // One that lives in the node dies with it.
    if (store_->embedded()) return;
    attester_ =
        std::make_unique<Attester>(Keys(config_.cluster), config_.node,
                                   store_.get(), scheduler_.get(), &random_);
  }

  std::string Told(const Run& run, const NodeEnd& end) const {
    return absl::StrCat("the node's process ", run.pid, " has ended (",
                        end.ToString(), ")");
  }

  absl::StatusOr<Run> Spawn() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
      return SystemError("pipe", errno);
    }
    Run run;
    run.pipe = Descriptor(ends[0]);
    const Descriptor writing(ends[1]);

    SentinelHello hello;
    hello.pid = getpid();
    hello.listen = listen_;
    const std::string variable =
        absl::StrCat(kSentinelVariable, "=", ToValue(hello));
    std::vector<char*> environment = {const_cast<char*>(variable.c_str())};
    for (char** entry = environ; *entry != nullptr; ++entry) {
      if (!absl::StartsWith(*entry, absl::StrCat(kSentinelVariable, "="))) {
        environment.push_back(*entry);
      }
    }
    environment.push_back(nullptr);
    std::vector<char*> arguments;
    for (const std::string& argument : config_.arguments) {
      arguments.push_back(const_cast<char*>(argument.c_str()));
    }
    arguments.push_back(nullptr);

    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null",
                                     O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, writing.get(), kSentinelFd);
    // Whatever a thread of gRPC's opens at this moment.
    posix_spawn_file_actions_addclosefrom_np(&files, kSentinelFd + 1);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &signals_.before());
    sigset_t ignored;
    sigemptyset(&ignored);
    sigaddset(&ignored, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &ignored);
    // A group of its own: Ctrl-C of a terminal comes to the sentinel alone,
    // which passes it on once.
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    run.began = clock_.Boot();
    const int error = posix_spawn(&run.pid, kOwnProgram, &files, &attributes,
                                  arguments.data(), environment.data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    if (error != 0) return SystemError("cannot start the node", error);
    return run;
  }

  // Until it has ended; it is reaped, and all it said has been read.
  NodeEnd Watch(Run& run) {
    for (;;) {
      Wait(run.pipe.get(), kWarmEvery);
      Read(run);
      while (const int number = signals_.Next()) Signal(number, run.pid);
      int status = 0;
      if (waitpid(run.pid, &status, WNOHANG) == run.pid) {
        Read(run);
        return NodeEnd::FromWaitStatus(status);
      }
      if (attester_ != nullptr && run.epoch.has_value() &&
          clock_.Boot() - warmed_ >= kWarmEvery) {
        KeepWarm();
      }
    }
  }

  void KeepWarm() {
    warmed_ = clock_.Boot();
    if (tls_ != nullptr) tls_->Look();
    attester_->KeepWarm();
  }

  // Until a signal comes, `pipe` (-1: none) says something, or `span` is over.
  void Wait(int pipe, absl::Duration span) const {
    pollfd polled[2] = {{signals_.fd(), POLLIN, 0}, {pipe, POLLIN, 0}};
    poll(polled, 2,
         static_cast<int>(absl::ToInt64Milliseconds(
             absl::Ceil(span, absl::Milliseconds(1)))));
  }

  void Read(Run& run) {
    if (run.pipe.get() < 0) return;
    char bytes[4096];
    for (;;) {
      const ssize_t got = read(run.pipe.get(), bytes, sizeof bytes);
      if (got < 0) {
        if (errno == EINTR) continue;
        return;
      }
      // The node has closed its end, or died: that alone would keep poll awake.
      if (got == 0) {
        run.pipe = Descriptor();
        return;
      }
      for (const JoinedNews& news :
           run.reader.Feed(absl::string_view(bytes, got))) {
        run.epoch = news.epoch;
        listen_ = news.listen;
        policy_.Joined();
        ConnectToStore();
        if (attester_ != nullptr) KeepWarm();
      }
    }
  }

  // `pid` 0: no node runs.
  void Signal(int number, pid_t pid) {
    if (number == SIGCHLD) return;
    if (pid != 0) kill(pid, told_to_stop_ ? SIGKILL : number);
    told_to_stop_ = true;
  }

  void Pause(absl::Duration span) {
    const BootTime end = clock_.Boot() + span;
    while (!told_to_stop_ && clock_.Boot() < end) {
      Wait(-1, end - clock_.Boot());
      while (const int number = signals_.Next()) Signal(number, 0);
    }
  }

  void Attest(const Run& run, const NodeEnd& end) {
    if (attester_ == nullptr || !run.epoch.has_value()) return;
    // Also of one that has left in order: then there is nothing to end.
    const bool quiet = end.ExitCode() == 0;
    const std::string epoch = run.epoch->ToString();
    attester_->Attest(
        *run.epoch, end.ToString(),
        [this, epoch, quiet](const Attested& attested) {
          if (quiet && !attested.reaped) return;
          logger_.Info(absl::StrCat(
              "epoch ", epoch,
              attested.reaped ? " is attested dead, " : " had ended already, ",
              absl::FormatDuration(
                  absl::Floor(attested.took, absl::Milliseconds(1))),
              " after the node's process, ", attested.tries,
              attested.tries == 1 ? " try" : " tries"));
        });
  }

  // Lets the store answer first, but not for ever.
  int Finish(int exit_code) {
    const BootTime end = clock_.Boot() + kLastWords;
    while (attester_ != nullptr && attester_->unanswered() > 0 &&
           clock_.Boot() < end) {
      Wait(-1, kLastWordsPoll);
      while (signals_.Next() != 0) {
      }
    }
    return exit_code;
  }

  const SentinelConfig& config_;
  StderrLogger logger_;
  SystemClock clock_;
  SystemRandom random_;
  Signals signals_;  // Before threads are made, which inherit what is blocked.
  RestartPolicy policy_;
  std::unique_ptr<ThreadScheduler> scheduler_;
  // Null: the store is reached in plaintext.
  std::unique_ptr<TlsDirectory> tls_;
  std::unique_ptr<TlsCredentials> credentials_;
  // Absent with an embedded store.
  std::unique_ptr<Attester> attester_;
  std::unique_ptr<Store> store_;
  BootTime warmed_;
  bool told_to_stop_ = false;
  // Where the first run served; empty before.
  std::string listen_;
};

}  // namespace

absl::StatusOr<int> RunSentinel(const SentinelConfig& config) {
  if (absl::Status valid = ValidateStoreSpec(
          config.store, /*tls=*/!config.store_tls_dir.empty());
      !valid.ok()) {
    return valid;
  }
  return Sentinel(config).Main();
}

}  // namespace muster
