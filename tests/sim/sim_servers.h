// The processes of the fault simulation. Each notes what happens to it.
#ifndef MUSTER_TESTS_SIM_SIM_SERVERS_H_
#define MUSTER_TESTS_SIM_SIM_SERVERS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "examples/counter/counter.muster.server.h"
#include "examples/counter/counter.pb.h"
#include "node/gen_server/gen_server.h"
#include "tests/sim/sim_recorder.h"

namespace muster {

// Metadata of a call of SimCounter: its id, and how many milliseconds its
// handler waits.
inline constexpr absl::string_view kCallKey = "call";
inline constexpr absl::string_view kSlowKey = "slow";

// A counter whose every step also goes to a resource outside under its fencing
// token. Started with less than 0 it crashes after as many milliseconds.
// Decrement throws; Reset is a cast that changes nothing. It answers pings.
class SimCounter final : public counter::v1::CounterServer {
 public:
  explicit SimCounter(std::shared_ptr<SimRecorder> recorder)
      : recorder_(std::move(recorder)) {}
  ~SimCounter() override;

  InitResult Init(const counter::v1::CounterOptions& options,
                  Context& self) override;
  Reply<counter::v1::CounterValue> Increment(
      const counter::v1::IncrementRequest& request, Context& self) override;
  Reply<counter::v1::CounterValue> Decrement(
      const counter::v1::DecrementRequest& request, Context& self) override;
  Reply<counter::v1::CounterValue> GetValue(
      const counter::v1::GetValueRequest& request, Context& self) override;
  Next Reset(const counter::v1::ResetRequest& request, Context& self) override;
  Next HandleInfo(Info info, Context& self) override;
  Next Terminate(const ExitReason& reason, Context& self) override;

 private:
  void Begin(const std::string& call, Context& self);
  void End(const std::string& call);
  [[noreturn]] void Crash();

  const std::shared_ptr<SimRecorder> recorder_;
  bool started_ = false;
  Pid pid_;
  std::string name_;
  std::string reason_;
  int64_t value_ = 0;
};

// Sends pings to servers and monitors them for as long as it lives.
class SimWatcher final : public InfoServer {
 public:
  // `session`: what it is called in the history.
  SimWatcher(std::shared_ptr<SimRecorder> recorder, std::string session,
             std::vector<std::string> names)
      : recorder_(std::move(recorder)),
        session_(std::move(session)),
        names_(std::move(names)) {}
  ~SimWatcher() override;

  InitResult Init(Context& self) override;
  Next HandleInfo(Info info, Context& self) override;

 private:
  std::string PairWith(const std::string& name) const;
  void Tick(Context& self);

  const std::shared_ptr<SimRecorder> recorder_;
  const std::string session_;
  const std::vector<std::string> names_;
  std::map<std::string, uint64_t> sent_;
  // Name -> its monitor; 0: none now.
  std::map<std::string, uint64_t> monitors_;
  std::map<uint64_t, std::string> watched_;
  int ticks_ = 0;
};

// Does nothing but have a name for a while.
class SimHolder final : public InfoServer {
 public:
  SimHolder(std::shared_ptr<SimRecorder> recorder, std::string name)
      : recorder_(std::move(recorder)), name_(std::move(name)) {}
  ~SimHolder() override;
  InitResult Init(Context& self) override;

 private:
  const std::shared_ptr<SimRecorder> recorder_;
  const std::string name_;
  Pid pid_;
};

// A watcher's message was lost by its node and counted there (guarantees G9).
void NoteLost(SimRecorder& recorder, const Info& info);

}  // namespace muster

#endif  // MUSTER_TESTS_SIM_SIM_SERVERS_H_
