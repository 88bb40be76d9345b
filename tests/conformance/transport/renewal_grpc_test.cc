// Streams that are replaced while messages are under way, over real gRPC on
// loopback: nothing is lost, nothing is disordered (guarantees G9).
#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "node/base/check.h"
#include "node/base/clock.h"
#include "node/base/fence.h"
#include "node/base/log.h"
#include "node/base/mutex.h"
#include "node/base/random.h"
#include "node/base/thread_scheduler.h"
#include "node/gen_server/runtime_caller.h"
#include "node/peer/grpc_transport.h"
#include "node/peer/node_router.h"
#include "node/peer/peers.h"
#include "node/process/runtime.h"
#include "node/types/pid.h"
#include "tests/testkit/fake_name_registry.h"
#include "tests/testkit/script_server.h"

namespace muster {
namespace {

class Directory final : public PeerDirectory {
 public:
  std::optional<PeerAddress> Find(absl::string_view node) const override {
    MutexLock lock(&mu_);
    const auto at = addresses_.find(std::string(node));
    if (at == addresses_.end()) return std::nullopt;
    return PeerAddress{at->second, Epoch{1, 7}};
  }
  void Add(const std::string& node, const std::string& address) {
    MutexLock lock(&mu_);
    addresses_[node] = address;
  }

 private:
  mutable Mutex mu_;
  std::map<std::string, std::string> addresses_ ABSL_GUARDED_BY(mu_);
};

class Node {
 public:
  Node(Directory* directory, const std::string& name)
      : scheduler_(&clock_, {.workers = 2}),
        transport_(std::make_unique<GrpcTransport>(&scheduler_)),
        runtime_(
            [&] {
              RuntimeOptions options;
              options.node = name;
              options.epoch = Epoch{1, 7};
              return options;
            }(),
            &scheduler_, &random_, &log_, &fence_) {
    PeerOptions options;
    options.cluster_id = "c";
    peers_ = std::make_unique<Peers>(std::move(options), &runtime_,
                                     transport_.get(), directory, &names_);
    router_ = std::make_unique<NodeRouter>(&runtime_, &names_, peers_.get());
    runtime_.set_router(router_.get());
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    transport_->Register(&builder);
    server_ = builder.BuildAndStart();
    MUSTER_CHECK(server_ != nullptr, "loopback has a free port");
    directory->Add(name, absl::StrCat("127.0.0.1:", port));
  }
  ~Node() {
    router_ = nullptr;
    peers_ = nullptr;
    transport_->Shutdown();
    server_->Shutdown(gpr_inf_past(GPR_CLOCK_REALTIME));
    server_ = nullptr;
    transport_ = nullptr;
    scheduler_.Stop();
  }

  Runtime& runtime() { return runtime_; }
  Peers& peers() { return *peers_; }

 private:
  SystemClock clock_;
  SystemRandom random_;
  NullLogger log_;
  Fence fence_;
  FakeNameRegistry names_;
  ThreadScheduler scheduler_;
  std::unique_ptr<GrpcTransport> transport_;
  Runtime runtime_;
  std::unique_ptr<Peers> peers_;
  std::unique_ptr<NodeRouter> router_;
  std::unique_ptr<grpc::Server> server_;
};

TEST(RenewalGrpcTest, NothingIsLostOrDisordered) {
  constexpr int64_t kRounds = 50;
  constexpr int64_t kCastsARound = 200;
  Directory directory;
  Node a(&directory, "a");
  Node b(&directory, "b");
  struct Server {
    int64_t expected = 0;
    int64_t wrong = 0;
  } server;  // Its process's own until the last call has been answered.
  Script script;
  script.cast = [&server](int64_t value, Context&) -> Next {
    if (value != server.expected++) ++server.wrong;
    return NoReply();
  };
  script.call = [&server](int64_t, Context&) -> Reply<Int64> {
    return MakeInt64(server.expected);
  };
  const Pid pid = b.runtime().Spawn(ScriptServer::Make(std::move(script)),
                                    Payload(), SpawnOptions(), nullptr);
  RuntimeCaller caller(&a.runtime());
  ASSERT_TRUE(ScriptCall(caller, pid, 0).Wait().ok());
  int64_t sent = 0;
  for (int64_t round = 0; round < kRounds; ++round) {
    (round % 2 == 0 ? a : b).peers().RenewAll();
    for (int64_t i = 0; i < kCastsARound; ++i) {
      Request cast(pid, kScriptCast, Payload::Of(MakeInt64(sent++)));
      a.runtime().Cast(std::move(cast), nullptr);
    }
    // A call is behind all casts, and its answer comes by whichever stream.
    const absl::StatusOr<Int64> seen = ScriptCall(caller, pid, 0).Wait();
    ASSERT_TRUE(seen.ok()) << seen.status();
    EXPECT_EQ(seen->value(), sent);
  }
  EXPECT_EQ(server.wrong, 0);
  EXPECT_EQ(a.peers().stats().streams_lost, 0u);
  EXPECT_EQ(b.peers().stats().streams_lost, 0u);
  EXPECT_EQ(a.peers().stats().streams_opened, 1u);
  EXPECT_GT(a.peers().stats().streams_renewed, 0u);
}

}  // namespace
}  // namespace muster
