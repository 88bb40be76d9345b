// Admin: children of a tree, one at a time.
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/service/admin.h"
#include "cluster/service/supervisor_patience.h"
#include "cluster/supervisor/env.h"
#include "muster/cluster/v1/cluster.muster.client.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

// A start, a stop or a move may take its time; whoever asked has a deadline of
// their own.
constexpr absl::Duration kChangeTimeout = absl::Minutes(2);

}  // namespace

absl::Status Admin::CheckSupervisor(const std::string& supervisor) const {
  for (const std::string& id : parts_.host->Supervisors()) {
    if (id == supervisor) return absl::OkStatus();
  }
  return Error(absl::StatusCode::kNotFound, "NO_SUPERVISOR",
               absl::StrCat("no supervisor is called ", LogSafe(supervisor),
                            ": `muster supervisor list` shows them"))
      .NotExecuted();
}

bool Admin::ComesBack(const absl::Status& status, BootTime deadline) const {
  const std::string reason = ReasonOf(status);
  return OutcomeOf(status) == Outcome::kNotExecuted &&
         (reason == "NOPROC" || reason == "RESTARTING" ||
          reason == "NODEDOWN" || reason == "FENCED") &&
         parts_.runtime->clock().Boot() < deadline;
}

// -- Starting ----------------------------------------------------------------

struct Admin::Adding {
  std::string supervisor;
  cluster::v1::AddChildRequest request;
  BootTime deadline;
  Done<admin::v1::StartChildResponse> done;
};

void Admin::StartChild(const admin::v1::StartChildRequest& request,
                       Done<admin::v1::StartChildResponse> done) {
  if (absl::Status known = CheckSupervisor(request.supervisor());
      !known.ok()) {
    done(std::move(known));
    return;
  }
  auto adding = std::make_shared<Adding>();
  adding->supervisor = request.supervisor();
  adding->done = std::move(done);
  adding->deadline = parts_.runtime->clock().Boot() + kSupervisorPatience;
  GatherTypes([this, adding, child = request.child()](
                  const KnownTypes& types, const absl::Status& failed) {
    absl::StatusOr<store::v1::ChildSpec> spec =
        CompileChild("child", child, types);
    if (!spec.ok()) {
      // A type may be unknown only because its node did not answer.
      adding->done(failed.ok() ? spec.status() : failed);
      return;
    }
    *adding->request.mutable_spec() = *std::move(spec);
    SendAdd(adding);
  });
}

void Admin::SendAdd(std::shared_ptr<Adding> adding) {
  cluster::v1::ClusterSupervisorClient supervisor(
      caller_, SupervisorName(adding->supervisor));
  CallOptions options;
  options.timeout = kChangeTimeout;
  std::weak_ptr<bool> alive = alive_;
  supervisor.AddChild(adding->request, options)
      .Then([this, alive,
             adding](absl::StatusOr<cluster::v1::AddChildResponse> answer) {
        if (alive.expired()) return;
        if (answer.ok()) {
          admin::v1::StartChildResponse response;
          if (answer->has_pid()) *response.mutable_pid() = answer->pid();
          response.set_node(answer->node());
          adding->done(std::move(response));
        } else if (ComesBack(answer.status(), adding->deadline)) {
          parts_.runtime->scheduler().At(
              parts_.runtime->clock().Boot() + kSupervisorRetry,
              [this, alive, adding] {
                if (!alive.expired()) SendAdd(adding);
              });
        } else {
          adding->done(answer.status());
        }
      });
}

// -- Changing ----------------------------------------------------------------

struct Admin::Changing {
  std::string supervisor;
  cluster::v1::ChangeChildRequest request;
  BootTime deadline;
  Done<admin::v1::ChangeChildResponse> done;
};

void Admin::ChangeChild(const admin::v1::ChangeChildRequest& request,
                        Done<admin::v1::ChangeChildResponse> done) {
  auto changing = std::make_shared<Changing>();
  changing->supervisor = request.supervisor();
  changing->request.set_child(request.child());
  if (!request.name().empty()) {
    const auto view = parts_.registry->Record(request.name());
    if (!view.has_value() || view->record.supervisor().empty() ||
        view->record.supervisor() == kHostSupervisor) {
      done(Error(absl::StatusCode::kNotFound, "NO_CHILD",
                 absl::StrCat("no supervisor has a child that runs as ",
                              LogSafe(request.name())))
               .NotExecuted());
      return;
    }
    changing->supervisor = view->record.supervisor();
    changing->request.set_child(view->record.child());
  }
  if (absl::Status known = CheckSupervisor(changing->supervisor);
      !known.ok()) {
    done(std::move(known));
    return;
  }
  changing->request.set_change(request.change());
  changing->request.set_to_node(request.to_node());
  changing->done = std::move(done);
  changing->deadline = parts_.runtime->clock().Boot() + kSupervisorPatience;
  SendChange(std::move(changing));
}

void Admin::SendChange(std::shared_ptr<Changing> changing) {
  cluster::v1::ClusterSupervisorClient supervisor(
      caller_, SupervisorName(changing->supervisor));
  CallOptions options;
  options.timeout = kChangeTimeout;
  std::weak_ptr<bool> alive = alive_;
  supervisor.ChangeChild(changing->request, options)
      .Then([this, alive, changing](
                absl::StatusOr<cluster::v1::ChangeChildResponse> answer) {
        if (alive.expired()) return;
        if (answer.ok()) {
          admin::v1::ChangeChildResponse response;
          if (answer->has_pid()) *response.mutable_pid() = answer->pid();
          response.set_node(answer->node());
          response.set_with_state(answer->with_state());
          changing->done(std::move(response));
        } else if (ComesBack(answer.status(), changing->deadline)) {
          parts_.runtime->scheduler().At(
              parts_.runtime->clock().Boot() + kSupervisorRetry,
              [this, alive, changing] {
                if (!alive.expired()) SendChange(changing);
              });
        } else {
          changing->done(answer.status());
        }
      });
}

}  // namespace muster
