#include "examples/server_types.h"

#include "examples/cache/cache.h"
#include "examples/counter/counter.h"
#include "examples/periodic/periodic.h"
#include "examples/session/session.h"

namespace examples {

std::vector<muster::ServerTypeInfo> ExampleServerTypes() {
  return {
      muster::ServerType<Counter>("counter"),
      muster::ServerType<PeriodicTask>("periodic_task"),
      muster::ServerType<Cache>("cache"),
      muster::ServerType<SessionStore>("session_store"),
  };
}

}  // namespace examples
