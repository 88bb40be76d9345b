#include "tests/testkit/sim_transport.h"

#include <deque>
#include <utility>

#include "node/base/check.h"

namespace muster {

namespace {

// As GrpcTransport has it.
constexpr size_t kMessageBytesMax = size_t{16} << 20;

std::pair<std::string, std::string> Pair(absl::string_view a,
                                         absl::string_view b) {
  if (b < a) std::swap(a, b);
  return {std::string(a), std::string(b)};
}

}  // namespace

// One end of a simulated stream.
//
// What its peer sends waits in `inbox_`; a timer for each entry says when one
// more has arrived. Entries are taken in order whatever the order of the
// timers, so order survives shuffled lanes.
class SimStream final : public Stream,
                        public std::enable_shared_from_this<SimStream> {
 public:
  struct Event {
    enum class Kind { kOpen, kConnected, kMessage, kClosed };
    Kind kind;
    std::string message;
    absl::Status status;
  };

  SimStream(SimNetwork* network, SimTransport* transport, uint64_t id,
            std::string remote, bool dialed)
      : network_(network),
        transport_(transport),
        lane_(transport->lane_),
        id_(id),
        local_(transport->address()),
        remote_(std::move(remote)),
        dialed_(dialed) {}

  void Write(std::string message) override {
    if (closed_ || over_) return;
    MUSTER_CHECK(!writing_, "the next Write only after OnWritten");
    if (message.size() > kMessageBytesMax) {
      Close(absl::ResourceExhaustedError("a message of more than 16 MiB"));
      return;
    }
    writing_ = true;
    bytes_under_way_ += message.size();
    Send({.kind = Event::Kind::kMessage, .message = std::move(message)});
    if (bytes_under_way_ <= network_->options_.window_bytes) Written();
  }

  void Close(absl::Status status) override {
    if (closed_ || over_) return;
    closed_ = true;
    // A dialer has no way to say why.
    Send({.kind = Event::Kind::kClosed,
          .status = status.ok() || !dialed_
                        ? status
                        : absl::UnavailableError("cancelled by the dialer")});
    After(network_->Latency(),
          [status = std::move(status)](SimStream* self) { self->End(status); });
  }

  void set_handler(std::shared_ptr<StreamHandler> handler) {
    handler_ = std::move(handler);
  }
  void set_peer(const std::shared_ptr<SimStream>& peer) { peer_ = peer; }
  const std::string& local() const { return local_; }
  const std::string& remote() const { return remote_; }
  bool connected() const { return connected_; }

  // What the peer sent arrives after a latency.
  void Receive(Event event) {
    if (over_) return;
    inbox_.push_back(std::move(event));
    After(network_->Latency(), [](SimStream* self) { self->Arrive(); });
  }

  // The link is whole again: what had arrived meanwhile arrives now.
  void Resume() {
    for (; held_ > 0; --held_) {
      After(network_->Latency(), [](SimStream* self) { self->Arrive(); });
    }
  }

  // The peer's process has died: some of what it had sent still arrives.
  void LosePeer() {
    if (over_) return;
    const size_t keep = network_->random_->Below(inbox_.size() + 1);
    // Their timers find the inbox empty.
    inbox_.resize(keep);
    inbox_.push_back({.kind = Event::Kind::kClosed,
                      .status = absl::UnavailableError("the peer vanished")});
    After(network_->random_->Jitter(network_->options_.death_notice_max),
          [](SimStream* self) { self->ArriveAll(); });
  }

  // Runs `work` on this end's lane, unless the stream is over by then.
  template <typename Work>
  void After(absl::Duration span, Work work) {
    lane_->At(lane_->clock().Boot() + span,
              [weak = weak_from_this(), work = std::move(work)] {
                const std::shared_ptr<SimStream> self = weak.lock();
                if (self != nullptr && !self->over_) work(self.get());
              });
  }

  // Last word to the handler.
  void End(absl::Status status) {
    if (over_) return;
    const std::shared_ptr<StreamHandler> handler = Forget();
    if (handler != nullptr) handler->OnClosed(std::move(status));
  }

  // Silences this end for ever.
  std::shared_ptr<StreamHandler> Forget() {
    over_ = true;
    inbox_.clear();
    network_->streams_.erase(id_);
    return std::exchange(handler_, nullptr);
  }

 private:
  void Send(Event event) {
    if (const auto peer = peer_.lock()) peer->Receive(std::move(event));
  }

  void Written() {
    After(absl::ZeroDuration(), [](SimStream* self) {
      self->writing_ = false;
      if (!self->closed_ && self->handler_ != nullptr) {
        self->handler_->OnWritten();
      }
    });
  }

  // The oldest event of the inbox is here. False: nothing passes now.
  bool Arrive() {
    if (inbox_.empty()) return false;
    if (network_->IsCut(remote_, local_)) {
      ++held_;
      return false;
    }
    Event event = std::move(inbox_.front());
    inbox_.pop_front();
    switch (event.kind) {
      case Event::Kind::kOpen:
        Accept();
        break;
      case Event::Kind::kConnected:
        connected_ = true;
        break;
      case Event::Kind::kMessage:
        TakeMessage(std::move(event.message));
        break;
      case Event::Kind::kClosed:
        // Who has closed hears its own status.
        if (!closed_) End(std::move(event.status));
        break;
    }
    return !over_;
  }

  void ArriveAll() {
    if (network_->IsCut(remote_, local_)) {
      held_ = inbox_.size();
      return;
    }
    while (Arrive()) {
    }
    // Cut by a handler on the way.
    if (held_ > 0) held_ = inbox_.size();
  }

  void Accept() {
    if (transport_->acceptor_ == nullptr) {
      Close(absl::UnavailableError("this node takes no streams"));
      return;
    }
    handler_ = transport_->acceptor_(shared_from_this());
    if (handler_ == nullptr) {
      Close(absl::UnavailableError("this node takes no streams"));
      return;
    }
    Send({.kind = Event::Kind::kConnected});
  }

  void TakeMessage(std::string message) {
    if (const auto peer = peer_.lock()) {
      const size_t window = network_->options_.window_bytes;
      const bool waited = peer->bytes_under_way_ > window;
      peer->bytes_under_way_ -= message.size();
      if (waited && peer->bytes_under_way_ <= window) peer->Written();
    }
    const uint64_t repeats = network_->options_.repeat_per_million;
    const bool twice =
        network_->TakeRepeat(remote_, local_) ||
        (repeats > 0 && network_->random_->Below(1'000'000) < repeats);
    if (twice && !closed_ && handler_ != nullptr) handler_->OnMessage(message);
    if (!closed_ && handler_ != nullptr) {
      handler_->OnMessage(std::move(message));
    }
  }

  // Constant after construction.
  SimNetwork* const network_;
  SimTransport* const transport_;
  Scheduler* const lane_;
  const uint64_t id_;
  const std::string local_;
  const std::string remote_;
  const bool dialed_;

  std::weak_ptr<SimStream> peer_;
  std::shared_ptr<StreamHandler> handler_;
  // Sent by the peer, not yet handed over.
  std::deque<Event> inbox_;
  // Events whose time came while the link was cut.
  size_t held_ = 0;
  // Written by this end, not yet taken by the peer.
  size_t bytes_under_way_ = 0;
  bool connected_ = false;
  bool writing_ = false;
  bool closed_ = false;
  bool over_ = false;
};

SimNetwork::SimNetwork(RandomSource* random, SimNetworkOptions options)
    : random_(random), options_(options) {}

SimNetwork::~SimNetwork() {
  MUSTER_CHECK(transports_.empty(), "transports go before their network");
}

void SimNetwork::Cut(absl::string_view a, absl::string_view b) {
  CutOneWay(a, b);
  CutOneWay(b, a);
}

void SimNetwork::CutOneWay(absl::string_view from, absl::string_view to) {
  cuts_.emplace(from, to);
}

void SimNetwork::Heal(absl::string_view a, absl::string_view b) {
  cuts_.erase({std::string(a), std::string(b)});
  cuts_.erase({std::string(b), std::string(a)});
  ResumeStreams();
}

void SimNetwork::HealAll() {
  cuts_.clear();
  ResumeStreams();
}

void SimNetwork::Repeat(absl::string_view from, absl::string_view to,
                        int count) {
  const std::pair<std::string, std::string> way(from, to);
  if (count > 0) {
    repeats_[way] = count;
  } else {
    repeats_.erase(way);
  }
}

bool SimNetwork::TakeRepeat(const std::string& from, const std::string& to) {
  if (repeats_.empty()) return false;
  const auto at = repeats_.find({from, to});
  if (at == repeats_.end()) return false;
  if (--at->second <= 0) repeats_.erase(at);
  return true;
}

void SimNetwork::Reset(absl::string_view a, absl::string_view b) {
  for (const auto& stream : StreamsAt(a)) {
    if (Pair(stream->local(), stream->remote()) != Pair(a, b)) continue;
    stream->After(absl::ZeroDuration(), [](SimStream* self) {
      self->End(absl::UnavailableError("connection reset"));
    });
  }
}

void SimNetwork::KillNode(absl::string_view address) {
  transports_.erase(std::string(address));
  // Destroyed at the end: a handler's destructor may come back here.
  std::vector<std::shared_ptr<StreamHandler>> silenced;
  for (const auto& stream : StreamsAt(address)) {
    if (stream->local() == address) {
      silenced.push_back(stream->Forget());
    } else {
      stream->LosePeer();
    }
  }
}

bool SimNetwork::IsCut(const std::string& from, const std::string& to) const {
  return cuts_.contains({from, to});
}

absl::Duration SimNetwork::Latency() {
  return options_.latency_min +
         random_->Jitter(options_.latency_max - options_.latency_min);
}

std::shared_ptr<SimStream> SimNetwork::Dial(
    SimTransport* from, std::string to,
    std::shared_ptr<StreamHandler> handler) {
  const auto dialed =
      std::make_shared<SimStream>(this, from, ++last_stream_, to, true);
  const auto self = transports_.find(from->address());
  if (self == transports_.end() || self->second != from) {
    // The dialing process is dead and hears nothing more.
    dialed->Forget();
    return dialed;
  }
  dialed->set_handler(std::move(handler));
  streams_.emplace(last_stream_, dialed);
  dialed->After(options_.connect_limit, [](SimStream* self) {
    if (!self->connected()) {
      self->End(absl::UnavailableError("no answer within the connect limit"));
    }
  });
  const auto found = transports_.find(to);
  if (found == transports_.end()) {
    // A host that is cut off cannot refuse.
    if (!IsCut(from->address(), to) && !IsCut(to, from->address())) {
      dialed->After(Latency(), [](SimStream* self) {
        self->End(absl::UnavailableError("nobody is at this address"));
      });
    }
    return dialed;
  }
  const auto accepted = std::make_shared<SimStream>(
      this, found->second, ++last_stream_, from->address(), false);
  streams_.emplace(last_stream_, accepted);
  dialed->set_peer(accepted);
  accepted->set_peer(dialed);
  accepted->Receive({.kind = SimStream::Event::Kind::kOpen});
  return dialed;
}

std::vector<std::shared_ptr<SimStream>> SimNetwork::StreamsAt(
    absl::string_view address) const {
  std::vector<std::shared_ptr<SimStream>> result;
  for (const auto& [id, stream] : streams_) {
    if (stream->local() == address || stream->remote() == address) {
      result.push_back(stream);
    }
  }
  return result;
}

void SimNetwork::ResumeStreams() {
  for (const auto& [id, stream] : streams_) {
    if (!IsCut(stream->remote(), stream->local())) stream->Resume();
  }
}

SimTransport::SimTransport(SimNetwork* network, Scheduler* lane,
                           std::string address)
    : network_(network), lane_(lane), address_(std::move(address)) {
  const bool free = network_->transports_.emplace(address_, this).second;
  MUSTER_CHECK(free, "one transport an address; KillNode frees it");
}

SimTransport::~SimTransport() {
  const auto found = network_->transports_.find(address_);
  // Killed: the address may be another's by now.
  if (found == network_->transports_.end() || found->second != this) return;
  network_->transports_.erase(found);
  for (const auto& stream : network_->StreamsAt(address_)) {
    if (stream->local() != address_) continue;
    stream->Close(absl::UnavailableError("the node is stopping"));
    stream->End(absl::UnavailableError("the node is stopping"));
  }
}

void SimTransport::Serve(StreamAcceptor acceptor) {
  acceptor_ = std::move(acceptor);
}

std::shared_ptr<Stream> SimTransport::Dial(
    std::string address, std::shared_ptr<StreamHandler> handler) {
  return network_->Dial(this, std::move(address), std::move(handler));
}

}  // namespace muster
