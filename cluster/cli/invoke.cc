#include "cluster/cli/invoke.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "cluster/cli/words.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/message.h"
#include "google/protobuf/util/json_util.h"
#include "muster/options/v1/options.pb.h"
#include "nlohmann/json.hpp"
#include "node/types/names.h"
#include "node/types/pid.h"
#include "node/types/status.h"
#include "node/types/utf8.h"

namespace muster {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptorProto;
using google::protobuf::Message;
using google::protobuf::ServiceDescriptor;
using nlohmann::json;

// Most files that describe one service.
constexpr size_t kFilesMax = 1000;
// Deepest nesting of a request; nodes take no deeper one.
constexpr int kNestingMax = 32;
// Longest piece of a message of protobuf's that is shown.
constexpr size_t kDetailBytesMax = 300;

absl::Status UnknownMethod(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "UNKNOWN_METHOD", what)
      .NotExecuted();
}

absl::Status BadJson(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_JSON", what)
      .NotExecuted();
}

// "Counter" of "counter.v1.Counter".
std::string ShortName(absl::string_view service) {
  const size_t dot = service.rfind('.');
  return std::string(dot == absl::string_view::npos ? service
                                                    : service.substr(dot + 1));
}

// Muster's own services and gRPC's are not servers that people call by name.
bool IsServer(absl::string_view service) {
  return !absl::StartsWith(service, "muster.") &&
         !absl::StartsWith(service, "grpc.");
}

std::vector<std::string> MethodNames(const ServiceDescriptor& service) {
  std::vector<std::string> names;
  for (int i = 0; i < service.method_count(); ++i) {
    names.push_back(service.method(i)->name());
  }
  return names;
}

// `; did you mean "x"? <what> a, b`, or `; <what> a, b`.
std::string AndThereAre(absl::string_view word,
                        const std::vector<std::string>& known,
                        absl::string_view what) {
  const std::string near = DidYouMean(word, known);
  return absl::StrCat(near.empty() ? ";" : near, " ", what,
                      absl::StrJoin(known, ", "));
}

// Full name of the service of a process, if it has a cluster-wide name by
// which to find it; else "".
std::string ServiceOfPid(NodeClient& client, const std::string& text,
                         const TimeLeft& left) {
  const absl::StatusOr<Pid> pid = Pid::Parse(text);
  if (!pid.ok()) return "";
  admin::v1::ListProcessesRequest request;
  request.set_node(pid->node);
  const auto processes = client.ListProcesses(request, left());
  if (!processes.ok()) return "";
  for (const cluster::v1::Process& process : processes->processes()) {
    if (!process.global() || Pid::FromProto(process.pid()) != *pid) continue;
    process::v1::WhereIsRequest where;
    where.set_name(process.name());
    const auto found = client.WhereIs(where, left());
    return found.ok() ? found->service() : "";
  }
  return "";
}

// --- Does the JSON fit? ------------------------------------------------------
// protobuf's parser says less: which field is unknown, but not which there are.

const FieldDescriptor* FieldOf(const Descriptor& message,
                               const std::string& key) {
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    if (key == field.name() || key == field.json_name()) return &field;
  }
  return nullptr;
}

absl::Status CheckFields(const json& value, const Descriptor& message,
                         const std::string& path, int depth);

absl::Status CheckField(const json& value, const FieldDescriptor& field,
                        const std::string& path, int depth) {
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || value.is_null()) {
    return absl::OkStatus();
  }
  if (field.is_map()) {
    const FieldDescriptor& entry = *field.message_type()->map_value();
    if (!value.is_object()) return absl::OkStatus();  // protobuf says so.
    for (const auto& [key, item] : value.items()) {
      absl::Status status = CheckField(
          item, entry, absl::StrCat(path, "[", LogSafe(key), "]"), depth + 1);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }
  if (!field.is_repeated()) {
    return CheckFields(value, *field.message_type(), path, depth + 1);
  }
  if (!value.is_array()) return absl::OkStatus();
  for (size_t i = 0; i < value.size(); ++i) {
    absl::Status status =
        CheckFields(value[i], *field.message_type(),
                    absl::StrCat(path, "[", i, "]"), depth + 1);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CheckFields(const json& value, const Descriptor& message,
                         const std::string& path, int depth) {
  if (absl::StartsWith(message.full_name(), "google.protobuf.")) {
    // Empty apart, they have a JSON form of their own.
    if (message.full_name() != "google.protobuf.Empty") return absl::OkStatus();
  }
  if (depth > kNestingMax) {
    return BadJson(absl::StrCat("field ", LogSafe(path),
                                " is nested deeper than ", kNestingMax,
                                " levels"));
  }
  if (!value.is_object()) {
    return BadJson(absl::StrCat(
        path.empty() ? "the request" : absl::StrCat("field ", LogSafe(path)),
        " is not a JSON object; ", message.full_name(),
        " is written as {...}"));
  }
  std::vector<std::string> known;
  for (int i = 0; i < message.field_count(); ++i) {
    known.push_back(message.field(i)->name());
  }
  for (const auto& [key, item] : value.items()) {
    const FieldDescriptor* const field = FieldOf(message, key);
    const std::string below = path.empty() ? key : absl::StrCat(path, ".", key);
    if (field == nullptr) {
      return BadJson(absl::StrCat(
          "unknown field ", LogSafe(below),
          known.empty()
              ? absl::StrCat("; ", message.full_name(), " has no fields")
              : AndThereAre(key, known,
                            absl::StrCat(message.full_name(), " has: "))));
    }
    absl::Status status = CheckField(item, *field, below, depth);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> Method::Find(NodeClient& client,
                                                     const std::string& target,
                                                     absl::string_view text,
                                                     const TimeLeft& left) {
  const absl::string_view path = absl::StripPrefix(text, "/");
  const size_t slash = path.rfind('/');
  const std::string service(
      slash == absl::string_view::npos ? "" : path.substr(0, slash));
  const std::string method(
      slash == absl::string_view::npos ? path : path.substr(slash + 1));
  if (method.empty() || slash == 0 || absl::StrContains(service, "/")) {
    return UnknownMethod(
        absl::StrCat(LogSafe(text),
                     " is no method; write Increment, Counter/Increment or "
                     "counter.v1.Counter/Increment"));
  }

  std::vector<std::string> services;
  const bool is_pid = absl::StrContains(target, "~");
  if (absl::StrContains(service, ".")) {
    services = {service};
  } else if (!is_pid) {
    process::v1::WhereIsRequest request;
    request.set_name(target);
    const absl::StatusOr<process::v1::WhereIsResponse> where =
        client.WhereIs(request, left());
    if (!where.ok()) return where.status();
    if (!where->service().empty()) services = {where->service()};
    if (!services.empty() && !service.empty() &&
        ShortName(where->service()) != service) {
      return UnknownMethod(absl::StrCat(target, " is a ", where->service(),
                                        ", not a ", LogSafe(service)));
    }
  }
  if (is_pid && service.empty()) {
    std::string known = ServiceOfPid(client, target, left);
    if (!known.empty()) services = {std::move(known)};
  }
  if (services.empty()) {
    const absl::StatusOr<std::vector<std::string>> all =
        client.ListServices(left());
    if (!all.ok()) return all.status();
    for (const std::string& one : *all) {
      if (!IsServer(one)) continue;
      if (service.empty() || ShortName(one) == service) services.push_back(one);
    }
  }
  std::unique_ptr<Method> found(new Method);
  absl::Status status = found->FindIn(client, services, method, left);
  if (!status.ok()) return status;
  return found;
}

absl::Status Method::FindIn(NodeClient& client,
                            const std::vector<std::string>& services,
                            const std::string& method, const TimeLeft& left) {
  std::vector<std::string> candidates;
  std::vector<std::string> known;
  for (const std::string& name : services) {
    const absl::StatusOr<const ServiceDescriptor*> service =
        Load(client, name, left);
    if (!service.ok()) return service.status();
    if (*service == nullptr) continue;
    const std::vector<std::string> names = MethodNames(**service);
    known.insert(known.end(), names.begin(), names.end());
    if (const auto* const here = (*service)->FindMethodByName(method)) {
      method_ = here;
      candidates.push_back(path());
    }
  }
  if (candidates.size() == 1) return absl::OkStatus();
  if (candidates.size() > 1) {
    return UnknownMethod(absl::StrCat("several services have a method ",
                                      LogSafe(method), "; write one of ",
                                      absl::StrJoin(candidates, ", ")));
  }
  const std::string where =
      services.size() == 1 ? services[0] : "no service of this node";
  if (known.empty()) {
    return UnknownMethod(absl::StrCat("the node does not describe ",
                                      services.size() == 1
                                          ? LogSafe(services[0])
                                          : std::string("any such service")));
  }
  return UnknownMethod(absl::StrCat(
      where, services.size() == 1 ? " has no method " : " has a method ",
      LogSafe(method), AndThereAre(method, known, "there are: ")));
}

absl::StatusOr<const ServiceDescriptor*> Method::Load(
    NodeClient& client, const std::string& service, const TimeLeft& left) {
  absl::StatusOr<std::vector<FileDescriptorProto>> files =
      client.FilesOfSymbol(service, left());
  if (absl::IsNotFound(files.status())) return nullptr;
  if (!files.ok()) return files.status();
  absl::Status added = Add(*files);
  while (added.ok() && !missing_.empty()) {
    const std::string name = missing_.back();
    missing_.pop_back();
    if (std::find(file_names_.begin(), file_names_.end(), name) !=
        file_names_.end()) {
      continue;
    }
    files = client.FilesOfName(name, left());
    if (!files.ok()) return files.status();
    added = Add(*files);
  }
  if (!added.ok()) return added;
  return pool_.FindServiceByName(service);
}

absl::Status Method::Add(const std::vector<FileDescriptorProto>& files) {
  for (const FileDescriptorProto& file : files) {
    if (std::find(file_names_.begin(), file_names_.end(), file.name()) !=
        file_names_.end()) {
      continue;
    }
    if (file_names_.size() >= kFilesMax || !files_.Add(file)) {
      return Error(absl::StatusCode::kInternal, "BAD_DESCRIPTORS",
                   absl::StrCat("the node's descriptors do not fit together, "
                                "at file ",
                                LogSafe(file.name())))
          .NotExecuted();
    }
    file_names_.push_back(file.name());
    missing_.insert(missing_.end(), file.dependency().begin(),
                    file.dependency().end());
  }
  return absl::OkStatus();
}

std::string Method::path() const {
  return absl::StrCat(method_->service()->full_name(), "/", method_->name());
}

bool Method::is_cast() const {
  return method_->options().GetExtension(options::v1::cast);
}

absl::StatusOr<std::string> Method::RequestFromJson(
    const std::string& text) const {
  const Descriptor& type = *method_->input_type();
  if (text.size() > kRequestBytesMax) {
    return Error(absl::StatusCode::kResourceExhausted, "REQUEST_TOO_LARGE",
                 absl::StrCat("the JSON has more than ", kRequestBytesMax,
                              " bytes, which is the most that is sent"))
        .NotExecuted();
  }
  json value;
  try {
    value = json::parse(text);
  } catch (const json::exception& e) {
    // "[json.exception.parse_error.101] parse error at line 1, column 9: ..."
    absl::string_view what = e.what();
    const size_t tag = what.find("] ");
    if (absl::StartsWith(what, "[json.") && tag != what.npos) {
      what.remove_prefix(tag + 2);
    }
    return BadJson(
        absl::StrCat("this is not JSON: ",
                     CutUtf8WithNote(ToValidUtf8(what), kDetailBytesMax)));
  }
  absl::Status fits = CheckFields(value, type, "", 1);
  if (!fits.ok()) return fits;

  const std::unique_ptr<Message> request(messages_.GetPrototype(&type)->New());
  const auto parsed =
      google::protobuf::util::JsonStringToMessage(text, request.get());
  if (!parsed.ok()) {
    return BadJson(
        absl::StrCat("the JSON does not fit ", type.full_name(), ": ",
                     CutUtf8WithNote(ToValidUtf8(parsed.message().ToString()),
                                     kDetailBytesMax)));
  }
  std::string bytes = request->SerializeAsString();
  if (bytes.size() > kRequestBytesMax) {
    return Error(absl::StatusCode::kResourceExhausted, "REQUEST_TOO_LARGE",
                 absl::StrCat("the request has ", bytes.size(),
                              " bytes; nodes take at most ", kRequestBytesMax))
        .NotExecuted();
  }
  return bytes;
}

absl::StatusOr<std::string> Method::ResponseToJson(
    const std::string& bytes) const {
  const Descriptor& type = *method_->output_type();
  const std::unique_ptr<Message> response(messages_.GetPrototype(&type)->New());
  google::protobuf::util::JsonPrintOptions print;
  print.always_print_primitive_fields = true;
  print.preserve_proto_field_names = true;
  std::string text;
  if (!response->ParseFromString(bytes) ||
      !google::protobuf::util::MessageToJsonString(*response, &text, print)
           .ok()) {
    return Error(absl::StatusCode::kInternal, "BAD_RESPONSE",
                 absl::StrCat("the call succeeded, but its response is no ",
                              type.full_name()))
        .Executed();
  }
  return text;
}

}  // namespace muster
