// SupervisorModel: OTP's rules for trees of supervisors, in one thread and
// without processes; what the real ones are compared with. Written from the
// rules, not from node/supervisor.
#ifndef MUSTER_TESTS_SIM_SUPERVISOR_MODEL_H_
#define MUSTER_TESTS_SIM_SUPERVISOR_MODEL_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace muster {

// A tree as a plain value. A child with a tree is a supervisor.
struct ModelTree {
  enum class Strategy { kOne, kAll, kRest };
  enum class Auto { kNever, kAny, kAll };
  enum class Restart { kPermanent, kTransient, kTemporary };
  struct Child {
    std::string id;
    Restart restart = Restart::kPermanent;
    bool significant = false;
    bool brutal = false;
    std::shared_ptr<ModelTree> tree;
  };

  Strategy strategy = Strategy::kOne;
  Auto auto_shutdown = Auto::kNever;
  int intensity = 1;
  int64_t period_ns = 1;
  std::vector<Child> children;
};

// A management call.
struct ModelOrder {
  enum class Kind { kStart, kTerminate, kRestart, kDelete };
  Kind kind = Kind::kStart;
  ModelTree::Child child;  // kStart; else its id.
};

// Rules that a model may have wrong, so that the comparison can be seen to
// notice.
enum class ModelBug {
  kNone,
  kStopsInStartOrder,
  kIntensityOffByOne,
  kBoundaryExclusive,
  kGroupKeepsTemporary,
  kTerminateTriggersAutoShutdown,
  kRetryIsFree,
  kTerminateLeavesTheRetry,
};

class SupervisorModel {
 public:
  enum class End { kNormal, kAbnormal };

  SupervisorModel(const ModelTree& root, ModelBug bug);
  ~SupervisorModel();

  // Starts the root, which is called "r". False: a child could not.
  bool Start();
  // The next `count` starts of the worker at `path` fail, or are ignored.
  void FailStarts(const std::string& path, int count, bool ignore);
  // How long each start of a worker takes.
  void set_start_ns(int64_t ns) { start_ns_ = ns; }
  void AdvanceTo(int64_t ns) { now_ = ns; }
  int64_t now() const { return now_; }

  // Children of one supervisor end by themselves, at one time. The orders
  // arrive while it waits for the first start that this causes; what they
  // answer.
  std::vector<std::string> EndChildren(
      const std::string& supervisor,
      const std::vector<std::pair<std::string, End>>& ends,
      const std::vector<ModelOrder>& late);
  void KillSupervisor(const std::string& path);
  std::string Do(const std::string& supervisor, const ModelOrder& order);

  // Every supervisor that runs with its children in start order, as
  // "r[2/1]{a+ b-}": 2 specs, 1 runs; ? is being restarted.
  std::string Dump() const;
  // Every incarnation of a supervisor, "r/a#1": what happened to its children,
  // in order.
  const std::map<std::string, std::vector<std::string>>& logs() const {
    return logs_;
  }
  // Paths of what runs.
  std::vector<std::string> Supervisors() const;
  std::vector<std::string> Workers(const std::string& supervisor) const;

 private:
  struct Sup;
  struct Kid;
  struct Event;
  enum class Started { kYes, kNo, kIgnored };

  Started StartKid(Sup* sup, Kid* kid);
  std::unique_ptr<Sup> StartSup(const std::string& path, const ModelTree& tree,
                                Sup* parent);
  void StopKid(Sup* sup, Kid* kid);
  void StopAll(Sup* sup);
  void KillTree(Sup* sup);
  // Handles what is queued, here and, if it ends, above.
  void Run(Sup* sup);
  void Handle(Sup* sup, Event event);
  void Restart(Sup* sup, const std::string& id);
  void GiveUp(Sup* sup);
  bool NoneSignificantLeft(const Sup* sup) const;
  std::string Answer(Sup* sup, const ModelOrder& order);
  Kid* FindKid(Sup* sup, const std::string& id);
  void Forget(Sup* sup, const std::string& id);
  Sup* FindSup(const std::string& path) const;
  void Note(const Sup* sup, const std::string& what);
  void DumpSup(const Sup* sup, std::string* out) const;
  void ListSups(const Sup* sup, std::vector<std::string>* out) const;

  const ModelTree tree_;
  const ModelBug bug_;
  int64_t now_ = 0;
  int64_t start_ns_ = 0;
  uint64_t next_life_ = 1;
  uint64_t worker_starts_ = 0;
  std::map<std::string, int> incarnations_;
  std::map<std::string, std::pair<int, bool>> failing_;
  std::map<std::string, std::vector<std::string>> logs_;
  // Orders that wait for the first start by the supervisor of this life; 0:
  // there are none.
  uint64_t late_at_ = 0;
  std::vector<ModelOrder> late_;
  std::vector<std::string> answers_;
  std::unique_ptr<Sup> root_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_SIM_SUPERVISOR_MODEL_H_
