#include "proto/plugin/generator.h"

#include <cctype>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "google/protobuf/compiler/cpp/names.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/io/printer.h"
#include "google/protobuf/io/zero_copy_stream.h"
#include "google/protobuf/unknown_field_set.h"

namespace muster {
namespace plugin {
namespace {

namespace cpp = google::protobuf::compiler::cpp;
using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::FileDescriptorProto;
using google::protobuf::FileOptions;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
using google::protobuf::MethodDescriptorProto;
using google::protobuf::ServiceDescriptor;
using google::protobuf::ServiceDescriptorProto;
using google::protobuf::SourceLocation;
using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;
using google::protobuf::compiler::GeneratorContext;
using google::protobuf::io::Printer;
using google::protobuf::io::ZeroCopyOutputStream;

constexpr char kCast[] = "muster.options.v1.cast";
constexpr char kInit[] = "muster.options.v1.init";
constexpr char kEmpty[] = "google.protobuf.Empty";

using Path = std::vector<int>;

std::string Quoted(const std::string& text) { return "\"" + text + "\""; }

// --- Reading our options -----------------------------------------------------

// Number of our extension `name`; 0 if `file` knows no such option, because
// nothing that it imports imports it.
int OptionNumber(const FileDescriptor* file, const char* name) {
  const FieldDescriptor* option = file->pool()->FindExtensionByName(name);
  return option == nullptr ? 0 : option->number();
}

// The last occurrence of field `number` of `options`, or null. Goes through
// the bytes, so that it does not matter whether the options' C++ code is
// linked: this plugin is built before any of it.
const UnknownField* FindField(const Message& options, int number,
                              UnknownFieldSet* fields) {
  fields->Clear();
  if (number == 0 || !fields->ParseFromString(options.SerializeAsString())) {
    return nullptr;
  }
  const UnknownField* found = nullptr;
  for (int i = 0; i < fields->field_count(); ++i) {
    if (fields->field(i).number() == number) found = &fields->field(i);
  }
  return found;
}

bool IsCast(const MethodDescriptor* method) {
  UnknownFieldSet fields;
  const UnknownField* field = FindField(
      method->options(), OptionNumber(method->file(), kCast), &fields);
  return field != nullptr && field->type() == UnknownField::TYPE_VARINT &&
         field->varint() != 0;
}

// Value of the init option, "" if it is absent.
std::string InitName(const ServiceDescriptor* service) {
  UnknownFieldSet fields;
  const UnknownField* field = FindField(
      service->options(), OptionNumber(service->file(), kInit), &fields);
  if (field == nullptr ||
      field->type() != UnknownField::TYPE_LENGTH_DELIMITED) {
    return "";
  }
  return field->length_delimited();
}

// --- C++ names ---------------------------------------------------------------

std::string ServerClass(const ServiceDescriptor* service) {
  return service->name() + "Server";
}

std::string ClientClass(const ServiceDescriptor* service) {
  return service->name() + "Client";
}

bool IsKeyword(const std::string& name) {
  static const auto* const keywords = new std::set<std::string>{
      // And the macros of the C library that look like names.
      "NULL",          "assert",      "errno",
      "alignas",       "alignof",     "and",
      "and_eq",        "asm",         "auto",
      "bitand",        "bitor",       "bool",
      "break",         "case",        "catch",
      "char",          "char16_t",    "char32_t",
      "char8_t",       "class",       "co_await",
      "co_return",     "co_yield",    "compl",
      "concept",       "const",       "const_cast",
      "consteval",     "constexpr",   "constinit",
      "continue",      "decltype",    "default",
      "delete",        "do",          "double",
      "dynamic_cast",  "else",        "enum",
      "explicit",      "export",      "extern",
      "false",         "float",       "for",
      "friend",        "goto",        "if",
      "inline",        "int",         "long",
      "mutable",       "namespace",   "new",
      "noexcept",      "not",         "not_eq",
      "nullptr",       "operator",    "or",
      "or_eq",         "private",     "protected",
      "public",        "register",    "reinterpret_cast",
      "requires",      "return",      "short",
      "signed",        "sizeof",      "static",
      "static_assert", "static_cast", "struct",
      "switch",        "template",    "this",
      "thread_local",  "throw",       "true",
      "try",           "typedef",     "typeid",
      "typename",      "union",       "unsigned",
      "using",         "virtual",     "void",
      "volatile",      "wchar_t",     "while",
      "xor",           "xor_eq"};
  return keywords->count(name) > 0;
}

// A method's name, with protobuf's own cure for keywords: delete_.
std::string HandlerName(const MethodDescriptor* method) {
  return IsKeyword(method->name()) ? method->name() + "_" : method->name();
}

// `path` as part of an identifier, different for every path and as protobuf
// does it: what is no letter or digit becomes _ and its hexadecimal code.
std::string PathIdentifier(const std::string& path) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string identifier;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && std::isalnum(byte)) {
      identifier += c;
      continue;
    }
    identifier += '_';
    if (byte >= 0x10) identifier += kHex[byte >> 4];
    identifier += kHex[byte & 0xf];
  }
  return identifier;
}

// Names that an rpc would hide or clash with in the generated server.
const std::set<std::string>& ServerMembers() {
  static const auto* const members = new std::set<std::string>{
      "CodeChange",    "FormatStatus", "HandleContinue", "HandleInfo",
      "HandleTimeout", "Init",         "OnCall",         "OnCast",
      "OnContinue",    "OnInfo",       "OnInit",         "OnTerminate",
      "OnTimeout",     "Options",      "Restore",        "ServiceDescriptor",
      "Snapshot",      "Terminate",    "service_info",
  };
  return *members;
}

// As above, in the generated client.
const std::set<std::string>& ClientMembers() {
  static const auto* const members =
      new std::set<std::string>{"muster_caller_", "muster_server_"};
  return *members;
}

// {"counter", "v1"}
std::vector<std::string> Namespaces(const FileDescriptor* file) {
  std::vector<std::string> parts;
  const std::string& package = file->package();
  for (size_t begin = 0; begin < package.size();) {
    size_t end = package.find('.', begin);
    if (end == std::string::npos) end = package.size();
    parts.push_back(package.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// --- Checking ----------------------------------------------------------------

// Finds what keeps one file from being a contract.
class Checker {
 public:
  Checker(const FileDescriptor* file, std::vector<std::string>* errors)
      : file_(file), errors_(errors) {}

  void Check() {
    if (file_->service_count() == 0) return;
    if (file_->options().optimize_for() == FileOptions::LITE_RUNTIME) {
      Report({FileDescriptorProto::kOptionsFieldNumber,
              FileOptions::kOptimizeForFieldNumber},
             {},
             "a file with services cannot be optimized for LITE_RUNTIME, which "
             "has no descriptors; write SPEED or CODE_SIZE, or leave the "
             "option out");
    }
    for (const std::string& part : Namespaces(file_)) {
      if (!IsKeyword(part)) continue;
      Report({FileDescriptorProto::kPackageFieldNumber}, {},
             "package " + Quoted(file_->package()) + " has the part " +
                 Quoted(part) +
                 ", a keyword of C++, of which protoc makes a namespace; "
                 "rename that part");
    }
    CollectFile(file_);
    for (int i = 0; i < file_->service_count(); ++i) {
      CheckService(file_->service(i));
    }
  }

 private:
  void CheckService(const ServiceDescriptor* service) {
    CheckClassName(service, ServerClass(service), "server");
    CheckClassName(service, ClientClass(service), "client");
    CheckInit(service);
    std::map<std::string, const MethodDescriptor*> handlers;
    for (int i = 0; i < service->method_count(); ++i) {
      const MethodDescriptor* method = service->method(i);
      CheckStreaming(method);
      CheckCast(method);
      CheckName(method);
      const auto [first, inserted] =
          handlers.emplace(HandlerName(method), method);
      if (inserted) continue;
      Report(method, MethodDescriptorProto::kNameFieldNumber,
             "rpc " + Quoted(method->name()) + " and rpc " +
                 Quoted(first->second->name()) + " are both " +
                 Quoted(first->first) +
                 " in C++, because one is a keyword; rename one of them");
    }
  }

  void CheckStreaming(const MethodDescriptor* method) {
    const bool client = method->client_streaming();
    if (!client && !method->server_streaming()) return;
    Report(method,
           client ? MethodDescriptorProto::kClientStreamingFieldNumber
                  : MethodDescriptorProto::kServerStreamingFieldNumber,
           "rpc " + Quoted(method->name()) +
               " streams, but a GenServer handles one message and gives one "
               "answer; remove " +
               Quoted("stream"));
  }

  void CheckCast(const MethodDescriptor* method) {
    if (!IsCast(method)) return;
    const std::string& answer = method->output_type()->full_name();
    if (answer == kEmpty) return;
    Report(method, MethodDescriptorProto::kOutputTypeFieldNumber,
           "rpc " + Quoted(method->name()) + " is a cast and returns " +
               Quoted(answer) +
               ", but nobody waits for an answer to a cast; write returns "
               "(google.protobuf.Empty), or remove the option (" +
               kCast + ") to make it a call");
  }

  void CheckName(const MethodDescriptor* method) {
    const std::string name = HandlerName(method);
    std::string clash;
    if (ServerMembers().count(name) > 0) {
      clash = "a member of every generated server";
    } else if (ClientMembers().count(name) > 0) {
      clash = "a member of every generated client";
    } else if (name == ServerClass(method->service())) {
      clash = "the name of the generated server class";
    } else if (name == ClientClass(method->service())) {
      clash = "the name of the generated client class";
    } else {
      return;
    }
    std::string better = method->name();
    better[0] =
        static_cast<char>(std::toupper(static_cast<unsigned char>(better[0])));
    Report(method, MethodDescriptorProto::kNameFieldNumber,
           "rpc " + Quoted(method->name()) + " of service " +
               Quoted(method->service()->name()) + " has the name of " + clash +
               "; choose another, for example " + Quoted("Do" + better));
  }

  void CheckClassName(const ServiceDescriptor* service, const std::string& name,
                      const std::string& what) {
    const auto taken = taken_.find(name);
    if (taken == taken_.end()) return;
    Report(service, ServiceDescriptorProto::kNameFieldNumber,
           "the " + what + " class of service " + Quoted(service->name()) +
               " is " + Quoted(name) + ", which is also " + taken->second +
               "; rename one of them");
  }

  void CheckInit(const ServiceDescriptor* service) {
    const std::string name = InitName(service);
    if (name.empty()) return;
    const std::string that = "init names " + Quoted(name);
    const auto report = [&](const std::string& text) {
      ReportInit(service, that + text);
    };
    const auto* pool = file_->pool();
    const Descriptor* message = pool->FindMessageTypeByName(name);
    if (message != nullptr) {
      if (message->options().map_entry()) {
        report(", the entry of a map; name a message");
      } else if (!Imports(message->file())) {
        report(", which is in " + Quoted(message->file()->name()) +
               ", but this file does not import that; add import " +
               Quoted(message->file()->name()));
      }
      return;
    }
    if (pool->FindEnumTypeByName(name) != nullptr) {
      report(", an enum; name the message that servers are started with");
      return;
    }
    if (pool->FindServiceByName(name) != nullptr) {
      report(", a service; name the message that servers are started with");
      return;
    }
    const std::string relative = name[0] == '.' ? name.substr(1)
                                 : file_->package().empty()
                                     ? ""
                                     : file_->package() + "." + name;
    if (!relative.empty() && pool->FindMessageTypeByName(relative) != nullptr) {
      report(", which is no full name; write " + Quoted(relative));
      return;
    }
    report(
        ", which is in no imported file; write the full name of a message of "
        "this file or of one that it imports");
  }

  // True if names of `other` can be used here: this file, what it imports and
  // what those import publicly.
  bool Imports(const FileDescriptor* other) const {
    if (other == file_) return true;
    for (int i = 0; i < file_->dependency_count(); ++i) {
      if (HandsOn(file_->dependency(i), other)) return true;
    }
    return false;
  }

  static bool HandsOn(const FileDescriptor* from, const FileDescriptor* other) {
    if (from == other) return true;
    for (int i = 0; i < from->public_dependency_count(); ++i) {
      if (HandsOn(from->public_dependency(i), other)) return true;
    }
    return false;
  }

  // Collects the C++ names in this file's namespace, of this file and of all
  // that it sees.
  void CollectFile(const FileDescriptor* file) {
    if (!seen_.insert(file).second) return;
    if (file->package() == file_->package()) {
      for (int i = 0; i < file->message_type_count(); ++i) {
        CollectMessage(file->message_type(i));
      }
      for (int i = 0; i < file->enum_type_count(); ++i) {
        const EnumDescriptor* type = file->enum_type(i);
        Take(cpp::ClassName(type), "enum", type->full_name());
        for (int j = 0; j < type->value_count(); ++j) {
          Take(type->value(j)->name(), "enum value",
               type->value(j)->full_name());
        }
      }
      for (int i = 0; i < file->extension_count(); ++i) {
        Take(file->extension(i)->name(), "extension",
             file->extension(i)->full_name());
      }
      for (int i = 0; i < file->service_count(); ++i) {
        // gRPC's stubs are a class of this name.
        Take(file->service(i)->name(), "service",
             file->service(i)->full_name());
      }
    }
    for (int i = 0; i < file->dependency_count(); ++i) {
      CollectFile(file->dependency(i));
    }
  }

  void CollectMessage(const Descriptor* message) {
    Take(cpp::ClassName(message), "message", message->full_name());
    for (int i = 0; i < message->nested_type_count(); ++i) {
      CollectMessage(message->nested_type(i));
    }
    for (int i = 0; i < message->enum_type_count(); ++i) {
      Take(cpp::ClassName(message->enum_type(i)), "enum",
           message->enum_type(i)->full_name());
    }
  }

  void Take(const std::string& name, const std::string& kind,
            const std::string& full_name) {
    taken_.emplace(name, kind + " " + Quoted(full_name));
  }

  void Report(const MethodDescriptor* method, int field,
              const std::string& text) {
    const Path path = {
        FileDescriptorProto::kServiceFieldNumber, method->service()->index(),
        ServiceDescriptorProto::kMethodFieldNumber, method->index()};
    Path precise = path;
    precise.push_back(field);
    Report(precise, path, text);
  }

  void Report(const ServiceDescriptor* service, int field,
              const std::string& text) {
    const Path path = {FileDescriptorProto::kServiceFieldNumber,
                       service->index()};
    Path precise = path;
    precise.push_back(field);
    Report(precise, path, text);
  }

  void ReportInit(const ServiceDescriptor* service, const std::string& text) {
    const Path path = {FileDescriptorProto::kServiceFieldNumber,
                       service->index()};
    Path precise = path;
    precise.push_back(ServiceDescriptorProto::kOptionsFieldNumber);
    precise.push_back(OptionNumber(file_, kInit));
    Report(precise, path, text);
  }

  // At `precise` if the source says where that is, else at `rough`.
  void Report(const Path& precise, const Path& rough, const std::string& text) {
    std::string where = file_->name();
    SourceLocation location;
    if (file_->GetSourceLocation(precise, &location) ||
        file_->GetSourceLocation(rough, &location)) {
      where += ":" + std::to_string(location.start_line + 1) + ":" +
               std::to_string(location.start_column + 1);
    }
    errors_->push_back(where + ": " + text);
  }

  const FileDescriptor* const file_;
  std::vector<std::string>* const errors_;
  std::set<const FileDescriptor*> seen_;
  // C++ name -> what has it.
  std::map<std::string, std::string> taken_;
};

// --- Writing -----------------------------------------------------------------

using Variables = std::map<std::string, std::string>;

// The proto's comment as a comment. A line that ends in a backslash would
// make a comment of the code below it.
template <typename D>
void PrintComments(const D* descriptor, bool after_blank, Printer* printer) {
  SourceLocation location;
  if (!descriptor->GetSourceLocation(&location)) return;
  std::string text = location.leading_comments;
  if (text.empty()) text = location.trailing_comments;
  while (!text.empty() &&
         std::isspace(static_cast<unsigned char>(text.back()))) {
    text.pop_back();
  }
  if (text.empty()) return;
  if (after_blank) printer->Print("//\n");
  for (size_t begin = 0; begin <= text.size();) {
    size_t end = text.find('\n', begin);
    if (end == std::string::npos) end = text.size();
    std::string line = text.substr(begin, end - begin);
    while (!line.empty() &&
           std::isspace(static_cast<unsigned char>(line.back()))) {
      line.pop_back();
    }
    if (!line.empty() && line.back() == '\\') line += " .";
    const bool space = !line.empty() && line[0] != ' ' && line[0] != '/';
    // Not PrintRaw, which would not indent.
    printer->Print(space ? "// $line$\n" : "//$line$\n", "line", line);
    begin = end + 1;
  }
}

// Writes one header of one file.
class Writer {
 public:
  Writer(const FileDescriptor* file, Printer* printer)
      : file_(file), printer_(printer) {}

  void Server() {
    Open("SERVER", {"node/gen_server/gen_server.h"});
    for (int i = 0; i < file_->service_count(); ++i) {
      ServerOf(file_->service(i));
    }
    Close("SERVER");
  }

  void Client() {
    Open("CLIENT", {"client/client_stub.h"});
    for (int i = 0; i < file_->service_count(); ++i) {
      ClientOf(file_->service(i));
    }
    Close("CLIENT");
  }

 private:
  // Different for every path, unlike one that turns "/", "." and "_" into "_".
  std::string Guard(const std::string& kind) const {
    return "MUSTER_" + kind + "_" + PathIdentifier(file_->name()) + "_H_";
  }

  void Open(const std::string& kind, const std::set<std::string>& ours) {
    printer_->Print(
        "// Generated by protoc-gen-muster; do not edit.\n"
        "// Source: $file$\n"
        "#ifndef $guard$\n"
        "#define $guard$\n"
        "\n",
        "file", file_->name(), "guard", Guard(kind));
    std::set<std::string> headers = ours;
    headers.insert(cpp::StripProto(file_->name()) + ".pb.h");
    if (file_->service_count() > 0) {
      if (kind == "SERVER") {
        headers.insert("absl/strings/string_view.h");
        headers.insert("google/protobuf/descriptor.h");
        if (AnyWithoutInit()) headers.insert("google/protobuf/empty.pb.h");
      } else {
        printer_->Print("#include <utility>\n\n");
      }
    }
    for (const std::string& header : headers) {
      printer_->Print("#include \"$header$\"\n", "header", header);
    }
    printer_->Print("\n");
    if (file_->service_count() == 0) return;
    const std::vector<std::string> namespaces = Namespaces(file_);
    for (const std::string& name : namespaces) {
      printer_->Print("namespace $name$ {\n", "name", name);
    }
    if (!namespaces.empty()) printer_->Print("\n");
  }

  void Close(const std::string& kind) {
    if (file_->service_count() > 0) {
      const std::vector<std::string> namespaces = Namespaces(file_);
      for (auto name = namespaces.rbegin(); name != namespaces.rend(); ++name) {
        printer_->Print("}  // namespace $name$\n", "name", *name);
      }
      if (!namespaces.empty()) printer_->Print("\n");
    }
    printer_->Print("#endif  // $guard$\n", "guard", Guard(kind));
  }

  bool AnyWithoutInit() const {
    for (int i = 0; i < file_->service_count(); ++i) {
      if (InitName(file_->service(i)).empty()) return true;
    }
    return false;
  }

  static Variables Of(const ServiceDescriptor* service) {
    Variables v;
    v["service"] = service->name();
    v["full_name"] = service->full_name();
    v["server"] = ServerClass(service);
    v["client"] = ClientClass(service);
    const std::string init = InitName(service);
    v["options"] =
        init.empty()
            ? "::google::protobuf::Empty"
            : cpp::QualifiedClassName(
                  service->file()->pool()->FindMessageTypeByName(init));
    return v;
  }

  static Variables Of(const MethodDescriptor* method) {
    Variables v;
    v["name"] = method->name();
    v["handler"] = HandlerName(method);
    v["request"] = cpp::QualifiedClassName(method->input_type());
    v["response"] = cpp::QualifiedClassName(method->output_type());
    v["path"] = "/" + method->service()->full_name() + "/" + method->name();
    v["cast"] = IsCast(method) ? "true" : "false";
    return v;
  }

  void ServerOf(const ServiceDescriptor* service) {
    const Variables v = Of(service);
    printer_->Print(v,
                    "// Base of every server of $full_name$.\n"
                    "// Derive from it and override one handler per rpc.\n");
    PrintComments(service, /*after_blank=*/true, printer_);
    printer_->Print(v,
                    "class $server$ : public ::muster::GenServer {\n"
                    " public:\n");
    printer_->Indent();
    printer_->Print(v,
                    "// Message that a server is started with.\n"
                    "using Options = $options$;\n"
                    "\n"
                    "static const ::google::protobuf::ServiceDescriptor*\n"
                    "ServiceDescriptor() {\n");
    printer_->Indent();
    DescriptorLookup(service);
    printer_->Outdent();
    printer_->Print(
        "}\n"
        "\n"
        "// First callback of a process. Default: starts, whatever the "
        "options.\n"
        "virtual ::muster::InitResult Init(\n"
        "    [[maybe_unused]] const Options& options,\n"
        "    [[maybe_unused]] ::muster::Context& self) {\n"
        "  return ::muster::Ok();\n"
        "}\n"
        "\n");
    for (int i = 0; i < service->method_count(); ++i) {
      HandlerOf(service->method(i));
    }
    printer_->Outdent();
    printer_->Print(" private:\n");
    printer_->Indent();
    ServiceInfoOf(service);
    printer_->Print(
        "::muster::HandlerResult OnInit(::muster::Payload& options,\n"
        "                               ::muster::Context& self) final {\n"
        "  return ::muster::internal::Dispatch<Options>(\n"
        "      options, [this, &self](const Options& typed) {\n"
        "        return this->Init(typed, self);\n"
        "      });\n"
        "}\n");
    DispatchOf(service, "OnCall", /*cast=*/false);
    DispatchOf(service, "OnCast", /*cast=*/true);
    printer_->Outdent();
    printer_->Print("};\n\n");
  }

  // The statements that find a service's descriptor. Naming something of
  // x.pb.cc also makes the linker take it from its archive.
  void DescriptorLookup(const ServiceDescriptor* service) {
    Variables v = Of(service);
    if (file_->message_type_count() > 0) {
      v["message"] = cpp::QualifiedClassName(file_->message_type(0));
      printer_->Print(v,
                      "return $message$::descriptor()\n"
                      "    ->file()\n"
                      "    ->FindServiceByName(\"$service$\");\n");
      return;
    }
    v["table"] = "descriptor_table_" + PathIdentifier(file_->name());
    printer_->Print(
        v,
        "// So that the linker takes the file's .pb.o, which registers it.\n"
        "[[maybe_unused]] const void* volatile linked = &::$table$;\n"
        "return ::google::protobuf::DescriptorPool::generated_pool()\n"
        "    ->FindServiceByName(\"$full_name$\");\n");
  }

  void HandlerOf(const MethodDescriptor* method) {
    const Variables v = Of(method);
    PrintComments(method, /*after_blank=*/false, printer_);
    printer_->Print(
        v, IsCast(method) ? "virtual ::muster::Next $handler$(\n"
                          : "virtual ::muster::Reply<$response$> $handler$(\n");
    printer_->Print(v,
                    "    const $request$& request,\n"
                    "    ::muster::Context& self) = 0;\n"
                    "\n");
  }

  void ServiceInfoOf(const ServiceDescriptor* service) {
    const Variables v = Of(service);
    printer_->Print(
        "const ::muster::ServiceInfo& service_info() const final {\n");
    printer_->Indent();
    if (service->method_count() > 0) {
      printer_->Print("static constexpr ::muster::MethodInfo kMethods[] = {\n");
      for (int i = 0; i < service->method_count(); ++i) {
        printer_->Print(Of(service->method(i)), "    {\"$name$\", $cast$},\n");
      }
      printer_->Print("};\n");
    }
    printer_->Print(v,
                    "static constexpr ::muster::ServiceInfo kInfo = {\n"
                    "    \"$full_name$\", ");
    printer_->Print(service->method_count() > 0 ? "kMethods};\n" : "{}};\n");
    printer_->Print("return kInfo;\n");
    printer_->Outdent();
    printer_->Print("}\n");
  }

  void DispatchOf(const ServiceDescriptor* service, const std::string& function,
                  bool cast) {
    std::vector<const MethodDescriptor*> methods;
    for (int i = 0; i < service->method_count(); ++i) {
      if (IsCast(service->method(i)) == cast) {
        methods.push_back(service->method(i));
      }
    }
    const std::string unused = methods.empty() ? "[[maybe_unused]] " : "";
    printer_->Print(
        "::muster::HandlerResult $function$(\n"
        "    ::absl::string_view method,\n"
        "    $unused$::muster::Payload& request,\n"
        "    $unused$::muster::Context& self) final {\n",
        "function", function, "unused", unused);
    printer_->Indent();
    for (const MethodDescriptor* method : methods) {
      printer_->Print(Of(method),
                      "if (method == \"$name$\") {\n"
                      "  using Request = $request$;\n"
                      "  return ::muster::internal::Dispatch<Request>(\n"
                      "      request, [this, &self](const Request& typed) {\n"
                      "        return this->$handler$(typed, self);\n"
                      "      });\n"
                      "}\n");
    }
    printer_->Print("return ::muster::internal::UnknownMethod(method);\n");
    printer_->Outdent();
    printer_->Print("}\n");
  }

  void ClientOf(const ServiceDescriptor* service) {
    const Variables v = Of(service);
    printer_->Print(v,
                    "// Client of one server of $full_name$.\n"
                    "// Works in a process (through its Context) and outside "
                    "(through a\n"
                    "// muster::Client). `caller` outlives it. Copies are the "
                    "same client.\n");
    PrintComments(service, /*after_blank=*/true, printer_);
    printer_->Print(
        v,
        "class $client$ {\n"
        " public:\n"
        "  $client$(::muster::Caller& caller, ::muster::ServerRef server)\n"
        "      : muster_caller_(&caller), "
        "muster_server_(::std::move(server)) {}\n"
        "\n");
    printer_->Indent();
    for (int i = 0; i < service->method_count(); ++i) {
      StubOf(service->method(i));
    }
    printer_->Outdent();
    printer_->Print(
        " private:\n"
        "  ::muster::Caller* muster_caller_;\n"
        "  ::muster::ServerRef muster_server_;\n"
        "};\n\n");
  }

  void StubOf(const MethodDescriptor* method) {
    const Variables v = Of(method);
    PrintComments(method, /*after_blank=*/false, printer_);
    printer_->Print(v, IsCast(method)
                           ? "::muster::PendingCast $handler$(\n"
                           : "::muster::PendingCall<$response$> $handler$(\n");
    printer_->Print(v,
                    "    $request$ request,\n"
                    "    const ::muster::CallOptions& options = {}) const {\n");
    printer_->Print(v, IsCast(method)
                           ? "  return ::muster::internal::TypedCast(\n"
                           : "  return ::muster::internal::TypedCall<\n"
                             "      $response$>(\n");
    printer_->Print(v,
                    "      *muster_caller_, muster_server_,\n"
                    "      \"$path$\",\n"
                    "      ::std::move(request), options);\n"
                    "}\n\n");
  }

  const FileDescriptor* const file_;
  Printer* const printer_;
};

void WriteFiles(const FileDescriptor* file, GeneratorContext* context) {
  const std::string stem = cpp::StripProto(file->name());
  {
    const std::unique_ptr<ZeroCopyOutputStream> stream(
        context->Open(stem + ".muster.server.h"));
    Printer printer(stream.get(), '$');
    Writer(file, &printer).Server();
  }
  const std::unique_ptr<ZeroCopyOutputStream> stream(
      context->Open(stem + ".muster.client.h"));
  Printer printer(stream.get(), '$');
  Writer(file, &printer).Client();
}

}  // namespace

bool Generator::Generate(const FileDescriptor* file,
                         const std::string& parameter,
                         GeneratorContext* context, std::string* error) const {
  return GenerateAll({file}, parameter, context, error);
}

bool Generator::GenerateAll(const std::vector<const FileDescriptor*>& files,
                            const std::string& parameter,
                            GeneratorContext* context,
                            std::string* error) const {
  if (!parameter.empty()) {
    *error = "protoc-gen-muster has no parameters, but was given " +
             Quoted(parameter) + "; write --muster_out=<directory>";
    return false;
  }
  std::vector<std::string> errors;
  for (const FileDescriptor* file : files) Checker(file, &errors).Check();
  for (const std::string& line : errors) {
    if (!error->empty()) *error += "\n";
    *error += line;
  }
  if (!errors.empty()) return false;
  for (const FileDescriptor* file : files) WriteFiles(file, context);
  return true;
}

}  // namespace plugin
}  // namespace muster
