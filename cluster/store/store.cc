#include "cluster/store/store.h"

#include <utility>

namespace muster {

Compare Compare::CreateRevision(std::string key, Op op, int64_t revision) {
  return Compare{.key = std::move(key),
                 .what = What::kCreateRevision,
                 .op = op,
                 .revision = revision};
}

Compare Compare::ModRevision(std::string key, Op op, int64_t revision) {
  return Compare{.key = std::move(key),
                 .what = What::kModRevision,
                 .op = op,
                 .revision = revision};
}

Compare Compare::Value(std::string key, Op op, std::string value) {
  return Compare{.key = std::move(key),
                 .what = What::kValue,
                 .op = op,
                 .value = std::move(value)};
}

StoreOp StoreOp::Put(std::string key, std::string value) {
  return StoreOp{
      .kind = Kind::kPut, .key = std::move(key), .value = std::move(value)};
}

StoreOp StoreOp::Delete(std::string key) {
  return StoreOp{.kind = Kind::kDelete, .key = std::move(key)};
}

StoreOp StoreOp::Get(std::string key) {
  return StoreOp{.kind = Kind::kGet, .key = std::move(key)};
}

StoreOp StoreOp::DeletePrefix(std::string prefix) {
  return StoreOp{.kind = Kind::kDeletePrefix, .key = std::move(prefix)};
}

StoreOp StoreOp::Nested(Txn txn) {
  StoreOp op{.kind = Kind::kTxn};
  op.nested.push_back(std::move(txn));
  return op;
}

void TxnResult::SetRevision(int64_t now) {
  revision = now;
  for (TxnResult& result : nested) result.SetRevision(now);
}

}  // namespace muster
