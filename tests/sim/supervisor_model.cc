#include "tests/sim/supervisor_model.h"

#include <algorithm>

namespace muster {

using Rst = ModelTree::Restart;

struct SupervisorModel::Kid {
  enum class Is { kOff, kOn, kRetrying };
  ModelTree::Child child;
  Is is = Is::kOff;
  uint64_t life = 0;   // Of this start.
  bool dead = false;   // It has ended, and its supervisor has not heard yet.
  uint64_t retry = 0;  // The attempt that counts.
  std::unique_ptr<Sup> sup;
};

struct SupervisorModel::Event {
  enum class Kind { kExit, kRetry, kOrder };
  Kind kind = Kind::kExit;
  uint64_t number = 0;  // Life or attempt.
  End end = End::kNormal;
  ModelOrder order;
  size_t answer = 0;
};

struct SupervisorModel::Sup {
  std::string path;
  std::string key;
  const ModelTree* tree = nullptr;
  Sup* parent = nullptr;
  uint64_t life = 0;
  bool alive = true;
  std::vector<std::unique_ptr<Kid>> kids;
  std::vector<int64_t> restarts;
  std::deque<Event> queue;
};

SupervisorModel::SupervisorModel(const ModelTree& root, ModelBug bug)
    : tree_(root), bug_(bug) {}
SupervisorModel::~SupervisorModel() = default;

void SupervisorModel::Note(const Sup* sup, const std::string& what) {
  logs_[sup->key].push_back(what);
}

// -- Starting and stopping ----------------------------------------------------

bool SupervisorModel::Start() {
  root_ = StartSup("r", tree_, nullptr);
  return root_ != nullptr;
}

void SupervisorModel::FailStarts(const std::string& path, int count,
                                 bool ignore) {
  failing_[path] = {count, ignore};
}

std::unique_ptr<SupervisorModel::Sup> SupervisorModel::StartSup(
    const std::string& path, const ModelTree& tree, Sup* parent) {
  auto sup = std::make_unique<Sup>();
  sup->path = path;
  sup->key = path + "#" + std::to_string(++incarnations_[path]);
  sup->tree = &tree;
  sup->parent = parent;
  sup->life = next_life_++;
  for (const ModelTree::Child& child : tree.children) {
    auto kid = std::make_unique<Kid>();
    kid->child = child;
    const Started started = StartKid(sup.get(), kid.get());
    if (started == Started::kNo) {
      StopAll(sup.get());
      return nullptr;
    }
    if (started == Started::kYes || child.restart != Rst::kTemporary) {
      sup->kids.push_back(std::move(kid));
    }
  }
  return sup;
}

SupervisorModel::Started SupervisorModel::StartKid(Sup* sup, Kid* kid) {
  const std::string path = sup->path + "/" + kid->child.id;
  kid->dead = false;
  kid->retry = 0;
  if (kid->child.tree != nullptr) {
    kid->sup = StartSup(path, *kid->child.tree, sup);
    if (kid->sup == nullptr) return Started::kNo;
    kid->life = kid->sup->life;
  } else {
    now_ += start_ns_;
    ++worker_starts_;
    auto& [failures, ignore] = failing_[path];
    if (failures > 0) {
      --failures;
      Note(sup, (ignore ? "ignore " : "fail ") + kid->child.id);
      return ignore ? Started::kIgnored : Started::kNo;
    }
    Note(sup, "start " + kid->child.id);
    kid->life = next_life_++;
  }
  kid->is = Kid::Is::kOn;
  return Started::kYes;
}

void SupervisorModel::StopKid(Sup* sup, Kid* kid) {
  if (kid->is == Kid::Is::kOn && !kid->dead) {
    if (kid->sup == nullptr) {
      if (!kid->child.brutal) Note(sup, "stop " + kid->child.id);
    } else if (kid->child.brutal) {
      KillTree(kid->sup.get());
    } else {
      StopAll(kid->sup.get());
    }
  }
  kid->is = Kid::Is::kOff;
  kid->retry = 0;
  kid->sup.reset();
}

void SupervisorModel::StopAll(Sup* sup) {
  if (bug_ == ModelBug::kStopsInStartOrder) {
    for (const auto& kid : sup->kids) StopKid(sup, kid.get());
    return;
  }
  for (size_t i = sup->kids.size(); i-- > 0;) StopKid(sup, sup->kids[i].get());
}

// Its children hear of it through their links, all at one time.
void SupervisorModel::KillTree(Sup* sup) {
  for (const auto& kid : sup->kids) {
    if (kid->is != Kid::Is::kOn || kid->dead) continue;
    if (kid->sup != nullptr) {
      StopAll(kid->sup.get());
    } else {
      Note(sup, "killed " + kid->child.id);
    }
  }
}

// -- What happens -------------------------------------------------------------

std::vector<std::string> SupervisorModel::EndChildren(
    const std::string& supervisor,
    const std::vector<std::pair<std::string, End>>& ends,
    const std::vector<ModelOrder>& late) {
  Sup* const sup = FindSup(supervisor);
  const uint64_t life = sup->life;
  for (const auto& [id, end] : ends) {
    Kid* const kid = FindKid(sup, id);
    kid->dead = true;
    Event event;
    event.kind = Event::Kind::kExit;
    event.number = kid->life;
    event.end = end;
    sup->queue.push_back(std::move(event));
  }
  late_ = late;
  late_at_ = late.empty() ? 0 : life;
  answers_.assign(late.size(), "");
  Run(sup);
  if (late_at_ != 0) {  // Nothing was started: they come afterwards.
    late_at_ = 0;
    for (size_t i = 0; i < late.size(); ++i) {
      Sup* const now = FindSup(supervisor);
      answers_[i] = now == nullptr || now->life != life
                        ? "NOPROC"
                        : Do(supervisor, late[i]);
    }
  }
  return answers_;
}

void SupervisorModel::KillSupervisor(const std::string& path) {
  Sup* const sup = FindSup(path);
  KillTree(sup);
  sup->alive = false;
  Event event;
  event.number = sup->life;
  event.end = End::kAbnormal;
  Sup* const parent = sup->parent;
  parent->queue.push_back(std::move(event));
  for (const auto& kid : parent->kids) {
    if (kid->life == sup->life) kid->dead = true;
  }
  Run(parent);
}

std::string SupervisorModel::Do(const std::string& supervisor,
                                const ModelOrder& order) {
  Sup* const sup = FindSup(supervisor);
  return sup == nullptr ? "NOPROC" : Answer(sup, order);
}

void SupervisorModel::Run(Sup* sup) {
  while (sup->alive && !sup->queue.empty()) {
    Event event = std::move(sup->queue.front());
    sup->queue.pop_front();
    Handle(sup, std::move(event));
  }
  if (sup->alive) return;
  for (const Event& event : sup->queue) {
    if (event.kind == Event::Kind::kOrder) {
      answers_[event.answer] = "CALLEE_EXITED";
    }
  }
  Sup* const parent = sup->parent;
  if (parent == nullptr) {
    root_.reset();
    if (late_at_ != 0) {
      for (std::string& answer : answers_) answer = "NOPROC";
      late_at_ = 0;
    }
    return;
  }
  Event event;
  event.number = sup->life;
  event.end = End::kNormal;  // shutdown
  for (const auto& kid : parent->kids) {
    if (kid->life == sup->life) kid->dead = true;
  }
  parent->queue.push_back(std::move(event));
  Run(parent);
}

void SupervisorModel::Handle(Sup* sup, Event event) {
  if (event.kind == Event::Kind::kOrder) {
    answers_[event.answer] = Answer(sup, event.order);
    return;
  }
  Kid* kid = nullptr;
  for (const auto& each : sup->kids) {
    const bool meant =
        event.kind == Event::Kind::kExit
            ? each->is == Kid::Is::kOn && each->life == event.number
            : each->is == Kid::Is::kRetrying && each->retry == event.number;
    if (meant) kid = each.get();
  }
  if (kid == nullptr) return;
  const std::string id = kid->child.id;
  if (event.kind == Event::Kind::kRetry) {
    Restart(sup, id);
    return;
  }
  kid->is = Kid::Is::kOff;
  kid->sup.reset();
  if (kid->child.restart == Rst::kPermanent ||
      (kid->child.restart == Rst::kTransient && event.end == End::kAbnormal)) {
    Restart(sup, id);
    return;
  }
  const bool significant = kid->child.significant;
  if (kid->child.restart == Rst::kTemporary) Forget(sup, id);
  if (!significant) return;
  if (sup->tree->auto_shutdown == ModelTree::Auto::kAny ||
      (sup->tree->auto_shutdown == ModelTree::Auto::kAll &&
       NoneSignificantLeft(sup))) {
    GiveUp(sup);
  }
}

bool SupervisorModel::NoneSignificantLeft(const Sup* sup) const {
  for (const auto& kid : sup->kids) {
    if (kid->child.significant && kid->is != Kid::Is::kOff) return false;
  }
  return true;
}

void SupervisorModel::GiveUp(Sup* sup) {
  StopAll(sup);
  sup->alive = false;
}

void SupervisorModel::Restart(Sup* sup, const std::string& id) {
  const bool retry = FindKid(sup, id)->is == Kid::Is::kRetrying;
  if (!retry || bug_ != ModelBug::kRetryIsFree || sup->restarts.empty()) {
    sup->restarts.push_back(now_);
  }
  const int64_t period = sup->tree->period_ns;
  std::erase_if(sup->restarts, [&](int64_t at) {
    return bug_ == ModelBug::kBoundaryExclusive ? now_ - at >= period
                                                : now_ - at > period;
  });
  const size_t limit = static_cast<size_t>(
      sup->tree->intensity + (bug_ == ModelBug::kIntensityOffByOne ? 1 : 0));
  if (sup->restarts.size() > limit) {
    GiveUp(sup);
    return;
  }
  size_t first = 0;
  while (sup->kids[first]->child.id != id) ++first;
  std::vector<std::string> start;
  if (sup->tree->strategy == ModelTree::Strategy::kOne) {
    start.push_back(id);
  } else {
    if (sup->tree->strategy == ModelTree::Strategy::kAll) first = 0;
    for (size_t i = sup->kids.size(); i-- > first;) {
      StopKid(sup, sup->kids[i].get());
    }
    for (size_t i = first; i < sup->kids.size();) {
      if (sup->kids[i]->child.restart == Rst::kTemporary &&
          bug_ != ModelBug::kGroupKeepsTemporary) {
        sup->kids.erase(sup->kids.begin() + static_cast<ptrdiff_t>(i));
      } else {
        start.push_back(sup->kids[i++]->child.id);
      }
    }
  }
  const uint64_t before = worker_starts_;
  Event again;
  again.kind = Event::Kind::kRetry;
  for (const std::string& each : start) {
    Kid* const kid = FindKid(sup, each);
    kid->is = Kid::Is::kOff;
    const Started started = StartKid(sup, kid);
    if (started != Started::kNo) continue;
    kid->is = Kid::Is::kRetrying;
    again.number = kid->retry = next_life_++;
    break;
  }
  if (late_at_ == sup->life && worker_starts_ > before) {
    for (size_t i = 0; i < late_.size(); ++i) {
      Event order;
      order.kind = Event::Kind::kOrder;
      order.order = late_[i];
      order.answer = i;
      sup->queue.push_back(std::move(order));
    }
    late_at_ = 0;
  }
  if (again.number != 0) sup->queue.push_back(std::move(again));
}

// -- Orders -------------------------------------------------------------------

std::string SupervisorModel::Answer(Sup* sup, const ModelOrder& order) {
  const std::string& id = order.child.id;
  Kid* const kid = FindKid(sup, id);
  if (order.kind == ModelOrder::Kind::kStart) {
    if (kid != nullptr) {
      return kid->is == Kid::Is::kOn ? "ALREADY_STARTED" : "ALREADY_PRESENT";
    }
    auto added = std::make_unique<Kid>();
    added->child = order.child;
    switch (StartKid(sup, added.get())) {
      case Started::kNo:
        return "INIT_FAILED";
      case Started::kIgnored:
        if (order.child.restart != Rst::kTemporary) {
          sup->kids.push_back(std::move(added));
        }
        return "ignored";
      case Started::kYes:
        sup->kids.push_back(std::move(added));
        return "ok";
    }
  }
  if (kid == nullptr) return "NO_CHILD";
  switch (order.kind) {
    case ModelOrder::Kind::kStart:
      break;
    case ModelOrder::Kind::kTerminate: {
      const bool significant = kid->child.significant;
      if (bug_ == ModelBug::kTerminateLeavesTheRetry &&
          kid->is == Kid::Is::kRetrying) {
        return "ok";
      }
      StopKid(sup, kid);
      if (kid->child.restart == Rst::kTemporary) Forget(sup, id);
      if (bug_ == ModelBug::kTerminateTriggersAutoShutdown && significant &&
          sup->tree->auto_shutdown == ModelTree::Auto::kAny) {
        StopAll(sup);
      }
      return "ok";
    }
    case ModelOrder::Kind::kRestart:
      if (kid->is == Kid::Is::kOn) return "RUNNING";
      if (kid->is == Kid::Is::kRetrying) return "RESTARTING";
      switch (StartKid(sup, kid)) {
        case Started::kNo:
          return "INIT_FAILED";
        case Started::kIgnored:
          return "ignored";
        case Started::kYes:
          return "ok";
      }
      break;
    case ModelOrder::Kind::kDelete:
      if (kid->is == Kid::Is::kOn) return "RUNNING";
      if (kid->is == Kid::Is::kRetrying) return "RESTARTING";
      Forget(sup, id);
      return "ok";
  }
  return "";
}

// -- Looking ------------------------------------------------------------------

SupervisorModel::Kid* SupervisorModel::FindKid(Sup* sup,
                                               const std::string& id) {
  for (const auto& kid : sup->kids) {
    if (kid->child.id == id) return kid.get();
  }
  return nullptr;
}

void SupervisorModel::Forget(Sup* sup, const std::string& id) {
  std::erase_if(sup->kids,
                [&](const auto& kid) { return kid->child.id == id; });
}

SupervisorModel::Sup* SupervisorModel::FindSup(const std::string& path) const {
  Sup* at = root_.get();
  while (at != nullptr && at->path != path) {
    Sup* next = nullptr;
    for (const auto& kid : at->kids) {
      if (kid->sup == nullptr) continue;
      const std::string& below = kid->sup->path;
      if (path == below ||
          path.compare(0, below.size() + 1, below + "/") == 0) {
        next = kid->sup.get();
      }
    }
    at = next;
  }
  return at;
}

std::string SupervisorModel::Dump() const {
  std::string out;
  if (root_ != nullptr) DumpSup(root_.get(), &out);
  return out;
}

void SupervisorModel::DumpSup(const Sup* sup, std::string* out) const {
  size_t active = 0;
  std::string kids;
  std::string below;
  for (const auto& kid : sup->kids) {
    if (!kids.empty()) kids += " ";
    kids += kid->child.id;
    kids += kid->is == Kid::Is::kOn    ? "+"
            : kid->is == Kid::Is::kOff ? "-"
                                       : "?";
    if (kid->is == Kid::Is::kOn) ++active;
    if (kid->sup != nullptr) DumpSup(kid->sup.get(), &below);
  }
  *out += sup->path + "[" + std::to_string(sup->kids.size()) + "/" +
          std::to_string(active) + "]{" + kids + "} " + below;
}

std::vector<std::string> SupervisorModel::Supervisors() const {
  std::vector<std::string> out;
  if (root_ != nullptr) ListSups(root_.get(), &out);
  return out;
}

void SupervisorModel::ListSups(const Sup* sup,
                               std::vector<std::string>* out) const {
  out->push_back(sup->path);
  for (const auto& kid : sup->kids) {
    if (kid->sup != nullptr) ListSups(kid->sup.get(), out);
  }
}

std::vector<std::string> SupervisorModel::Workers(
    const std::string& supervisor) const {
  std::vector<std::string> ids;
  const Sup* const sup = FindSup(supervisor);
  if (sup == nullptr) return ids;
  for (const auto& kid : sup->kids) {
    if (kid->sup == nullptr && kid->is == Kid::Is::kOn) {
      ids.push_back(kid->child.id);
    }
  }
  return ids;
}

}  // namespace muster
