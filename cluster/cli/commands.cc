#include "cluster/cli/commands.h"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cluster/cli/format.h"
#include "cluster/cli/invoke.h"
#include "cluster/cli/manifest.h"
#include "cluster/cli/session.h"
#include "cluster/cli/version.h"
#include "cluster/cli/words.h"
#include "cluster/cli/yaml.h"
#include "google/protobuf/stubs/common.h"
#include "muster/core/v1/core.pb.h"
#include "nlohmann/json.hpp"
#include "node/types/names.h"
#include "node/types/pid.h"
#include "node/types/server_ref.h"
#include "node/types/status.h"

namespace muster {
namespace {

// Between two looks at something that is to change.
constexpr absl::Duration kPollInterval = absl::Milliseconds(100);
// Longest single request of a command that polls.
constexpr absl::Duration kPollTimeout = absl::Seconds(5);
constexpr int kPageSize = 10'000;
constexpr char kDevAddress[] = "127.0.0.1:7700";

absl::Status NotRunning(absl::string_view what) {
  return Error(absl::StatusCode::kUnavailable, "NOT_RUNNING", what)
      .NotExecuted();
}

bool IsNotYet(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsNotFound(status) ||
         absl::IsDeadlineExceeded(status);
}

// Whether nothing more is going to happen to it that one could wait for.
bool IsSettled(const admin::v1::Child& child) {
  return child.state() == "running" || child.state() == "ended";
}

std::string ChildProblem(const admin::v1::Child& child) {
  return absl::StrCat(
      child.id(), " is ", child.state().empty() ? "unknown" : child.state(),
      child.detail().empty() ? "" : absl::StrCat(" (", child.detail(), ")"));
}

// Up to five of them.
std::string JoinProblems(const std::vector<std::string>& problems) {
  constexpr size_t kShown = 5;
  if (problems.size() <= kShown) return absl::StrJoin(problems, "; ");
  const std::vector<std::string> shown(problems.begin(),
                                       problems.begin() + kShown);
  return absl::StrCat(absl::StrJoin(shown, "; "), "; and ",
                      problems.size() - kShown, " more");
}

}  // namespace

absl::StatusOr<ServerRef> ParseTarget(const std::string& target) {
  if (absl::StrContains(target, "~")) {
    absl::StatusOr<Pid> pid = Pid::Parse(target);
    if (!pid.ok()) return pid.status();
    return ServerRef(*std::move(pid));
  }
  absl::Status valid = ValidateName(target);
  if (!valid.ok()) return valid;
  return ServerRef(target);
}

// --- Asking a node -----------------------------------------------------------

absl::Status ClientCommands::Connect(absl::Duration default_timeout) {
  absl::StatusOr<Session> session = OpenSession(env_, flags_, default_timeout);
  if (!session.ok()) return session.status();
  end_ = session->end;
  client_ = std::move(session->client);
  return absl::OkStatus();
}

absl::Duration ClientCommands::Left() const {
  return std::max(end_ - env_.clock->Boot(), absl::ZeroDuration());
}

CommandResult ClientCommands::Status() {
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  const auto response = client_->GetStatus({}, Left());
  if (!response.ok()) return response.status();
  *env_.out << (flags_.json ? ToJson(*response) : StatusPage(*response));
  return {};
}

CommandResult ClientCommands::Tree() {
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  const auto response = client_->GetTree({}, Left());
  if (!response.ok()) return response.status();
  if (flags_.json) {
    *env_.out << ListToJson(*response, "supervisors");
  } else if (response->supervisors().empty()) {
    *env_.err << "no supervision tree: `muster apply -f tree.yaml` makes one\n";
  } else {
    *env_.out << TreeTable(*response);
  }
  return {};
}

CommandResult ClientCommands::NodeList() {
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  const auto response = client_->ListNodes({}, Left());
  if (!response.ok()) return response.status();
  *env_.out << (flags_.json ? ListToJson(*response, "nodes")
                            : NodeTable(*response));
  return {};
}

CommandResult ClientCommands::ProcessList(const std::string& node,
                                          bool system) {
  if (!node.empty()) {
    absl::Status valid = ValidateNodeName(node);
    if (!valid.ok()) return valid;
  }
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  admin::v1::ListProcessesRequest request;
  request.set_node(node);
  request.set_system(system);
  const auto response = client_->ListProcesses(request, Left());
  if (!response.ok()) return response.status();
  if (flags_.json) {
    *env_.out << ListToJson(*response, "processes");
  } else if (response->processes().empty()) {
    *env_.err << "no processes\n";
  } else {
    *env_.out << ProcessTable(*response);
  }
  if (response->unreachable().empty()) return {};
  CommandResult result(
      Error(absl::StatusCode::kUnavailable, "PARTIAL",
            absl::StrCat("these nodes did not answer: ",
                         absl::StrJoin(response->unreachable(), ", ")))
          .NotExecuted(),
      kExitPartial);
  result.unreachable.assign(response->unreachable().begin(),
                            response->unreachable().end());
  return result;
}

CommandResult ClientCommands::NameList(const std::string& prefix, bool system) {
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  admin::v1::ListNamesRequest request;
  request.set_prefix(prefix);
  request.set_system(system);
  request.set_page_size(kPageSize);
  admin::v1::ListNamesResponse all;
  do {
    const auto page = client_->ListNames(request, Left());
    if (!page.ok()) return page.status();
    all.mutable_names()->MergeFrom(page->names());
    if (page->next_page_token() == request.page_token()) break;
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  if (flags_.json) {
    *env_.out << ListToJson(all, "names");
  } else if (all.names().empty()) {
    *env_.err << "no names\n";
  } else {
    *env_.out << NameTable(all);
  }
  return {};
}

CommandResult ClientCommands::WhereIs(const std::string& name) {
  absl::Status valid = ValidateName(name);
  if (!valid.ok()) return valid;
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  process::v1::WhereIsRequest request;
  request.set_name(name);
  const auto response = client_->WhereIs(request, Left());
  if (!response.ok()) return response.status();
  *env_.out << (flags_.json ? WhereIsJson(*response) : WhereIsTable(*response));
  return {};
}

// --- Calls -------------------------------------------------------------------

CommandResult ClientCommands::Call(const std::string& target,
                                   const std::string& method,
                                   const std::string& json) {
  return Send(target, method, json, /*cast=*/false);
}

CommandResult ClientCommands::Cast(const std::string& target,
                                   const std::string& method,
                                   const std::string& json) {
  return Send(target, method, json, /*cast=*/true);
}

CommandResult ClientCommands::Send(const std::string& target,
                                   const std::string& method_text,
                                   const std::string& json_text, bool cast) {
  const absl::StatusOr<ServerRef> server = ParseTarget(target);
  if (!server.ok()) return server.status();
  std::string json = json_text;
  if (json == "-") {
    const absl::StatusOr<std::string> input = ReadInput("-", kRequestBytesMax);
    if (!input.ok()) return input.status();
    json = *input;
  }
  absl::Status connected = Connect(kTimeoutDefault);
  if (!connected.ok()) return connected;
  const absl::StatusOr<std::unique_ptr<Method>> method =
      Method::Find(*client_, target, method_text, [this] { return Left(); });
  if (!method.ok()) return method.status();
  if ((*method)->is_cast() != cast) {
    return absl::Status(
        Error(absl::StatusCode::kInvalidArgument, "UNKNOWN_METHOD",
              absl::StrCat((*method)->path(), " is a ",
                           cast ? "call; use `muster call`"
                                : "cast, which has no reply; use `muster "
                                  "cast`"))
            .NotExecuted());
  }
  absl::StatusOr<std::string> request = (*method)->RequestFromJson(json);
  if (!request.ok()) return request.status();
  if (cast) {
    process::v1::CastRequest message;
    *message.mutable_server() = server->ToProto();
    message.set_method("/" + (*method)->path());
    message.set_request(*std::move(request));
    const auto response = client_->Cast(message, Left());
    if (!response.ok()) return response.status();
    *env_.out << (flags_.json ? "{}\n" : "sent\n");
    return {};
  }
  process::v1::CallRequest message;
  *message.mutable_server() = server->ToProto();
  message.set_method("/" + (*method)->path());
  message.set_request(*std::move(request));
  const auto response = client_->Call(message, Left());
  if (!response.ok()) return response.status();
  const absl::StatusOr<std::string> text =
      (*method)->ResponseToJson(response->response());
  if (!text.ok()) return text.status();
  *env_.out << *text << "\n";
  return {};
}

// --- Waiting -----------------------------------------------------------------

void ClientCommands::Progress(const std::string& text) {
  if (!env_.err_is_terminal || text == progress_) return;
  progress_ = text;
  *env_.err << text << "\n" << std::flush;
}

absl::Status ClientCommands::CheckRuns(const std::string& name,
                                       process::v1::WhereIsResponse* where) {
  process::v1::WhereIsRequest request;
  request.set_name(name);
  const auto response =
      client_->WhereIs(request, std::min(Left(), kPollTimeout));
  const auto tree = client_->GetTree({}, std::min(Left(), kPollTimeout));
  if (!tree.ok()) return tree.status();
  for (const admin::v1::Supervisor& supervisor : tree->supervisors()) {
    for (const admin::v1::Child& child : supervisor.children()) {
      if (child.name() != name || child.state() == "running") continue;
      return NotRunning(ChildProblem(child));
    }
  }
  if (!response.ok()) return response.status();
  *where = *response;
  return absl::OkStatus();
}

CommandResult ClientCommands::Wait(const std::string& name) {
  absl::Status valid = ValidateName(name);
  if (!valid.ok()) return valid;
  absl::Status status = Connect(kWaitTimeoutDefault);
  const BootTime end = end_;
  process::v1::WhereIsResponse where;
  for (;;) {
    if (client_ != nullptr) status = CheckRuns(name, &where);
    if (status.ok()) break;
    if (!IsNotYet(status)) return status;
    Progress(absl::StrCat("waiting: ", absl::string_view(status.message())));
    if (Left() <= kPollInterval) {
      // Without any answer there is no "no".
      if (ReasonOf(status) == "NODE_UNREACHABLE") return status;
      return CommandResult(
          Error(absl::StatusCode::kDeadlineExceeded, "NOT_RUNNING",
                absl::StrCat(name, " does not run: ",
                             absl::string_view(status.message())))
              .NotExecuted(),
          kExitNo);
    }
    env_.sleep(kPollInterval);
    if (ReasonOf(status) == "NODE_UNREACHABLE") {
      client_ = nullptr;
      status = Connect(kWaitTimeoutDefault);
      end_ = end;
    }
  }
  *env_.out << (flags_.json ? WhereIsJson(where) : WhereIsTable(where));
  return {};
}

// --- Applying a tree ---------------------------------------------------------

absl::StatusOr<std::string> ClientCommands::ReadInput(const std::string& path,
                                                      size_t bytes_max) const {
  std::ifstream file;
  std::istream* in = env_.in;
  if (path != "-") {
    std::error_code error;
    const bool is_directory = std::filesystem::is_directory(path, error);
    if (!is_directory) file.open(path, std::ios::binary);
    if (is_directory || !file) {
      return Error(absl::StatusCode::kInvalidArgument, "BAD_MANIFEST",
                   absl::StrCat(path, ": ",
                                is_directory ? "is a directory"
                                             : "cannot be read: is it there?"))
          .NotExecuted();
    }
    in = &file;
  }
  // One byte more than is allowed, so that a longer file is refused.
  std::string text(bytes_max + 1, '\0');
  in->read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in->gcount()));
  return text;
}

CommandResult ClientCommands::Apply(const std::string& file, bool no_wait) {
  const absl::StatusOr<std::string> text = ReadInput(file, kYamlBytesMax);
  if (!text.ok()) return text.status();
  const absl::StatusOr<cluster::v1::Manifest> manifest =
      ParseManifest(*text, file == "-" ? "stdin" : file);
  if (!manifest.ok()) return manifest.status();
  absl::Status connected =
      Connect(no_wait ? kTimeoutDefault : kWaitTimeoutDefault);
  if (!connected.ok()) return connected;
  admin::v1::ApplyRequest request;
  *request.mutable_manifest() = *manifest;
  const auto response = client_->Apply(request, Left());
  if (!response.ok()) {
    const absl::Status& status = response.status();
    const std::string path = DetailOf(status, "path");
    if (ReasonOf(status) != "BAD_MANIFEST" || path.empty()) return status;
    return absl::Status(
        Error(status.code(), "BAD_MANIFEST",
              absl::StrCat(
                  PlaceInManifest(*text, file == "-" ? "stdin" : file, path),
                  absl::string_view(status.message())))
            .With("path", path)
            .NotExecuted());
  }
  if (!flags_.json) *env_.out << ApplyTable(*manifest, *response) << std::flush;
  if (!no_wait) {
    absl::Status runs = WaitForTree(*manifest);
    if (!runs.ok()) return runs;
  }
  if (flags_.json) *env_.out << ToJson(*response);
  return {};
}

absl::Status ClientCommands::WaitForTree(
    const cluster::v1::Manifest& manifest) {
  for (;;) {
    const auto tree = client_->GetTree({}, std::min(Left(), kPollTimeout));
    if (!tree.ok() && !IsNotYet(tree.status())) return tree.status();
    std::vector<std::string> problems;
    if (!tree.ok()) problems.push_back(std::string(tree.status().message()));
    bool found = false;
    size_t settled = 0;
    for (const admin::v1::Supervisor& supervisor :
         tree.ok() ? tree->supervisors()
                   : admin::v1::GetTreeResponse().supervisors()) {
      if (supervisor.id() != manifest.supervisor()) continue;
      found = true;
      if (!supervisor.failed().empty()) {
        return Error(absl::StatusCode::kFailedPrecondition, "SUPERVISOR_FAILED",
                     absl::StrCat(supervisor.id(),
                                  " gave up: ", supervisor.failed()))
            .Executed();
      }
      for (const cluster::v1::ManifestChild& wanted : manifest.children()) {
        const auto child = std::find_if(
            supervisor.children().begin(), supervisor.children().end(),
            [&](const admin::v1::Child& c) { return c.id() == wanted.id(); });
        if (child == supervisor.children().end()) {
          problems.push_back(absl::StrCat(wanted.id(), " is not there yet"));
        } else if (IsSettled(*child)) {
          ++settled;
        } else {
          problems.push_back(ChildProblem(*child));
        }
      }
    }
    if (tree.ok() && !found) {
      problems.push_back(
          absl::StrCat(manifest.supervisor(), " is not there yet"));
    }
    if (problems.empty()) {
      Progress(absl::StrCat(manifest.supervisor(), ": all ", settled,
                            " children run"));
      return absl::OkStatus();
    }
    Progress(absl::StrCat(manifest.supervisor(), ": ", settled, " of ",
                          manifest.children_size(), " children run; ",
                          JoinProblems(problems)));
    if (Left() <= kPollInterval) {
      return Error(absl::StatusCode::kDeadlineExceeded, "NOT_RUNNING",
                   absl::StrCat("the tree is stored, but not all of it runs: ",
                                JoinProblems(problems)))
          .Executed();
    }
    env_.sleep(kPollInterval);
  }
}

// --- Being a node ------------------------------------------------------------

CommandResult NodeStart(const CliEnv& env, const NodeConfig& config,
                        bool sentinel, std::vector<ServerTypeInfo> types) {
  for (const absl::Status& valid :
       {ValidateNodeName(config.name), ValidateClusterName(config.cluster),
        config.tls_dir.empty()
            ? ParseLoopbackAddress(config.listen).status()
            : ParseNodeAddress(config.listen, HostNames::kRefused).status(),
        config.advertise.empty()
            ? absl::OkStatus()
            : ParseNodeAddress(config.advertise, HostNames::kAllowed)
                  .status()}) {
    if (!valid.ok()) return valid;
  }
  if (sentinel && env.run_sentinel) {
    const absl::StatusOr<int> code = env.run_sentinel(config);
    if (!code.ok()) return code.status();
    CommandResult result;
    result.exit_code = static_cast<ExitCode>(*code);
    return result;
  }
  return env.run_node(
      config, std::move(types), [&](const std::string& address) {
        *env.err << "muster: node " << config.name << " of cluster "
                 << config.cluster << " serves on " << address << ", store "
                 << config.store << "\n"
                 << std::flush;
      });
}

namespace {

std::string DevText(const NodeConfig& config, const std::string& address) {
  const std::string flag =
      address == kDevAddress ? "" : absl::StrCat(" --endpoint ", address);
  std::string text =
      absl::StrCat("Node ", config.name, " serves on ", address,
                   ", with an in-memory store. Ctrl-C ends it.\n\n");
  std::string counter;
  if (config.manifest.has_value()) {
    std::vector<std::string> names;
    for (const cluster::v1::ManifestChild& child :
         config.manifest->children()) {
      names.push_back(absl::StrCat(child.name(), " (", child.type(), ")"));
      if (child.type() == "counter") counter = child.name();
    }
    absl::StrAppend(&text, "Running under the supervisor ",
                    config.manifest->supervisor(), ": ",
                    absl::StrJoin(names, ", "), "\n\n");
  } else {
    absl::StrAppend(&text, "Nothing runs on it yet.\n\n");
  }
  absl::StrAppend(&text, "Try in another terminal:\n");
  if (!config.manifest.has_value()) {
    absl::StrAppend(&text, "  muster", flag, " status\n  muster", flag,
                    " node list\n  muster", flag, " apply -f tree.yaml\n");
    return text;
  }
  absl::StrAppend(&text, "  muster", flag, " tree\n");
  if (counter.empty()) {
    absl::StrAppend(&text, "  muster", flag, " process list\n");
  } else {
    absl::StrAppend(&text, "  muster", flag, " call ", counter,
                    " Increment '{\"by\": 2}'\n");
  }
  absl::StrAppend(&text, "  muster", flag, " name list\n");
  return text;
}

}  // namespace

CommandResult Dev(const CliEnv& env, const std::string& listen,
                  std::vector<ServerTypeInfo> types) {
  NodeConfig config;
  config.name = "dev";
  config.listen = listen;
  absl::Status valid = ParseLoopbackAddress(listen).status();
  if (!valid.ok()) return valid;
  if (!env.dev_manifest.empty()) {
    absl::StatusOr<cluster::v1::Manifest> manifest =
        ParseManifest(env.dev_manifest, "application.yaml");
    if (!manifest.ok()) return manifest.status();
    config.manifest = *std::move(manifest);
  }
  return env.run_node(config, std::move(types),
                      [&](const std::string& address) {
                        *env.out << DevText(config, address) << std::flush;
                      });
}

CommandResult Version(const CliEnv& env, bool json) {
  const std::string protobuf =
      google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION);
  if (json) {
    nlohmann::ordered_json versions;
    versions["muster"] = std::string(kVersion);
    versions["protobuf"] = protobuf;
    versions["grpc"] = env.grpc_version;
    *env.out << versions.dump(2) << "\n";
  } else {
    *env.out << "muster " << kVersion << "\nprotobuf " << protobuf << "\ngrpc "
             << env.grpc_version << "\n";
  }
  return {};
}

}  // namespace muster
