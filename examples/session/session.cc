#include "examples/session/session.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "examples/duration_option.h"
#include "google/protobuf/timestamp.pb.h"

namespace examples {

using muster::Context;
using muster::Info;
using muster::InitResult;
using muster::Next;
using muster::Reply;
using session::v1::CreateSessionRequest;
using session::v1::CreateSessionResponse;
using session::v1::DeleteSessionRequest;
using session::v1::GetSessionRequest;
using session::v1::Session;
using session::v1::SessionStoreOptions;

namespace {

// 128 bits, as in the guide: not to be guessed, and no two alike.
std::string GenerateSessionId(muster::RandomSource& random) {
  std::string bytes(16, '\0');
  random.Fill(bytes.data(), bytes.size());
  std::string id;
  absl::WebSafeBase64Escape(bytes, &id);  // without padding
  return id;
}

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  google::protobuf::Timestamp timestamp;
  const int64_t seconds = absl::ToUnixSeconds(time);  // rounds down
  timestamp.set_seconds(seconds);
  timestamp.set_nanos(static_cast<int32_t>(
      absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return timestamp;
}

}  // namespace

InitResult SessionStore::Init(const SessionStoreOptions& options,
                              Context& self) {
  const absl::StatusOr<absl::Duration> ttl =
      DurationOption("ttl", options.has_ttl(), options.ttl(), absl::Hours(1));
  if (!ttl.ok()) return ttl.status();
  const absl::StatusOr<absl::Duration> cleanup_interval =
      DurationOption("cleanup_interval", options.has_cleanup_interval(),
                     options.cleanup_interval(), absl::Minutes(1));
  if (!cleanup_interval.ok()) return cleanup_interval.status();
  ttl_ = *ttl;
  cleanup_interval_ = *cleanup_interval;
  ScheduleCleanup(self);
  return muster::Ok();
}

Reply<CreateSessionResponse> SessionStore::CreateSession(
    const CreateSessionRequest& request, Context& self) {
  const std::string id = GenerateSessionId(self.random());
  Entry& entry = sessions_[id];
  entry.session.set_id(id);
  entry.session.set_user_id(request.user_id());
  *entry.session.mutable_data() = request.data();
  *entry.session.mutable_created_at() = ToTimestamp(self.WallTime());
  entry.created = self.Now();
  CreateSessionResponse response;
  response.set_session_id(id);
  return response;
}

Reply<Session> SessionStore::GetSession(const GetSessionRequest& request,
                                        Context&) {
  const auto found = sessions_.find(request.session_id());
  if (found == sessions_.end()) {
    // The id is as good as a password: it stays out of messages and logs.
    return absl::NotFoundError("no session has this id");
  }
  return found->second.session;
}

Next SessionStore::DeleteSession(const DeleteSessionRequest& request,
                                 Context&) {
  sessions_.erase(request.session_id());
  return muster::NoReply();
}

Next SessionStore::HandleInfo(Info info, Context& self) {
  if (info.As<Cleanup>() == nullptr) {
    self.LogWarning(absl::StrCat("Received unexpected message: ", info.type()));
    return muster::NoReply();
  }
  RemoveExpired(self);
  ScheduleCleanup(self);
  return muster::NoReply();
}

void SessionStore::ScheduleCleanup(Context& self) {
  self.SendAfter(cleanup_interval_, Cleanup());
}

void SessionStore::RemoveExpired(Context& self) {
  const muster::BootTime now = self.Now();
  const size_t before = sessions_.size();
  absl::erase_if(sessions_, [&](const auto& id_and_entry) {
    return now - id_and_entry.second.created >= ttl_;
  });
  const size_t expired = before - sessions_.size();
  if (expired > 0) {
    self.LogInfo(absl::StrCat("Cleaned up ", expired, " expired sessions"));
  }
}

}  // namespace examples
