#include "cluster/registry/name_table.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/match.h"
#include "node/base/planted.h"

namespace muster {

size_t NameTable::PartOf(absl::string_view name) {
  // Other bits than those by which the part's own table goes.
  return (absl::Hash<absl::string_view>()(name) >> 40) % kParts;
}

std::shared_ptr<const KnownName> NameTable::Find(absl::string_view name) const {
  const Part& part = parts_[PartOf(name)];
  MutexLock lock(&part.mu);
  const auto at = part.names.find(name);
  return at == part.names.end() ? nullptr : at->second;
}

std::vector<std::shared_ptr<const KnownName>> NameTable::List(
    absl::string_view prefix) const {
  std::vector<std::string> names;
  {
    MutexLock lock(&order_mu_);
    for (auto at = order_.lower_bound(prefix);
         at != order_.end() && absl::StartsWith(*at, prefix); ++at) {
      names.push_back(*at);
    }
  }
  std::vector<std::shared_ptr<const KnownName>> list;
  list.reserve(names.size());
  for (const std::string& name : names) {
    if (auto known = Find(name)) list.push_back(std::move(known));
  }
  return list;
}

bool NameTable::Put(std::shared_ptr<const KnownName> known) {
  const std::string& name = known->entry.name;
  const int64_t revision = known->view.mod_revision;
  Part& part = parts_[PartOf(name)];
  MutexLock lock(&part.mu);
  const auto at = part.names.find(name);
  if (at != part.names.end()) {
    if (revision <= at->second->view.mod_revision &&
        !Planted(PlantedBug::kRoutesGoBack)) {
      return false;
    }
    at->second = std::move(known);
    return true;
  }
  const auto floor = part.floors.find(name);
  const int64_t absent_at = floor == part.floors.end()
                                ? part.listed
                                : std::max(part.listed, floor->second);
  if (revision <= absent_at && !Planted(PlantedBug::kRoutesGoBack)) {
    return false;
  }
  if (floor != part.floors.end()) part.floors.erase(floor);
  {
    MutexLock order(&order_mu_);
    order_.insert(name);
  }
  part.names.emplace(name, std::move(known));
  return true;
}

bool NameTable::Remove(absl::string_view name, int64_t revision) {
  Part& part = parts_[PartOf(name)];
  MutexLock lock(&part.mu);
  const auto at = part.names.find(name);
  const bool known = at != part.names.end();
  if (known && at->second->view.mod_revision > revision) return false;
  if (revision > part.listed) {
    int64_t& floor = part.floors[name];
    floor = std::max(floor, revision);
  }
  if (!known) return false;
  {
    MutexLock order(&order_mu_);
    order_.erase(at->first);
  }
  part.names.erase(at);
  return true;
}

void NameTable::Listed(int64_t revision) {
  for (Part& part : parts_) {
    MutexLock lock(&part.mu);
    part.listed = std::max(part.listed, revision);
    const int64_t listed = part.listed;
    absl::erase_if(part.floors,
                   [&](const auto& floor) { return floor.second <= listed; });
  }
}

size_t NameTable::size() const {
  MutexLock lock(&order_mu_);
  return order_.size();
}

size_t NameTable::floors() const {
  size_t count = 0;
  for (const Part& part : parts_) {
    MutexLock lock(&part.mu);
    count += part.floors.size();
  }
  return count;
}

}  // namespace muster
