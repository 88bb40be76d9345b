#include "cluster/cli/format.h"

#include <string>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace muster {
namespace {

template <typename M>
M Proto(const std::string& text) {
  M message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

constexpr char kTree[] = R"pb(
  supervisors {
    id: "my_app"
    strategy: ONE_FOR_ONE
    intensity: 3
    period { seconds: 5 }
    node: "a"
    children {
      id: "counter"
      name: "counter"
      type: "counter"
      state: "running"
      node: "a"
      pid {
        node: "a"
        epoch { generation: 1 revision: 18 }
        number: 7
      }
      epoch { generation: 1 revision: 21 }
      restart: PERMANENT
    }
    children {
      id: "cache"
      name: "shop/cache"
      type: "cache"
      state: "pending"
      detail: "no node has the type\n\"cache\""
    }
  }
  supervisors { id: "old" failed: "4 restarts in 5s" }
)pb";

// clang-format off
constexpr char kTreeTable[] =
R"(SUPERVISOR/CHILD  STATE    NODE  TYPE         NAME        PID                                    DETAIL
my_app            running  a     one_for_one  -           -                                      at most 3 restarts in 5s
  counter         running  a     counter      counter     a~0000000000000001.0000000000000012~7  -
  cache           pending  -     cache        shop/cache  -                                      no node has the type "cache"
old               failed   -     -            -           -                                      4 restarts in 5s
)";
// clang-format on

TEST(FormatTest, TreeTable) {
  EXPECT_EQ(TreeTable(Proto<admin::v1::GetTreeResponse>(kTree)), kTreeTable);
}

TEST(FormatTest, TreeJson) {
  EXPECT_EQ(ListToJson(Proto<admin::v1::GetTreeResponse>(kTree), "supervisors"),
            R"([
  {
    "id": "my_app",
    "strategy": "ONE_FOR_ONE",
    "intensity": 3,
    "period": "5s",
    "node": "a",
    "children": [
      {
        "id": "counter",
        "name": "counter",
        "type": "counter",
        "state": "running",
        "node": "a",
        "pid": "a~0000000000000001.0000000000000012~7",
        "epoch": "0000000000000001.0000000000000015",
        "restart": "PERMANENT",
        "detail": "",
        "placement": null
      },
      {
        "id": "cache",
        "name": "shop/cache",
        "type": "cache",
        "state": "pending",
        "node": "",
        "pid": null,
        "epoch": null,
        "restart": "RESTART_UNSPECIFIED",
        "detail": "no node has the type\n\"cache\"",
        "placement": null
      }
    ],
    "failed": ""
  },
  {
    "id": "old",
    "strategy": "STRATEGY_UNSPECIFIED",
    "intensity": 0,
    "period": null,
    "node": "",
    "children": [],
    "failed": "4 restarts in 5s"
  }
]
)");
}

TEST(FormatTest, AnEmptyListIsAnEmptyArray) {
  EXPECT_EQ(ListToJson(admin::v1::ListNodesResponse(), "nodes"), "[]\n");
}

constexpr char kProcesses[] = R"pb(
  processes {
    pid {
      node: "a"
      epoch { generation: 1 revision: 18 }
      number: 7
    }
    name: "counter_a"
    global: true
    type: "counter"
    state: "idle"
    handled: 12345678901
    age { seconds: 3725 }
  }
  processes {
    pid {
      node: "b"
      epoch { generation: 1 revision: 19 }
      number: 12
    }
    state: "running"
    mailbox: 3
    age { seconds: 9 nanos: 5 }
  }
)pb";

TEST(FormatTest, ProcessTable) {
  EXPECT_EQ(
      ProcessTable(Proto<admin::v1::ListProcessesResponse>(kProcesses)),
      "NAME       TYPE     NODE  STATE    MAILBOX  HANDLED      AGE   PID\n"
      "counter_a  counter  a     idle     0        12345678901  1h2m  "
      "a~0000000000000001.0000000000000012~7\n"
      "-          -        b     running  3        0            9s    "
      "b~0000000000000001.0000000000000013~12\n");
}

TEST(FormatTest, ProcessJson) {
  EXPECT_EQ(ListToJson(Proto<admin::v1::ListProcessesResponse>(kProcesses),
                       "processes"),
            R"([
  {
    "pid": "a~0000000000000001.0000000000000012~7",
    "name": "counter_a",
    "global": true,
    "type": "counter",
    "state": "idle",
    "mailbox": "0",
    "handled": "12345678901",
    "age": "3725s"
  },
  {
    "pid": "b~0000000000000001.0000000000000013~12",
    "name": "",
    "global": false,
    "type": "",
    "state": "running",
    "mailbox": "3",
    "handled": "0",
    "age": "9.000000005s"
  }
]
)");
}

TEST(FormatTest, NodeTableAndJson) {
  const auto nodes = Proto<admin::v1::ListNodesResponse>(R"pb(
    nodes {
      name: "a"
      address: "127.0.0.1:7001"
      epoch { generation: 1 revision: 18 }
      joined_at { seconds: 1700000000 }
      types: "cache"
      types: "counter"
      children: 2
      version: "0.1.0"
      labels { key: "zone" value: "a1" }
      state: "alive"
    }
  )pb");
  EXPECT_EQ(NodeTable(nodes),
            "NAME  STATE  ADDRESS         CHILDREN  LABELS   TYPES          "
            "VERSION  JOINED                EPOCH\n"
            "a     alive  127.0.0.1:7001  2         zone=a1  cache,counter  "
            "0.1.0    2023-11-14 22:13:20Z  "
            "0000000000000001.0000000000000012\n");
  EXPECT_EQ(ListToJson(nodes, "nodes"), R"([
  {
    "name": "a",
    "address": "127.0.0.1:7001",
    "epoch": "0000000000000001.0000000000000012",
    "joined_at": "2023-11-14T22:13:20Z",
    "types": [
      "cache",
      "counter"
    ],
    "children": 2,
    "version": "0.1.0",
    "labels": {
      "zone": "a1"
    },
    "state": "alive"
  }
]
)");
}

TEST(FormatTest, WhereIsTableAndJson) {
  const auto where = Proto<process::v1::WhereIsResponse>(R"pb(
    name: "counter_a"
    node: "a"
    pid {
      node: "a"
      epoch { generation: 1 revision: 18 }
      number: 7
    }
    epoch { generation: 1 revision: 21 }
    type: "counter"
    service: "counter.v1.Counter"
  )pb");
  EXPECT_EQ(WhereIsTable(where),
            "NAME       NODE  TYPE     EPOCH                              PID\n"
            "counter_a  a     counter  0000000000000001.0000000000000015  "
            "a~0000000000000001.0000000000000012~7\n");
  EXPECT_EQ(WhereIsJson(where), R"({
  "name": "counter_a",
  "node": "a",
  "pid": "a~0000000000000001.0000000000000012~7",
  "epoch": "0000000000000001.0000000000000015"
}
)");
}

TEST(FormatTest, NameTable) {
  EXPECT_EQ(NameTable(Proto<admin::v1::ListNamesResponse>(R"pb(
              names {
                name: "counter_a"
                node: "a"
                type: "counter"
                supervisor: "my_app"
                pid {
                  node: "a"
                  epoch { generation: 1 revision: 18 }
                  number: 7
                }
                epoch { generation: 1 revision: 21 }
              }
            )pb")),
            "NAME       NODE  TYPE     SUPERVISOR  EPOCH                       "
            "       PID\n"
            "counter_a  a     counter  my_app      "
            "0000000000000001.0000000000000015  "
            "a~0000000000000001.0000000000000012~7\n");
}

TEST(FormatTest, StatusPage) {
  const auto status = Proto<admin::v1::GetStatusResponse>(R"pb(
    cluster: "demo"
    cluster_id: "3f2a"
    node: "a"
    node_epoch { generation: 1 revision: 18 }
    version: "0.1.0"
    store: "etcd://127.0.0.1:2379"
    profile {
      heartbeat { nanos: 500000000 }
      fence { seconds: 3 }
      reap { seconds: 4 }
      guard { nanos: 250000000 }
    }
    nodes: 3
    names: 5
    supervisors: 1
    children_wanted: 5
    children_running: 4
    fence_remaining { seconds: 2 nanos: 612345678 }
    grpc_version: "1.51.1"
  )pb");
  EXPECT_EQ(StatusPage(status),
            "cluster      demo (id 3f2a)\n"
            "node         a, epoch 0000000000000001.0000000000000012\n"
            "version      0.1.0, gRPC 1.51.1\n"
            "store        etcd://127.0.0.1:2379\n"
            "nodes        3\n"
            "names        5\n"
            "supervisors  1\n"
            "children     4 of 5 running\n"
            "times        heartbeat 500ms, fence 3s, reap 4s, guard 250ms\n"
            "fence        2612ms left\n");
}

TEST(FormatTest, ApplyTable) {
  EXPECT_EQ(ApplyTable(Proto<cluster::v1::Manifest>(R"pb(
                         supervisor: "s"
                         children { id: "a" name: "a" type: "counter" }
                         children { id: "b" name: "shop/b" type: "cache" }
                         children { id: "c" name: "c" type: "cache" }
                       )pb"),
                       Proto<admin::v1::ApplyResponse>(R"pb(
                         started: "a"
                         restarted: "b"
                         unchanged: "c"
                         stopped: "old"
                       )pb")),
            "CHILD  NAME    TYPE     ACTION\n"
            "a      a       counter  started\n"
            "b      shop/b  cache    restarted\n"
            "c      c       cache    unchanged\n"
            "old    -       -        stopped\n");
}

TEST(FormatTest, NoCellBreaksTheTable) {
  EXPECT_EQ(Table({{"A", "B"}, {"x\n\x1b[31m", "\xC3\xA9"}, {"", "\xC3\xA9y"}}),
            "A        B\nx  [31m  \xC3\xA9\n-        \xC3\xA9y\n");
}

}  // namespace
}  // namespace muster
