// TestNet: nodes on a wire in memory, for the tests of node/peer.
//
// A wire without latency that a test can cut, mute and stall, and on which it
// can play a peer by hand; SimTransport is the one for whole clusters.
#ifndef MUSTER_TESTS_UNIT_NODE_PEER_TEST_NET_H_
#define MUSTER_TESTS_UNIT_NODE_PEER_TEST_NET_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "muster/peer/v1/peer.pb.h"
#include "node/base/fence.h"
#include "node/base/log.h"
#include "node/peer/handshake.h"
#include "node/peer/node_router.h"
#include "node/peer/peers.h"
#include "node/peer/transport.h"
#include "node/process/process_body.h"
#include "node/process/runtime.h"
#include "tests/testkit/fake_name_registry.h"
#include "tests/testkit/sim_world.h"

namespace muster {

class TestNet;

// One end of a stream; posts what happens to the lanes of both ends.
class TestStream final : public Stream,
                         public std::enable_shared_from_this<TestStream> {
 public:
  TestStream(TestNet* net, Scheduler* lane, std::string from, std::string to)
      : net_(net), lane_(lane), from_(std::move(from)), to_(std::move(to)) {}

  void Write(std::string message) override;
  std::string ProvenNode() const override;
  void Close(absl::Status status) override {
    End(status);
    if (auto other = other_.lock()) other->End(std::move(status));
  }
  void End(absl::Status status) {
    if (ended_) return;
    ended_ = true;
    lane_->Post([self = shared_from_this(), status] {
      auto handler = std::exchange(self->handler_, nullptr);
      if (handler != nullptr) handler->OnClosed(status);
    });
  }
  void Receive(std::string message) {
    lane_->Post([self = shared_from_this(), message = std::move(message)] {
      if (self->handler_ != nullptr) self->handler_->OnMessage(message);
    });
  }
  void Written() {
    lane_->Post([self = shared_from_this()] {
      if (self->handler_ != nullptr) self->handler_->OnWritten();
    });
  }

  TestNet* const net_;
  Scheduler* const lane_;
  const std::string from_;
  const std::string to_;
  std::weak_ptr<TestStream> other_;
  std::shared_ptr<StreamHandler> handler_;
  bool ended_ = false;
};

class TestTransport final : public Transport {
 public:
  TestTransport(TestNet* net, Scheduler* lane, std::string name)
      : net_(net), lane_(lane), name_(std::move(name)) {}
  ~TestTransport() override;
  void Serve(StreamAcceptor acceptor) override {
    acceptor_ = std::move(acceptor);
  }
  std::shared_ptr<Stream> Dial(std::string address,
                               std::shared_ptr<StreamHandler> handler) override;

  TestNet* const net_;
  Scheduler* const lane_;
  const std::string name_;
  StreamAcceptor acceptor_;
};

// The wire and who is on it; a node's address is its name.
class TestNet {
 public:
  void Register(TestTransport* transport) {
    transports_[transport->name_] = transport;
  }
  void Unregister(const TestTransport* transport) {
    const auto found = transports_.find(transport->name_);
    if (found != transports_.end() && found->second == transport) {
      transports_.erase(found);
    }
  }
  // Breaks every stream.
  void CutAll() {
    for (const auto& weak : streams_) {
      if (auto stream = weak.lock()) {
        stream->End(absl::UnavailableError("cut"));
      }
    }
  }
  // Cuts two nodes off from each other until `blocked_` is cleared.
  void Block(const std::string& one, const std::string& two) {
    blocked_.insert({one, two});
    blocked_.insert({two, one});
    for (const auto& weak : streams_) {
      auto stream = weak.lock();
      if (stream != nullptr &&
          blocked_.contains({stream->from_, stream->to_})) {
        stream->End(absl::UnavailableError("cut"));
      }
    }
  }
  // Breaks the streams of one node.
  void CutNode(absl::string_view name) {
    for (const auto& weak : streams_) {
      auto stream = weak.lock();
      if (stream != nullptr && (stream->from_ == name || stream->to_ == name)) {
        stream->End(absl::UnavailableError("cut"));
      }
    }
  }
  size_t OpenStreams() const {
    size_t open = 0;  // Ends.
    for (const auto& weak : streams_) {
      auto stream = weak.lock();
      if (stream != nullptr && !stream->ended_) ++open;
    }
    return open / 2;
  }

  std::map<std::string, TestTransport*> transports_;
  std::set<std::string> unreachable_;
  // What the certificate of a transport says; absent: it has none.
  std::map<std::string, std::string> proofs_;
  std::set<std::pair<std::string, std::string>> blocked_;
  bool muted_ = false;    // Messages vanish.
  bool stalled_ = false;  // Writes do not end.
  std::vector<std::shared_ptr<TestStream>> stalled_streams_;
  std::vector<std::weak_ptr<TestStream>> streams_;
  size_t dials_ = 0;
  size_t writes_ = 0;
};

inline void TestStream::Write(std::string message) {
  ++net_->writes_;
  auto other = other_.lock();
  if (other != nullptr && !net_->muted_) other->Receive(std::move(message));
  if (net_->stalled_) {
    net_->stalled_streams_.push_back(shared_from_this());
  } else {
    Written();
  }
}

inline TestTransport::~TestTransport() {
  net_->Unregister(this);
  // A killed lane drops OnClosed; streams and their handlers hold each other.
  for (const auto& weak : net_->streams_) {
    auto stream = weak.lock();
    if (stream != nullptr && stream->from_ == name_) stream->handler_ = nullptr;
  }
}

inline std::string TestStream::ProvenNode() const {
  const auto found = net_->proofs_.find(to_);
  return found == net_->proofs_.end() ? "" : found->second;
}

inline std::shared_ptr<Stream> TestTransport::Dial(
    std::string address, std::shared_ptr<StreamHandler> handler) {
  ++net_->dials_;
  auto near = std::make_shared<TestStream>(net_, lane_, name_, address);
  near->handler_ = std::move(handler);
  net_->streams_.push_back(near);
  const auto found = net_->transports_.find(address);
  if (found == net_->transports_.end() ||
      net_->unreachable_.contains(address) ||
      net_->blocked_.contains({name_, address}) || !found->second->acceptor_) {
    near->End(absl::UnavailableError("cannot be reached"));
    return near;
  }
  TestTransport* const there = found->second;
  auto far = std::make_shared<TestStream>(net_, there->lane_, address, name_);
  near->other_ = far;
  far->other_ = near;
  net_->streams_.push_back(far);
  // Both ends must live while either does.
  there->lane_->Post(
      [far, near, there] { far->handler_ = there->acceptor_(far); });
  return near;
}

// Who is a member, for all nodes of a test.
class TestDirectory final : public PeerDirectory {
 public:
  std::optional<PeerAddress> Find(absl::string_view node) const override {
    const auto found = nodes_.find(std::string(node));
    if (found == nodes_.end()) return std::nullopt;
    return found->second;
  }
  std::map<std::string, PeerAddress> nodes_;
};

// What the processes of a test have seen.
struct Seen {
  std::vector<std::string> casts;
  std::vector<std::string> infos;
  size_t calls = 0;
};

// Echo answers with its request, Hang never, Die ends; Note is a cast.
class TestBody final : public ProcessBody {
 public:
  explicit TestBody(Seen* seen) : seen_(seen) {}
  const ServiceInfo& service_info() const override {
    static constexpr MethodInfo kMethods[] = {
        {"Echo", false}, {"Hang", false}, {"Die", false}, {"Note", true}};
    static constexpr ServiceInfo kInfo{"t.T", kMethods};
    return kInfo;
  }
  HandlerResult OnInit(Payload&, Context&) override { return GoOn(); }
  HandlerResult OnCall(absl::string_view method, Payload& request,
                       Context&) override {
    ++seen_->calls;
    if (method == "Echo") {
      return HandlerResult(internal::ReplyWith(request.Clone(), After()));
    }
    if (method == "Die") {
      return HandlerResult(internal::StopWith(ExitReason::Custom("asked")));
    }
    return GoOn();
  }
  HandlerResult OnCast(absl::string_view, Payload& request, Context&) override {
    seen_->casts.push_back(request.ToBytes());
    return GoOn();
  }
  HandlerResult OnInfo(Info& info, Context&) override {
    seen_->infos.push_back(info.type());
    return GoOn();
  }
  HandlerResult OnContinue(Info&, Context&) override { return GoOn(); }
  HandlerResult OnTimeout(Context&) override { return GoOn(); }
  HandlerResult OnTerminate(const ExitReason&, Context&) override {
    return GoOn();
  }

 private:
  static HandlerResult GoOn() { return HandlerResult(internal::GoOn(After())); }
  Seen* const seen_;
};

// One node: runtime, peers and router.
struct TestNode {
  TestNode(SimWorld* w, TestNet* n, TestDirectory* directory,
           const std::string& name, Epoch epoch,
           PeerOptions options = PeerOptions())
      : TestNode(w, directory, name, epoch, std::move(options),
                 [&](Scheduler* lane) {
                   auto transport =
                       std::make_unique<TestTransport>(n, lane, name);
                   n->Register(transport.get());
                   return transport;
                 }) {}
  // On a transport of the caller's choice.
  TestNode(SimWorld* w, TestDirectory* directory, const std::string& name,
           Epoch epoch, PeerOptions options,
           absl::FunctionRef<std::unique_ptr<Transport>(Scheduler*)> make)
      : world(w),
        lane(&w->AddLane(name)),
        transport(make(lane)),
        runtime(
            [&] {
              RuntimeOptions runtime_options;
              runtime_options.node = name;
              runtime_options.epoch = epoch;
              runtime_options.mailbox_messages_max = 100'000;
              return runtime_options;
            }(),
            lane, &w->random(), &logger, &fence) {
    if (options.cluster_id.empty()) options.cluster_id = "c";
    peers = std::make_unique<Peers>(std::move(options), &runtime,
                                    transport.get(), directory, &names);
    router = std::make_unique<NodeRouter>(&runtime, &names, peers.get());
    runtime.set_router(router.get());
    directory->nodes_[name] = PeerAddress{name, epoch};
  }
  ~TestNode() {
    peers.reset();
    transport.reset();
    world->KillLane(*lane);
  }

  Pid Start(SpawnOptions spawn = SpawnOptions()) {
    const Epoch epoch = spawn.global_epoch;
    const Pid pid = runtime.Spawn(std::make_unique<TestBody>(&seen), Payload(),
                                  std::move(spawn), nullptr);
    if (!epoch.empty()) runtime.Release(pid, epoch);
    return pid;
  }
  Pid StartGlobal(const std::string& name, Epoch epoch) {
    SpawnOptions spawn;
    spawn.global_name = name;
    spawn.global_epoch = epoch;
    return Start(std::move(spawn));
  }
  // The result, once it is there.
  std::shared_ptr<std::optional<CallResult>> Call(
      const ServerRef& to, const std::string& method, const std::string& bytes,
      absl::Duration timeout = absl::InfiniteDuration()) {
    auto result = std::make_shared<std::optional<CallResult>>();
    Request request(to, "/t.T/" + method, Payload::FromBytes(bytes));
    request.meta.deadline = runtime.clock().Boot() + timeout;
    runtime.StartCall(std::move(request), [result](CallResult r) {
      result->emplace(std::move(r));
    });
    return result;
  }
  void Cast(const ServerRef& to, const std::string& bytes) {
    runtime.Cast(Request(to, "/t.T/Note", Payload::FromBytes(bytes)), nullptr);
  }
  std::shared_ptr<std::optional<absl::Status>> CastAndWait(
      const ServerRef& to, const std::string& bytes) {
    auto result = std::make_shared<std::optional<absl::Status>>();
    runtime.Cast(Request(to, "/t.T/Note", Payload::FromBytes(bytes)),
                 [result](absl::Status s) { result->emplace(std::move(s)); });
    return result;
  }

  SimWorld* const world;
  Scheduler* const lane;
  Seen seen;
  Fence fence;
  NullLogger logger;
  FakeNameRegistry names;
  std::unique_ptr<Transport> transport;
  Runtime runtime;
  std::unique_ptr<Peers> peers;
  std::unique_ptr<NodeRouter> router;
};

// A peer played by hand: keeps what it hears, says what the test says.
class RawPeer final : public StreamHandler {
 public:
  void OnMessage(std::string message) override {
    peer::v1::PeerMessage parsed;
    if (parsed.ParseFromString(message)) heard.push_back(std::move(parsed));
  }
  void OnWritten() override {}
  void OnClosed(absl::Status status) override { closed = std::move(status); }

  void Say(const peer::v1::PeerMessage& message) {
    stream->Write(message.SerializeAsString());
  }
  static peer::v1::PeerMessage Hello(const std::string& node, Epoch epoch,
                                     const std::string& to) {
    peer::v1::PeerMessage message;
    peer::v1::Hello* const hello = message.mutable_hello();
    hello->set_protocol_min(kPeerProtocolMin);
    hello->set_protocol_max(kPeerProtocolMax);
    hello->set_cluster_id("c");
    hello->set_generation(1);
    hello->set_node(node);
    *hello->mutable_node_epoch() = epoch.ToProto();
    hello->set_to_node(to);
    return message;
  }
  // All frames heard so far.
  std::vector<peer::v1::Frame> Frames() const {
    std::vector<peer::v1::Frame> frames;
    for (const auto& message : heard) {
      for (const auto& frame : message.batch().frames()) {
        frames.push_back(frame);
      }
    }
    return frames;
  }

  std::shared_ptr<Stream> stream;
  std::vector<peer::v1::PeerMessage> heard;
  std::optional<absl::Status> closed;
};

}  // namespace muster

#endif  // MUSTER_TESTS_UNIT_NODE_PEER_TEST_NET_H_
