#include "cluster/service/admin.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cluster/service/supervisor_patience.h"
#include "cluster/supervisor/env.h"
#include "google/protobuf/util/time_util.h"
#include "muster/cluster/v1/cluster.muster.client.h"
#include "node/base/mutex.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

using google::protobuf::util::TimeUtil;

constexpr int kPageDefault = 1'000;
constexpr int kPageMax = 10'000;
bool IsChild(const NameEntry& entry) {
  return !entry.supervisor.empty() && entry.supervisor != kHostSupervisor;
}

// Collects the answers of several nodes; the last one finishes.
template <typename Response>
struct Gathering {
  Mutex mu;
  Response response ABSL_GUARDED_BY(mu);
  size_t missing ABSL_GUARDED_BY(mu) = 0;
  Admin::Done<Response> done;

  // True: this was the last; `all` is the whole.
  bool Finish(Response* all) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    if (--missing > 0) return false;
    *all = std::move(response);
    return true;
  }
};

}  // namespace

void Admin::GetStatus(const admin::v1::GetStatusRequest&,
                      Done<admin::v1::GetStatusResponse> done) {
  admin::v1::GetStatusResponse status;
  status.set_cluster(parts_.cluster);
  status.set_cluster_id(parts_.cluster_id);
  status.set_node(parts_.runtime->node());
  *status.mutable_node_epoch() = parts_.runtime->epoch().ToProto();
  status.set_version(parts_.version);
  status.set_grpc_version(parts_.grpc_version);
  status.set_store(parts_.store->ToString());
  *status.mutable_profile() = parts_.profile.ToProto();
  status.set_nodes(static_cast<int>(parts_.membership->Members().size()));
  int names = 0;
  int running = 0;
  for (const NameEntry& entry : parts_.registry->List("")) {
    if (absl::StartsWith(entry.name, kSystemPrefix)) continue;
    ++names;
    if (IsChild(entry) &&
        parts_.membership->IsCurrent(
            entry.pid.node, static_cast<int64_t>(entry.pid.epoch.revision))) {
      ++running;
    }
  }
  status.set_names(names);
  status.set_children_running(running);
  const absl::Duration left =
      parts_.membership->fence().Remaining(parts_.runtime->clock().Boot());
  if (left != absl::InfiniteDuration()) {
    *status.mutable_fence_remaining() =
        TimeUtil::NanosecondsToDuration(absl::ToInt64Nanoseconds(left));
  }
  // What is wanted is the supervisors' to say.
  std::weak_ptr<bool> alive = alive_;
  GetTree(admin::v1::GetTreeRequest(),
          [alive, status = std::move(status), done = std::move(done)](
              absl::StatusOr<admin::v1::GetTreeResponse> tree) mutable {
            if (alive.expired()) return;
            if (tree.ok()) {
              status.set_supervisors(tree->supervisors_size());
              int wanted = 0;
              int up = 0;
              for (const auto& supervisor : tree->supervisors()) {
                for (const auto& child : supervisor.children()) {
                  wanted +=
                      child.state() != "ended" && child.state() != "stopping";
                  up += child.state() == "running";
                }
              }
              status.set_children_wanted(wanted);
              status.set_children_running(up);
            }
            done(std::move(status));
          });
}

void Admin::ListProcesses(const admin::v1::ListProcessesRequest& request,
                          Done<admin::v1::ListProcessesResponse> done) {
  std::vector<std::string> nodes;
  for (const Member& member : parts_.membership->Members()) {
    if (request.node().empty() || request.node() == member.record.node()) {
      nodes.push_back(member.record.node());
    }
  }
  if (nodes.empty()) {
    done(Error(absl::StatusCode::kNotFound, "NO_NODE",
               absl::StrCat("no node is called ", LogSafe(request.node()),
                            ": `muster node list` shows them"))
             .NotExecuted());
    return;
  }
  using Response = admin::v1::ListProcessesResponse;
  auto gathering = std::make_shared<Gathering<Response>>();
  gathering->done = std::move(done);
  {
    MutexLock lock(&gathering->mu);
    gathering->missing = nodes.size();
  }
  const bool system = request.system();
  CallOptions options;
  options.timeout = absl::Seconds(2);
  for (const std::string& node : nodes) {
    cluster::v1::AgentClient agent(caller_, ServerRef::Local(kAgentName, node));
    agent.ListProcesses(cluster::v1::ListProcessesRequest(), options)
        .Then([gathering, node, system](
                  absl::StatusOr<cluster::v1::ListProcessesResponse> answer) {
          Response all;
          {
            MutexLock lock(&gathering->mu);
            if (answer.ok()) {
              for (auto& process : *answer->mutable_processes()) {
                if (!system &&
                    absl::StartsWith(process.name(), kSystemPrefix)) {
                  continue;
                }
                *gathering->response.add_processes() = std::move(process);
              }
            } else {
              gathering->response.add_unreachable(node);
            }
            if (!gathering->Finish(&all)) return;
          }
          std::sort(all.mutable_processes()->begin(),
                    all.mutable_processes()->end(),
                    [](const auto& a, const auto& b) {
                      return Pid::FromProto(a.pid()) < Pid::FromProto(b.pid());
                    });
          std::sort(all.mutable_unreachable()->begin(),
                    all.mutable_unreachable()->end());
          gathering->done(std::move(all));
        });
  }
}

void Admin::ListNames(const admin::v1::ListNamesRequest& request,
                      Done<admin::v1::ListNamesResponse> done) {
  if (request.page_size() < 0 || request.page_size() > kPageMax) {
    done(Error(absl::StatusCode::kInvalidArgument, "BAD_PAGE_SIZE",
               absl::StrCat("page_size is 0 to ", kPageMax))
             .NotExecuted());
    return;
  }
  const int limit =
      request.page_size() == 0 ? kPageDefault : request.page_size();
  admin::v1::ListNamesResponse response;
  // The token is the last name of the page before.
  for (const NameEntry& entry : parts_.registry->List(request.prefix())) {
    if (!request.page_token().empty() && entry.name <= request.page_token()) {
      continue;
    }
    if (!request.system() && absl::StartsWith(entry.name, kSystemPrefix)) {
      continue;
    }
    if (response.names_size() == limit) {
      response.set_next_page_token(response.names(limit - 1).name());
      break;
    }
    admin::v1::Name& name = *response.add_names();
    name.set_name(entry.name);
    name.set_node(entry.pid.node);
    *name.mutable_pid() = entry.pid.ToProto();
    *name.mutable_epoch() = entry.epoch.ToProto();
    name.set_type(entry.type);
    name.set_supervisor(entry.supervisor);
  }
  done(std::move(response));
}

void Admin::GetTree(const admin::v1::GetTreeRequest&,
                    Done<admin::v1::GetTreeResponse> done) {
  using Response = admin::v1::GetTreeResponse;
  const std::vector<std::string> ids = parts_.host->Supervisors();
  if (ids.empty()) {
    done(Response());
    return;
  }
  auto gathering = std::make_shared<Gathering<Response>>();
  gathering->done = std::move(done);
  {
    MutexLock lock(&gathering->mu);
    gathering->missing = ids.size();
  }
  CallOptions options;
  options.timeout = absl::Seconds(2);
  for (const std::string& id : ids) {
    admin::v1::Supervisor supervisor;
    supervisor.set_id(id);
    const auto entry = parts_.registry->WhereIs(SupervisorName(id));
    if (entry.has_value() &&
        parts_.membership->IsCurrent(
            entry->pid.node, static_cast<int64_t>(entry->pid.epoch.revision))) {
      supervisor.set_node(entry->pid.node);
    }
    cluster::v1::ClusterSupervisorClient client(caller_, SupervisorName(id));
    client.GetChildren(cluster::v1::GetChildrenRequest(), options)
        .Then([gathering, supervisor = std::move(supervisor)](
                  absl::StatusOr<cluster::v1::GetChildrenResponse>
                      answer) mutable {
          if (answer.ok()) {
            supervisor.set_strategy(answer->strategy());
            supervisor.set_intensity(answer->intensity());
            *supervisor.mutable_period() = answer->period();
            supervisor.set_failed(answer->failed());
            for (const auto& state : answer->children()) {
              admin::v1::Child& child = *supervisor.add_children();
              child.set_id(state.spec().id());
              child.set_name(state.spec().name());
              child.set_type(state.spec().type());
              child.set_state(state.state());
              child.set_node(state.node());
              if (state.has_pid()) *child.mutable_pid() = state.pid();
              if (state.has_epoch()) *child.mutable_epoch() = state.epoch();
              child.set_restart(state.spec().restart());
              child.set_detail(state.detail());
              if (state.spec().has_placement()) {
                *child.mutable_placement() = state.spec().placement();
              }
            }
          } else {
            supervisor.clear_node();  // It is on its way to another one.
          }
          Response all;
          {
            MutexLock lock(&gathering->mu);
            *gathering->response.add_supervisors() = std::move(supervisor);
            if (!gathering->Finish(&all)) return;
          }
          std::sort(
              all.mutable_supervisors()->begin(),
              all.mutable_supervisors()->end(),
              [](const auto& a, const auto& b) { return a.id() < b.id(); });
          gathering->done(std::move(all));
        });
  }
}

// -- Apply -------------------------------------------------------------------

struct Admin::Applying {
  cluster::v1::Manifest manifest;
  cluster::v1::ApplyRequest compiled;
  BootTime deadline;
  Done<admin::v1::ApplyResponse> done;
};

void Admin::Apply(const admin::v1::ApplyRequest& request,
                  Done<admin::v1::ApplyResponse> done) {
  auto applying = std::make_shared<Applying>();
  applying->manifest = request.manifest();
  applying->done = std::move(done);
  applying->deadline = parts_.runtime->clock().Boot() + kSupervisorPatience;
  GatherTypes([this, applying](KnownTypes types, absl::Status failed) {
    Compile(applying, std::move(types), std::move(failed));
  });
}

void Admin::GatherTypes(
    absl::AnyInvocable<void(KnownTypes, absl::Status)> done) {
  struct Gathered {
    absl::AnyInvocable<void(KnownTypes, absl::Status)> done;
    Mutex mu;
    KnownTypes types ABSL_GUARDED_BY(mu);
    size_t missing ABSL_GUARDED_BY(mu) = 0;
    absl::Status failed ABSL_GUARDED_BY(mu);
  };
  // The descriptors of all types, wherever they are hosted.
  struct Source {
    store::v1::HostedType type;
    std::string node;
  };
  std::map<std::string, Source> hosted;
  for (const Member& member : parts_.membership->Members()) {
    for (const auto& type : member.record.types()) {
      hosted.emplace(type.type(), Source{type, member.record.node()});
    }
  }
  auto gathered = std::make_shared<Gathered>();
  gathered->done = std::move(done);
  {
    MutexLock lock(&gathered->mu);
    gathered->missing = hosted.size() + 1;
  }
  std::weak_ptr<bool> alive = alive_;
  const auto arrived = [alive, gathered](const std::string& name,
                                         const store::v1::HostedType& type,
                                         absl::StatusOr<DescriptorSet> set) {
    if (alive.expired()) return;
    KnownTypes types;
    absl::Status failed;
    {
      MutexLock lock(&gathered->mu);
      if (set.ok()) {
        if (*set != nullptr) {
          gathered->types[name] =
              KnownType{type.options(), *std::move(set), type};
        }
      } else {
        gathered->failed = set.status();
      }
      if (--gathered->missing > 0) return;
      types = std::move(gathered->types);
      failed = std::move(gathered->failed);
    }
    gathered->done(std::move(types), std::move(failed));
  };
  for (const auto& [name, source] : hosted) {
    parts_.descriptors->DescribeType(source.type, source.node,
                                     [arrived, name = name, type = source.type](
                                         absl::StatusOr<DescriptorSet> set) {
                                       arrived(name, type, std::move(set));
                                     });
  }
  arrived("", store::v1::HostedType(), DescriptorSet());
}

absl::Status Admin::CheckNames(const std::string& supervisor,
                               const cluster::v1::ApplyRequest& request) const {
  for (const store::v1::ChildSpec& spec : request.children()) {
    const auto view = parts_.registry->Record(spec.name());
    if (!view.has_value()) continue;
    const store::v1::NameRecord& record = view->record;
    if (record.supervisor() == supervisor ||
        !parts_.registry->IsOwned(record)) {
      continue;
    }
    const std::string holder =
        record.supervisor().empty()
            ? absl::StrCat("a process on node '", record.owner(), "'")
            : absl::StrCat("child '", record.child(), "' of supervisor '",
                           record.supervisor(), "'");
    return Error(
               absl::StatusCode::kAlreadyExists, "NAME_TAKEN",
               absl::StrCat("the name '", spec.name(), "' is taken by ", holder,
                            ": names are cluster-wide; give the child "
                            "another `name`"))
        .With("name", spec.name())
        .NotExecuted();
  }
  return absl::OkStatus();
}

void Admin::Compile(std::shared_ptr<Applying> applying, KnownTypes types,
                    absl::Status failed) {
  absl::StatusOr<cluster::v1::ApplyRequest> compiled =
      CompileManifest(applying->manifest, types);
  if (!compiled.ok()) {
    // A type may be unknown only because its node did not answer.
    applying->done(failed.ok() ? compiled.status() : failed);
    return;
  }
  // The supervisor has the last word on names, but a new one that was only
  // started to refuse would stay.
  absl::Status free = CheckNames(applying->manifest.supervisor(), *compiled);
  if (!free.ok()) {
    applying->done(std::move(free));
    return;
  }
  applying->compiled = *std::move(compiled);
  std::weak_ptr<bool> alive = alive_;
  parts_.host->Ensure(applying->manifest.supervisor(),
                      [this, alive, applying](absl::Status status) {
                        if (alive.expired()) return;
                        if (!status.ok()) {
                          applying->done(std::move(status));
                          return;
                        }
                        Send(applying);
                      });
}

void Admin::Send(std::shared_ptr<Applying> applying) {
  cluster::v1::ClusterSupervisorClient supervisor(
      caller_, SupervisorName(applying->manifest.supervisor()));
  std::weak_ptr<bool> alive = alive_;
  supervisor.Apply(applying->compiled)
      .Then([this, alive,
             applying](absl::StatusOr<cluster::v1::ApplyResponse> answer) {
        if (alive.expired()) return;
        if (answer.ok()) {
          admin::v1::ApplyResponse response;
          *response.mutable_started() = answer->started();
          *response.mutable_restarted() = answer->restarted();
          *response.mutable_stopped() = answer->stopped();
          *response.mutable_unchanged() = answer->unchanged();
          applying->done(std::move(response));
          return;
        }
        // A new supervisor takes a moment until some node runs it. Applying
        // is safe to send again.
        if (!ComesBack(answer.status(), applying->deadline)) {
          applying->done(answer.status());
          return;
        }
        const BootTime now = parts_.runtime->clock().Boot();
        parts_.runtime->scheduler().At(now + kSupervisorRetry,
                                       [this, alive, applying] {
                                         if (!alive.expired()) Send(applying);
                                       });
      });
}

}  // namespace muster
