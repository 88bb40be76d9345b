// The stock `muster` binary: the example servers, and their tree for `dev`.
#include "cluster/cli/main.h"
#include "examples/server_types.h"

namespace {

constexpr char kApplication[] =
#include "application_yaml.inc"
    ;

}  // namespace

int main(int argc, char** argv) {
  muster::MainOptions options;
  options.dev_manifest = kApplication;
  return muster::Main(argc, argv, examples::ExampleServerTypes(), options);
}
