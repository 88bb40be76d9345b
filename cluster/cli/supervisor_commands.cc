#include "cluster/cli/supervisor_commands.h"

#include <algorithm>
#include <fstream>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cluster/cli/format.h"
#include "cluster/cli/manifest.h"
#include "cluster/cli/session.h"
#include "cluster/cli/words.h"
#include "cluster/cli/yaml.h"
#include "google/protobuf/util/json_util.h"
#include "muster/admin/v1/admin.pb.h"
#include "nlohmann/json.hpp"
#include "node/types/names.h"
#include "node/types/pid.h"
#include "node/types/status.h"

namespace muster {
namespace {

using cluster::v1::ChangeChildRequest;

absl::Status Usage(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "USAGE", what).NotExecuted();
}

absl::StatusOr<admin::v1::Supervisor> FindSupervisor(const CliEnv& env,
                                                     const Session& session,
                                                     const std::string& id) {
  const auto tree = session.client->GetTree({}, session.Left(env));
  if (!tree.ok()) return tree.status();
  std::vector<std::string> known;
  for (const admin::v1::Supervisor& one : tree->supervisors()) {
    if (one.id() == id) return one;
    known.push_back(one.id());
  }
  return Error(absl::StatusCode::kNotFound, "NO_SUPERVISOR",
               absl::StrCat("no supervisor is called ", LogSafe(id),
                            DidYouMean(id, known)))
      .NotExecuted()
      .status();
}

absl::StatusOr<admin::v1::Child> FindChild(
    const admin::v1::Supervisor& supervisor, const std::string& id) {
  std::vector<std::string> known;
  for (const admin::v1::Child& child : supervisor.children()) {
    if (child.id() == id) return child;
    known.push_back(child.id());
  }
  return Error(absl::StatusCode::kNotFound, "NO_CHILD",
               absl::StrCat("supervisor ", supervisor.id(), " has no child ",
                            LogSafe(id), DidYouMean(id, known)))
      .NotExecuted()
      .status();
}

absl::StatusOr<std::string> ReadAll(const CliEnv& env, const std::string& path,
                                    size_t bytes_max) {
  std::ifstream file;
  std::istream* in = env.in;
  if (path != "-") {
    file.open(path, std::ios::binary);
    // A directory opens, and then reads nothing.
    if (!file || file.peek() == std::ifstream::traits_type::eof()) {
      return Error(absl::StatusCode::kInvalidArgument, "BAD_MANIFEST",
                   absl::StrCat(path, ": cannot be read, or is empty"))
          .NotExecuted()
          .status();
    }
    in = &file;
  }
  // One byte more than is allowed, so that what is longer is refused.
  std::string text(bytes_max + 1, '\0');
  in->read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in->gcount()));
  return text;
}

absl::StatusOr<cluster::v1::ManifestChild> ChildOf(
    const CliEnv& env, const SupervisorFlags& flags) {
  if (!flags.file.empty()) {
    if (!flags.child.empty() || !flags.type.empty() || !flags.name.empty() ||
        !flags.options.empty() || !flags.restart.empty()) {
      return Usage("-f says all of it: leave the other flags out");
    }
    const absl::StatusOr<std::string> text =
        ReadAll(env, flags.file, kYamlBytesMax);
    if (!text.ok()) return text.status();
    return ParseManifestChild(*text, flags.file == "-" ? "stdin" : flags.file);
  }
  if (flags.child.empty() || flags.type.empty()) {
    return Usage("needs CHILD and --type, or -f FILE");
  }
  cluster::v1::ManifestChild child;
  child.set_id(flags.child);
  child.set_name(flags.name.empty() ? flags.child : flags.name);
  child.set_type(flags.type);
  if (!flags.restart.empty()) {
    store::v1::Restart restart = store::v1::RESTART_UNSPECIFIED;
    // The words are the enum's own, in small letters.
    if (flags.restart != absl::AsciiStrToLower(flags.restart) ||
        !store::v1::Restart_Parse(absl::AsciiStrToUpper(flags.restart),
                                  &restart) ||
        restart == store::v1::RESTART_UNSPECIFIED) {
      return Usage(
          absl::StrCat("--restart ", LogSafe(flags.restart),
                       " is not one of permanent, transient, temporary"));
    }
    child.set_restart(restart);
  }
  if (!flags.options.empty()) {
    std::string json = flags.options;
    if (json == "-") {
      absl::StatusOr<std::string> text = ReadAll(env, "-", kYamlBytesMax);
      if (!text.ok()) return text.status();
      json = *std::move(text);
    }
    const auto parsed = google::protobuf::util::JsonStringToMessage(
        json, child.mutable_options());
    if (!parsed.ok()) {
      return Usage(absl::StrCat("--options is no JSON object: ",
                                LogSafe(std::string(parsed.message()), 256)));
    }
  }
  return child;
}

std::string Describe(const admin::v1::Child& child) {
  return absl::StrCat(child.type(), " '", child.name(), "', ", child.state(),
                      child.node().empty()
                          ? ""
                          : absl::StrCat(" on node '", child.node(), "'"));
}

CommandResult Change(const CliEnv& env, const GlobalFlags& flags,
                     const SupervisorFlags& child, const Session& session,
                     ChangeChildRequest::Change change, const char* done) {
  admin::v1::ChangeChildRequest request;
  request.set_supervisor(child.supervisor);
  request.set_child(child.child);
  request.set_change(change);
  const auto response = session.client->ChangeChild(request, session.Left(env));
  if (!response.ok()) return response.status();
  if (flags.json) {
    *env.out << ToJson(*response);
  } else if (response->has_pid()) {
    *env.out << done << " on node " << response->node() << ", pid "
             << Pid::FromProto(response->pid()).ToString() << "\n";
  } else {
    *env.out << done << "\n";
  }
  return {};
}

// A change that takes something away.
CommandResult Remove(const CliEnv& env, const GlobalFlags& flags,
                     const SupervisorFlags& child,
                     ChangeChildRequest::Change change, const char* verb,
                     const char* effect, const char* done) {
  absl::StatusOr<Session> session = OpenSession(env, flags);
  if (!session.ok()) return session.status();
  const absl::StatusOr<admin::v1::Supervisor> supervisor =
      FindSupervisor(env, *session, child.supervisor);
  if (!supervisor.ok()) return supervisor.status();
  const absl::StatusOr<admin::v1::Child> found =
      FindChild(*supervisor, child.child);
  if (!found.ok()) return found.status();
  const std::string plan =
      absl::StrCat(verb, " 1 child of supervisor ", child.supervisor, ": ",
                   child.child, " (", Describe(*found), "); ", effect);
  if (std::optional<CommandResult> ends =
          AskFirst(env, flags, child.consent, plan)) {
    return *ends;
  }
  return Change(env, flags, child, *session, change, done);
}

}  // namespace

CommandResult SupervisorList(const CliEnv& env, const GlobalFlags& flags) {
  absl::StatusOr<Session> session = OpenSession(env, flags);
  if (!session.ok()) return session.status();
  auto tree = session->client->GetTree({}, session->Left(env));
  if (!tree.ok()) return tree.status();
  if (flags.json) {
    *env.out << ListToJson(*tree, "supervisors");
  } else if (tree->supervisors().empty()) {
    *env.err << "no supervisors: `muster apply -f tree.yaml` makes one\n";
  } else {
    *env.out << SupervisorTable(*tree);
  }
  return {};
}

CommandResult SupervisorTree(const CliEnv& env, const GlobalFlags& flags,
                             const std::string& supervisor) {
  absl::StatusOr<Session> session = OpenSession(env, flags);
  if (!session.ok()) return session.status();
  admin::v1::GetTreeResponse shown;
  if (supervisor.empty()) {
    auto tree = session->client->GetTree({}, session->Left(env));
    if (!tree.ok()) return tree.status();
    shown = *std::move(tree);
  } else {
    absl::StatusOr<admin::v1::Supervisor> found =
        FindSupervisor(env, *session, supervisor);
    if (!found.ok()) return found.status();
    *shown.add_supervisors() = *std::move(found);
  }
  if (flags.json) {
    *env.out << ListToJson(shown, "supervisors");
  } else if (shown.supervisors().empty()) {
    *env.err << "no supervisors: `muster apply -f tree.yaml` makes one\n";
  } else {
    *env.out << TreeTable(shown);
  }
  return {};
}

CommandResult SupervisorGet(const CliEnv& env, const GlobalFlags& flags,
                            const std::string& supervisor) {
  absl::StatusOr<Session> session = OpenSession(env, flags);
  if (!session.ok()) return session.status();
  const absl::StatusOr<admin::v1::Supervisor> found =
      FindSupervisor(env, *session, supervisor);
  if (!found.ok()) return found.status();
  *env.out << (flags.json ? ToJson(*found) : SupervisorPage(*found));
  return {};
}

CommandResult SupervisorStartChild(const CliEnv& env, const GlobalFlags& flags,
                                   const SupervisorFlags& child) {
  absl::StatusOr<cluster::v1::ManifestChild> spec = ChildOf(env, child);
  if (!spec.ok()) return spec.status();
  absl::StatusOr<Session> session = OpenSession(env, flags);
  if (!session.ok()) return session.status();
  admin::v1::StartChildRequest request;
  request.set_supervisor(child.supervisor);
  *request.mutable_child() = *std::move(spec);
  const auto response =
      session->client->StartChild(request, session->Left(env));
  if (!response.ok()) return response.status();
  if (flags.json) {
    *env.out << ToJson(*response);
  } else if (response->has_pid()) {
    *env.out << "started on node " << response->node() << ", pid "
             << Pid::FromProto(response->pid()).ToString() << "\n";
  } else {
    *env.out << "added; it does not run yet: `muster supervisor get "
             << child.supervisor << "` says why\n";
  }
  return {};
}

CommandResult SupervisorTerminateChild(const CliEnv& env,
                                       const GlobalFlags& flags,
                                       const SupervisorFlags& child) {
  return Remove(env, flags, child, ChangeChildRequest::TERMINATE, "terminates",
                "it stays part of the tree, and restart-child starts it again",
                "terminated");
}

CommandResult SupervisorRestartChild(const CliEnv& env,
                                     const GlobalFlags& flags,
                                     const SupervisorFlags& child) {
  absl::StatusOr<Session> session = OpenSession(env, flags);
  if (!session.ok()) return session.status();
  return Change(env, flags, child, *session, ChangeChildRequest::RESTART,
                "started");
}

CommandResult SupervisorDeleteChild(const CliEnv& env, const GlobalFlags& flags,
                                    const SupervisorFlags& child) {
  return Remove(env, flags, child, ChangeChildRequest::DELETE, "deletes",
                "the tree forgets it", "deleted");
}

}  // namespace muster
