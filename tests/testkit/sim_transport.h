// SimNetwork and SimTransport: the wire between the nodes of a simulation.
//
// Everything happens as timers on the lanes of the nodes, and all delays come
// from the simulation's dice, so one seed gives one run.
// tests/conformance/transport holds it to the contract of transport.h.
#ifndef MUSTER_TESTS_TESTKIT_SIM_TRANSPORT_H_
#define MUSTER_TESTS_TESTKIT_SIM_TRANSPORT_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "node/base/random.h"
#include "node/base/scheduler.h"
#include "node/peer/transport.h"

namespace muster {

class SimStream;
class SimTransport;

struct SimNetworkOptions {
  // Of one message one way; uniform in [min, max). Order is kept.
  absl::Duration latency_min = absl::Microseconds(100);
  absl::Duration latency_max = absl::Milliseconds(2);
  // A dial that has not reached its peer by then fails.
  absl::Duration connect_limit = absl::Seconds(2);
  // At most this long after a node's death its peers notice.
  absl::Duration death_notice_max = absl::Milliseconds(50);
  // Bytes under way on one stream in one direction above which OnWritten
  // waits, as when a socket's buffer is full.
  size_t window_bytes = size_t{64} << 10;
  // Of a million messages, this many arrive twice, as from a peer that sends
  // again what it had sent; 0 draws no dice.
  uint64_t repeat_per_million = 0;
};

// Owns the links between the nodes of one simulation.
//
// LIFETIME: outlives its transports and all use of their streams. `random`
// outlives it. THREADS: the one of the simulation.
class SimNetwork {
 public:
  explicit SimNetwork(RandomSource* random, SimNetworkOptions options = {});
  ~SimNetwork();
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  // From now on nothing passes between the two addresses, in either direction,
  // and neither notices: what is under way waits for Heal(), dials run into
  // their limit. Twice is once.
  void Cut(absl::string_view a, absl::string_view b);
  // Only what `from` sends to `to` is lost on the way.
  void CutOneWay(absl::string_view from, absl::string_view to);
  void Heal(absl::string_view a, absl::string_view b);
  void HealAll();
  // The next `count` messages from one to the other arrive twice, as from a
  // sender that sends again what had arrived.
  void Repeat(absl::string_view from, absl::string_view to, int count);
  // Breaks all streams between the two now: UNAVAILABLE on both sides.
  void Reset(absl::string_view a, absl::string_view b);

  // The process at `address` has died; goes with SimWorld::KillLane. Its
  // handlers hear nothing more, its peers UNAVAILABLE after a while, behind
  // some of what it had sent. A new transport may take the address.
  void KillNode(absl::string_view address);

 private:
  friend class SimStream;
  friend class SimTransport;
  using Streams = std::map<uint64_t, std::shared_ptr<SimStream>>;

  // What `from` sends does not reach `to`.
  bool IsCut(const std::string& from, const std::string& to) const;
  // Takes one of the repeats.
  bool TakeRepeat(const std::string& from, const std::string& to);
  absl::Duration Latency();
  std::shared_ptr<SimStream> Dial(SimTransport* from, std::string to,
                                  std::shared_ptr<StreamHandler> handler);
  // The streams with an end at `address`, oldest first.
  std::vector<std::shared_ptr<SimStream>> StreamsAt(
      absl::string_view address) const;
  void ResumeStreams();

  // Constant after construction.
  RandomSource* const random_;
  const SimNetworkOptions options_;

  // Owned by the simulation's thread.
  std::map<std::string, SimTransport*> transports_;
  // From, to.
  std::set<std::pair<std::string, std::string>> cuts_;
  std::map<std::pair<std::string, std::string>, int> repeats_;
  // Both ends of every stream that is not over, by their age.
  Streams streams_;
  uint64_t last_stream_ = 0;
};

// Owns the streams of one simulated node, at one address of the network.
// LIFETIME: `network` and `lane` outlive it. Its destructor calls OnClosed of
// the streams that are left, unless the node was killed.
class SimTransport final : public Transport {
 public:
  SimTransport(SimNetwork* network, Scheduler* lane, std::string address);
  ~SimTransport() override;
  SimTransport(const SimTransport&) = delete;
  SimTransport& operator=(const SimTransport&) = delete;

  const std::string& address() const { return address_; }

  void Serve(StreamAcceptor acceptor) override;
  std::shared_ptr<Stream> Dial(std::string address,
                               std::shared_ptr<StreamHandler> handler) override;

 private:
  friend class SimNetwork;
  friend class SimStream;

  SimNetwork* const network_;
  Scheduler* const lane_;
  const std::string address_;
  StreamAcceptor acceptor_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_TESTKIT_SIM_TRANSPORT_H_
