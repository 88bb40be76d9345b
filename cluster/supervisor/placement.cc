#include "cluster/supervisor/placement.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "node/types/names.h"

namespace muster {
namespace {

// Nodes and reasons that a text names; the others are counted.
constexpr size_t kNodesShown = 3;
constexpr size_t kReasonsShown = 4;

// FNV-1a, then the finalizer of SplitMix64, since FNV's high bits are weak.
uint64_t Mix(uint64_t hash) {
  hash ^= hash >> 30;
  hash *= 0xbf58476d1ce4e5b9ULL;
  hash ^= hash >> 27;
  hash *= 0x94d049bb133111ebULL;
  return hash ^ (hash >> 31);
}

uint64_t Fnv(absl::string_view bytes, uint64_t hash) {
  for (const char c : bytes) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3ULL;
  }
  return hash;
}

bool Lighter(const MemberView& a, const MemberView& b) {
  return a.load != b.load ? a.load < b.load : a.node < b.node;
}

class Fewest final : public PlacementPolicy {
 public:
  size_t Choose(const PlacementRequest&,
                const std::vector<const MemberView*>& nodes) const override {
    size_t best = 0;
    for (size_t i = 1; i < nodes.size(); ++i) {
      if (Lighter(*nodes[i], *nodes[best])) best = i;
    }
    return best;
  }
};

class Spread final : public PlacementPolicy {
 public:
  size_t Choose(const PlacementRequest& request,
                const std::vector<const MemberView*>& nodes) const override {
    const std::string& label = request.placement->spread_by();
    // Nodes without the label are a group of their own.
    const auto value = [&label](const MemberView& node) {
      const auto at = node.labels.find(label);
      return at == node.labels.end() ? std::string() : at->second;
    };
    std::map<std::string, int> children;
    for (const MemberView* node : nodes) children[value(*node)] += node->own;
    const auto better = [&](const MemberView& a, const MemberView& b) {
      const int in_a = children[value(a)];
      const int in_b = children[value(b)];
      return in_a != in_b ? in_a < in_b : Lighter(a, b);
    };
    size_t best = 0;
    for (size_t i = 1; i < nodes.size(); ++i) {
      if (better(*nodes[i], *nodes[best])) best = i;
    }
    return best;
  }
};

class Hash final : public PlacementPolicy {
 public:
  size_t Choose(const PlacementRequest& request,
                const std::vector<const MemberView*>& nodes) const override {
    size_t best = 0;
    for (size_t i = 1; i < nodes.size(); ++i) {
      const uint64_t weight = RendezvousWeight(request.name, nodes[i]->node);
      const uint64_t most = RendezvousWeight(request.name, nodes[best]->node);
      if (weight > most ||
          (weight == most && nodes[i]->node < nodes[best]->node)) {
        best = i;
      }
    }
    return best;
  }
  bool sticky() const override { return true; }
};

}  // namespace

uint64_t RendezvousWeight(absl::string_view key, absl::string_view node) {
  uint64_t hash = Fnv(node, 0xcbf29ce484222325ULL);
  hash = Fnv(absl::string_view("\0", 1), hash);
  return Mix(Fnv(key, hash));
}

MemberView ViewOf(const store::v1::NodeRecord& record) {
  MemberView view;
  view.node = record.node();
  for (const auto& type : record.types()) view.types.push_back(type.type());
  view.labels.insert(record.labels().begin(), record.labels().end());
  view.draining = record.draining();
  return view;
}

std::string Ineligible(const PlacementRequest& request,
                       const MemberView& member) {
  const store::v1::Placement& placement = *request.placement;
  if (!placement.pin().empty() && member.node != placement.pin()) {
    return absl::StrCat("the child is pinned to '", placement.pin(), "'");
  }
  if (std::find(member.types.begin(), member.types.end(), request.type) ==
      member.types.end()) {
    return absl::StrCat("without the type '", request.type, "'");
  }
  // A protobuf map has no order, and the reason must not depend on it.
  const std::map<std::string, std::string> require(placement.require().begin(),
                                                   placement.require().end());
  for (const auto& [label, value] : require) {
    const auto at = member.labels.find(label);
    if (at == member.labels.end() || at->second != value) {
      return absl::StrCat("without the label ", label, "=", LogSafe(value));
    }
  }
  if (member.draining) return "draining";
  return "";
}

std::string WhyNowhere(const PlacementRequest& request,
                       const std::vector<MemberView>& members) {
  const std::string& pin = request.placement->pin();
  if (!pin.empty()) {
    const auto at =
        std::find_if(members.begin(), members.end(),
                     [&](const MemberView& m) { return m.node == pin; });
    if (at == members.end()) {
      return absl::StrCat("pinned to node '", pin, "', which is not a member");
    }
    return absl::StrCat("pinned to node '", pin, "', which is ",
                        Ineligible(request, *at));
  }
  const bool typeless =
      std::none_of(members.begin(), members.end(), [&](const MemberView& m) {
        return std::find(m.types.begin(), m.types.end(), request.type) !=
               m.types.end();
      });
  if (typeless) {
    return absl::StrCat("no node has the type '", request.type, "'");
  }
  std::map<std::string, std::vector<std::string>> nodes;  // By reason.
  for (const MemberView& member : members) {
    nodes[Ineligible(request, member)].push_back(member.node);
  }
  std::string text = "no node fits";
  size_t reasons = 0;
  for (auto& [reason, names] : nodes) {
    if (++reasons > kReasonsShown) break;
    std::sort(names.begin(), names.end());
    absl::StrAppend(&text, reasons == 1 ? ": " : "; ");
    for (size_t i = 0; i < std::min(names.size(), kNodesShown); ++i) {
      absl::StrAppend(&text, i == 0 ? "" : ", ", names[i]);
    }
    if (names.size() > kNodesShown) {
      absl::StrAppend(&text, " and ", names.size() - kNodesShown, " more");
    }
    absl::StrAppend(&text, " ", reason);
  }
  if (nodes.size() > kReasonsShown) {
    absl::StrAppend(&text, "; and ", nodes.size() - kReasonsShown,
                    " other reasons");
  }
  return text;
}

const PlacementPolicy& PolicyOf(const store::v1::Placement& placement) {
  static const auto* const fewest = new Fewest;
  static const auto* const spread = new Spread;
  static const auto* const hash = new Hash;
  switch (placement.policy()) {
    case store::v1::Placement::SPREAD:
      return *spread;
    case store::v1::Placement::HASH:
      return *hash;
    default:
      return *fewest;
  }
}

}  // namespace muster
