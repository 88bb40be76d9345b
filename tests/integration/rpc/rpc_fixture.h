// RpcTest: one real node's runtime behind a real RpcServer on loopback, with
// one server named "tally".
#ifndef MUSTER_TESTS_INTEGRATION_RPC_RPC_FIXTURE_H_
#define MUSTER_TESTS_INTEGRATION_RPC_RPC_FIXTURE_H_

#include <atomic>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "node/base/fence.h"
#include "node/base/log.h"
#include "node/base/mutex.h"
#include "node/base/random.h"
#include "node/base/thread_scheduler.h"
#include "node/process/message.h"
#include "node/process/process_body.h"
#include "node/process/router.h"
#include "node/process/runtime.h"
#include "node/rpc/backend.h"
#include "node/rpc/descriptor_search.h"
#include "node/rpc/descriptor_source.h"
#include "node/rpc/grpc_status.h"
#include "node/rpc/rpc_server.h"
#include "node/types/status.h"
#include "tests/integration/rpc/tally.grpc.pb.h"
#include "tests/testkit/fake_name_registry.h"

namespace muster {

class TallyBody final : public ProcessBody {
 public:
  explicit TallyBody(std::atomic<int>* adds) : adds_(adds) {}

  const ServiceInfo& service_info() const override {
    static constexpr MethodInfo kMethods[] = {
        {"Add", false}, {"Get", false},    {"Hang", false},  {"Waiting", false},
        {"Big", false}, {"Refuse", false}, {"Color", false}, {"Reset", true},
    };
    static constexpr ServiceInfo kInfo = {"tally.v1.Tally", kMethods};
    return kInfo;
  }

  HandlerResult OnInit(Payload&, Context&) override {
    return InitResult(Ok()).Erase();
  }
  HandlerResult OnCall(absl::string_view method, Payload& request,
                       Context& self) override {
    if (method == "Add") {
      const auto* add = request.As<tally::v1::AddRequest>();
      if (add == nullptr) {
        return Reply<tally::v1::TallyValue>(
                   absl::Status(Error(absl::StatusCode::kInvalidArgument,
                                      "BAD_REQUEST", "no AddRequest")
                                    .NotExecuted()))
            .Erase();
      }
      sum_ += add->by();
      adds_->fetch_add(1);
      return Value(sum_);
    }
    if (method == "Get") return Value(sum_);
    if (method == "Hang") {
      waiting_.push_back(self.from());
      return Reply<tally::v1::TallyValue>(NoReply()).Erase();
    }
    if (method == "Waiting") {
      int count = 0;
      for (const From& from : waiting_) count += from.done() ? 0 : 1;
      return Value(count);
    }
    if (method == "Big") {
      tally::v1::Blob blob;
      blob.set_data(std::string(
          static_cast<size_t>(request.As<tally::v1::AddRequest>()->by()), 'x'));
      return Reply<tally::v1::Blob>(std::move(blob)).Erase();
    }
    if (method == "Color") {
      tally::v1::Blob blob;
      blob.set_data(self.metadata("color"));
      return Reply<tally::v1::Blob>(std::move(blob)).Erase();
    }
    return Reply<tally::v1::TallyValue>(
               absl::FailedPreconditionError("refused on purpose"))
        .Erase();
  }
  HandlerResult OnCast(absl::string_view, Payload&, Context&) override {
    sum_ = 0;
    return Next().Erase();
  }
  HandlerResult OnInfo(Info&, Context&) override { return Next().Erase(); }
  HandlerResult OnContinue(Info&, Context&) override { return Next().Erase(); }
  HandlerResult OnTimeout(Context&) override { return Next().Erase(); }
  HandlerResult OnTerminate(const ExitReason&, Context&) override {
    return Next().Erase();
  }

 private:
  static HandlerResult Value(int64_t value) {
    tally::v1::TallyValue v;
    v.set_value(value);
    return Reply<tally::v1::TallyValue>(std::move(v)).Erase();
  }

  std::atomic<int>* const adds_;
  int64_t sum_ = 0;
  std::vector<From> waiting_;
};

// Answers what the test has scripted for a name, else NOT_FOUND NOPROC.
class ScriptedRouter final : public Router {
 public:
  void Script(absl::string_view name, std::deque<absl::Status> answers)
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    answers_[std::string(name)] = std::move(answers);
  }
  int calls() const { return calls_.load(); }

  void RouteCall(Request request, std::shared_ptr<CallSlot> slot) override {
    calls_.fetch_add(1);
    const absl::Status status = Take(request.target.name());
    slot->Complete(status.ok() ? CallResult(Payload()) : CallResult(status));
  }
  void RouteCast(Request request,
                 absl::AnyInvocable<void(absl::Status)> taken) override {
    calls_.fetch_add(1);
    if (taken) taken(Take(request.target.name()));
  }
  void RouteInfo(const ServerRef&, Info, Meta) override {}
  void RouteSignal(Signal) override {}
  void Reach(absl::string_view) override {}

 private:
  // The last one is for ever.
  absl::Status Take(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const auto at = answers_.find(name);
    if (at == answers_.end()) {
      return Error(absl::StatusCode::kNotFound, "NOPROC",
                   absl::StrCat("no process is registered as '", name, "'"))
          .With("name", name)
          .NotExecuted();
    }
    absl::Status status = at->second.front();
    if (at->second.size() > 1) at->second.pop_front();
    return status;
  }

  std::atomic<int> calls_{0};
  Mutex mu_;
  std::map<std::string, std::deque<absl::Status>> answers_ ABSL_GUARDED_BY(mu_);
};

class TallyDescriptors final : public DescriptorSource {
 public:
  TallyDescriptors() {
    auto set = std::make_shared<google::protobuf::FileDescriptorSet>();
    AddWithImports(tally::v1::AddRequest::descriptor()->file(), set.get());
    set_ = std::move(set);
  }
  std::vector<std::string> Services() const override {
    return {"gone.v1.Gone", "tally.v1.Tally"};
  }
  void Describe(
      absl::string_view service,
      absl::AnyInvocable<void(absl::StatusOr<DescriptorSet>)> done) override {
    if (service == "tally.v1.Tally") {
      done(set_);
    } else {
      done(absl::NotFoundError("nobody hosts it"));
    }
  }

 private:
  DescriptorSet set_;
};

class RpcTest : public ::testing::Test {
 protected:
  RpcTest() : scheduler_(&clock_, {.workers = 2}) {
    runtime_ = std::make_unique<Runtime>(
        RuntimeOptions{.node = "a", .epoch = Epoch{1, 5}}, &scheduler_,
        &random_, &log_, &fence_);
    runtime_->set_router(&router_);
    backend_ = std::make_shared<RpcBackend>(
        RpcBackend{runtime_.get(), &names_, &descriptors_});
    auto server = RpcServer::Start(RpcServerOptions(), {});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->SetBackend(backend_);
    pid_ = StartTally();
    channel_ = grpc::CreateChannel(server_->address(),
                                   grpc::InsecureChannelCredentials());
    stub_ = tally::v1::Tally::NewStub(channel_);
  }

  ~RpcTest() override {
    server_->SetBackend(nullptr);
    server_->Shutdown(absl::ZeroDuration());
    runtime_->KillAll();
    scheduler_.Stop();
  }

  Pid StartTally() {
    SpawnOptions spawn;
    spawn.local_name = "tally_here";
    spawn.global_name = "tally";
    spawn.global_epoch = Epoch{1, 7};
    spawn.type = "tally";
    auto arrival = std::make_shared<internal::Arrival<absl::Status>>();
    const Pid pid = runtime_->Spawn(
        std::make_unique<TallyBody>(&adds_), Payload(), std::move(spawn),
        [arrival](absl::Status status) { arrival->Set(std::move(status)); });
    const absl::Status status = Pending<absl::Status>(arrival).Wait();
    EXPECT_TRUE(status.ok()) << status;
    NameEntry entry;
    entry.name = "tally";
    entry.pid = pid;
    entry.epoch = Epoch{1, 7};
    entry.type = "tally";
    names_.Put(std::move(entry));
    return pid;
  }

  // A context that ends the test, not the machine's patience.
  static std::unique_ptr<grpc::ClientContext> Named(absl::string_view name) {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(gpr_time_add(
        gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(30, GPR_TIMESPAN)));
    if (!name.empty()) {
      context->AddMetadata("muster-name", std::string(name));
    }
    return context;
  }

  absl::Status Add(absl::string_view name, int64_t by, int64_t* sum = nullptr) {
    auto context = Named(name);
    tally::v1::AddRequest request;
    request.set_by(by);
    tally::v1::TallyValue value;
    const grpc::Status status = stub_->Add(context.get(), request, &value);
    if (sum != nullptr) *sum = value.value();
    return FromGrpcStatus(status);
  }

  int64_t Waiting() {
    auto context = Named("tally");
    tally::v1::TallyValue value;
    EXPECT_TRUE(stub_->Waiting(context.get(), {}, &value).ok());
    return value.value();
  }

  SystemClock clock_;
  SystemRandom random_;
  NullLogger log_;
  Fence fence_;
  std::atomic<int> adds_{0};
  ScriptedRouter router_;
  FakeNameRegistry names_;
  TallyDescriptors descriptors_;
  ThreadScheduler scheduler_;
  std::unique_ptr<Runtime> runtime_;
  std::shared_ptr<RpcBackend> backend_;
  std::unique_ptr<RpcServer> server_;
  Pid pid_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<tally::v1::Tally::Stub> stub_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_INTEGRATION_RPC_RPC_FIXTURE_H_
