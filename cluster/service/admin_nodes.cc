// What an operator asks of the membership: the part of Admin about nodes.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cluster/membership/reap.h"
#include "cluster/service/admin.h"
#include "cluster/store/event.h"
#include "cluster/supervisor/env.h"
#include "google/protobuf/util/time_util.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

using google::protobuf::util::TimeUtil;

constexpr absl::Duration kTxnTimeout = absl::Seconds(2);
constexpr absl::string_view kByOperator = "an operator";

absl::Status Unconfirmed(absl::string_view what, absl::string_view wanted) {
  return Error(absl::StatusCode::kFailedPrecondition, "NOT_CONFIRMED",
               absl::StrCat(what, ": confirm must be ", LogSafe(wanted)))
      .NotExecuted();
}

}  // namespace

std::string Admin::StateOf(const Member& member) const {
  const std::string& node = member.record.node();
  const std::optional<absl::Duration> silent =
      parts_.membership->SilentFor(node);
  if (silent.has_value() && *silent > parts_.profile.fence) return "silent";
  if (parts_.is_suspect && parts_.is_suspect(node)) return "suspect";
  return member.record.draining() ? "draining" : "alive";
}

StoreOp Admin::Journal(store::v1::EventRecord event) const {
  return PutEvent(parts_.membership->keys(), parts_.membership->node(),
                  std::move(event), parts_.runtime->clock().Wall(),
                  parts_.runtime->random().Hex(8));
}

void Admin::ListNodes(const admin::v1::ListNodesRequest&,
                      Done<admin::v1::ListNodesResponse> done) {
  std::map<std::string, int> children;
  for (const NameEntry& entry : parts_.registry->List("")) {
    if (!entry.supervisor.empty() && entry.supervisor != kHostSupervisor) {
      ++children[entry.pid.node];
    }
  }
  admin::v1::ListNodesResponse response;
  for (const Member& member : parts_.membership->Members()) {
    admin::v1::Node& node = *response.add_nodes();
    node.set_name(member.record.node());
    node.set_address(member.record.address());
    *node.mutable_epoch() = member.epoch.ToProto();
    *node.mutable_joined_at() = member.record.joined_at();
    for (const auto& type : member.record.types()) {
      node.add_types(type.type());
    }
    node.set_children(children[member.record.node()]);
    node.set_version(member.record.build());
    *node.mutable_labels() = member.record.labels();
    node.set_state(StateOf(member));
  }
  done(std::move(response));
}

void Admin::RemoveNode(const admin::v1::RemoveNodeRequest& request,
                       Done<admin::v1::RemoveNodeResponse> done) {
  const Membership& membership = *parts_.membership;
  const std::string& node = request.node();
  if (request.confirm() != node || node.empty()) {
    done(
        Unconfirmed("removing a node ends its membership, alive or not", node));
    return;
  }
  std::optional<Epoch> epoch;
  for (const Member& member : membership.Members()) {
    if (member.record.node() == node) epoch = member.epoch;
  }
  if (!epoch.has_value()) {
    done(Error(absl::StatusCode::kNotFound, "NO_NODE",
               absl::StrCat("no node is called ", LogSafe(node),
                            ": `muster node list` shows them"))
             .NotExecuted());
    return;
  }
  if (node == membership.node()) {
    done(Error(absl::StatusCode::kFailedPrecondition, "OWN_NODE",
               absl::StrCat("'", node,
                            "' is the node that was asked: end it with "
                            "SIGTERM, or ask another with --endpoint"))
             .NotExecuted());
    return;
  }
  admin::v1::RemoveNodeResponse response;
  *response.mutable_epoch() = epoch->ToProto();
  for (const NameEntry& entry : parts_.registry->List("")) {
    if (entry.pid.node == node && entry.pid.epoch == *epoch) {
      response.add_names(entry.name);
    }
  }
  *response.mutable_grave() = TimeUtil::NanosecondsToDuration(
      absl::ToInt64Nanoseconds(parts_.profile.reap));
  Txn txn = BuryReap(
      membership.keys(), node, static_cast<int64_t>(epoch->revision),
      "removed by an operator", membership.node(),
      Journal(EndOfNode("node.reaped", node, *epoch, "removed by an operator",
                        {{"by", std::string(kByOperator)},
                         {"grave_ms", absl::StrCat(absl::ToInt64Milliseconds(
                                          parts_.profile.reap))}})));
  std::weak_ptr<bool> alive = alive_;
  parts_.store->Commit(
      std::move(txn), kTxnTimeout,
      [alive, node, response = std::move(response),
       done = std::move(done)](absl::StatusOr<TxnResult> result) mutable {
        if (alive.expired()) return;
        if (!result.ok()) {
          done(result.status());
        } else if (result->succeeded) {
          done(std::move(response));
        } else {
          done(Error(absl::StatusCode::kAborted, "CONFLICT",
                     absl::StrCat("node '", node,
                                  "' has left, died or joined anew meanwhile: "
                                  "`muster node list` shows it"))
                   .NotExecuted());
        }
      });
}

void Admin::RaiseGeneration(const admin::v1::RaiseGenerationRequest& request,
                            Done<admin::v1::RaiseGenerationResponse> done) {
  if (request.confirm() != parts_.cluster) {
    done(Unconfirmed(
        "raising the generation makes every node join anew, and restarts "
        "all servers of the cluster",
        parts_.cluster));
    return;
  }
  const Keys& keys = parts_.membership->keys();
  Txn read;
  read.then.push_back(StoreOp::Get(keys.Meta()));
  std::weak_ptr<bool> alive = alive_;
  parts_.store->Commit(
      std::move(read), kTxnTimeout,
      [this, alive,
       done = std::move(done)](absl::StatusOr<TxnResult> result) mutable {
        if (alive.expired()) return;
        store::v1::Meta meta;
        if (!result.ok()) {
          done(WithOutcome(result.status(), Outcome::kNotExecuted));
          return;
        }
        if (result->gets.empty() || result->gets[0].empty() ||
            !meta.ParseFromString(result->gets[0][0].value)) {
          done(Error(
                   absl::StatusCode::kDataLoss, "BAD_RECORD",
                   absl::StrCat("the record ", parts_.membership->keys().Meta(),
                                " is not what Muster writes there"))
                   .NotExecuted());
          return;
        }
        // The restored store may have a smaller one than was in use.
        const uint64_t before = meta.generation();
        meta.set_generation(std::max(before, parts_.membership->generation()) +
                            1);
        admin::v1::RaiseGenerationResponse response;
        response.set_generation(meta.generation());
        store::v1::EventRecord event;
        event.set_kind("cluster.generation");
        event.mutable_old_epoch()->set_generation(before);
        event.mutable_new_epoch()->set_generation(meta.generation());
        event.set_text(absl::StrCat("generation raised to ", meta.generation(),
                                    " by an operator"));
        (*event.mutable_evidence())["by"] = std::string(kByOperator);
        parts_.store->Commit(
            muster::RaiseGeneration(parts_.membership->keys(),
                                    result->gets[0][0], std::move(meta),
                                    Journal(std::move(event))),
            kTxnTimeout,
            [alive, response = std::move(response),
             done = std::move(done)](absl::StatusOr<TxnResult> raised) mutable {
              if (alive.expired()) return;
              if (!raised.ok()) {
                done(raised.status());
              } else if (raised->succeeded) {
                done(std::move(response));
              } else {
                done(Error(absl::StatusCode::kAborted, "CONFLICT",
                           "somebody else has raised it meanwhile: "
                           "`muster status` shows it")
                         .NotExecuted());
              }
            });
      });
}

}  // namespace muster
