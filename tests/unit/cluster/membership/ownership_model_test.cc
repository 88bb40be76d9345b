// Walks all states of a cluster of two nodes, one name and one caller, with the
// decisions of production (guarantees sections 4 and 5).
//
// Node a owns the name, node b reaps and claims, a caller has one call at a.
// Their clocks tick one or two units a step, each as it likes, so that they
// differ in speed by up to 2 = R/F. Messages and answers take any time or are
// lost; a may be held up between any two steps, or crash; an operator may
// remove it. In no state may a pass a check of its fence, or the caller take a
// reply for good, once b has claimed the name. And each rule is needed: without
// it such a state is found.
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cluster/membership/ownership.h"
#include "cluster/membership/profile.h"
#include "cluster/membership/reap.h"
#include "cluster/store/keys.h"
#include "cluster/store/store.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "node/base/fence.h"

namespace muster {
namespace {

// In units of a clock; one is 1 s, so that all is exact.
constexpr int kFence = 4;
constexpr int kReap = 8;
constexpr int kGuard = 1;
absl::Duration Units(int n) { return absl::Seconds(n); }

// Revisions, as far as they differ.
constexpr int64_t kNode = 1;
constexpr int64_t kClaimOfA = 2;
constexpr int64_t kBeat = 3;       // The latest that b has seen,
constexpr int64_t kLaterBeat = 4;  // and one that it has not.
constexpr int64_t kGrave = 5;
constexpr int64_t kClaimOfB = 6;

// Which rule is taken away.
enum class Without {
  kNothing,
  kFenceFromSending,  // R2: D counts from the answer.
  kCommittedBeats,    // R2: any answer extends D.
  kFullReap,          // R5: reaps after F/2.
  kHeartbeatCompare,  // R4.
  kOwnerCompare,      // R3: a claim does not ask whether the owner is a member.
  kReplyCheck,        // R8: late replies are taken.
  kGraveWait,         // R19: the grave is not waited out.
  kGraveCompare,      // R19: the claim does not compare the grave.
  kInlineFence,       // R10: the check is that of some time before.
};

struct State {
  // Node a.
  enum A { kActive, kKnowsDead, kCrashed };
  // Its heartbeat: on its way, or its answer is.
  enum Message { kNone, kSent, kCommitted, kRefused };
  enum Call { kNotYet, kCalling, kRunning, kReplied, kDone };
  // What b has sent and the store has not seen.
  enum Reap { kNoReap, kReapsLatest, kReapsOld };
  enum Claim { kNoClaim, kNoGraveSeen, kGraveSeen };

  int a = kActive;
  int fence = kFence;  // D - now, at least -1.
  int beat = kNone;
  int beat_age = 0;  // Since it was sent, at most F + 1.
  int ghost = 0;     // An earlier one that was given up may still arrive.
  int call = kNotYet;
  int call_age = 0;     // On the caller's clock, at most 3.
  int left = 0;         // What the reply says, at most F.
  int stale_check = 0;  // Without::kInlineFence: the last check said yes.
  // The store.
  int member = 1;
  int latest_seen = 1;  // b has seen the latest heartbeat.
  int grave = 0;
  int taken = 0;     // The name is b's.
  int attested = 0;  // a was reaped as attested dead.
  // Node b.
  int silence = 0;  // At most R.
  int grave_seen = 0;
  int grave_age = 0;  // At most 2 R.
  int reap = kNoReap;
  int claim = kNoClaim;

  // Makes equal what differs only in what cannot matter any more.
  void Settle() {
    if (!member) {
      silence = 0;
      latest_seen = 1;
      reap = kNoReap;
      ghost = 0;
    }
    if (taken) {
      grave = grave_seen = grave_age = 0;
      claim = kNoClaim;
    }
    if (a != kActive && call != kReplied) call = kDone;
    if (call == kDone || call == kNotYet) call_age = left = 0;
  }
  uint64_t Pack() const {
    uint64_t packed = static_cast<uint64_t>(fence + 1);
    const auto add = [&packed](int field, int bits) {
      packed = packed << bits | static_cast<uint64_t>(field);
    };
    add(a, 2);
    add(beat, 2);
    add(beat_age, 3);
    add(ghost, 1);
    add(call, 3);
    add(call_age, 2);
    add(left, 3);
    add(stale_check, 1);
    add(member, 1);
    add(latest_seen, 1);
    add(grave, 1);
    add(taken, 1);
    add(attested, 1);
    add(silence, 4);
    add(grave_seen, 1);
    add(grave_age, 5);
    add(reap, 2);
    add(claim, 2);
    return packed;
  }
  static State Unpack(uint64_t packed) {
    State s;
    const auto take = [&packed](int& field, int bits) {
      field = static_cast<int>(packed & ((uint64_t{1} << bits) - 1));
      packed >>= bits;
    };
    take(s.claim, 2);
    take(s.reap, 2);
    take(s.grave_age, 5);
    take(s.grave_seen, 1);
    take(s.silence, 4);
    take(s.attested, 1);
    take(s.taken, 1);
    take(s.grave, 1);
    take(s.latest_seen, 1);
    take(s.member, 1);
    take(s.stale_check, 1);
    take(s.left, 3);
    take(s.call_age, 2);
    take(s.call, 3);
    take(s.ghost, 1);
    take(s.beat_age, 3);
    take(s.beat, 2);
    take(s.a, 2);
    s.fence = static_cast<int>(packed) - 1;
    return s;
  }
  std::string ToString() const {
    return absl::StrCat("a=", a, " fence=", fence, " beat=", beat, "/",
                        beat_age, " ghost=", ghost, " call=", call, "/",
                        call_age, " left=", left, " member=", member,
                        " latest_seen=", latest_seen, " grave=", grave,
                        " taken=", taken, " attested=", attested,
                        " silence=", silence, " grave_seen=", grave_seen, "/",
                        grave_age, " reap=", reap, " claim=", claim);
  }
};

class Walk {
 public:
  explicit Walk(Without without) : without_(without) {
    profile_.heartbeat = Units(1);
    profile_.fence = Units(kFence);
    profile_.reap = Units(kReap);
    profile_.guard = Units(kGuard);
    if (without == Without::kFullReap) profile_.reap = Units(kFence / 2);
    Tabulate();
  }

  // What went wrong first, with how it came to it; empty if nothing can.
  std::string Run() {
    Add(State(), kStart);
    for (size_t next = 0; next < order_.size() && violation_.empty(); ++next) {
      from_ = order_[next];
      Steps(State::Unpack(from_));
    }
    return violation_;
  }
  size_t states() const { return order_.size(); }

 private:
  static constexpr uint64_t kStart = UINT64_MAX;

  // What b decides, from what it can know; asked of production once.
  void Tabulate() {
    const BootTime now = BootTime::FromNanoseconds(0) + Units(1000);
    for (int silence = 0; silence <= kReap; ++silence) {
      Reaper reaper(profile_);
      reaper.Committed(now);
      reaper.Observe("a", kNode, kBeat, now - Units(silence));
      due_[static_cast<size_t>(silence)] = !reaper.Sweep(2, now).empty();
    }
    for (int age = 0; age <= 2 * kReap; ++age) {
      Graves graves;
      graves.Observe("a", kNode, kGrave, now - Units(age));
      const ClaimGate gate = graves.Gate("a", kNode, profile_.reap);
      EXPECT_EQ(gate.grave_revision, std::optional<int64_t>(kGrave));
      may_claim_[static_cast<size_t>(age)] = gate.not_before <= now;
      is_old_[static_cast<size_t>(age)] =
          !graves.FindOld(profile_.reap, now).empty();
    }
    EXPECT_EQ(Graves().Gate("a", kNode, profile_.reap).grave_revision,
              std::optional<int64_t>(0));
    Txn silent = SilentReap(keys_, "a", kNode, kBeat, StoreOp::Delete("event"));
    if (without_ == Without::kHeartbeatCompare) {
      std::erase_if(silent.compares, [this](const Compare& compare) {
        return compare.key == keys_.Heartbeat("a");
      });
    }
    silent_ = Evaluate(silent);
    attested_ =
        Evaluate(AttestedReap(keys_, "a", kNode, StoreOp::Delete("event")));
    const Txn bury =
        BuryReap(keys_, "a", kNode, "", "b", StoreOp::Delete("event"));
    bury_ = Evaluate(bury);
    EXPECT_TRUE(std::any_of(
        bury.then.begin(), bury.then.end(), [this](const StoreOp& op) {
          return op.kind == StoreOp::Kind::kPut && op.key == keys_.Grave("a");
        }));
    claim_ = Evaluate(Claim(0));
    claim_after_grave_ = Evaluate(Claim(kGrave));
  }

  // -- The store
  // ---------------------------------------------------------------

  // Whether `txn` commits in each state that it can ask about.
  using Table = std::array<bool, 16>;
  static size_t Index(bool member, bool latest, bool grave, bool taken) {
    return static_cast<size_t>(member * 8 + latest * 4 + grave * 2 + taken);
  }
  Table Evaluate(const Txn& txn) const {
    Table table{};
    for (size_t i = 0; i < table.size(); ++i) {
      table[i] = true;
      for (const Compare& compare : txn.compares) {
        int64_t revision = 0;
        if (compare.key == keys_.Node("a")) {
          revision = i & 8 ? kNode : 0;
        } else if (compare.key == keys_.Heartbeat("a")) {
          // Of a reap that b decided on a heartbeat that is not the latest.
          revision = i & 8 ? (i & 4 ? kBeat : kLaterBeat) : 0;
        } else if (compare.key == keys_.Grave("a")) {
          revision = i & 2 ? kGrave : 0;
        } else if (compare.key == keys_.Name("n")) {
          revision = i & 1 ? kClaimOfB : kClaimOfA;
        } else {
          ADD_FAILURE() << "unknown key " << compare.key;
        }
        if ((revision == compare.revision) !=
            (compare.op == Compare::Op::kEqual)) {
          table[i] = false;
        }
      }
    }
    return table;
  }
  static bool Commits(const State& s, const Table& txn, bool latest = true) {
    return txn[Index(s.member, latest, s.grave, s.taken)];
  }
  static void Reaped(State& s, bool buried) {
    s.member = 0;
    if (buried) s.grave = 1;
  }
  // Its heartbeat reaches the store, which answers whether it was committed.
  bool CommitBeat(State& s) const {
    if (!s.member) return false;
    // b has not seen this one; what it has sent is of an older one now.
    s.latest_seen = 0;
    if (s.reap == State::kReapsLatest) s.reap = State::kReapsOld;
    return true;
  }
  Txn Claim(int64_t grave) const {
    Txn txn;
    txn.compares.push_back(
        Compare::ModRevision(keys_.Name("n"), Compare::Op::kEqual, kClaimOfA));
    if (without_ != Without::kOwnerCompare) {
      txn.compares.push_back(Compare::CreateRevision(
          keys_.Node("a"), Compare::Op::kNotEqual, kNode));
    }
    if (without_ != Without::kGraveWait && without_ != Without::kGraveCompare) {
      txn.compares.push_back(
          Compare::ModRevision(keys_.Grave("a"), Compare::Op::kEqual, grave));
    }
    return txn;
  }

  // -- What can happen
  // ---------------------------------------------------------

  void Steps(const State& s) {
    Tick(s);
    if (s.a == State::kActive) StepsOfA(s);
    StepsOfStore(s);
    StepsOfB(s);
    StepsOfCaller(s);
  }

  void Tick(const State& s) {
    for (int a = 1; a <= 2; ++a) {
      for (int b = 1; b <= 2; ++b) {
        for (int c = 1; c <= 2; ++c) {
          State t = s;
          t.fence = std::max(t.fence - a, -1);
          if (t.beat != State::kNone) {
            t.beat_age = std::min(t.beat_age + a, kFence + 1);
          }
          t.silence = std::min(t.silence + b, kReap);
          if (t.grave_seen) t.grave_age = std::min(t.grave_age + b, 2 * kReap);
          if (t.call != State::kNotYet && t.call != State::kDone) {
            t.call_age = std::min(t.call_age + c, 3);
          }
          Go(t);
        }
      }
    }
  }

  void StepsOfA(const State& s) {
    const BootTime now = BootTime::FromNanoseconds(0) + Units(1000);
    const BootTime deadline = now + Units(s.fence);
    const bool open = FenceOpen(deadline, profile_.guard, now);
    const bool passes =
        open || (without_ == Without::kInlineFence && s.stale_check);
    if (passes && s.taken) {
      Violation(s, "a passes its fence although b has claimed the name");
      return;
    }
    if (without_ == Without::kInlineFence && s.stale_check != open) {
      State t = s;  // A timer looks now and then.
      t.stale_check = open;
      Go(t);
    }
    if (s.beat == State::kNone) {
      State t = s;
      t.beat = State::kSent;
      t.beat_age = 0;
      Go(t);
    } else if (s.beat == State::kSent) {
      State t = s;  // It is given up, and may still arrive.
      t.ghost = 1;
      t.beat = State::kNone;
      if (without_ == Without::kCommittedBeats) {
        t.fence = std::max(t.fence, kFence - t.beat_age);
      }
      t.beat_age = 0;
      Go(t);
    } else {
      const AfterBeat after = Proves(
          s.beat == State::kCommitted ? Beat::kCommitted : Beat::kRefused,
          now - Units(s.beat_age), now, profile_);
      State t = s;
      t.beat = State::kNone;
      t.beat_age = 0;
      Go(t);  // The answer is lost.
      int extended = -1;
      if (after.deadline.has_value()) {
        extended = static_cast<int>((*after.deadline - now) / Units(1));
      }
      if (without_ == Without::kFenceFromSending && extended >= 0) {
        extended = kFence;
      }
      if (without_ == Without::kCommittedBeats) {
        extended = kFence - s.beat_age;
      } else if (after.dead) {
        t.a = State::kKnowsDead;
        t.fence = -1;
      }
      t.fence = std::max(t.fence, extended);
      Go(t);
    }
    if (s.call == State::kCalling && passes) {
      State t = s;
      t.call = State::kRunning;
      Go(t);
    }
    if (s.call == State::kRunning && passes) {
      State t = s;
      t.call = State::kReplied;
      t.left = static_cast<int>(FenceRemaining(deadline, profile_.guard, now) /
                                Units(1));
      Go(t);
    }
    State t = s;
    t.a = State::kCrashed;
    t.fence = -1;
    t.stale_check = 0;
    if (t.beat == State::kSent) t.ghost = 1;
    t.beat = State::kNone;
    t.beat_age = 0;
    Go(t);
  }

  void StepsOfStore(const State& s) {
    if (s.beat == State::kSent) {
      State t = s;
      t.beat = CommitBeat(t) ? State::kCommitted : State::kRefused;
      Go(t);
    }
    if (s.ghost) {
      State t = s;
      t.ghost = 0;
      Go(t);  // It is lost.
      if (CommitBeat(t)) Go(t);
    }
    if (s.reap != State::kNoReap) {
      State t = s;
      t.reap = State::kNoReap;
      Go(t);
      if (Commits(s, silent_, s.reap == State::kReapsLatest)) {
        Reaped(t, /*buried=*/false);
        Go(t);
      }
    }
    if (s.claim != State::kNoClaim) {
      State t = s;
      t.claim = State::kNoClaim;
      Go(t);
      if (Commits(s,
                  s.claim == State::kGraveSeen ? claim_after_grave_ : claim_)) {
        t.taken = 1;
        Go(t);
      }
    }
    // The sentinel attests a crash; an operator removes a node, dead or not.
    if (s.a == State::kCrashed && Commits(s, attested_)) {
      State t = s;
      Reaped(t, /*buried=*/false);
      t.attested = 1;
      Go(t);
    }
    if (Commits(s, bury_)) {
      State t = s;
      Reaped(t, /*buried=*/true);
      Go(t);
    }
  }

  void StepsOfB(const State& s) {
    if (!s.latest_seen) {
      State t = s;
      t.latest_seen = 1;
      t.silence = 0;
      Go(t);
    }
    if (s.reap == State::kNoReap && due_[static_cast<size_t>(s.silence)]) {
      State t = s;
      t.reap = s.latest_seen ? State::kReapsLatest : State::kReapsOld;
      Go(t);
    }
    if (s.grave && !s.grave_seen) {
      State t = s;
      t.grave_seen = 1;
      t.grave_age = 0;
      Go(t);
    }
    if (s.grave && s.grave_seen && is_old_[static_cast<size_t>(s.grave_age)]) {
      State t = s;
      t.grave = 0;
      t.grave_seen = 0;
      t.grave_age = 0;
      Go(t);
    }
    if (s.claim == State::kNoClaim && !s.taken &&
        (!s.grave_seen || without_ == Without::kGraveWait ||
         may_claim_[static_cast<size_t>(s.grave_age)])) {
      State t = s;
      t.claim = s.grave_seen ? State::kGraveSeen : State::kNoGraveSeen;
      Go(t);
    }
  }

  void StepsOfCaller(const State& s) {
    if (s.call == State::kNotYet) {
      State t = s;
      t.call = State::kCalling;
      Go(t);
    }
    if (s.call != State::kReplied) return;
    State t = s;
    t.call = State::kDone;
    t.call_age = 0;
    t.left = 0;
    Go(t);  // Lost, or refused: it asks the store.
    if ((without_ == Without::kReplyCheck ||
         ReplyAcceptable(Units(s.call_age), Units(s.left),
                         absl::FDivDuration(Units(kFence), Units(kReap)))) &&
        s.taken && !s.attested) {
      Violation(s, "the caller takes a reply although b has claimed the name");
    }
  }

  // -- Search
  // ------------------------------------------------------------------

  void Go(const State& s) { Add(s, from_); }
  void Add(State s, uint64_t from) {
    s.Settle();
    const uint64_t packed = s.Pack();
    if (came_from_.try_emplace(packed, from).second) order_.push_back(packed);
  }
  void Violation(const State& s, const std::string& what) {
    if (!violation_.empty()) return;
    std::vector<std::string> path;
    for (uint64_t at = s.Pack(); at != kStart; at = came_from_[at]) {
      path.push_back(State::Unpack(at).ToString());
    }
    violation_ = what;
    for (auto at = path.rbegin(); at != path.rend(); ++at) {
      absl::StrAppend(&violation_, "\n  ", *at);
    }
  }

  const Without without_;
  const Keys keys_{"c"};
  Profile profile_;
  std::array<bool, kReap + 1> due_{};
  std::array<bool, 2 * kReap + 1> may_claim_{};
  std::array<bool, 2 * kReap + 1> is_old_{};
  Table silent_;
  Table attested_;
  Table bury_;
  Table claim_;
  Table claim_after_grave_;
  absl::flat_hash_map<uint64_t, uint64_t> came_from_;
  std::vector<uint64_t> order_;
  uint64_t from_ = kStart;
  std::string violation_;
};

TEST(OwnershipModelTest, NoTwoOwnersAndNoReplyOfAnOldOne) {
  Walk walk(Without::kNothing);
  EXPECT_EQ(walk.Run(), "");
  EXPECT_GT(walk.states(), 100'000u);
  RecordProperty("states", static_cast<int>(walk.states()));
}

struct Weakened {
  std::string name;
  Without without;
  std::string finds;
};

class WeakenedTest : public testing::TestWithParam<Weakened> {};

TEST_P(WeakenedTest, IsFound) {
  Walk walk(GetParam().without);
  const std::string found = walk.Run();
  EXPECT_EQ(found.substr(0, found.find('\n')), GetParam().finds);
}

constexpr char kTwoOwners[] =
    "a passes its fence although b has claimed the name";
constexpr char kLateReply[] =
    "the caller takes a reply although b has claimed the name";

INSTANTIATE_TEST_SUITE_P(
    EachRule, WeakenedTest,
    testing::Values(
        Weakened{"FenceFromSending", Without::kFenceFromSending, kTwoOwners},
        Weakened{"CommittedBeats", Without::kCommittedBeats, kTwoOwners},
        Weakened{"FullReap", Without::kFullReap, kTwoOwners},
        Weakened{"HeartbeatCompare", Without::kHeartbeatCompare, kTwoOwners},
        Weakened{"OwnerCompare", Without::kOwnerCompare, kTwoOwners},
        Weakened{"ReplyCheck", Without::kReplyCheck, kLateReply},
        Weakened{"GraveWait", Without::kGraveWait, kTwoOwners},
        Weakened{"GraveCompare", Without::kGraveCompare, kTwoOwners},
        Weakened{"InlineFence", Without::kInlineFence, kTwoOwners}),
    [](const auto& info) { return info.param.name; });

// -- The brake
// -----------------------------------------------------------------

// Walks how the heartbeats of four nodes can stop and go on again: those of the
// reaper, of a witness, and of two that fall silent at about the same time.
class BrakeWalk {
 public:
  // Its heartbeats, in rounds of H: none from `stops` on, until `resumes`.
  struct Outage {
    int stops;
    int resumes;
    bool Beats(int round) const { return round < stops || round >= resumes; }
    std::string ToString() const { return absl::StrCat(stops, "-", resumes); }
  };
  static constexpr int kNever = 99;

  void Run() {
    std::vector<Outage> others{{kNever, kNever}};
    for (const int stops : {1, 4, 7, 8, 11}) {
      for (const int rounds : {1, 3, 8, kNever}) {
        others.push_back({stops, stops + rounds});
      }
    }
    for (const int a : {4, 7, 8, 9, 12, kNever}) {
      for (const int b : {4, 7, 8, 9, 12, kNever}) {
        for (const int b_stops : {1, 2}) {
          for (const Outage& witness : others) {
            for (const Outage& own : others) {
              RunOne({Outage{1, a}, Outage{b_stops, b}, witness}, own);
              if (testing::Test::HasFailure()) return;
            }
          }
        }
      }
    }
  }
  int runs() const { return runs_; }
  int together() const { return together_; }
  int one_by_one() const { return one_by_one_; }

 private:
  static constexpr int kRounds = 20;
  static constexpr size_t kNodes = 4;

  void RunOne(const std::array<Outage, 3>& nodes, const Outage& own) {
    ++runs_;
    const Profile profile;
    const absl::Duration heartbeat = profile.heartbeat;
    const std::array<std::string, 3> names = {"a", "b", "w"};
    const BootTime begin = BootTime::FromNanoseconds(0) + absl::Hours(1);
    Reaper reaper(profile);
    std::array<BootTime, 3> beat;
    std::array<bool, 3> gone{};
    BootTime committed = begin;
    std::optional<BootTime> reaped;
    for (int step = 0; step < kRounds * 5; ++step) {
      const BootTime now = begin + reaper.sweep_interval() * step;
      if (step % 5 == 0) {
        const int round = step / 5;
        if (own.Beats(round)) reaper.Committed(committed = now);
        for (size_t i = 0; i < nodes.size(); ++i) {
          if (gone[i] || !nodes[i].Beats(round)) continue;
          beat[i] = now;
          reaper.Observe(names[i], 1, round + 1, now);
        }
      }
      const std::vector<Silence::Overdue> due = reaper.Sweep(kNodes, now);
      if (due.empty()) continue;
      const auto silent_for = [&](size_t i) { return now - beat[i]; };
      size_t silent = 0;
      bool witnessed = now - committed <= heartbeat * 2;
      bool fresh = false;
      for (size_t i = 0; i < nodes.size(); ++i) {
        if (gone[i]) continue;
        if (silent_for(i) >= profile.reap - heartbeat * 1.5) ++silent;
        fresh = fresh || silent_for(i) <= heartbeat * 2;
      }
      witnessed = witnessed && fresh;
      const std::string how =
          absl::StrCat("a=", nodes[0].ToString(), " b=", nodes[1].ToString(),
                       " w=", nodes[2].ToString(), " own=", own.ToString(),
                       " at ", absl::FormatDuration(now - begin));
      EXPECT_LE(now - committed, heartbeat * 3) << "it is blind: " << how;
      for (const Silence::Overdue& overdue : due) {
        const size_t i = overdue.node == "a" ? 0 : overdue.node == "b" ? 1 : 2;
        EXPECT_GE(silent_for(i), profile.reap) << overdue.node << ": " << how;
        if (silent > 1 && !witnessed) {
          EXPECT_GE(silent_for(i), profile.reap * 2)
              << overdue.node << ": " << how;
        }
      }
      if (silent > 1 && !witnessed) {
        ++one_by_one_;
        EXPECT_EQ(due.size(), 1u) << how;
        EXPECT_TRUE(!reaped.has_value() || now - *reaped >= heartbeat) << how;
      }
      if (due.size() > 1) ++together_;
      reaped = now;
      for (const Silence::Overdue& overdue : due) {
        gone[overdue.node == "a" ? 0 : overdue.node == "b" ? 1 : 2] = true;
        reaper.Forget(overdue.node);
      }
    }
    // Nothing keeps it from reaping both about R after their last heartbeats.
    if (own.stops == kNever && nodes[2].stops == kNever &&
        nodes[0].resumes == kNever && nodes[1].resumes == kNever) {
      EXPECT_TRUE(gone[0] && gone[1] && !gone[2]);
      EXPECT_LE(*reaped - beat[1], profile.reap + heartbeat);
    }
  }

  int runs_ = 0;
  int together_ = 0;
  int one_by_one_ = 0;
};

TEST(BrakeModelTest, ManyAreReapedAtOnceOnlyBeforeWitnesses) {
  BrakeWalk walk;
  walk.Run();
  EXPECT_GT(walk.runs(), 20'000);
  // Both happen.
  EXPECT_GT(walk.together(), 0);
  EXPECT_GT(walk.one_by_one(), 0);
}

}  // namespace
}  // namespace muster
