// EtcdServer: a real etcd for one test, from Debian's package etcd-server.
#ifndef MUSTER_TESTS_TESTKIT_ETCD_SERVER_H_
#define MUSTER_TESTS_TESTKIT_ETCD_SERVER_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace muster {

// Owns one etcd OS process and its data directory below TEST_TMPDIR.
// LIFETIME: destruction ends the OS process. It also ends when the thread that
// started it does, so that a crashed test leaves nothing behind: start it on a
// thread that lives as long, usually the main one.
// THREADS: one at a time.
class EtcdServer {
 public:
  // A new empty one-member cluster on loopback ports that were free a moment
  // ago (etcd takes no port 0), tried again with others when they are not any
  // more; returns when it serves. UNAVAILABLE with the end of etcd's log if it
  // does not.
  static absl::StatusOr<std::unique_ptr<EtcdServer>> Start();
  ~EtcdServer();
  EtcdServer(const EtcdServer&) = delete;
  EtcdServer& operator=(const EtcdServer&) = delete;

  // "etcd://127.0.0.1:<port>".
  std::string spec() const;
  uint16_t port() const { return port_; }
  // 0 when it does not run.
  pid_t pid() const { return pid_; }

  // Ends it in order (SIGTERM) and waits.
  void Stop();
  // Ends it at once (SIGKILL) and waits; what it had acknowledged is on disk.
  void Kill();
  // Runs it again on the same ports and data; returns when it serves.
  absl::Status Restart();
  // SIGSTOP and SIGCONT: it keeps its connections and says nothing. Pause()
  // returns when it has stopped.
  void Pause();
  void Resume();

 private:
  EtcdServer(std::string directory, uint16_t port, uint16_t peer_port);

  absl::Status Launch();
  absl::Status WaitUntilServing();
  void End(int signal);
  std::string LogTail() const;

  const std::string directory_;
  const uint16_t port_;
  const uint16_t peer_port_;
  pid_t pid_ = 0;
};

}  // namespace muster

#endif  // MUSTER_TESTS_TESTKIT_ETCD_SERVER_H_
