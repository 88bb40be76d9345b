#include "cluster/store/validate.h"

#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

absl::Status BadTxn(absl::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_TXN",
               absl::StrCat("transaction ", why))
      .NotExecuted()
      .status();
}

absl::Status CheckCount(absl::string_view what, size_t count) {
  if (count <= kTxnOpsMax) return absl::OkStatus();
  return BadTxn(absl::StrCat("has ", count, " ", what, ", at most ", kTxnOpsMax,
                             " are allowed"));
}

absl::Status WrittenTwice(absl::string_view key) {
  return BadTxn(absl::StrCat("writes the key ", LogSafe(key), " twice"));
}

absl::Status CheckBranch(const std::vector<StoreOp>& ops) {
  std::set<absl::string_view> puts;
  for (const StoreOp& op : ops) {
    if (op.key.empty()) return BadTxn("has a step with an empty key");
    if (op.kind == StoreOp::Kind::kPut && !puts.insert(op.key).second) {
      return WrittenTwice(op.key);
    }
  }
  for (const StoreOp& op : ops) {
    if (op.kind == StoreOp::Kind::kDelete) {
      if (puts.contains(op.key)) return WrittenTwice(op.key);
    } else if (op.kind == StoreOp::Kind::kDeletePrefix) {
      const auto first = puts.lower_bound(op.key);
      if (first != puts.end() && absl::StartsWith(*first, op.key)) {
        return WrittenTwice(*first);
      }
    }
  }
  return absl::OkStatus();
}

size_t Bytes(const Txn& txn) {
  // What the encoding adds to each entry, rounded up.
  constexpr size_t kEntryBytes = 48;
  size_t bytes = 0;
  for (const Compare& compare : txn.compares) {
    bytes += compare.key.size() + compare.value.size() + kEntryBytes;
  }
  for (const auto* branch : {&txn.then, &txn.otherwise}) {
    for (const StoreOp& op : *branch) {
      bytes += op.key.size() + op.value.size() + kEntryBytes;
      // A prefix travels as the two ends of a range.
      if (op.kind == StoreOp::Kind::kDeletePrefix) bytes += op.key.size();
    }
  }
  return bytes;
}

}  // namespace

absl::Status ValidateTxn(const Txn& txn) {
  absl::Status status = CheckCount("compares", txn.compares.size());
  if (status.ok()) status = CheckCount("steps", txn.then.size());
  if (status.ok()) status = CheckCount("steps", txn.otherwise.size());
  if (!status.ok()) return status;
  for (const Compare& compare : txn.compares) {
    if (compare.key.empty()) return BadTxn("has a compare with an empty key");
  }
  status = CheckBranch(txn.then);
  if (status.ok()) status = CheckBranch(txn.otherwise);
  if (!status.ok()) return status;
  if (const size_t bytes = Bytes(txn); bytes > kTxnBytesMax) {
    return Error(absl::StatusCode::kResourceExhausted, "TXN_TOO_LARGE",
                 absl::StrCat("transaction of ", bytes, " bytes, at most ",
                              kTxnBytesMax, " are allowed"))
        .NotExecuted()
        .status();
  }
  return absl::OkStatus();
}

}  // namespace muster
