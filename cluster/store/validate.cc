#include "cluster/store/validate.h"

#include <algorithm>
#include <set>
#include <utility>
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

absl::Status WrittenTwice(absl::string_view key) {
  return BadTxn(absl::StrCat("writes the key ", LogSafe(key), " twice"));
}

// What the steps of one branch may write.
struct Writes {
  std::set<absl::string_view> puts;
  std::set<absl::string_view> deletes;
  std::set<absl::string_view> prefixes;

  // A key that is put by one and written by the other; empty: none.
  absl::string_view Meets(const Writes& other) const {
    for (const absl::string_view put : puts) {
      if (other.puts.contains(put) || other.deletes.contains(put)) return put;
    }
    for (const absl::string_view key : deletes) {
      if (other.puts.contains(key)) return key;
    }
    const absl::string_view ours = PutUnder(other.prefixes);
    return ours.empty() ? other.PutUnder(prefixes) : ours;
  }
  void Add(Writes other) {
    puts.merge(other.puts);
    deletes.merge(other.deletes);
    prefixes.merge(other.prefixes);
  }

 private:
  absl::string_view PutUnder(
      const std::set<absl::string_view>& all_prefixes) const {
    for (const absl::string_view prefix : all_prefixes) {
      const auto first = puts.lower_bound(prefix);
      if (first != puts.end() && absl::StartsWith(*first, prefix)) {
        return *first;
      }
    }
    return "";
  }
};

// Checks `txn` in what its outer ones leave of kTxnOpsMax, and adds what it may
// write to `writes`.
absl::Status CheckTxn(const Txn& txn, size_t entries_left, Writes* writes);

absl::Status CheckBranch(const std::vector<StoreOp>& ops, size_t entries_left,
                         Writes* writes) {
  for (const StoreOp& op : ops) {
    if (op.kind == StoreOp::Kind::kTxn) {
      if (op.nested.size() != 1 || !op.key.empty()) {
        return BadTxn("has a nested one that is not one transaction");
      }
    } else if (op.key.empty()) {
      return BadTxn("has a step with an empty key");
    }
    Writes step;
    switch (op.kind) {
      case StoreOp::Kind::kPut:
        step.puts.insert(op.key);
        break;
      case StoreOp::Kind::kDelete:
        step.deletes.insert(op.key);
        break;
      case StoreOp::Kind::kDeletePrefix:
        step.prefixes.insert(op.key);
        break;
      case StoreOp::Kind::kTxn: {
        absl::Status status = CheckTxn(op.nested[0], entries_left, &step);
        if (!status.ok()) return status;
        break;
      }
      case StoreOp::Kind::kGet:
        continue;
    }
    if (const absl::string_view met = step.Meets(*writes); !met.empty()) {
      return WrittenTwice(met);
    }
    writes->Add(std::move(step));
  }
  return absl::OkStatus();
}

size_t LongestList(const Txn& txn) {
  return std::max({txn.compares.size(), txn.then.size(), txn.otherwise.size()});
}

absl::Status CheckTxn(const Txn& txn, size_t entries_left, Writes* writes) {
  const size_t longest = LongestList(txn);
  if (longest > entries_left) {
    return BadTxn(absl::StrCat("has a list of ", longest, " entries, at most ",
                               entries_left, " are allowed there"));
  }
  for (const Compare& compare : txn.compares) {
    if (compare.key.empty()) return BadTxn("has a compare with an empty key");
  }
  // One of the two runs, so they may write the same.
  Writes then;
  Writes otherwise;
  absl::Status status = CheckBranch(txn.then, entries_left - longest, &then);
  if (status.ok()) {
    status = CheckBranch(txn.otherwise, entries_left - longest, &otherwise);
  }
  if (!status.ok()) return status;
  writes->Add(std::move(then));
  writes->Add(std::move(otherwise));
  return absl::OkStatus();
}

}  // namespace

size_t TxnBytes(const Txn& txn) {
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
      for (const Txn& nested : op.nested) bytes += TxnBytes(nested);
    }
  }
  return bytes;
}

size_t TxnEntries(const Txn& txn) {
  size_t deepest = 0;
  for (const auto* branch : {&txn.then, &txn.otherwise}) {
    for (const StoreOp& op : *branch) {
      for (const Txn& nested : op.nested) {
        deepest = std::max(deepest, TxnEntries(nested));
      }
    }
  }
  return LongestList(txn) + deepest;
}

absl::Status ValidateTxn(const Txn& txn) {
  Writes writes;
  if (absl::Status status = CheckTxn(txn, kTxnOpsMax, &writes); !status.ok()) {
    return status;
  }
  if (const size_t bytes = TxnBytes(txn); bytes > kTxnBytesMax) {
    return Error(absl::StatusCode::kResourceExhausted, "TXN_TOO_LARGE",
                 absl::StrCat("transaction of ", bytes, " bytes, at most ",
                              kTxnBytesMax, " are allowed"))
        .NotExecuted()
        .status();
  }
  return absl::OkStatus();
}

}  // namespace muster
