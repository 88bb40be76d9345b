// The counter service as a node's reflection describes it, without generated
// code: what the command line works from.
#ifndef MUSTER_TESTS_UNIT_CLUSTER_CLI_INVOKE_FIXTURE_H_
#define MUSTER_TESTS_UNIT_CLUSTER_CLI_INVOKE_FIXTURE_H_

#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/empty.pb.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "muster/options/v1/options.pb.h"
#include "tests/unit/cluster/cli/fake_node_client.h"

namespace muster {

inline void DescribeCounter(FakeNode* node) {
  google::protobuf::FileDescriptorProto file;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"pb(
        name: "counter/v1/counter.proto"
        package: "counter.v1"
        syntax: "proto3"
        dependency: "google/protobuf/empty.proto"
        dependency: "muster/options/v1/options.proto"
        message_type {
          name: "IncrementRequest"
          field {
            name: "by"
            number: 1
            type: TYPE_INT64
            label: LABEL_OPTIONAL
            json_name: "by"
          }
          field {
            name: "nested_request"
            number: 2
            type: TYPE_MESSAGE
            label: LABEL_REPEATED
            type_name: ".counter.v1.IncrementRequest"
            json_name: "nestedRequest"
          }
        }
        message_type {
          name: "CounterValue"
          field {
            name: "the_value"
            number: 1
            type: TYPE_INT32
            label: LABEL_OPTIONAL
            json_name: "theValue"
          }
        }
        service {
          name: "Counter"
          method {
            name: "Increment"
            input_type: ".counter.v1.IncrementRequest"
            output_type: ".counter.v1.CounterValue"
          }
          method {
            name: "Get"
            input_type: ".google.protobuf.Empty"
            output_type: ".counter.v1.CounterValue"
          }
          method {
            name: "Reset"
            input_type: ".google.protobuf.Empty"
            output_type: ".google.protobuf.Empty"
            options {
              [muster.options.v1.cast]: true
            }
          }
        }
        service {
          name: "Other"
          method {
            name: "Get"
            input_type: ".google.protobuf.Empty"
            output_type: ".google.protobuf.Empty"
          }
        }
      )pb",
      &file));
  node->files.push_back(file);
  for (const google::protobuf::FileDescriptor* imported :
       {google::protobuf::Empty::descriptor()->file(),
        google::protobuf::MethodOptions::descriptor()->file(),
        google::protobuf::DescriptorPool::generated_pool()->FindFileByName(
            "muster/options/v1/options.proto")}) {
    imported->CopyTo(&node->files.emplace_back());
  }
  node->services = {"counter.v1.Counter", "counter.v1.Other",
                    "grpc.reflection.v1alpha.ServerReflection",
                    "muster.process.v1.ProcessService"};
  process::v1::WhereIsResponse where;
  where.set_name("counter_a");
  where.set_node("a");
  where.set_type("counter");
  where.set_service("counter.v1.Counter");
  where.mutable_pid()->set_node("a");
  where.mutable_pid()->mutable_epoch()->set_generation(1);
  where.mutable_pid()->mutable_epoch()->set_revision(18);
  where.mutable_pid()->set_number(7);
  where.mutable_epoch()->set_generation(1);
  where.mutable_epoch()->set_revision(21);
  node->where = where;
}

}  // namespace muster

#endif  // MUSTER_TESTS_UNIT_CLUSTER_CLI_INVOKE_FIXTURE_H_
