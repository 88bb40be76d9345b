#include "node/rpc/descriptor_search.h"

#include <type_traits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace muster {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::EnumDescriptorProto;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::FileDescriptor;
using google::protobuf::FileDescriptorProto;
using google::protobuf::FileDescriptorSet;
using google::protobuf::ServiceDescriptorProto;

// Removes "name." from the front of *rest, or all of it if it is the name.
bool Consume(absl::string_view name, absl::string_view* rest) {
  if (!absl::StartsWith(*rest, name)) return false;
  if (rest->size() == name.size()) {
    *rest = "";
    return true;
  }
  if ((*rest)[name.size()] != '.') return false;
  *rest = rest->substr(name.size() + 1);
  return true;
}

template <typename Items>
bool Names(const Items& items, absl::string_view name) {
  for (const auto& item : items) {
    if (item.name() == name) return true;
  }
  return false;
}

// A value's full name is a sibling of its enum's.
template <typename Enums>
bool EnumsDefine(const Enums& enums, absl::string_view name) {
  for (const EnumDescriptorProto& e : enums) {
    if (e.name() == name || Names(e.value(), name)) return true;
  }
  return false;
}

// Depth is bounded by the parser's limit on nesting.
bool MessageDefines(const DescriptorProto& message, absl::string_view symbol) {
  absl::string_view rest = symbol;
  if (!Consume(message.name(), &rest)) return false;
  if (rest.empty() || Names(message.field(), rest) ||
      Names(message.oneof_decl(), rest) || Names(message.extension(), rest) ||
      EnumsDefine(message.enum_type(), rest)) {
    return true;
  }
  for (const DescriptorProto& nested : message.nested_type()) {
    if (MessageDefines(nested, rest)) return true;
  }
  return false;
}

bool FileDefines(const FileDescriptorProto& file, absl::string_view symbol) {
  absl::string_view rest = symbol;
  if (!file.package().empty() && !Consume(file.package(), &rest)) return false;
  if (rest.empty()) return false;
  for (const ServiceDescriptorProto& service : file.service()) {
    absl::string_view method = rest;
    if (Consume(service.name(), &method) &&
        (method.empty() || Names(service.method(), method))) {
      return true;
    }
  }
  for (const DescriptorProto& message : file.message_type()) {
    if (MessageDefines(message, rest)) return true;
  }
  return EnumsDefine(file.enum_type(), rest) || Names(file.extension(), rest);
}

// Calls visit(field) for each extension of `extendee` (with a leading dot).
template <typename Scope, typename Visit>
void ForEachExtension(const Scope& scope, absl::string_view extendee,
                      Visit visit) {
  for (const FieldDescriptorProto& field : scope.extension()) {
    if (field.extendee() == extendee) visit(field);
  }
  if constexpr (std::is_same_v<Scope, FileDescriptorProto>) {
    for (const auto& m : scope.message_type()) {
      ForEachExtension(m, extendee, visit);
    }
  } else {
    for (const auto& m : scope.nested_type()) {
      ForEachExtension(m, extendee, visit);
    }
  }
}

void SerializeInto(const FileDescriptorSet& set,
                   const FileDescriptorProto& file, std::set<std::string>* seen,
                   std::vector<std::string>* out) {
  // A list instead of recursion: the depth of imports is somebody else's.
  std::vector<const FileDescriptorProto*> pending = {&file};
  while (!pending.empty()) {
    const FileDescriptorProto* const next = pending.back();
    pending.pop_back();
    if (!seen->insert(next->name()).second) continue;
    out->push_back(next->SerializeAsString());
    for (const std::string& import : next->dependency()) {
      const FileDescriptorProto* const found = FindFile(set, import);
      if (found != nullptr) pending.push_back(found);
    }
  }
}

}  // namespace

const FileDescriptorProto* FindFile(const FileDescriptorSet& set,
                                    absl::string_view name) {
  for (const FileDescriptorProto& file : set.file()) {
    if (file.name() == name) return &file;
  }
  return nullptr;
}

const FileDescriptorProto* FindFileOfSymbol(const FileDescriptorSet& set,
                                            absl::string_view symbol) {
  for (const FileDescriptorProto& file : set.file()) {
    if (FileDefines(file, symbol)) return &file;
  }
  return nullptr;
}

const FileDescriptorProto* FindFileOfExtension(const FileDescriptorSet& set,
                                               absl::string_view type,
                                               int32_t number) {
  const std::string extendee = absl::StrCat(".", type);
  for (const FileDescriptorProto& file : set.file()) {
    bool found = false;
    ForEachExtension(file, extendee, [&](const FieldDescriptorProto& field) {
      found = found || field.number() == number;
    });
    if (found) return &file;
  }
  return nullptr;
}

void AddExtensionNumbers(const FileDescriptorSet& set, absl::string_view type,
                         std::set<int32_t>* numbers) {
  const std::string extendee = absl::StrCat(".", type);
  for (const FileDescriptorProto& file : set.file()) {
    ForEachExtension(file, extendee, [&](const FieldDescriptorProto& field) {
      numbers->insert(field.number());
    });
  }
}

std::vector<std::string> SerializeWithImports(const FileDescriptorSet& set,
                                              const FileDescriptorProto& file) {
  std::set<std::string> seen;
  std::vector<std::string> out;
  SerializeInto(set, file, &seen, &out);
  return out;
}

void AddWithImports(const FileDescriptor* file, FileDescriptorSet* set) {
  if (FindFile(*set, file->name()) != nullptr) return;
  for (int i = 0; i < file->dependency_count(); ++i) {
    AddWithImports(file->dependency(i), set);
  }
  file->CopyTo(set->add_file());
}

}  // namespace muster
