// Contender: a process that fights others for a few cluster-wide names.
//
// Each node of a nemesis run has some. One takes a name, holds it for a moment,
// gives it back, and records what the registry told it (guarantees G4).
#ifndef MUSTER_TESTS_CHAOS_CONTENDER_H_
#define MUSTER_TESTS_CHAOS_CONTENDER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "cluster/muster.h"
#include "tests/chaos/record.h"
#include "tests/checkers/event.h"

namespace muster {

// They begin with this.
inline constexpr char kContestedPrefix[] = "contested/";
inline constexpr int kContestedNames = 3;

class Contender final : public InfoServer {
 public:
  explicit Contender(std::shared_ptr<Record> record)
      : record_(std::move(record)) {}

  InitResult Init(Context& self) override;
  Next HandleInfo(Info info, Context& self) override;
  Next Terminate(const ExitReason& reason, Context& self) override;

  // A supervision tree with `count` of them.
  static SupervisorSpec Tree(const std::shared_ptr<Record>& record, int count);

 private:
  struct Tick {};

  // An operation of this process begins.
  HistoryEvent Invoke(const std::string& op, const std::string& name,
                      Context& self);
  // It has ended: with `epoch`, or with an error.
  void Finish(HistoryEvent event, const absl::StatusOr<Epoch>& epoch);

  const std::shared_ptr<Record> record_;
  uint64_t operations_ = 0;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CHAOS_CONTENDER_H_
