// `muster process get`, `stop` and `trace`.

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/process/v1/process.pb.h"
#include "muster/sys/v1/sys.pb.h"
#include "nlohmann/json.hpp"
#include "node/types/exit_reason.h"
#include "node/types/status.h"
#include "tests/unit/cluster/cli/fake_node_client.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::ordered_json;

constexpr char kPid[] = "a~0000000000000001.0000000000000012~7";

class ProcessCommandsTest : public testing::Test {
 protected:
  ProcessCommandsTest() {
    node_.on_call = [this](const process::v1::CallRequest& request) {
      return Answer(request);
    };
    status_.set_name("counter_a");
    status_.set_state("running");
    status_.set_service("counter.v1.Counter");
    status_.set_handled(12);
    status_.set_formatted_state("{\"value\":\"5\"}");
    status_.set_state_type("counter.v1.State");
  }

  static absl::StatusOr<process::v1::CallResponse> Encode(
      const google::protobuf::Message& message) {
    process::v1::CallResponse response;
    response.set_response(message.SerializeAsString());
    return response;
  }

  // A process with a log.
  absl::StatusOr<process::v1::CallResponse> Answer(
      const process::v1::CallRequest& request) {
    const std::string method =
        request.method().substr(request.method().rfind('/') + 1);
    asked_.push_back(method);
    if (!error_.ok()) return error_;
    if (method == "GetStatus") return Encode(status_);
    if (method == "Terminate") {
      terminate_.ParseFromString(request.request());
      return Encode(ended_);
    }
    if (method == "SwitchLog") {
      sys::v1::SwitchLogRequest log;
      log.ParseFromString(request.request());
      sizes_.push_back(log.size());
      log_.set_on(log.size() > 0);
      return Encode(sys::v1::SwitchLogResponse());
    }
    sys::v1::GetLogRequest get;
    get.ParseFromString(request.request());
    if (log_.on() && on_read_) on_read_();
    sys::v1::GetLogResponse response;
    response.set_on(log_.on());
    for (const sys::v1::Event& event : log_.events()) {
      if (event.number() > get.after()) *response.add_events() = event;
    }
    return Encode(response);
  }

  void AddEvent(sys::v1::Event::Kind kind) {
    sys::v1::Event* const event = log_.add_events();
    event->set_kind(kind);
    event->set_number(static_cast<uint64_t>(log_.events_size()));
    event->mutable_time()->set_seconds(3600);
    event->set_method("Get");
    event->set_type("counter.v1.Request");
    event->set_bytes(2);
  }

  CliRun Run(std::vector<std::string> words) {
    return CliRun(&node_, std::move(words));
  }

  FakeNode node_;
  absl::Status error_;
  sys::v1::GetStatusResponse status_;
  sys::v1::TerminateRequest terminate_;
  sys::v1::TerminateResponse ended_;
  sys::v1::GetLogResponse log_;
  std::function<void()> on_read_;
  std::vector<std::string> asked_;
  std::vector<uint32_t> sizes_;
};

TEST_F(ProcessCommandsTest, GetShowsStatusAndState) {
  const CliRun run = Run({"process", "get", "counter_a"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("name         counter_a\n"));
  EXPECT_THAT(run.out, HasSubstr("state        running\n"));
  EXPECT_THAT(run.out, HasSubstr("its state    {\"value\":\"5\"}\n"));
  EXPECT_EQ(node_.call_request.method(), "/muster.sys.v1.Sys/GetStatus");
  EXPECT_EQ(node_.call_request.server().global(), "counter_a");
}

TEST_F(ProcessCommandsTest, GetAsJsonHasTheStateAsAnObject) {
  const CliRun run = Run({"process", "get", kPid, "-o", "json"});
  EXPECT_EQ(run.code, 0) << run.err;
  const Json json = Json::parse(run.out);
  EXPECT_EQ(json["name"], "counter_a");
  EXPECT_EQ(json["handled"], "12");
  EXPECT_EQ(json["formatted_state"]["value"], "5");
  EXPECT_EQ(json["log_limit"], 0);
  EXPECT_EQ(node_.call_request.server().pid().number(), 7u);
}

TEST_F(ProcessCommandsTest, ErrorsKeepTheirExitCodes) {
  error_ = Error(absl::StatusCode::kNotFound, "NOPROC", "nobody").NotExecuted();
  for (const char* verb : {"get", "stop", "trace"}) {
    const CliRun run = Run({"process", verb, "counter_a"});
    EXPECT_EQ(run.code, 3) << verb;
    EXPECT_EQ(run.out, "");
    EXPECT_EQ(Run({"process", verb, "not a name"}).code, 2) << verb;
    EXPECT_EQ(Run({"process", verb}).code, 2) << verb;
  }
  EXPECT_EQ(Run({"process", "trace", "counter_a", "--for", "long"}).code, 2);
}

TEST_F(ProcessCommandsTest, StopWaitsForTheReasonItAskedFor) {
  *ended_.mutable_reason() = ExitReason::Normal().ToProto();
  CliRun run = Run({"process", "stop", "counter_a"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, "stopped\n");
  EXPECT_EQ(terminate_.reason().kind(), core::v1::ExitReason::NORMAL);

  run = Run({"process", "stop", "counter_a", "--reason", "shutdown"});
  EXPECT_EQ(run.code, 4);
  EXPECT_THAT(run.err, HasSubstr("normal, not with shutdown"));
  EXPECT_EQ(terminate_.reason().kind(), core::v1::ExitReason::SHUTDOWN);

  *ended_.mutable_reason() = ExitReason::Custom("tired").ToProto();
  run =
      Run({"process", "stop", "counter_a", "--reason", "tired", "-o", "json"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out, "{}\n");
}

TEST_F(ProcessCommandsTest, TracePrintsEventsAsTheyComeAndLeavesNoLog) {
  int reads = 0;
  on_read_ = [&] {
    if (++reads == 2) AddEvent(sys::v1::Event::CALL);
    if (reads == 4) AddEvent(sys::v1::Event::NO_REPLY);
  };
  const CliRun run = Run({"process", "trace", "counter_a", "--for", "2s"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.out,
            "01:00:00.000Z got call Get (counter.v1.Request, 2 bytes) from a "
            "client outside\n01:00:00.000Z goes on\n");
  EXPECT_EQ(reads, 20) << "each 100 ms";
  EXPECT_THAT(sizes_, ElementsAre(1000u, 0u));
}

TEST_F(ProcessCommandsTest, TraceLeavesALogOfOthersAlone) {
  log_.set_on(true);
  AddEvent(sys::v1::Event::CALL);  // Before the trace began.
  int reads = 0;
  on_read_ = [&] {
    if (++reads == 3) AddEvent(sys::v1::Event::REPLY);
  };
  const CliRun run =
      Run({"process", "trace", "counter_a", "--for", "1s", "-o", "json"});
  EXPECT_EQ(run.code, 0) << run.err;
  const Json json = Json::parse(run.out);  // One line, one event.
  EXPECT_EQ(json["kind"], "REPLY");
  EXPECT_EQ(json["number"], "2");
  EXPECT_THAT(sizes_, IsEmpty());
}

TEST_F(ProcessCommandsTest, TraceFollowsANameToItsNextProcess) {
  int reads = 0;
  on_read_ = [&] {
    ++reads;
    if (reads == 1) {
      AddEvent(sys::v1::Event::CALL);
      AddEvent(sys::v1::Event::CALL);
    }
    if (reads == 2) {  // Another process: no log, numbers start again.
      log_.Clear();
    }
    if (reads == 3) AddEvent(sys::v1::Event::CAST);
  };
  const CliRun run = Run({"process", "trace", "counter_a", "--for", "1s"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("got cast Get"));
  EXPECT_THAT(sizes_, ElementsAre(1000u, 1000u, 0u));
}

}  // namespace
}  // namespace muster
