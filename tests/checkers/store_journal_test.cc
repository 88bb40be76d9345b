#include "tests/checkers/store_journal.h"

#include <string>
#include <utility>

#include "cluster/store/keys.h"
#include "cluster/store/store.h"
#include "cluster/store/store_state.h"
#include "gtest/gtest.h"
#include "muster/store/v1/store.pb.h"
#include "node/types/pid.h"
#include "tests/checkers/history.h"

namespace muster {
namespace {

class StoreJournalTest : public testing::Test {
 protected:
  int64_t Apply(std::vector<StoreOp> ops) {
    Txn txn;
    txn.then = std::move(ops);
    const int64_t revision = store_.Apply(std::move(txn)).revision;
    const auto slice = store_.Events(keys_.Root(), next_, SIZE_MAX);
    next_ = slice->next_revision;
    journal_.Record(slice->events, 5, &history_);
    return revision;
  }
  void PutMeta(uint64_t generation) {
    store::v1::Meta meta;
    meta.set_generation(generation);
    Apply({StoreOp::Put(keys_.Meta(), meta.SerializeAsString())});
  }
  StoreOp Name(const std::string& name, const std::string& owner,
               int64_t revision) {
    store::v1::NameRecord record;
    record.set_owner(owner);
    record.set_owner_revision(static_cast<uint64_t>(revision));
    record.set_process(9);
    record.set_instance("i");
    record.set_supervisor("s");
    return StoreOp::Put(keys_.Name(name), record.SerializeAsString());
  }
  StoreOp Event(const std::string& kind, const std::string& node) {
    store::v1::EventRecord record;
    record.set_kind(kind);
    record.set_node(node);
    return StoreOp::Put(keys_.Event("e"), record.SerializeAsString());
  }

  const Keys keys_{"sim"};
  StoreState store_;
  StoreJournal journal_{"sim"};
  int64_t next_ = 1;
  History history_;
};

TEST_F(StoreJournalTest, TellsWhoJoinedClaimedAndLeft) {
  PutMeta(3);
  const int64_t n = Apply({StoreOp::Put(keys_.Node("a"), "x")});
  const int64_t e = Apply({Name("x/y", "a", n)});
  Apply({StoreOp::Delete(keys_.Name("x/y"))});
  Apply({StoreOp::Delete(keys_.Node("a")), Event("node.left", "a")});
  ASSERT_EQ(history_.size(), 4u);
  EXPECT_EQ(history_[0].kind, EventKind::kJoin);
  EXPECT_EQ(history_[0].node_epoch, (Epoch{3, static_cast<uint64_t>(n)}));
  EXPECT_EQ(history_[1].kind, EventKind::kClaim);
  EXPECT_EQ(history_[1].name, "x/y");
  EXPECT_EQ(history_[1].epoch, (Epoch{3, static_cast<uint64_t>(e)}));
  EXPECT_EQ(history_[1].node_epoch, history_[0].node_epoch);
  EXPECT_EQ(history_[1].seq, 9u);
  EXPECT_EQ(history_[1].session, "s");
  EXPECT_EQ(history_[2].kind, EventKind::kRelease);
  EXPECT_EQ(history_[3].kind, EventKind::kReap);
  EXPECT_EQ(history_[3].op, "left");
}

TEST_F(StoreJournalTest, AClaimByConsentSaysWhoGaveTheNameAway) {
  PutMeta(1);
  const int64_t a = Apply({StoreOp::Put(keys_.Node("a"), "x")});
  const int64_t b = Apply({StoreOp::Put(keys_.Node("b"), "x")});
  Apply({Name("n", "a", a)});
  EXPECT_EQ(history_.back().op, "");
  store::v1::EventRecord moved;
  moved.set_kind("child.moved");
  moved.set_name("n");
  moved.set_from_node("a");
  moved.set_to_node("b");
  Apply({Name("n", "b", b), Name("other", "b", b),
         StoreOp::Put(keys_.Event("e"), moved.SerializeAsString())});
  ASSERT_EQ(history_.size(), 5u);
  EXPECT_EQ(history_[3].name, "n");
  EXPECT_EQ(history_[3].op, "moved");
  EXPECT_EQ(history_[3].reason, "a");
  EXPECT_EQ(history_[4].name, "other");
  EXPECT_EQ(history_[4].op, "");
}

TEST_F(StoreJournalTest, AReapSaysHowItWasDecided) {
  PutMeta(1);
  for (const auto& [event, op] :
       {std::pair("node.reaped", "silent"),
        std::pair("node.attested", "attested"), std::pair("", "silent")}) {
    Apply({StoreOp::Put(keys_.Node("a"), "x")});
    if (*event == '\0') {
      Apply({StoreOp::Delete(keys_.Node("a"))});
    } else {
      Apply({StoreOp::Delete(keys_.Node("a")), Event(event, "a")});
    }
    EXPECT_EQ(history_.back().op, op) << event;
  }
  Apply({StoreOp::Put(keys_.Node("a"), "x")});
  Apply({StoreOp::Delete(keys_.Node("a")), Event("node.reaped", "a"),
         StoreOp::Put(keys_.Grave("a"), "g")});
  EXPECT_EQ(history_.back().op, "forced");
}

TEST_F(StoreJournalTest, AnUpdateOfANodesRecordIsNoNewMember) {
  PutMeta(1);
  Apply({StoreOp::Put(keys_.Node("a"), "x")});
  Apply({StoreOp::Put(keys_.Node("a"), "draining")});
  EXPECT_EQ(history_.size(), 1u);
}

TEST_F(StoreJournalTest, AGreaterGenerationEndsAllEpochs) {
  PutMeta(1);
  Apply({StoreOp::Put(keys_.Node("a"), "x")});
  PutMeta(2);
  ASSERT_EQ(history_.size(), 2u);
  EXPECT_EQ(history_[1].kind, EventKind::kReap);
  EXPECT_EQ(history_[1].op, "forced");
}

TEST_F(StoreJournalTest, ARestoreKeepsItsMembersAndClaimsNothingAnew) {
  PutMeta(1);
  const int64_t n = Apply({StoreOp::Put(keys_.Node("a"), "x")});
  Apply({Name("x", "a", n)});
  history_.clear();
  journal_.Begin(store_.List(keys_.Root()), true, 6, &history_);
  ASSERT_EQ(history_.size(), 2u);
  EXPECT_EQ(history_[0].kind, EventKind::kRestore);
  EXPECT_EQ(history_[0].limit, 1);
  EXPECT_EQ(history_[1].kind, EventKind::kJoin);
}

}  // namespace
}  // namespace muster
