// The contract of node/peer/transport.h as a test suite.
//
// A backend links this library and instantiates TransportConformanceTest with
// a factory of its environment.
#ifndef MUSTER_TESTS_CONFORMANCE_TRANSPORT_TRANSPORT_CONFORMANCE_H_
#define MUSTER_TESTS_CONFORMANCE_TRANSPORT_TRANSPORT_CONFORMANCE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/optional.h"
#include "gtest/gtest.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/peer/transport.h"

namespace muster {

// Where a backend's nodes live.
class TransportEnvironment {
 public:
  virtual ~TransportEnvironment() = default;

  // A node in this process, ready to serve; returns its address. Serve is
  // called by StartNode with `acceptor`.
  virtual std::string StartNode(StreamAcceptor acceptor) = 0;
  virtual Transport& TransportOf(const std::string& address) = 0;
  // Destroys the node's transport as its contract asks for.
  virtual void StopNode(const std::string& address) = 0;

  // A node as if in another process, which answers each message with the same
  // one. If `dial` is not empty it also dials there and sends "hello".
  virtual std::string StartOther(const std::string& dial) = 0;
  // Ends that process without a word, as kill -9 does.
  virtual void Kill(const std::string& address) = 0;
  // The process neither runs nor ends, as after kill -STOP.
  virtual void Freeze(const std::string& address) = 0;

  // Where nobody is.
  virtual std::string NobodysAddress() = 0;
  virtual Clock& clock() = 0;

  // Everything that handlers record changes under this lock.
  Mutex mu;
  CondVar changed;

  // Waits, or simulates, until `done`, which is asked with `mu` held. False:
  // it took far too long.
  virtual bool Await(absl::FunctionRef<bool()> done) = 0;
};

// Keeps what a stream says, and checks the promises of StreamHandler that need
// no test of their own.
class RecordingHandler final : public StreamHandler {
 public:
  explicit RecordingHandler(TransportEnvironment* env) : env_(env) {}

  void OnMessage(std::string message) override;
  void OnWritten() override;
  void OnClosed(absl::Status status) override;

  // Set before the first event; called without the lock.
  std::function<void(const std::string& message)> on_message;
  std::function<void()> on_written;

  // Read with the environment's lock, or when nothing happens any more.
  std::vector<std::string> messages;
  int written = 0;
  absl::optional<absl::Status> closed;

 private:
  class Inside;

  TransportEnvironment* const env_;
  bool inside_ = false;
};

using TransportEnvironmentFactory =
    std::function<std::unique_ptr<TransportEnvironment>()>;

class TransportConformanceTest
    : public testing::TestWithParam<TransportEnvironmentFactory> {
 protected:
  // One end of a stream.
  struct End {
    std::shared_ptr<Stream> stream;
    std::shared_ptr<RecordingHandler> handler;
  };

  void SetUp() override;
  void TearDown() override;

  End Dial(const std::string& to);
  // The newest stream that node b took; waits for it.
  End Accepted();
  // A stream from node a to node b; `dialed_` and `accepted_`.
  void Connect();

  // Write and Close that notice a handler call from inside.
  static void Write(const std::shared_ptr<Stream>& stream, std::string message);
  static void Close(const std::shared_ptr<Stream>& stream, absl::Status status);

  void AwaitMessages(const End& end, size_t count);
  void AwaitWritten(const End& end, int count);
  absl::Status AwaitClosed(const End& end);
  bool Await(absl::FunctionRef<bool()> done) { return env_->Await(done); }

  std::unique_ptr<TransportEnvironment> env_;
  // Two nodes; b's acceptor records.
  std::string a_;
  std::string b_;
  // Guarded by env_->mu.
  std::vector<End> accepted_all_;
  size_t accepted_taken_ = 0;
  // Called by b's acceptor with the new end, without the lock.
  std::function<void(const End&)> on_accept_;
  End dialed_;
  End accepted_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_TRANSPORT_TRANSPORT_CONFORMANCE_H_
