// SessionStore: the guide's practical example.
#ifndef MUSTER_EXAMPLES_SESSION_SESSION_H_
#define MUSTER_EXAMPLES_SESSION_SESSION_H_

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "examples/session/session.muster.server.h"
#include "examples/session/session.pb.h"

namespace examples {

// Keeps sessions by id and removes the expired ones from time to time.
class SessionStore final : public session::v1::SessionStoreServer {
 public:
  muster::InitResult Init(const session::v1::SessionStoreOptions& options,
                          muster::Context& self) override;
  muster::Reply<session::v1::CreateSessionResponse> CreateSession(
      const session::v1::CreateSessionRequest& request,
      muster::Context& self) override;
  muster::Reply<session::v1::Session> GetSession(
      const session::v1::GetSessionRequest& request,
      muster::Context& self) override;
  muster::Next DeleteSession(const session::v1::DeleteSessionRequest& request,
                             muster::Context& self) override;
  // The cleanup; anything else is logged and dropped.
  muster::Next HandleInfo(muster::Info info, muster::Context& self) override;

 private:
  // A C++ value, so nobody on another node can send one.
  struct Cleanup {};
  struct Entry {
    session::v1::Session session;
    // The boot clock is never set, unlike created_at, which is for people.
    muster::BootTime created;
  };

  void ScheduleCleanup(muster::Context& self);
  void RemoveExpired(muster::Context& self);

  absl::Duration ttl_;
  absl::Duration cleanup_interval_;
  absl::flat_hash_map<std::string, Entry> sessions_;
};

}  // namespace examples

#endif  // MUSTER_EXAMPLES_SESSION_SESSION_H_
