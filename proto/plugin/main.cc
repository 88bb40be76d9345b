// protoc-gen-muster: protoc finds it on PATH, or by
// --plugin=protoc-gen-muster=<path>, and runs it for --muster_out=<dir>.
#include "google/protobuf/compiler/plugin.h"
#include "proto/plugin/generator.h"

int main(int argc, char** argv) {
  const muster::plugin::Generator generator;
  return google::protobuf::compiler::PluginMain(argc, argv, &generator);
}
