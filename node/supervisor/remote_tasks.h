// RemoteTasks: runs tasks that other nodes ask for by name (otp section 15).
//
// No code travels: a node registers task types, and erpc (erpc.h) asks for one
// by name, with a message. Whoever owns a runtime starts one RemoteTasks in it,
// usually as a child of its top supervisor:
//
//   auto types = std::make_shared<TaskTypes>();
//   types->Add(MakeTaskType<Image, Image>("resize", Resize));
//   top.children.push_back(RemoteTasks::AsChild(types));
#ifndef MUSTER_NODE_SUPERVISOR_REMOTE_TASKS_H_
#define MUSTER_NODE_SUPERVISOR_REMOTE_TASKS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/mutex.h"
#include "node/gen_server/gen_server.h"
#include "node/process/context.h"
#include "node/process/message.h"
#include "node/process/result.h"
#include "node/supervisor/child_spec.h"
#include "node/types/payload.h"

namespace muster {

// One kind of work that a node does for others.
struct TaskType {
  TaskType() {}

  // What callers call it; at most 128 bytes, printable ASCII.
  std::string name;
  // The request's message type, for people.
  std::string request;
  std::function<bool(Payload& request)> accepts;
  // `request` lives as long as the task.
  std::function<HandlerResult(Payload& request, Context& self)> run;
};

// A function of messages, plain or a coroutine. May run in several tasks at one
// time: it has no state that changes.
template <typename Response, typename Request>
TaskType MakeTaskType(
    absl::string_view name,
    std::function<Reply<Response>(const Request&, Context&)> function) {
  static_assert(internal::kIsMessage<Response> && internal::kIsMessage<Request>,
                "only protobuf messages go to other nodes");
  TaskType type;
  type.name = std::string(name);
  type.request = internal::TypeNameOf<Request>();
  type.accepts = [](Payload& request) {
    return request.As<Request>() != nullptr;
  };
  type.run = [function = std::move(function)](Payload& request, Context& self) {
    return function(*request.As<Request>(), self).Erase();
  };
  return type;
}

// The task types of one node. THREADS: any.
class TaskTypes {
 public:
  TaskTypes() {}

  // INVALID_ARGUMENT BAD_NAME, ALREADY_EXISTS ALREADY_REGISTERED.
  absl::Status Add(TaskType type) ABSL_LOCKS_EXCLUDED(mu_);
  // Tasks that run go on. False: there was none.
  bool Remove(absl::string_view name) ABSL_LOCKS_EXCLUDED(mu_);
  // Null: there is none.
  std::shared_ptr<const TaskType> Find(absl::string_view name) const
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  mutable Mutex mu_;
  absl::btree_map<std::string, std::shared_ptr<const TaskType>> types_
      ABSL_GUARDED_BY(mu_);
};

struct RemoteTasksOptions {
  RemoteTasksOptions() {}

  // Tasks at one time; more are refused with RESOURCE_EXHAUSTED MAX_CHILDREN.
  // Too small refuses bursts, too large lets others take this node's memory.
  size_t tasks_max = 10'000;
  // What tasks have to end when this ends.
  Shutdown shutdown = Shutdown::Within(absl::Seconds(5));
};

// Each request is one task, linked to this process. A caller that gives up, or
// is gone, does not end its task (otp E2).
class RemoteTasks final : public GenServer {
 public:
  // Its name on each node.
  static constexpr absl::string_view kName = "muster/tasks";
  static constexpr absl::string_view kRun = "/muster.RemoteTasks/Run";
  static constexpr absl::string_view kStart = "/muster.RemoteTasks/Start";
  // The key of the call's metadata that names the task type.
  static constexpr absl::string_view kTaskKey = "muster-task";

  explicit RemoteTasks(std::shared_ptr<const TaskTypes> types,
                       RemoteTasksOptions options = RemoteTasksOptions());

  static ChildSpec AsChild(std::shared_ptr<const TaskTypes> types,
                           RemoteTasksOptions options = RemoteTasksOptions());

  const ServiceInfo& service_info() const override;
  Next HandleInfo(Info info, Context& self) override;
  Next Terminate(const ExitReason& reason, Context& self) override;

 private:
  class Running;

  HandlerResult OnInit(Payload& options, Context& self) override;
  HandlerResult OnCall(absl::string_view method, Payload& request,
                       Context& self) override;
  HandlerResult OnCast(absl::string_view method, Payload& request,
                       Context& self) override;

  // OK, and the task answers `slot` (null: nobody); or why there is none.
  absl::Status StartOne(Payload& request, std::shared_ptr<CallSlot> slot,
                        Context& self);

  const std::shared_ptr<const TaskTypes> types_;
  const RemoteTasksOptions options_;
  const std::shared_ptr<Running> running_;
};

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_REMOTE_TASKS_H_
