// Generator: turns the services of a .proto file into C++ for GenServers.
//
// For main.cc (the protoc plugin) and for tests, which run it in-process.
#ifndef MUSTER_PROTO_PLUGIN_GENERATOR_H_
#define MUSTER_PROTO_PLUGIN_GENERATOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "google/protobuf/compiler/code_generator.h"
#include "google/protobuf/descriptor.h"

namespace muster {
namespace plugin {

// Writes <stem>.muster.server.h (typed server bases) and
// <stem>.muster.client.h (typed clients) for each file, also for one without
// services, so that build rules know the outputs beforehand.
//
// A file that cannot be a contract is refused with one line per problem, in
// protoc's own form: file:line:column: what is wrong; what would be right.
// README.md lists them.
//
// THREADS: stateless, any.
class Generator final : public google::protobuf::compiler::CodeGenerator {
 public:
  bool Generate(const google::protobuf::FileDescriptor* file,
                const std::string& parameter,
                google::protobuf::compiler::GeneratorContext* context,
                std::string* error) const override;

  // As Generate for each file, but reports the problems of all of them, and
  // without the file name that protobuf puts before an error.
  bool GenerateAll(
      const std::vector<const google::protobuf::FileDescriptor*>& files,
      const std::string& parameter,
      google::protobuf::compiler::GeneratorContext* context,
      std::string* error) const override;

  uint64_t GetSupportedFeatures() const override {
    return FEATURE_PROTO3_OPTIONAL;
  }
};

}  // namespace plugin
}  // namespace muster

#endif  // MUSTER_PROTO_PLUGIN_GENERATOR_H_
