#include "cluster/membership/reap.h"

#include <utility>

#include "node/base/planted.h"

namespace muster {
namespace {

using Op = Compare::Op;

constexpr uint32_t kSchema = 1;

}  // namespace

store::v1::EventRecord EndOfNode(absl::string_view kind, absl::string_view node,
                                 Epoch epoch, absl::string_view text,
                                 std::map<std::string, std::string> evidence) {
  store::v1::EventRecord event;
  event.set_kind(std::string(kind));
  event.set_node(std::string(node));
  event.mutable_old_epoch()->set_generation(epoch.generation);
  event.mutable_old_epoch()->set_revision(epoch.revision);
  event.set_text(std::string(text));
  for (auto& [key, value] : evidence) {
    (*event.mutable_evidence())[key] = std::move(value);
  }
  return event;
}

bool IsAttestationOf(const store::v1::EventRecord& event,
                     absl::string_view node, Epoch epoch) {
  return event.kind() == "node.attested" && event.node() == node &&
         event.old_epoch().generation() == epoch.generation &&
         event.old_epoch().revision() == epoch.revision;
}

Txn EndEpoch(const Keys& keys, absl::string_view node, int64_t node_revision,
             StoreOp event) {
  Txn txn;
  txn.compares.push_back(
      Compare::CreateRevision(keys.Node(node), Op::kEqual, node_revision));
  txn.then.push_back(StoreOp::Delete(keys.Node(node)));
  txn.then.push_back(StoreOp::Delete(keys.Heartbeat(node)));
  txn.then.push_back(StoreOp::Delete(keys.Barrier(node)));
  txn.then.push_back(std::move(event));
  return txn;
}

Txn AttestedReap(const Keys& keys, absl::string_view node,
                 int64_t node_revision, StoreOp event) {
  StoreOp last = StoreOp::Put(keys.Attested(node), event.value);
  Txn txn = EndEpoch(keys, node, node_revision, std::move(event));
  txn.then.push_back(std::move(last));
  return txn;
}

Txn SilentReap(const Keys& keys, absl::string_view node, int64_t node_revision,
               int64_t heartbeat_revision, StoreOp event) {
  Txn txn = EndEpoch(keys, node, node_revision, std::move(event));
  if (!Planted(PlantedBug::kReapWithoutHeartbeat)) {
    txn.compares.push_back(Compare::ModRevision(
        keys.Heartbeat(node), Op::kEqual, heartbeat_revision));
  }
  return txn;
}

Txn BuryReap(const Keys& keys, absl::string_view node, int64_t node_revision,
             absl::string_view reason, absl::string_view buried_by,
             StoreOp event) {
  store::v1::GraveRecord grave;
  grave.set_schema(kSchema);
  grave.set_node(std::string(node));
  grave.set_node_revision(static_cast<uint64_t>(node_revision));
  grave.set_reason(std::string(reason));
  grave.set_buried_by(std::string(buried_by));
  Txn txn = EndEpoch(keys, node, node_revision, std::move(event));
  txn.then.push_back(StoreOp::Put(keys.Grave(node), grave.SerializeAsString()));
  return txn;
}

Txn RaiseGeneration(const Keys& keys, const KeyValue& meta,
                    store::v1::Meta raised, StoreOp event) {
  if (Planted(PlantedBug::kKeepGeneration)) {
    store::v1::Meta before;
    if (before.ParseFromString(meta.value)) {
      raised.set_generation(before.generation());
    }
  }
  Txn txn;
  txn.compares.push_back(
      Compare::ModRevision(keys.Meta(), Op::kEqual, meta.mod_revision));
  txn.then.push_back(StoreOp::Put(keys.Meta(), raised.SerializeAsString()));
  txn.then.push_back(StoreOp::DeletePrefix(keys.NodePrefix()));
  txn.then.push_back(StoreOp::DeletePrefix(keys.HeartbeatPrefix()));
  txn.then.push_back(StoreOp::DeletePrefix(keys.BarrierPrefix()));
  txn.then.push_back(std::move(event));
  return txn;
}

}  // namespace muster
