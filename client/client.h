// Client: calls GenServers from a program that is not a node.
//
// With the generated clients (CounterClient), or with paths and bytes. Speaks
// to any node of the cluster; servers are known by name.
//
//   auto client = muster::Client::Connect("127.0.0.1:7001,127.0.0.1:7002");
//   CounterClient counter(**client, "counter_a");
//   absl::StatusOr<CounterValue> value = counter.Increment(request).Wait();
#ifndef MUSTER_CLIENT_CLIENT_H_
#define MUSTER_CLIENT_CLIENT_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "muster/process/v1/process.pb.h"
#include "node/base/random.h"
#include "node/process/caller.h"

namespace muster {

struct ClientOptions {
  // How often one call is sent in all, at least 1. Only what was certainly not
  // executed is sent again. More hides longer outages and adds load to them.
  int attempts_max = 3;
  // Pause before the second attempt; doubles for each further one, with
  // jitter of plus or minus a fifth. A retry delay from the server counts if
  // it is longer. Too small hammers a node that is starting.
  absl::Duration backoff_initial = absl::Milliseconds(50);
  absl::Duration backoff_max = absl::Seconds(1);
  // Largest message in either direction; the nodes' own limit is 4 MiB.
  size_t message_bytes_max = size_t{4} << 20;
  // For jitter; outlives the client. Null: the kernel's.
  RandomSource* random = nullptr;
  // Directory of ca.pem, cert.pem and key.pem: mutual TLS, to nodes of the
  // certificate's cluster only. It is looked at every 5 s, and new connections
  // use what is new and good there. Empty: the environment's MUSTER_TLS_DIR;
  // without that plaintext, on loopback only.
  std::string tls_dir;
  // With TLS: the one node that may answer; empty: any of the cluster.
  std::string tls_node;
};

// Keeps one connection to each node it was given, and uses one of them until
// it fails or, if there are others, its health service says that it leaves.
// Errors carry reason and outcome (node/types/status.h); an
// UNAVAILABLE always means not executed, a broken connection is ABORTED
// NOCONNECTION with outcome UNKNOWN.
//
// Retries: only outcome NOT_EXECUTED with UNAVAILABLE, RESOURCE_EXHAUSTED or
// ABORTED, within the call's deadline, and only while the connection's bucket
// is over half full: 10 tokens, a failure takes one, a success returns 0.1.
// A node that cannot be connected to was sent nothing: the call goes on to the
// next one at once, and only when all are like that has an attempt failed.
//
// Never back in time (guarantees G5): it remembers the greatest epoch that has
// answered for a name, of the 10,000 names that it used last, and no node
// answers it for an older one: ABORTED FENCED, NOT_EXECUTED, if it knows none
// that is newer.
//
// LIFETIME: the destructor cancels what is under way and waits for those
// callbacks, which come with CANCELLED or the error that an earlier attempt had
// met; so not on a worker of a scheduler. In a callback of a client it does not
// wait.
// THREADS: any thread may call any method. Callbacks come on gRPC's threads,
// where nothing may block, or inside the call.
class Client final : public Caller {
 public:
  // `endpoints`: "host:port", on loopback unless there is TLS, one or more,
  // separated by commas. Connects when the first call needs it.
  // INVALID_ARGUMENT BAD_ADDRESS, NOT_LOOPBACK (elsewhere mutual TLS is
  // needed), BAD_OPTION; FAILED_PRECONDITION: the TLS directory cannot be used
  // (node/tls/certificate.h).
  static absl::StatusOr<std::unique_ptr<Client>> Connect(
      absl::string_view endpoints, ClientOptions options = ClientOptions());
  static absl::StatusOr<std::unique_ptr<Client>> Connect(
      const std::vector<std::string>& endpoints,
      ClientOptions options = ClientOptions());
  ~Client() override;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // A timeout over 5 minutes is 5 minutes (guarantees section 10). Names of
  // one node (ServerRef::Local) are those of whichever node answers, unless
  // they say which. INVALID_ARGUMENT BAD_NAME, BAD_METHOD, BAD_METADATA
  // without sending.
  void StartCall(const ServerRef& to, absl::string_view path, Payload request,
                 const CallOptions& options,
                 absl::AnyInvocable<void(CallResult)> done) override;
  // OK: the server's mailbox has taken it.
  void StartCast(const ServerRef& to, absl::string_view path, Payload request,
                 const CallOptions& options,
                 absl::AnyInvocable<void(absl::Status)> done) override;

  // Where a cluster-wide name lives; may be old when it arrives. NOT_FOUND
  // NOPROC: the name is free.
  PendingCall<process::v1::WhereIsResponse> WhereIs(
      absl::string_view name, const CallOptions& options = CallOptions());

 private:
  class Core;
  class Call;

  explicit Client(std::unique_ptr<Core> core);

  std::unique_ptr<Core> core_;
};

}  // namespace muster

#endif  // MUSTER_CLIENT_CLIENT_H_
