#include "node/peer/grpc_transport.h"

#include <arpa/inet.h>
#include <grpc/grpc_security_constants.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "muster/peer/v1/peer.grpc.pb.h"
#include "node/base/check.h"
#include "node/base/mutex.h"
#include "node/base/strand.h"
#include "node/tls/spiffe.h"

namespace muster {

namespace {

constexpr char kMethod[] = "/muster.peer.v1.PeerService/Connect";
// In the trailing metadata of a stream that its acceptor closed on purpose; a
// status without it was made by gRPC.
constexpr char kClosedKey[] = "muster-closed";
// Room above the largest message for gRPC's own framing.
constexpr int kReceiveBytesMax =
    static_cast<int>(GrpcTransport::kMessageBytesMax) + (64 << 10);

// Both directions keep code and text; payloads stay behind.
grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message()));
}

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
}

// What gRPC itself says about a stream that ended, in the words of
// StreamHandler: whatever the peer did not say is a broken connection.
absl::Status FromGrpcItself(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return FromGrpc(status);
    default:
      return absl::UnavailableError(status.error_message());
  }
}

grpc::ByteBuffer ToBuffer(std::string message) {
  if (message.empty()) {
    const grpc::Slice empty;
    return grpc::ByteBuffer(&empty, 1);
  }
  // The slice takes the string over instead of copying it.
  auto* const held = new std::string(std::move(message));
  const grpc::Slice slice(
      held->data(), held->size(),
      [](void* string) { delete static_cast<std::string*>(string); }, held);
  return grpc::ByteBuffer(&slice, 1);
}

// False if gRPC cannot put the message together.
bool FromBuffer(const grpc::ByteBuffer& buffer, std::string* message) {
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return false;
  message->clear();
  message->reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) {
    message->append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return true;
}

// host:port as a gRPC target. Numeric hosts skip the resolver.
std::string Target(absl::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return absl::StrCat("dns:", address);
  absl::string_view host = address.substr(0, colon);
  const std::string port(address.substr(colon + 1));
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    host = host.substr(1, host.size() - 2);
  }
  const std::string text(host);
  in6_addr parsed;
  if (inet_pton(AF_INET, text.c_str(), &parsed) == 1) {
    return absl::StrCat("ipv4:", text, ":", port);
  }
  if (inet_pton(AF_INET6, text.c_str(), &parsed) == 1) {
    return absl::StrCat("ipv6:[", text, "]:", port);
  }
  return absl::StrCat("dns:", address);
}

// Whose certificate the connection has, if it is a node's. The server has let
// in nobody else by then (node/rpc/authorizer.h).
std::string NodeOf(const grpc::CallbackServerContext& context) {
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth == nullptr) return "";
  const std::vector<grpc::string_ref> uris =
      auth->FindPropertyValues(GRPC_PEER_URI_PROPERTY_NAME);
  if (uris.size() != 1) return "";
  const absl::StatusOr<Identity> identity =
      ParseIdentity(absl::string_view(uris[0].data(), uris[0].size()));
  return identity.ok() && identity->role == Role::kNode ? identity->name : "";
}

std::shared_ptr<grpc::Channel> NewChannel(const std::string& node,
                                          const std::string& address,
                                          const GrpcTransportOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Another channel to the same peer must not share this connection's fate.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(
      GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
      static_cast<int>(absl::ToInt64Milliseconds(options.connect_limit)));
  arguments.SetMaxReceiveMessageSize(kReceiveBytesMax);
  arguments.SetMaxSendMessageSize(kReceiveBytesMax);
  return grpc::CreateCustomChannel(Target(address),
                                   options.credentials != nullptr
                                       ? options.credentials(node)
                                       : grpc::InsecureChannelCredentials(),
                                   arguments);
}

}  // namespace

// Knows every stream until its OnClosed has returned. Shared by the transport
// and its streams.
class GrpcTransport::Core {
 public:
  Core(Scheduler* scheduler, GrpcTransportOptions options)
      : scheduler_(scheduler), options_(std::move(options)) {}

  Scheduler* scheduler() const { return scheduler_; }
  const GrpcTransportOptions& options() const { return options_; }

  // Keeps `stream` until Remove. False after Shutdown: it must not start.
  bool Add(std::shared_ptr<GrpcStream> stream) ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(GrpcStream* stream) ABSL_LOCKS_EXCLUDED(mu_);
  void Shutdown() ABSL_LOCKS_EXCLUDED(mu_);

  void set_acceptor(StreamAcceptor acceptor) ABSL_LOCKS_EXCLUDED(mu_);
  StreamAcceptor acceptor() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // Constant after construction.
  Scheduler* const scheduler_;
  const GrpcTransportOptions options_;

  mutable Mutex mu_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  StreamAcceptor acceptor_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<GrpcStream*, std::shared_ptr<GrpcStream>> streams_
      ABSL_GUARDED_BY(mu_);
  CondVar removed_;
};

// One gRPC call as a Stream: what both sides have in common.
//
//   open --Close()--> closed --write has left--> ended --+
//     |                                                  +--> over -> OnClosed
//     +--peer ended its half, write has left --> ended --+
//
// In `ended` this side has said its last word to gRPC (half-close, cancel or
// status); `over` is gRPC's last word.
//
// gRPC's operations are started with mu_ held. That is safe, because gRPC 1.51
// never runs a reaction inside the start of an operation unless the thread is
// already inside one, and then after it; and it is needed, because an
// operation must not start on a call that has just become over.
class GrpcTransport::GrpcStream
    : public Stream,
      public std::enable_shared_from_this<GrpcStream> {
 public:
  explicit GrpcStream(std::shared_ptr<Core> core)
      : core_(std::move(core)),
        strand_(std::make_shared<Strand>(core_->scheduler())) {}

  void Write(std::string message) override ABSL_LOCKS_EXCLUDED(mu_);
  void Close(absl::Status status) override ABSL_LOCKS_EXCLUDED(mu_);

 protected:
  // Runs on the strand, or tells the stream that it never will because the
  // scheduler has stopped.
  class Duty {
   public:
    Duty(std::shared_ptr<GrpcStream> stream,
         absl::AnyInvocable<void(GrpcStream*)> run,
         void (GrpcStream::*dropped)())
        : stream_(std::move(stream)), run_(std::move(run)), dropped_(dropped) {}
    Duty(Duty&&) noexcept = default;
    Duty& operator=(Duty&&) = delete;
    ~Duty() {
      if (stream_ != nullptr) (stream_.get()->*dropped_)();
    }
    void operator()() {
      const std::shared_ptr<GrpcStream> stream = std::move(stream_);
      run_(stream.get());
      // What it holds goes before the stream does.
      run_ = nullptr;
    }

   private:
    std::shared_ptr<GrpcStream> stream_;
    absl::AnyInvocable<void(GrpcStream*)> run_;
    void (GrpcStream::*dropped_)();
  };

  // --- What the two sides do differently -------------------------------------
  virtual void StartReadLocked(grpc::ByteBuffer* into)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;
  virtual void StartWriteLocked(const grpc::ByteBuffer* message)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;
  // No further read will be started.
  virtual void ReadsOverLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;
  // Says this side's last word. No further write will be started.
  virtual void EndLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;
  // Cuts the call, unless it is over.
  virtual void CancelLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;
  // Lets go of what belongs to gRPC; after Over, on a thread of ours.
  virtual void Release() ABSL_LOCKS_EXCLUDED(mu_) {}

  // --- Called by gRPC's reactions --------------------------------------------
  void ReadDone(bool ok) ABSL_LOCKS_EXCLUDED(mu_);
  void WriteDone(bool ok) ABSL_LOCKS_EXCLUDED(mu_);
  // gRPC's last word; `status` counts unless this side has closed.
  void Over(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);

  // Reads the next message, or says that there will be no other.
  void NextReadLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndIfQuietLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CloseLocked(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SetTimer(absl::Duration span, void (GrpcStream::*expired)())
      ABSL_LOCKS_EXCLUDED(mu_);
  void Cut() ABSL_LOCKS_EXCLUDED(mu_);
  // The scheduler dropped a Duty that would have gone on reading, or the last
  // one.
  void AbandonRead() ABSL_LOCKS_EXCLUDED(mu_);
  void Forget() { core_->Remove(this); }

  // Constant after construction, or has its own synchronization.
  const std::shared_ptr<Core> core_;
  const std::shared_ptr<Strand> strand_;

  // Owned by the strand.
  std::shared_ptr<StreamHandler> handler_;

  Mutex mu_;
  // gRPC takes operations; a dialed stream can be closed before that.
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  // This side has closed; the status it gave.
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status close_status_ ABSL_GUARDED_BY(mu_);
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool over_ ABSL_GUARDED_BY(mu_) = false;
  bool reads_over_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool broken_ ABSL_GUARDED_BY(mu_) = false;
  // The peer has shown that it is there.
  bool connected_ ABSL_GUARDED_BY(mu_) = false;
  // Guarded by mu_, except that gRPC uses them while an operation is under way.
  grpc::ByteBuffer read_;
  grpc::ByteBuffer write_;
};

void GrpcTransport::GrpcStream::Write(std::string message) {
  bool too_large = false;
  {
    MutexLock lock(&mu_);
    if (closed_ || reads_over_ || broken_ || over_) return;
    MUSTER_CHECK(!writing_, "the next Write only after OnWritten");
    if (message.size() <= kMessageBytesMax) {
      writing_ = true;
      write_ = ToBuffer(std::move(message));
      StartWriteLocked(&write_);
    } else {
      too_large = true;
    }
  }
  if (too_large) {
    Close(absl::ResourceExhaustedError("a message of more than 16 MiB"));
  }
}

void GrpcTransport::GrpcStream::Close(absl::Status status) {
  {
    MutexLock lock(&mu_);
    if (closed_ || over_) return;
    closed_ = true;
    close_status_ = std::move(status);
    EndIfQuietLocked();
  }
  SetTimer(core_->options().linger, &GrpcStream::Cut);
}

void GrpcTransport::GrpcStream::ReadDone(bool ok) {
  std::string message;
  {
    MutexLock lock(&mu_);
    if (ok && !FromBuffer(read_, &message)) {
      CancelLocked();
      ok = false;
    }
    read_.Clear();
    if (!ok) {
      reads_over_ = true;
      ReadsOverLocked();
      EndIfQuietLocked();
      return;
    }
    connected_ = true;
    // Read on, so that gRPC comes to the end, but nobody wants it any more.
    if (closed_) {
      NextReadLocked();
      return;
    }
  }
  // The next read starts when the handler has taken this one: a slow handler
  // slows the peer down.
  strand_->Post(Duty(
      shared_from_this(),
      [message = std::move(message)](GrpcStream* stream) mutable {
        bool wanted;
        {
          MutexLock lock(&stream->mu_);
          wanted = !stream->closed_;
        }
        if (wanted) stream->handler_->OnMessage(std::move(message));
        MutexLock lock(&stream->mu_);
        stream->NextReadLocked();
      },
      &GrpcStream::AbandonRead));
}

void GrpcTransport::GrpcStream::WriteDone(bool ok) {
  {
    MutexLock lock(&mu_);
    writing_ = false;
    write_.Clear();
    if (!ok) broken_ = true;
    EndIfQuietLocked();
    if (!ok || closed_) return;
  }
  strand_->Post([self = shared_from_this()] {
    if (self->handler_ != nullptr) self->handler_->OnWritten();
  });
}

void GrpcTransport::GrpcStream::Over(absl::Status status) {
  // A worker may destroy the stream before Post returns. It, and not this
  // thread of gRPC's, has to: gRPC's threads cannot end a channel, because the
  // last one to go joins them.
  std::shared_ptr<GrpcStream> self = shared_from_this();
  const std::shared_ptr<Strand> strand = strand_;
  {
    MutexLock lock(&mu_);
    over_ = true;
    if (closed_) status = close_status_;
  }
  strand->Post(Duty(
      std::move(self),
      [status = std::move(status)](GrpcStream* stream) mutable {
        if (stream->handler_ != nullptr) {
          stream->handler_->OnClosed(std::move(status));
        }
        // Gone before Shutdown can return; and it often holds the stream.
        stream->handler_ = nullptr;
        // Disarms timers: who holds the stream may outlive the scheduler.
        stream->strand_->Close();
        stream->Release();
        stream->Forget();
      },
      &GrpcStream::Forget));
}

void GrpcTransport::GrpcStream::NextReadLocked() { StartReadLocked(&read_); }

void GrpcTransport::GrpcStream::EndIfQuietLocked() {
  if (!started_ || ended_ || writing_ || !(closed_ || reads_over_)) return;
  ended_ = true;
  EndLocked();
}

void GrpcTransport::GrpcStream::SetTimer(absl::Duration span,
                                         void (GrpcStream::*expired)()) {
  strand_->At(core_->scheduler()->clock().Boot() + span,
              [weak = weak_from_this(), expired] {
                if (const auto self = weak.lock()) (self.get()->*expired)();
              });
}

void GrpcTransport::GrpcStream::Cut() {
  MutexLock lock(&mu_);
  if (!over_) CancelLocked();
}

void GrpcTransport::GrpcStream::AbandonRead() {
  MutexLock lock(&mu_);
  if (over_) return;
  CancelLocked();
  reads_over_ = true;
  ReadsOverLocked();
  EndIfQuietLocked();
}

// The side that opened the stream.
//
// It holds the call twice, for the reads and for the writes that are started
// outside gRPC's reactions, until there will be no other.
class GrpcTransport::DialedStream final
    : public GrpcStream,
      public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  DialedStream(std::shared_ptr<Core> core, const std::string& node,
               const std::string& address,
               std::shared_ptr<StreamHandler> handler)
      : GrpcStream(std::move(core)),
        call_(std::make_unique<Call>(NewChannel(node, address, options()))) {
    handler_ = std::move(handler);
  }

  void Start() ABSL_LOCKS_EXCLUDED(mu_) {
    SetTimer(options().connect_limit, static_cast<void (GrpcStream::*)()>(
                                          &DialedStream::CheckConnected));
    MutexLock lock(&mu_);
    call_->stub.PrepareBidiStreamingCall(&call_->context, kMethod, {}, this);
    AddMultipleHolds(2);
    StartRead(&read_);
    StartCall();
    started_ = true;
    // Closed by Shutdown before it was started.
    EndIfQuietLocked();
  }
  // Instead of Start.
  void Refuse() { Over(absl::UnavailableError("this node is stopping")); }

 private:
  struct Call {
    explicit Call(std::shared_ptr<grpc::Channel> channel)
        : stub(std::move(channel)) {}
    grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub;
    grpc::ClientContext context;
  };

  const GrpcTransportOptions& options() const { return core_->options(); }

  void CheckConnected() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (connected_ || over_) return;
    too_late_ = true;
    CancelLocked();
  }

  // --- GrpcStream ------------------------------------------------------------
  void StartReadLocked(grpc::ByteBuffer* into) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    StartRead(into);
  }
  void StartWriteLocked(const grpc::ByteBuffer* message) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    StartWrite(message);
  }
  void ReadsOverLocked() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    RemoveHold();
  }
  void EndLocked() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (closed_ && !reads_over_) {
      if (close_status_.ok()) {
        StartWritesDone();
      } else {
        CancelLocked();
      }
    }
    RemoveHold();
  }
  void CancelLocked() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    call_->context.TryCancel();
  }

  void Release() override ABSL_LOCKS_EXCLUDED(mu_) {
    std::unique_ptr<Call> call;
    MutexLock lock(&mu_);
    call.swap(call_);
  }

  // --- ClientBidiReactor -----------------------------------------------------
  void OnReadInitialMetadataDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    if (ok) connected_ = true;
  }
  void OnReadDone(bool ok) override { ReadDone(ok); }
  void OnWriteDone(bool ok) override { WriteDone(ok); }
  void OnDone(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mu_) {
    bool too_late;
    bool by_peer;
    {
      MutexLock lock(&mu_);
      too_late = too_late_;
      by_peer = call_->context.GetServerTrailingMetadata().contains(kClosedKey);
    }
    if (by_peer) {
      Over(FromGrpc(status));
    } else if (too_late) {
      Over(absl::UnavailableError("no answer within the connect limit"));
    } else if (status.ok()) {
      Over(absl::UnavailableError("ended by something that is no node"));
    } else {
      Over(FromGrpcItself(status));
    }
  }

  // Until Release; both hold the channel.
  std::unique_ptr<Call> call_ ABSL_GUARDED_BY(mu_);
  // Cut because the peer did not answer in time.
  bool too_late_ ABSL_GUARDED_BY(mu_) = false;
};

// The side that a peer opened.
class GrpcTransport::AcceptedStream final
    : public GrpcStream,
      public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  AcceptedStream(std::shared_ptr<Core> core,
                 grpc::CallbackServerContext* context)
      : GrpcStream(std::move(core)),
        proven_node_(NodeOf(*context)),
        context_(context) {
    MutexLock lock(&mu_);
    started_ = true;
  }

  std::string ProvenNode() const override { return proven_node_; }

  void Start() {
    // The dialer waits for it as the sign that somebody is there.
    StartSendInitialMetadata();
    strand_->Post(Duty(
        shared_from_this(),
        [](GrpcStream* stream) {
          static_cast<AcceptedStream*>(stream)->Accept();
        },
        &AcceptedStream::AbandonRead));
  }

 private:
  // On the strand, before anything else of this stream.
  void Accept() ABSL_LOCKS_EXCLUDED(mu_) {
    const StreamAcceptor acceptor = core_->acceptor();
    if (acceptor != nullptr) handler_ = acceptor(shared_from_this());
    if (handler_ == nullptr) {
      Close(absl::UnavailableError("this node takes no streams"));
      return;
    }
    MutexLock lock(&mu_);
    NextReadLocked();
  }

  // --- GrpcStream ------------------------------------------------------------
  void StartReadLocked(grpc::ByteBuffer* into) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    // After its status has been given the call may be gone.
    if (!ended_) StartRead(into);
  }
  void StartWriteLocked(const grpc::ByteBuffer* message) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    StartWrite(message);
  }
  void ReadsOverLocked() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    // A read that fails without the call being cancelled is the peer's
    // half-close: its Close(OK).
    if (!ended_) peer_closed_ = !context_->IsCancelled();
  }
  void EndLocked() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    context_->AddTrailingMetadata(kClosedKey, "1");
    Finish(closed_ ? ToGrpc(close_status_) : grpc::Status::OK);
  }
  void CancelLocked() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    context_->TryCancel();
  }

  // --- ServerBidiReactor -----------------------------------------------------
  void OnReadDone(bool ok) override { ReadDone(ok); }
  void OnWriteDone(bool ok) override { WriteDone(ok); }
  void OnDone() override ABSL_LOCKS_EXCLUDED(mu_) {
    bool peer_closed;
    {
      MutexLock lock(&mu_);
      peer_closed = peer_closed_;
    }
    Over(peer_closed ? absl::OkStatus()
                     : absl::UnavailableError("the connection broke"));
  }

  const std::string proven_node_;
  // gRPC's; valid until OnDone, that is until over_.
  grpc::CallbackServerContext* const context_;

  bool peer_closed_ ABSL_GUARDED_BY(mu_) = false;
};

// Answers a stream that arrives when nobody may be given it.
class GrpcTransport::Refusal final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Refusal() {
    Finish(
        grpc::Status(grpc::StatusCode::UNAVAILABLE, "this node is stopping"));
  }
  void OnDone() override { delete this; }
};

// The gRPC service whose calls become accepted streams.
class GrpcTransport::Service final
    : public peer::v1::PeerService::WithRawCallbackMethod_Connect<
          peer::v1::PeerService::Service> {
 public:
  explicit Service(std::shared_ptr<Core> core) : core_(std::move(core)) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Connect(
      grpc::CallbackServerContext* context) override {
    const auto stream = std::make_shared<AcceptedStream>(core_, context);
    if (!core_->Add(stream)) {
      core_->Remove(stream.get());
      return new Refusal;
    }
    stream->Start();
    return stream.get();
  }

 private:
  const std::shared_ptr<Core> core_;
};

bool GrpcTransport::Core::Add(std::shared_ptr<GrpcStream> stream) {
  MutexLock lock(&mu_);
  GrpcStream* const key = stream.get();
  streams_.emplace(key, std::move(stream));
  return !stopped_;
}

void GrpcTransport::Core::Remove(GrpcStream* stream) {
  std::shared_ptr<GrpcStream> removed;
  {
    MutexLock lock(&mu_);
    const auto found = streams_.find(stream);
    if (found == streams_.end()) return;
    removed = std::move(found->second);
    streams_.erase(found);
  }
  removed_.SignalAll();
}

void GrpcTransport::Core::Shutdown() {
  MUSTER_CHECK(!Scheduler::OnWorker(), "would wait for its own thread");
  std::vector<std::shared_ptr<GrpcStream>> streams;
  {
    MutexLock lock(&mu_);
    stopped_ = true;
    for (const auto& [key, stream] : streams_) streams.push_back(stream);
  }
  for (const auto& stream : streams) {
    stream->Close(absl::UnavailableError("the node is stopping"));
  }
  streams.clear();
  StreamAcceptor acceptor;
  MutexLock lock(&mu_);
  while (!streams_.empty()) removed_.Wait(&mu_);
  acceptor.swap(acceptor_);
}

void GrpcTransport::Core::set_acceptor(StreamAcceptor acceptor) {
  MutexLock lock(&mu_);
  acceptor_ = std::move(acceptor);
}

StreamAcceptor GrpcTransport::Core::acceptor() const {
  MutexLock lock(&mu_);
  return acceptor_;
}

GrpcTransport::GrpcTransport(Scheduler* scheduler, GrpcTransportOptions options)
    : core_(std::make_shared<Core>(scheduler, std::move(options))),
      service_(std::make_unique<Service>(core_)) {}

GrpcTransport::~GrpcTransport() { Shutdown(); }

void GrpcTransport::Register(grpc::ServerBuilder* builder) {
  // The role table finds the method in the program's descriptors: this keeps
  // the linker from leaving them out.
  MUSTER_CHECK(peer::v1::PeerMessage::descriptor() != nullptr,
               "generated with it");
  builder->SetMaxReceiveMessageSize(kReceiveBytesMax);
  builder->RegisterService(service_.get());
}

void GrpcTransport::Shutdown() { core_->Shutdown(); }

void GrpcTransport::Serve(StreamAcceptor acceptor) {
  core_->set_acceptor(std::move(acceptor));
}

std::shared_ptr<Stream> GrpcTransport::Dial(
    std::string address, std::shared_ptr<StreamHandler> handler) {
  return DialNode("", std::move(address), std::move(handler));
}

std::shared_ptr<Stream> GrpcTransport::DialNode(
    const std::string& node, std::string address,
    std::shared_ptr<StreamHandler> handler) {
  const auto stream =
      std::make_shared<DialedStream>(core_, node, address, std::move(handler));
  if (core_->Add(stream)) {
    stream->Start();
  } else {
    stream->Refuse();
  }
  return stream;
}

}  // namespace muster
