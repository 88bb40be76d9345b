#include "examples/server_types.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "node/node.h"

namespace examples {
namespace {

TEST(ExampleServerTypesTest, AreTheGuidesServers) {
  std::vector<std::string> lines;
  for (const muster::ServerTypeInfo& type : ExampleServerTypes()) {
    ASSERT_NE(type.service, nullptr) << type.name;
    ASSERT_NE(type.options, nullptr) << type.name;
    lines.push_back(type.name + " " + type.service->full_name() + " " +
                    type.options->full_name());
    EXPECT_NE(type.factory(), nullptr);
    EXPECT_EQ(type.defaults.restart, muster::Restart::kPermanent);
  }
  EXPECT_THAT(lines, testing::ElementsAre(
                         "counter counter.v1.Counter counter.v1.CounterOptions",
                         "periodic_task periodic.v1.PeriodicTask "
                         "periodic.v1.PeriodicTaskOptions",
                         "cache cache.v1.Cache cache.v1.CacheOptions",
                         "session_store session.v1.SessionStore "
                         "session.v1.SessionStoreOptions"));
}

}  // namespace
}  // namespace examples
