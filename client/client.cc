#include "client/client.h"

#include <stdlib.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/seen_names.h"
#include "client/sent.h"
#include "grpc/support/time.h"
#include "grpcpp/alarm.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "muster/core/v1/core.pb.h"
#include "node/base/clock.h"
#include "node/base/log.h"
#include "node/base/mutex.h"
#include "node/rpc/address.h"
#include "node/rpc/byte_buffer.h"
#include "node/rpc/grpc_status.h"
#include "node/tls/credentials.h"
#include "node/tls/tls_directory.h"
#include "node/types/names.h"
#include "node/types/pid.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::Duration kTimeoutMax = absl::Minutes(5);
constexpr size_t kMetadataBytesMax = 8192;
constexpr double kTokensMax = 10;
constexpr double kTokensPerSuccess = 0.1;

constexpr char kCallPath[] = "/muster.process.v1.ProcessService/Call";
constexpr char kCastPath[] = "/muster.process.v1.ProcessService/Cast";
constexpr char kWhereIsPath[] = "/muster.process.v1.ProcessService/WhereIs";

Error Refuse(absl::string_view reason, absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message)
      .NotExecuted();
}

// gRPC's clock, because gRPC keeps the deadline.
gpr_timespec FromNow(absl::Duration d) {
  return gpr_time_add(
      gpr_now(GPR_CLOCK_MONOTONIC),
      gpr_time_from_micros(absl::ToInt64Microseconds(d), GPR_TIMESPAN));
}

bool IsPrintable(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= 0x20 && c <= 0x7e; });
}

// What gRPC would abort on, and what a node would not let through.
absl::Status CheckMetadata(
    const std::vector<std::pair<std::string, std::string>>& metadata) {
  size_t bytes = 0;
  for (const auto& [key, value] : metadata) {
    bytes += key.size() + value.size();
    const bool legal =
        !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
          return absl::ascii_islower(static_cast<unsigned char>(c)) ||
                 absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
                 c == '-' || c == '_' || c == '.';
        });
    if (!legal || absl::StartsWith(key, "grpc-") ||
        absl::StartsWith(key, "muster-") || absl::EndsWith(key, "-bin")) {
      return Refuse("BAD_METADATA",
                    absl::StrCat("metadata key ", LogSafe(key),
                                 " is not of a-z 0-9 - _ . without the prefix "
                                 "grpc- or muster- and the suffix -bin"));
    }
    if (!IsPrintable(value)) {
      return Refuse("BAD_METADATA",
                    absl::StrCat("the value of metadata key ", LogSafe(key),
                                 " is not printable ASCII"));
    }
  }
  if (bytes > kMetadataBytesMax) {
    return Refuse("BAD_METADATA", absl::StrCat("more than ", kMetadataBytesMax,
                                               " bytes of metadata"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> CheckPath(absl::string_view path) {
  const std::string full =
      absl::StartsWith(path, "/") ? std::string(path) : absl::StrCat("/", path);
  const std::vector<absl::string_view> parts = absl::StrSplit(full, '/');
  if (parts.size() != 3 || parts[1].empty() || parts[2].empty() ||
      !IsPrintable(full)) {
    return Refuse("BAD_METHOD",
                  absl::StrCat("method ", LogSafe(path),
                               " is not of the form /package.Service/Method"));
  }
  return full;
}

absl::Status BadResponse(absl::string_view type) {
  return Error(absl::StatusCode::kInternal, "BUG",
               absl::StrCat("the node's answer is no ", type))
      .Executed();
}

// What one call sends, in every attempt the same.
struct Sent {
  std::string path;
  // The cluster-wide name that is meant; empty: none.
  std::string name;
  grpc::ByteBuffer request;
  std::vector<std::pair<std::string, std::string>> metadata;
  gpr_timespec deadline;
};

// True on a thread that is in a callback of any Client.
thread_local bool on_callback = false;

bool MayRetry(const absl::Status& status) {
  if (OutcomeOf(status) != Outcome::kNotExecuted) return false;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kAborted:
      return true;
    default:
      return false;  // The same request would meet the same answer.
  }
}

// What connections over TLS are made with.
struct ClientTls {
  SystemClock clock;
  NullLogger logger;
  std::unique_ptr<TlsDirectory> directory;
  std::unique_ptr<TlsCredentials> credentials;
};

}  // namespace

// Owns the connections and knows the calls under way.
//
// Outlives every call: gRPC 1.51 must not see the last reference to a channel
// dropped on one of its callback threads, which it would then make wait for
// itself (a double free, found by a test).
class Client::Core {
 public:
  // `tls` is null for plaintext.
  Core(const std::vector<NodeAddress>& addresses, const ClientOptions& options,
       std::unique_ptr<ClientTls> tls)
      : options_(options),
        random_(options.random != nullptr ? options.random : &system_random_),
        tls_(std::move(tls)) {
    for (const NodeAddress& address : addresses) {
      endpoints_.push_back(std::make_unique<Endpoint>(
          address, options_,
          tls_ != nullptr ? tls_->credentials->ForNode(options_.tls_node)
                          : grpc::InsecureChannelCredentials(),
          addresses.size() > 1));
    }
    poller_ = std::thread([this] { Poll(); });
  }
  ~Core() {
    polled_.Shutdown();
    poller_.join();
  }
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  const ClientOptions& options() const { return options_; }
  grpc::GenericStub& stub(size_t endpoint) {
    return endpoints_[endpoint]->stub;
  }
  grpc::Channel& channel(size_t endpoint) {
    return *endpoints_[endpoint]->channel;
  }
  const std::string& target(size_t endpoint) const {
    return endpoints_[endpoint]->target;
  }
  const std::string& address(size_t endpoint) const {
    return endpoints_[endpoint]->address;
  }
  RandomSource& random() { return *random_; }
  SeenNames& seen() { return seen_; }

  size_t endpoints() const { return endpoints_.size(); }

  // The endpoint for the next attempt: the one in use, unless it is the one
  // that `failed` or its connection is known to be down.
  size_t Pick(size_t failed) ABSL_LOCKS_EXCLUDED(mu_);
  // It cannot be connected to: whoever comes begins with the next one.
  void PassBy(size_t endpoint) ABSL_LOCKS_EXCLUDED(mu_);
  // Notes how a request that was sent ended. True: the bucket allows another
  // attempt.
  bool Settle(size_t endpoint, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(mu_);

  // 0: the client is gone and the call must not start.
  uint64_t Add(std::weak_ptr<Call> call) ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(uint64_t id) ABSL_LOCKS_EXCLUDED(mu_);
  // Cancels all calls and returns when the last lease has ended.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

  // A call's hold on this object.
  class Lease {
   public:
    explicit Lease(Core* core) : core_(core) {
      MutexLock lock(&core_->mu_);
      ++core_->leases_;
    }
    ~Lease() {
      MutexLock lock(&core_->mu_);
      // Inside the lock: afterwards the core may be gone.
      if (--core_->leases_ == 0) core_->ended_.SignalAll();
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

   private:
    Core* const core_;
  };

 private:
  struct Endpoint {
    // `others`: there are more endpoints than this one.
    Endpoint(const NodeAddress& address, const ClientOptions& options,
             const std::shared_ptr<grpc::ChannelCredentials>& credentials,
             bool others)
        : address(address.ToString()),
          target(DialTarget(address)),
          channel(grpc::CreateCustomChannel(target, credentials,
                                            Arguments(options, others))),
          stub(channel) {}

    static grpc::ChannelArguments Arguments(const ClientOptions& options,
                                            bool others) {
      grpc::ChannelArguments args;
      const int bytes_max = static_cast<int>(options.message_bytes_max);
      args.SetMaxReceiveMessageSize(bytes_max);
      args.SetMaxSendMessageSize(bytes_max);
      args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
      // Retries are ours: we know what was executed.
      args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
      args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
      // The name is misleading: gRPC 1.51 takes it as the time to connect.
      args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
      args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
      args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      if (others) {
        // A node that says it is not SERVING, since it leaves or is joining,
        // counts as one that cannot be reached. Only this policy of gRPC's
        // listens to that.
        args.SetServiceConfigJSON(
            R"({"healthCheckConfig": {"serviceName": ""},
                "loadBalancingConfig": [{"round_robin": {}}]})");
      }
      return args;
    }

    const std::string address;
    const std::string target;
    const std::shared_ptr<grpc::Channel> channel;
    grpc::GenericStub stub;
    // Guarded by Core::mu_, which a nested struct cannot name.
    double tokens = kTokensMax;
  };

  // On its own thread, until the end.
  void Poll() {
    const gpr_timespec interval = gpr_time_from_millis(
        absl::ToInt64Milliseconds(kTlsLookInterval), GPR_TIMESPAN);
    void* tag = nullptr;
    bool ok = false;
    for (;;) {
      const auto next = polled_.AsyncNext(
          &tag, &ok,
          tls_ != nullptr ? gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), interval)
                          : gpr_inf_future(GPR_CLOCK_MONOTONIC));
      if (next == grpc::CompletionQueue::SHUTDOWN) return;
      if (next == grpc::CompletionQueue::TIMEOUT) tls_->directory->Look();
    }
  }

  // Constant after construction.
  const ClientOptions options_;
  SystemRandom system_random_;
  RandomSource* const random_;
  const std::unique_ptr<ClientTls> tls_;
  SeenNames seen_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;

  // gRPC polls for calls, not for a connection that is being made: in a program
  // without a server nobody would see it succeed or fail for 5 s. A thread that
  // waits on a queue polls for all.
  grpc::CompletionQueue polled_;
  std::thread poller_;

  Mutex mu_;
  size_t current_ ABSL_GUARDED_BY(mu_) = 0;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  size_t leases_ ABSL_GUARDED_BY(mu_) = 0;
  CondVar ended_;
  uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  std::map<uint64_t, std::weak_ptr<Call>> calls_ ABSL_GUARDED_BY(mu_);
};

// One call.
//
//   connecting --(1)--> sending --(2)--> done
//     |   ^  |             |
//     |  (4) +-----(3)-----+--(3)--> pausing --(5)--> done
//    (2)  +----------------------------+
//   (1) the connection is ready   (2) OK, or an error that is final
//   (3) an error that may be retried   (4) the pause is over
//   (5) the client is gone
//
// A request is handed to gRPC only when the connection is ready: what fails
// before certainly was not sent, and what fails after may have been, unless
// gRPC had no connection for it any more (sent.h). To go on to another
// endpoint, because one cannot be connected to, is part of (1): it costs
// nothing, however many do it at once, until each endpoint has had its turn.
//
// Holds itself in the callback it waits for. THREADS: one at a time, handed on
// by callbacks; Cancel from any.
class Client::Call : public std::enable_shared_from_this<Call> {
 public:
  Call(Core* core, Sent sent, absl::AnyInvocable<void(CallResult)> done)
      : lease_(core),
        core_(core),
        sent_(std::move(sent)),
        done_(std::move(done)) {}

  void Start() {
    id_ = core_->Add(weak_from_this());
    if (id_ == 0) return Finish(CallResult(Gone().NotExecuted().status()));
    Attempt();
  }

  void Cancel() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    cancelled_ = true;
    // Neither calls back on this thread.
    if (context_ != nullptr) context_->TryCancel();
    if (alarm_ != nullptr) alarm_->Cancel();
  }

 private:
  static constexpr size_t kNone = SIZE_MAX;

  static Error Gone() {
    return Error(absl::StatusCode::kCancelled, "CANCELLED",
                 "the client has been destroyed");
  }

  void Attempt() {
    ++attempts_;
    passed_by_ = 0;
    Choose();
  }

  void Choose() {
    endpoint_ = core_->Pick(endpoint_);
    connect_pause_ = absl::Milliseconds(1);
    Connect();
  }

  void Connect() {
    const grpc_connectivity_state state =
        core_->channel(endpoint_).GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY) return Send();
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE ||
        state == GRPC_CHANNEL_SHUTDOWN) {
      return GoOn();
    }
    // Asked again and again, because gRPC tells changes of state only to a
    // thread that waits for them.
    if (!After(connect_pause_, [](Call& call) { call.Connect(); })) {
      Finish(
          CallResult(Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
                           absl::StrCat("not connected to ",
                                        core_->address(endpoint_), " in time"))
                         .NotExecuted()
                         .status()));
    }
  }

  // The endpoint cannot be reached, and was sent nothing.
  void GoOn() {
    core_->PassBy(endpoint_);
    if (++passed_by_ < core_->endpoints()) return Choose();
    TryAgain(
        Error(absl::StatusCode::kUnavailable, "NODEDOWN",
              absl::StrCat("cannot connect to ", core_->address(endpoint_)))
            .NotExecuted());
  }

  void Send() ABSL_LOCKS_EXCLUDED(mu_) {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(sent_.deadline);
    for (const auto& [key, value] : sent_.metadata) {
      context->AddMetadata(key, value);
    }
    // Of now, since an earlier attempt may have learned more.
    if (const Epoch seen = core_->seen().Greatest(sent_.name); !seen.empty()) {
      context->AddMetadata("muster-min-epoch", seen.ToString());
    }
    response_.Clear();
    grpc::ClientContext* const raw = context.get();
    {
      MutexLock lock(&mu_);
      context_ = std::move(context);
      if (cancelled_) raw->TryCancel();
    }
    core_->stub(endpoint_).UnaryCall(
        raw, sent_.path, grpc::StubOptions(), &sent_.request, &response_,
        [self = shared_from_this()](grpc::Status status) {
          self->OnAnswer(status);
        });
  }

  void OnAnswer(const grpc::Status& status) {
    const grpc::ClientContext& context = *context_unlocked();
    const Epoch epoch = EpochOf(context);
    if (!sent_.name.empty()) core_->seen().See(sent_.name, epoch);
    if (status.ok()) {
      (void)core_->Settle(endpoint_, absl::OkStatus());
      CallResult result(Payload::FromBytes(BytesOf(response_)));
      result.epoch = epoch;
      return Finish(std::move(result));
    }
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE &&
        NeverSent(context, core_->target(endpoint_))) {
      return GoOn();  // The connection went while the call was on its way
                      // there.
    }
    absl::Status error = FromGrpcStatus(status);
    if (absl::IsCancelled(error) && ReasonOf(error).empty() && !gave_up()) {
      // Not ours, and no word of Muster's: a node that ends cancels what it
      // did not get to.
      error = Error(absl::StatusCode::kAborted, "NOCONNECTION",
                    "the node ended the call when it ended itself")
                  .Unknown();
    }
    Fail(std::move(error));
  }

  // That of the name that answered, also with an error; empty: none.
  static Epoch EpochOf(const grpc::ClientContext& context) {
    const auto& trailers = context.GetServerTrailingMetadata();
    const auto epoch = trailers.find("muster-epoch");
    if (epoch == trailers.end()) return Epoch();
    return Epoch::Parse(
               absl::string_view(epoch->second.data(), epoch->second.size()))
        .value_or(Epoch());
  }

  bool gave_up() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return cancelled_;
  }

  // A request that was sent has failed.
  void Fail(absl::Status error) {
    if (core_->Settle(endpoint_, error)) return TryAgain(std::move(error));
    Finish(CallResult(std::move(error)));
  }

  void TryAgain(absl::Status error) {
    if (!MayRetry(error) || attempts_ >= core_->options().attempts_max ||
        !After(RetryPause(error), [](Call& call) { call.Attempt(); })) {
      Finish(CallResult(std::move(error)));
    }
  }

  absl::Duration RetryPause(const absl::Status& error) {
    const ClientOptions& options = core_->options();
    absl::Duration pause = options.backoff_initial;
    for (int i = 1; i < attempts_ && pause < options.backoff_max; ++i) {
      pause *= 2;
    }
    pause = std::min(pause, options.backoff_max);
    pause = pause * 0.8 + core_->random().Jitter(pause * 0.4);
    return std::min(std::max(pause, RetryDelayOf(error)), kTimeoutMax);
  }

  // Calls `next` after `pause`, or finishes if the client is destroyed before.
  // False: the deadline would come first, or the client is gone.
  bool After(absl::Duration pause, void (*next)(Call&))
      ABSL_LOCKS_EXCLUDED(mu_) {
    const gpr_timespec until = FromNow(pause);
    if (gpr_time_cmp(until, sent_.deadline) >= 0) return false;
    connect_pause_ = std::min(connect_pause_ * 2, absl::Milliseconds(20));
    MutexLock lock(&mu_);
    if (cancelled_) return false;
    alarm_ = std::make_unique<grpc::Alarm>();
    // Never called inside Set.
    alarm_->Set(until, [self = shared_from_this(), next](bool expired) {
      self->DropAlarm();
      if (expired) {
        next(*self);
      } else {
        self->Finish(CallResult(Gone().NotExecuted().status()));
      }
    });
    return true;
  }

  // An alarm keeps its callback, and so this call, even when it has fired.
  void DropAlarm() ABSL_LOCKS_EXCLUDED(mu_) {
    std::unique_ptr<grpc::Alarm> fired;
    MutexLock lock(&mu_);
    fired = std::move(alarm_);
  }

  void Finish(CallResult result) {
    if (id_ != 0) core_->Remove(id_);
    auto done = std::exchange(done_, nullptr);
    const bool outer = std::exchange(on_callback, true);
    done(std::move(result));
    // What `done` holds may be the client.
    done = nullptr;
    on_callback = outer;
  }

  // Only the callback under way changes it.
  grpc::ClientContext* context_unlocked() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return context_.get();
  }

  // Ends last, when nothing here refers to a channel any more.
  Core::Lease lease_;
  // Constant after construction.
  Core* const core_;
  Sent sent_;

  // Owned by the callback under way.
  absl::AnyInvocable<void(CallResult)> done_;
  uint64_t id_ = 0;
  int attempts_ = 0;
  size_t endpoint_ = kNone;
  // Endpoints that this attempt could not connect to.
  size_t passed_by_ = 0;
  absl::Duration connect_pause_;
  grpc::ByteBuffer response_;

  Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  std::unique_ptr<grpc::ClientContext> context_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mu_);
};

size_t Client::Core::Pick(size_t failed) {
  size_t first = 0;
  {
    MutexLock lock(&mu_);
    first = current_;
  }
  const size_t n = endpoints_.size();
  for (size_t i = 0; i < n; ++i) {
    const size_t candidate = (first + i) % n;
    if (candidate == failed && n > 1) continue;
    if (endpoints_[candidate]->channel->GetState(false) !=
        GRPC_CHANNEL_TRANSIENT_FAILURE) {
      return candidate;
    }
  }
  // All are down: whoever is next learns whether that is still so.
  return failed < n ? (failed + 1) % n : first;
}

void Client::Core::PassBy(size_t endpoint) {
  MutexLock lock(&mu_);
  if (current_ == endpoint) current_ = (endpoint + 1) % endpoints_.size();
}

bool Client::Core::Settle(size_t endpoint, const absl::Status& status) {
  MutexLock lock(&mu_);
  double& tokens = endpoints_[endpoint]->tokens;
  if (status.ok()) {
    tokens = std::min(kTokensMax, tokens + kTokensPerSuccess);
    return true;
  }
  const bool connection_lost =
      status.code() == absl::StatusCode::kUnavailable ||
      ReasonOf(status) == "NOCONNECTION";
  if (connection_lost && current_ == endpoint) {
    current_ = (endpoint + 1) % endpoints_.size();
  }
  if (!MayRetry(status)) return false;
  tokens = std::max(0.0, tokens - 1);
  return tokens > kTokensMax / 2;
}

uint64_t Client::Core::Add(std::weak_ptr<Call> call) {
  MutexLock lock(&mu_);
  if (closed_) return 0;
  const uint64_t id = next_id_++;
  calls_.emplace(id, std::move(call));
  return id;
}

void Client::Core::Remove(uint64_t id) {
  MutexLock lock(&mu_);
  calls_.erase(id);
}

void Client::Core::Close() {
  std::map<uint64_t, std::weak_ptr<Call>> calls;
  {
    MutexLock lock(&mu_);
    closed_ = true;
    calls.swap(calls_);
  }
  for (const auto& [id, weak] : calls) {
    const std::shared_ptr<Call> call = weak.lock();
    if (call != nullptr) call->Cancel();
  }
  MutexLock lock(&mu_);
  while (leases_ > 0) ended_.Wait(&mu_);
}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(
    absl::string_view endpoints, ClientOptions options) {
  const std::vector<std::string> list = absl::StrSplit(endpoints, ',');
  return Connect(list, options);
}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(
    const std::vector<std::string>& endpoints, ClientOptions options) {
  constexpr size_t kMessageBytesCap = size_t{1} << 30;
  if (options.attempts_max < 1 ||
      options.backoff_initial < absl::ZeroDuration() ||
      options.backoff_max < options.backoff_initial ||
      options.message_bytes_max > kMessageBytesCap) {
    return Refuse("BAD_OPTION",
                  "attempts_max is at least 1, 0 <= backoff_initial <= "
                  "backoff_max, message_bytes_max at most 1 GiB");
  }
  if (options.tls_dir.empty()) {
    const char* const dir = getenv("MUSTER_TLS_DIR");
    if (dir != nullptr) options.tls_dir = dir;
  }
  std::unique_ptr<ClientTls> tls;
  if (!options.tls_dir.empty()) {
    tls = std::make_unique<ClientTls>();
    absl::StatusOr<std::unique_ptr<TlsDirectory>> directory =
        TlsDirectory::Open(options.tls_dir, &tls->clock, &tls->logger);
    if (!directory.ok()) return directory.status();
    tls->directory = *std::move(directory);
    tls->credentials = std::make_unique<TlsCredentials>(tls->directory.get());
  }
  std::vector<NodeAddress> addresses;
  for (const std::string& endpoint : endpoints) {
    const absl::string_view text = absl::StripAsciiWhitespace(endpoint);
    absl::StatusOr<NodeAddress> address =
        tls != nullptr ? ParseNodeAddress(text, HostNames::kAllowed)
                       : ParseLoopbackAddress(text);
    if (!address.ok()) return address.status();
    if (address->port == 0) {
      return Refuse("BAD_ADDRESS", absl::StrCat("port 0 in ", LogSafe(endpoint),
                                                " is for listening only"));
    }
    addresses.push_back(*std::move(address));
  }
  if (addresses.empty()) {
    return Refuse("BAD_ADDRESS",
                  "no endpoint; would be right: 127.0.0.1:7001 or several, "
                  "separated by commas");
  }
  return std::unique_ptr<Client>(
      new Client(std::make_unique<Core>(addresses, options, std::move(tls))));
}

Client::Client(std::unique_ptr<Core> core) : core_(std::move(core)) {}

Client::~Client() {
  if (!on_callback) {
    core_->Close();
    return;
  }
  // This thread is one that Close() would wait for.
  std::thread([core = std::move(core_)] { core->Close(); }).detach();
}

namespace {

absl::StatusOr<Sent> Prepare(const CallOptions& options) {
  absl::Status status = internal::CheckTimeout(options.timeout);
  if (!status.ok()) return status;
  if (options.timeout == absl::ZeroDuration()) {
    // A request of gRPC's with no time left never leaves.
    return Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT",
                 "the timeout is zero")
        .NotExecuted();
  }
  status = CheckMetadata(options.metadata);
  if (!status.ok()) return status;
  Sent sent;
  sent.metadata = options.metadata;
  sent.deadline = FromNow(std::min(options.timeout, kTimeoutMax));
  return sent;
}

// Fills in path and request. True: the answer is the method's own response;
// false: one of ProcessService.
template <typename ProcessRequest>
absl::StatusOr<bool> Address(const ServerRef& to, absl::string_view path,
                             Payload request, const char* process_path,
                             Sent* sent) {
  absl::StatusOr<std::string> method = CheckPath(path);
  if (!method.ok()) return method.status();
  if (to.kind() == ServerRef::Kind::kGlobal) {
    absl::Status status = ValidateName(to.name());
    if (!status.ok()) return status;
    sent->metadata.emplace_back("muster-name", to.name());
    sent->name = to.name();
    sent->path = *std::move(method);
    sent->request = ToByteBuffer(request.ToBytes());
    return true;
  }
  ProcessRequest message;
  *message.mutable_server() = to.ToProto();
  message.set_method(*method);
  message.set_request(request.ToBytes());
  sent->path = process_path;
  sent->request = ToByteBuffer(message.SerializeAsString());
  return false;
}

CallResult DecodeCall(CallResult result) {
  if (!result.status.ok()) return result;
  process::v1::CallResponse response;
  if (!ParseBounded(result.reply.ToBytes(), &response)) {
    return CallResult(BadResponse(response.GetTypeName()));
  }
  CallResult out(Payload::FromBytes(std::move(*response.mutable_response())));
  out.epoch = Epoch::FromProto(response.epoch());
  return out;
}

}  // namespace

void Client::StartCall(const ServerRef& to, absl::string_view path,
                       Payload request, const CallOptions& options,
                       absl::AnyInvocable<void(CallResult)> done) {
  absl::StatusOr<Sent> sent = Prepare(options);
  if (!sent.ok()) return done(CallResult(sent.status()));
  const absl::StatusOr<bool> direct = Address<process::v1::CallRequest>(
      to, path, std::move(request), kCallPath, &*sent);
  if (!direct.ok()) return done(CallResult(direct.status()));
  if (!*direct) {
    done = [inner = std::move(done)](CallResult result) mutable {
      inner(DecodeCall(std::move(result)));
    };
  }
  auto call =
      std::make_shared<Call>(core_.get(), *std::move(sent), std::move(done));
  call->Start();
  if (options.waiter != nullptr && !options.detached) {
    options.waiter->OnAbandon([weak = std::weak_ptr<Call>(call)] {
      if (const auto alive = weak.lock()) alive->Cancel();
    });
  }
}

void Client::StartCast(const ServerRef& to, absl::string_view path,
                       Payload request, const CallOptions& options,
                       absl::AnyInvocable<void(absl::Status)> done) {
  absl::StatusOr<Sent> sent = Prepare(options);
  if (!sent.ok()) return done(sent.status());
  const absl::StatusOr<bool> direct = Address<process::v1::CastRequest>(
      to, path, std::move(request), kCastPath, &*sent);
  if (!direct.ok()) return done(direct.status());
  std::make_shared<Call>(core_.get(), *std::move(sent),
                         [done = std::move(done)](CallResult result) mutable {
                           done(std::move(result.status));
                         })
      ->Start();
}

PendingCall<process::v1::WhereIsResponse> Client::WhereIs(
    absl::string_view name, const CallOptions& options) {
  using Response = process::v1::WhereIsResponse;
  auto arrival =
      std::make_shared<internal::Arrival<absl::StatusOr<Response>>>();
  PendingCall<Response> pending(arrival);
  absl::Status status = ValidateName(name);
  absl::StatusOr<Sent> sent = Prepare(options);
  if (status.ok()) status = sent.status();
  if (!status.ok()) {
    arrival->Set(std::move(status));
    return pending;
  }
  process::v1::WhereIsRequest request;
  request.set_name(std::string(name));
  sent->path = kWhereIsPath;
  sent->name = request.name();
  sent->request = ToByteBuffer(request.SerializeAsString());
  std::make_shared<Call>(
      core_.get(), *std::move(sent),
      [arrival](CallResult result) {
        Response response;
        if (!result.status.ok()) {
          arrival->Set(std::move(result.status));
        } else if (!ParseBounded(result.reply.ToBytes(), &response)) {
          arrival->Set(BadResponse(response.GetTypeName()));
        } else {
          arrival->Set(std::move(response));
        }
      })
      ->Start();
  return pending;
}

}  // namespace muster
