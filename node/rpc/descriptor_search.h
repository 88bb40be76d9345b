// Searching in a FileDescriptorSet for what reflection asks for. Pure
// functions, any thread; results live as long as the set.
#ifndef MUSTER_NODE_RPC_DESCRIPTOR_SEARCH_H_
#define MUSTER_NODE_RPC_DESCRIPTOR_SEARCH_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"

namespace muster {

// All names are full names without a leading dot. Null: not in the set.
const google::protobuf::FileDescriptorProto* FindFile(
    const google::protobuf::FileDescriptorSet& set, absl::string_view name);
// The file that defines a service, method, message, field, oneof, enum, enum
// value or extension.
const google::protobuf::FileDescriptorProto* FindFileOfSymbol(
    const google::protobuf::FileDescriptorSet& set, absl::string_view symbol);
const google::protobuf::FileDescriptorProto* FindFileOfExtension(
    const google::protobuf::FileDescriptorSet& set, absl::string_view type,
    int32_t number);
// Adds the numbers of all extensions of `type`.
void AddExtensionNumbers(const google::protobuf::FileDescriptorSet& set,
                         absl::string_view type, std::set<int32_t>* numbers);

// `file` and all it imports, directly or not, each once, `file` first;
// serialized. What the set does not hold is left out.
std::vector<std::string> SerializeWithImports(
    const google::protobuf::FileDescriptorSet& set,
    const google::protobuf::FileDescriptorProto& file);

// Adds `file` and all it imports to the set, dependencies first, each once.
void AddWithImports(const google::protobuf::FileDescriptor* file,
                    google::protobuf::FileDescriptorSet* set);

}  // namespace muster

#endif  // MUSTER_NODE_RPC_DESCRIPTOR_SEARCH_H_
