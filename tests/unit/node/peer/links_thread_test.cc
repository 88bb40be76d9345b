// Links and monitors between two nodes on real threads: processes come and go,
// streams break, and the books balance.
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "node/base/fence.h"
#include "node/base/mutex.h"
#include "node/base/random.h"
#include "node/base/strand.h"
#include "node/base/thread_scheduler.h"
#include "node/gen_server/runtime_caller.h"
#include "node/peer/node_router.h"
#include "node/peer/peers.h"
#include "node/peer/transport.h"
#include "node/process/runtime.h"
#include "node/process/signals.h"
#include "node/types/exit_reason.h"
#include "node/types/pid.h"
#include "tests/testkit/capture_logger.h"
#include "tests/testkit/fake_name_registry.h"
#include "tests/testkit/script_server.h"
#include "tests/testkit/sim_random.h"

namespace muster {
namespace {

// A wire in memory; what happens to an end comes on a strand of its own.
class WireStream final : public Stream,
                         public std::enable_shared_from_this<WireStream> {
 public:
  explicit WireStream(Scheduler* scheduler)
      : strand_(std::make_shared<Strand>(scheduler)) {}

  void Join(std::weak_ptr<WireStream> other,
            std::shared_ptr<StreamHandler> handler) {
    other_ = std::move(other);
    handler_ = std::move(handler);
  }
  void Write(std::string message) override {
    if (auto other = other_.lock()) {
      other->Post([message = std::move(message)](StreamHandler& handler) {
        handler.OnMessage(message);
      });
    }
    Post([](StreamHandler& handler) { handler.OnWritten(); });
  }
  void Close(absl::Status status) override {
    End(status);
    if (auto other = other_.lock()) other->End(std::move(status));
  }
  void End(absl::Status status) {
    if (ended_.exchange(true)) return;
    Post([self = shared_from_this(), status](StreamHandler& handler) {
      const std::shared_ptr<StreamHandler> last = std::move(self->handler_);
      handler.OnClosed(status);
    });
  }

 private:
  // Nothing comes after OnClosed.
  void Post(std::function<void(StreamHandler&)> event) {
    strand_->Post([self = shared_from_this(), event = std::move(event)] {
      if (const auto handler = self->handler_) event(*handler);
    });
  }

  const std::shared_ptr<Strand> strand_;
  std::weak_ptr<WireStream> other_;
  std::shared_ptr<StreamHandler> handler_;  // Used on the strand, once joined.
  std::atomic<bool> ended_{false};
};

class Wire;

class WireTransport final : public Transport {
 public:
  WireTransport(Wire* wire, Scheduler* s) : scheduler(s), wire_(wire) {}
  void Serve(StreamAcceptor a) override { acceptor = std::move(a); }
  std::shared_ptr<Stream> Dial(std::string address,
                               std::shared_ptr<StreamHandler> handler) override;

  Scheduler* const scheduler;
  StreamAcceptor acceptor;

 private:
  Wire* const wire_;
};

class Wire {
 public:
  std::shared_ptr<Stream> Connect(Scheduler* near_end, const std::string& to,
                                  std::shared_ptr<StreamHandler> handler) {
    WireTransport* const there = transports.at(to);
    auto near = std::make_shared<WireStream>(near_end);
    auto far = std::make_shared<WireStream>(there->scheduler);
    near->Join(far, std::move(handler));
    far->Join(near, there->acceptor(far));
    MutexLock lock(&mu_);
    streams_.push_back(near);
    streams_.push_back(far);
    return near;
  }
  void BreakAll() {
    std::vector<std::shared_ptr<WireStream>> streams;
    {
      MutexLock lock(&mu_);
      streams.swap(streams_);
    }
    for (const auto& stream : streams) {
      stream->Close(absl::UnavailableError("broken"));
    }
  }

  std::map<std::string, WireTransport*> transports;

 private:
  Mutex mu_;
  std::vector<std::shared_ptr<WireStream>> streams_ ABSL_GUARDED_BY(mu_);
};

std::shared_ptr<Stream> WireTransport::Dial(
    std::string address, std::shared_ptr<StreamHandler> handler) {
  return wire_->Connect(scheduler, address, std::move(handler));
}

class TwoMembers final : public PeerDirectory {
 public:
  std::optional<PeerAddress> Find(absl::string_view node) const override {
    return PeerAddress{std::string(node), Epoch{1, 7}};
  }
};

struct ThreadNode {
  ThreadNode(Wire* wire, const PeerDirectory* directory, const std::string& n)
      : scheduler(&clock, {.workers = 2}),
        transport(wire, &scheduler),
        runtime(
            [&] {
              RuntimeOptions options;
              options.node = n;
              options.epoch = Epoch{1, 7};
              return options;
            }(),
            &scheduler, &random, &log, &fence),
        caller(&runtime) {
    wire->transports[n] = &transport;
    PeerOptions options;
    options.cluster_id = "c";
    peers = std::make_unique<Peers>(std::move(options), &runtime, &transport,
                                    directory, &names);
    router = std::make_unique<NodeRouter>(&runtime, &names, peers.get());
    runtime.set_router(router.get());
  }

  SystemClock clock;
  SystemRandom random;
  CaptureLogger log;
  Fence fence;
  FakeNameRegistry names;
  ThreadScheduler scheduler;
  WireTransport transport;
  Runtime runtime;
  RuntimeCaller caller;
  std::unique_ptr<Peers> peers;
  std::unique_ptr<NodeRouter> router;
};

using Job = std::function<void(Context&)>;

TEST(LinksThreadTest, TheBooksBalance) {  // otp L1, L4, M2, M5, M7, ND5
  Wire wire;
  TwoMembers directory;
  ThreadNode a(&wire, &directory, "a");
  ThreadNode b(&wire, &directory, "b");
  ThreadNode* const nodes[] = {&a, &b};
  std::atomic<int> made{0};
  std::atomic<int> removed{0};
  std::atomic<int> downs{0};
  Script script;
  script.init = [](Context& self) -> InitResult {
    self.TrapExit(true);
    return Ok();
  };
  script.info = [&](Info info, Context& self) -> Next {
    if (const Job* job = info.As<Job>()) (*job)(self);
    if (info.As<Down>() != nullptr) ++downs;
    return NoReply();
  };
  const auto start = [&](int node) {
    return nodes[node]->runtime.Spawn(ScriptServer::Make(script), Payload(),
                                      SpawnOptions(), nullptr);
  };
  // A call there and back: what was under way before has arrived.
  const Pid servers[] = {start(0), start(1)};
  const auto barrier = [&] {
    for (int i = 0; i < 8; ++i) {
      // A stream that has just broken is dialed again a little later.
      while (!ScriptCall(nodes[i % 2]->caller, servers[1 - i % 2], 1)
                  .Wait()
                  .ok()) {
      }
    }
    for (int i = 0; i < 2; ++i) {
      const auto answer = ScriptCall(nodes[i]->caller, servers[i], 1).Wait();
      ASSERT_TRUE(answer.ok()) << answer.status();
    }
  };
  barrier();

  SimRandom dice(20);
  std::vector<Pid> watchers;
  std::vector<Pid> targets;
  for (int i = 0; i < 16; ++i) {
    watchers.push_back(start(i % 2));
    targets.push_back(start(i % 2));
  }
  for (int i = 0; i < 4000; ++i) {
    const Pid watcher = watchers[dice.Below(watchers.size())];
    Pid& target = targets[dice.Below(targets.size())];
    ThreadNode& here = *nodes[watcher.node == "a" ? 0 : 1];
    const uint64_t what = dice.Below(8);
    here.runtime.Send(watcher, Info(Job([=, &made, &removed](Context& self) {
                        if (what < 3) {
                          (void)self.Link(target).ok();
                        } else if (what < 4) {
                          self.Unlink(target);
                        } else {
                          const MonitorRef ref = self.Monitor(target);
                          ++made;
                          if (what < 6 && self.Demonitor(ref, {.info = true}))
                            ++removed;
                        }
                      })));
    if (dice.Below(10) == 0) {
      nodes[target.node == "a" ? 0 : 1]->runtime.SendExit(Pid(), target,
                                                          ExitReason::Kill());
      target = start(target.node == "a" ? 0 : 1);
    }
    if (dice.Below(500) == 0) wire.BreakAll();
    if (dice.Below(100) == 0) {
      // Some rest, so that the order of things is not always the same.
      (void)ScriptCall(a.caller, servers[1], 1).Wait().ok();
    }
  }
  // Handed out, then done, then answered.
  barrier();
  for (const Pid& target : targets) {
    nodes[target.node == "a" ? 0 : 1]->runtime.SendExit(Pid(), target,
                                                        ExitReason::Kill());
  }
  // The ends of the targets, on any worker, before what follows.
  for (const Pid& target : targets) {
    Runtime& runtime = nodes[target.node == "a" ? 0 : 1]->runtime;
    internal::BlockUntil([&](absl::AnyInvocable<void()> done) {
      runtime.ObserveExit(target, [done = std::move(done)](
                                      const ExitReason&) mutable { done(); });
    });
  }
  barrier();
  for (const Pid& watcher : watchers) {
    ThreadNode& here = *nodes[watcher.node == "a" ? 0 : 1];
    ASSERT_TRUE(ScriptCall(here.caller, watcher, 1).Wait().ok());
    ASSERT_TRUE(ScriptCall(here.caller, watcher, 1).Wait().ok());
  }
  EXPECT_GT(made, 1000);
  EXPECT_EQ(made - removed, downs);
  for (ThreadNode* node : nodes) {
    EXPECT_EQ(node->runtime.Tables().links, 0u);
    EXPECT_EQ(node->runtime.Tables().monitors, 0u);
    EXPECT_EQ(node->runtime.Tables().watched, 0u);
    const PeerTables tables = node->peers->Tables();
    EXPECT_EQ(tables.links, 0u);
    EXPECT_EQ(tables.watching, 0u);
    EXPECT_EQ(tables.watched, 0u);
  }
  a.peers.reset();
  b.peers.reset();
  a.scheduler.Stop();
  b.scheduler.Stop();
}

}  // namespace
}  // namespace muster
