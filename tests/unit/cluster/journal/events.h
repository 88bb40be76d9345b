// Hand-made journals, for the tests of this directory.
#ifndef MUSTER_TESTS_UNIT_CLUSTER_JOURNAL_EVENTS_H_
#define MUSTER_TESTS_UNIT_CLUSTER_JOURNAL_EVENTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "muster/admin/v1/admin.pb.h"

namespace muster {

// `record` in text form, at second `revision` of 2023-11-14.
inline admin::v1::Event MakeEvent(uint64_t revision,
                                  const std::string& record) {
  admin::v1::Event event;
  event.set_revision(revision);
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      record, event.mutable_record()))
      << record;
  event.mutable_record()->set_schema(1);
  event.mutable_record()->mutable_at()->set_seconds(
      1699920000 + static_cast<int64_t>(revision));
  return event;
}

inline std::vector<uint64_t> Revisions(
    const std::vector<admin::v1::Event>& events) {
  std::vector<uint64_t> revisions;
  for (const admin::v1::Event& event : events) {
    revisions.push_back(event.revision());
  }
  return revisions;
}

}  // namespace muster

#endif  // MUSTER_TESTS_UNIT_CLUSTER_JOURNAL_EVENTS_H_
