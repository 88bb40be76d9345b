#include "tests/checkers/wgl.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"

namespace muster {
namespace {

// A place in the walk: an invocation or a return of one operation.
struct Place {
  int64_t at = 0;
  bool is_return = false;
  size_t op = 0;
};

struct Configuration {
  size_t place = 0;
  int64_t state = 0;
  // Operations with an end that have been invoked and have not taken effect.
  std::vector<uint32_t> waiting;
  // Those that took effect before their return.
  std::vector<uint32_t> done;
  // Of the operations without an end: the class of each that took effect,
  // sorted.
  std::vector<uint32_t> open_done;

  template <typename H>
  friend H AbslHashValue(H h, const Configuration& c) {
    return H::combine(std::move(h), c.place, c.state, c.waiting, c.done,
                      c.open_done);
  }
  friend bool operator==(const Configuration&, const Configuration&) = default;
};

// A configuration and which of its successors have been made: first the
// operation that must return, then the others, then those without an end.
// Later ones are made only when the earlier ones lead nowhere.
struct Visit {
  enum class Stage { kDue, kWaiting, kOpen };
  Configuration configuration;
  Stage stage = Stage::kDue;
};

class Search {
 public:
  Search(const std::vector<LinearOp>& ops, const LinearModel& model,
         uint64_t configurations_max)
      : ops_(ops), model_(model), configurations_max_(configurations_max) {
    std::map<std::tuple<int, int64_t, int64_t>, uint32_t> classes;
    for (size_t i = 0; i < ops.size(); ++i) {
      const LinearOp& op = ops[i];
      if (op.end != LinearOp::kOpen) {
        places_.push_back({op.invoke, false, i});
        places_.push_back({op.end, true, i});
        continue;
      }
      const auto [at, added] =
          classes.emplace(std::make_tuple(op.what, op.argument, op.result),
                          static_cast<uint32_t>(open_.size()));
      if (added) open_.emplace_back();
      open_[at->second].op = i;
      open_[at->second].invokes.push_back(op.invoke);
    }
    for (Class& open : open_) {
      std::sort(open.invokes.begin(), open.invokes.end());
    }
    std::sort(places_.begin(), places_.end(),
              [](const Place& a, const Place& b) {
                if (a.at != b.at) return a.at < b.at;
                if (a.is_return != b.is_return) return a.is_return;
                return a.op < b.op;
              });
  }

  LinearResult Run(int64_t state) {
    LinearResult result;
    Configuration start;
    start.state = state;
    stack_.push_back({std::move(start), Visit::Stage::kDue});
    size_t furthest = 0;
    while (!stack_.empty()) {
      Visit now = std::move(stack_.back());
      stack_.pop_back();
      if (now.stage != Visit::Stage::kDue) {
        Branch(std::move(now));
        continue;
      }
      Forward(&now.configuration);
      const size_t place = now.configuration.place;
      if (place == places_.size()) return result;
      if (place >= furthest) {
        furthest = place;
        result.stuck_at = places_[place].op;
      }
      if (!seen_.insert(now.configuration).second) continue;
      if (++result.configurations > configurations_max_) {
        result.verdict = LinearResult::Verdict::kGaveUp;
        return result;
      }
      Branch(std::move(now));
    }
    result.verdict = LinearResult::Verdict::kNot;
    return result;
  }

 private:
  // Operations without an end that are alike: it is enough to know how many of
  // them took effect.
  struct Class {
    size_t op = 0;
    std::vector<int64_t> invokes;
  };

  // Over everything that leaves no choice, up to a return of an operation
  // that has not taken effect.
  void Forward(Configuration* now) const {
    for (; now->place < places_.size(); ++now->place) {
      const Place& place = places_[now->place];
      const auto op = static_cast<uint32_t>(place.op);
      if (!place.is_return) {
        now->waiting.push_back(op);
        continue;
      }
      const auto at = std::find(now->done.begin(), now->done.end(), op);
      if (at == now->done.end()) return;
      now->done.erase(at);
    }
  }

  void Branch(Visit now) {
    const Configuration& from = now.configuration;
    const Place& place = places_[from.place];
    const auto due = static_cast<uint32_t>(place.op);
    switch (now.stage) {
      case Visit::Stage::kDue: {
        std::vector<Visit> next;
        Apply(from, due, &next);
        now.stage = Visit::Stage::kWaiting;
        stack_.push_back(std::move(now));
        Push(std::move(next));
        return;
      }
      case Visit::Stage::kWaiting: {
        std::vector<Visit> next;
        for (const uint32_t op : from.waiting) {
          if (op != due) Apply(from, op, &next);
        }
        now.stage = Visit::Stage::kOpen;
        if (!open_.empty()) stack_.push_back(std::move(now));
        Push(std::move(next));
        return;
      }
      case Visit::Stage::kOpen: {
        std::vector<Visit> next;
        for (uint32_t i = 0; i < open_.size(); ++i) {
          ApplyOpen(from, i, place.at, &next);
        }
        Push(std::move(next));
        return;
      }
    }
  }

  void Push(std::vector<Visit> next) {
    for (Visit& visit : next) stack_.push_back(std::move(visit));
  }

  void Apply(const Configuration& from, uint32_t op, std::vector<Visit>* next) {
    int64_t state = from.state;
    if (!model_(ops_[op], &state)) return;
    Configuration to = from;
    to.state = state;
    to.waiting.erase(std::find(to.waiting.begin(), to.waiting.end(), op));
    to.done.insert(std::upper_bound(to.done.begin(), to.done.end(), op), op);
    next->push_back({std::move(to), Visit::Stage::kDue});
  }

  void ApplyOpen(const Configuration& from, uint32_t index, int64_t now,
                 std::vector<Visit>* next) {
    const Class& open = open_[index];
    const auto used = static_cast<size_t>(
        std::count(from.open_done.begin(), from.open_done.end(), index));
    // The earliest of a class go first; this one must have been invoked.
    if (used >= open.invokes.size() || open.invokes[used] >= now) return;
    int64_t state = from.state;
    // What changes nothing and has no end need not happen.
    if (!model_(ops_[open.op], &state) || state == from.state) return;
    Configuration to = from;
    to.state = state;
    to.open_done.insert(
        std::upper_bound(to.open_done.begin(), to.open_done.end(), index),
        index);
    next->push_back({std::move(to), Visit::Stage::kDue});
  }

  const std::vector<LinearOp>& ops_;
  const LinearModel& model_;
  const uint64_t configurations_max_;
  std::vector<Place> places_;
  std::vector<Class> open_;
  std::vector<Visit> stack_;
  absl::flat_hash_set<Configuration> seen_;
};

}  // namespace

LinearResult CheckLinearizable(const std::vector<LinearOp>& ops, int64_t state,
                               const LinearModel& model,
                               uint64_t configurations_max) {
  return Search(ops, model, configurations_max).Run(state);
}

}  // namespace muster
