// Proves that both generated headers compile and link in a user's workspace.
#include <cstdio>
#include <type_traits>

#include "greeter/greeter.muster.client.h"
#include "greeter/greeter.muster.server.h"
#include "greeter/greeter.pb.h"

static_assert(std::is_abstract_v<greeter::v1::GreeterServer>,
              "a server's handlers are for its author to write");
static_assert(std::is_class_v<greeter::v1::GreeterClient>);

int main() {
  const auto* service =
      greeter::v1::GreetRequest::descriptor()->file()->service(0);
  std::printf("%s/%s\n", service->full_name().c_str(),
              service->method(0)->name().c_str());
  return 0;
}
