// HandlerCell: a WatchHandler that can be called until its watch is closed.
//
// For implementations of Store.
#ifndef MUSTER_CLUSTER_STORE_HANDLER_CELL_H_
#define MUSTER_CLUSTER_STORE_HANDLER_CELL_H_

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cluster/store/gate.h"
#include "cluster/store/store.h"

namespace muster {

// Holds the handler of one watch and keeps the promises of Watch.
// LIFETIME: shared by the Watch, which closes it, and by what delivers.
// THREADS: Events() and End() by one thread at a time; Close() by any.
class HandlerCell {
 public:
  explicit HandlerCell(WatchHandler handler) : handler_(std::move(handler)) {}
  HandlerCell(const HandlerCell&) = delete;
  HandlerCell& operator=(const HandlerCell&) = delete;

  // Nothing is called after End() or Close(), or with no events.
  void Events(std::vector<WatchEvent> events) {
    if (ended_ || events.empty()) return;
    gate_.Call([&] {
      if (handler_.on_events) handler_.on_events(std::move(events));
    });
  }
  void End(absl::Status status) {
    if (std::exchange(ended_, true)) return;
    gate_.Call([&] {
      if (handler_.on_end) handler_.on_end(std::move(status));
    });
  }

  // Waits for a call under way on another thread and forgets the handler with
  // all it holds. Not from the handler itself.
  void Close() {
    gate_.Close();
    handler_ = {};
  }

 private:
  Gate gate_;
  // Owned by the one who delivers.
  bool ended_ = false;
  // Used inside the gate, and by Close() once that is empty.
  WatchHandler handler_;
};

}  // namespace muster

#endif  // MUSTER_CLUSTER_STORE_HANDLER_CELL_H_
