#include "cluster/membership/profile.h"

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

using google::protobuf::util::TimeUtil;

google::protobuf::Duration ToProtoDuration(absl::Duration d) {
  return TimeUtil::NanosecondsToDuration(absl::ToInt64Nanoseconds(d));
}

absl::Duration FromProtoDuration(const google::protobuf::Duration& d) {
  return absl::Nanoseconds(TimeUtil::DurationToNanoseconds(d));
}

Error Broken(const Profile& p, absl::string_view inequality) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_PROFILE",
               absl::StrCat("heartbeat H=", absl::FormatDuration(p.heartbeat),
                            ", fence F=", absl::FormatDuration(p.fence),
                            ", reap R=", absl::FormatDuration(p.reap),
                            ", guard g=", absl::FormatDuration(p.guard),
                            " break ", inequality));
}

}  // namespace

Profile Profile::Fast() {
  Profile profile;
  profile.heartbeat = absl::Milliseconds(200);
  profile.fence = absl::Seconds(1);
  profile.reap = absl::Milliseconds(1400);
  return profile;
}

Profile Profile::Wide() {
  Profile profile;
  profile.heartbeat = absl::Seconds(2);
  profile.fence = absl::Seconds(12);
  profile.reap = absl::Seconds(15);
  return profile;
}

absl::StatusOr<Profile> Profile::Named(absl::string_view name) {
  if (name == "default") return Profile();
  if (name == "fast") return Fast();
  if (name == "wide") return Wide();
  return Error(absl::StatusCode::kInvalidArgument, "BAD_PROFILE",
               absl::StrCat("no profile is called ", LogSafe(name),
                            ": there are default, fast and wide"))
      .NotExecuted()
      .status();
}

store::v1::Profile Profile::ToProto() const {
  store::v1::Profile proto;
  *proto.mutable_heartbeat() = ToProtoDuration(heartbeat);
  *proto.mutable_fence() = ToProtoDuration(fence);
  *proto.mutable_reap() = ToProtoDuration(reap);
  *proto.mutable_guard() = ToProtoDuration(guard);
  return proto;
}

Profile Profile::FromProto(const store::v1::Profile& proto) {
  Profile profile;
  profile.heartbeat = FromProtoDuration(proto.heartbeat());
  profile.fence = FromProtoDuration(proto.fence());
  profile.reap = FromProtoDuration(proto.reap());
  profile.guard = FromProtoDuration(proto.guard());
  return profile;
}

absl::Status ValidateProfile(const Profile& p) {
  if (p.heartbeat <= absl::ZeroDuration()) return Broken(p, "H > 0");
  if (p.guard <= absl::ZeroDuration()) return Broken(p, "g > 0");
  if (p.heartbeat > p.fence / 4) return Broken(p, "H <= F/4");
  if (p.guard >= p.fence / 2) return Broken(p, "g < F/2");
  if (p.reap < p.fence * 1.1 + p.guard) return Broken(p, "R >= 1.1 F + g");
  return absl::OkStatus();
}

bool Silence::Observe(absl::string_view node, int64_t node_revision,
                      int64_t heartbeat_revision, BootTime now) {
  const auto at = seen_.find(node);
  if (at == seen_.end()) {
    seen_.emplace(std::string(node),
                  Seen{node_revision, heartbeat_revision, now});
    return false;
  }
  Seen& seen = at->second;
  if (seen.node_revision == node_revision &&
      seen.heartbeat_revision == heartbeat_revision) {
    return false;
  }
  seen = Seen{node_revision, heartbeat_revision, now};
  return true;
}

void Silence::Forget(absl::string_view node) {
  const auto at = seen_.find(node);
  if (at != seen_.end()) seen_.erase(at);
}

void Silence::StartAnew(BootTime now) {
  for (auto& [node, seen] : seen_) seen.since = now;
}

std::vector<Silence::Overdue> Silence::Find(absl::Duration reap,
                                            BootTime now) const {
  std::vector<Overdue> overdue;
  for (const auto& [node, seen] : seen_) {
    if (now - seen.since >= reap) {
      overdue.push_back({node, seen.node_revision, seen.heartbeat_revision});
    }
  }
  return overdue;
}

std::optional<absl::Duration> Silence::SilentFor(absl::string_view node,
                                                 BootTime now) const {
  const auto at = seen_.find(node);
  if (at == seen_.end()) return std::nullopt;
  return now - at->second.since;
}

}  // namespace muster
