#include "tests/sim/cluster_history.h"

#include <string>
#include <utility>

#include "absl/time/time.h"
#include "cluster/store/keys.h"
#include "cluster/store/store.h"
#include "cluster/store/store_state.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "muster/store/v1/store.pb.h"
#include "node/base/clock.h"
#include "node/types/pid.h"
#include "node/types/status.h"

namespace muster {
namespace {

using testing::Contains;
using testing::IsEmpty;
using testing::StartsWith;

BootTime At(int ms) {
  return BootTime::FromNanoseconds(0) + absl::Milliseconds(ms);
}
Epoch E(uint64_t revision) { return Epoch{1, revision}; }

// Each bad history is one that its checker must report by name.
class ClusterHistoryTest : public testing::Test {
 protected:
  int64_t Put(const std::string& key, const std::string& value) {
    Txn txn;
    txn.then.push_back(StoreOp::Put(key, value));
    const int64_t revision = store_.Apply(std::move(txn)).revision;
    history_.Follow(store_);
    return revision;
  }
  void Delete(const std::string& key) {
    Txn txn;
    txn.then.push_back(StoreOp::Delete(key));
    store_.Apply(std::move(txn));
    history_.Follow(store_);
  }
  int64_t Join(const std::string& node) { return Put(keys_.Node(node), "x"); }
  Epoch Claim(const std::string& name, const std::string& owner,
              int64_t revision) {
    store::v1::NameRecord record;
    record.set_name(name);
    record.set_owner(owner);
    record.set_owner_revision(static_cast<uint64_t>(revision));
    return E(static_cast<uint64_t>(
        Put(keys_.Name(name), record.SerializeAsString())));
  }
  // A call of `id` that runs from `began` to `ended` and is answered OK.
  void Served(int64_t id, Epoch epoch, int began, int ended) {
    const size_t call = history_.Sent(id, "x", "a.1");
    const size_t run = history_.Began("x", epoch, id, At(began));
    history_.Ended(run, At(ended));
    history_.Finished(call, absl::OkStatus(), epoch, -id);
  }
  void ExpectReported(const std::string& guarantee) {
    history_.Check();
    EXPECT_THAT(history_.violations(), Contains(StartsWith(guarantee)));
  }

  const Keys keys_{"c"};
  StoreState store_;
  ClusterHistory history_{keys_};
};

TEST_F(ClusterHistoryTest, AGoodHistoryIsGood) {
  const int64_t a = Join("a");
  const int64_t b = Join("b");
  const Epoch first = Claim("x", "a", a);
  Served(1, first, 0, 5);
  Delete(keys_.Node("a"));
  const Epoch second = Claim("x", "b", b);
  Served(2, second, 6, 7);
  const size_t refused = history_.Sent(3, "x", "a.1");
  history_.Finished(
      refused,
      Error(absl::StatusCode::kUnavailable, "FROZEN", "").NotExecuted(),
      Epoch(), 0);
  history_.Check();
  EXPECT_THAT(history_.violations(), IsEmpty());
}

TEST_F(ClusterHistoryTest, ReportsAClaimOverALivingOwner) {
  const int64_t a = Join("a");
  const int64_t b = Join("b");
  Claim("x", "a", a);
  Claim("x", "b", b);
  ExpectReported("G1 ");
}

TEST_F(ClusterHistoryTest, ReportsAClaimByADeadEpoch) {
  const int64_t a = Join("a");
  Delete(keys_.Node("a"));
  Claim("x", "a", a);
  ExpectReported("G1 ");
}

TEST_F(ClusterHistoryTest, ReportsEffectsThatOverlap) {
  const int64_t a = Join("a");
  const int64_t b = Join("b");
  const Epoch first = Claim("x", "a", a);
  const size_t call = history_.Sent(1, "x", "a.1");
  const size_t run = history_.Began("x", first, 1, At(0));
  Delete(keys_.Node("a"));
  Served(2, Claim("x", "b", b), 5, 6);
  history_.Ended(run, At(8));
  history_.Finished(call, absl::OkStatus(), first, -1);
  ExpectReported("G1 ");
}

TEST_F(ClusterHistoryTest, ReportsWorkBehindTheFence) {
  const int64_t a = Join("a");
  const int64_t b = Join("b");
  const Epoch first = Claim("x", "a", a);
  Delete(keys_.Node("a"));
  Claim("x", "b", b);
  history_.Began("x", first, 1, At(0));
  ExpectReported("G3 ");
}

TEST_F(ClusterHistoryTest, ReportsASessionThatGoesBack) {
  const int64_t a = Join("a");
  const Epoch first = Claim("x", "a", a);
  const Epoch second = Claim("x", "a", a);
  Served(1, second, 0, 1);
  Served(2, first, 2, 3);
  ExpectReported("G5 ");
}

TEST_F(ClusterHistoryTest, ReportsANodeThatResolvesBackwards) {
  history_.Resolved("a.1", "x", E(5));
  history_.Resolved("a.2", "x", E(4));  // Another incarnation.
  history_.Resolved("a.1", "x", E(4));
  ExpectReported("G5 ");
}

TEST_F(ClusterHistoryTest, ReportsACallThatRanTwice) {
  const Epoch epoch = Claim("x", "a", Join("a"));
  Served(1, epoch, 0, 1);
  history_.Began("x", epoch, 1, At(2));
  ExpectReported("G6 ");
}

TEST_F(ClusterHistoryTest, ReportsAnExecutedCallCalledNotExecuted) {
  const Epoch epoch = Claim("x", "a", Join("a"));
  const size_t call = history_.Sent(1, "x", "a.1");
  history_.Began("x", epoch, 1, At(0));
  history_.Finished(
      call, Error(absl::StatusCode::kUnavailable, "NODEDOWN", "").NotExecuted(),
      Epoch(), 0);
  ExpectReported("G7 ");
}

TEST_F(ClusterHistoryTest, ReportsAWrongReply) {
  const Epoch epoch = Claim("x", "a", Join("a"));
  const size_t call = history_.Sent(1, "x", "a.1");
  history_.Ended(history_.Began("x", epoch, 1, At(0)), At(1));
  history_.Finished(call, absl::OkStatus(), epoch, 17);
  ExpectReported("G7 ");
}

TEST_F(ClusterHistoryTest, ReportsAnErrorWithoutAnOutcome) {
  const size_t call = history_.Sent(1, "x", "a.1");
  history_.Finished(call, absl::UnknownError("?"), Epoch(), 0);
  ExpectReported("G7 ");
}

TEST_F(ClusterHistoryTest, ReportsACallThatNeverEndsUnlessItsClientDied) {
  history_.Sent(1, "x", "a.1");
  history_.Abandon("a.1");
  history_.Check();
  EXPECT_THAT(history_.violations(), IsEmpty());
  history_.Sent(2, "x", "a.2");
  ExpectReported("G7 ");
}

}  // namespace
}  // namespace muster
