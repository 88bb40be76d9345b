// MailboxOptions: how much may wait for one process, and what then happens.
#ifndef MUSTER_NODE_PROCESS_MAILBOX_H_
#define MUSTER_NODE_PROCESS_MAILBOX_H_

#include <cstddef>
#include <cstdint>

namespace muster {

// What becomes of a cast or an info for which there is no room. A call is
// always refused: its caller can wait and try again. What the system sends
// (Exit, Down, NodeUp, NodeDown, system requests) is always taken: whatever
// caused it, a link or a monitor, bounds it.
enum class Overflow : uint8_t {
  kRefuse,      // A cast is refused with MAILBOX_FULL, an info is dropped.
  kDropNewest,  // Dropped, and its sender is told nothing.
  kDropOldest,  // The oldest casts and infos make room. Where only calls wait,
                // the new one is dropped.
};

struct MailboxOptions {
  // Messages that may wait, without those of the system; 0: as many as
  // RuntimeOptions::mailbox_messages_max says.
  size_t messages_max = 0;
  // Bytes of their payloads, 256 a message included; 0: as
  // RuntimeOptions::mailbox_bytes_max.
  size_t bytes_max = 0;
  Overflow overflow = Overflow::kRefuse;
};

namespace internal {

// Counts what waits against the limits. Pure.
class MailboxRoom {
 public:
  MailboxRoom(const MailboxOptions& options, size_t messages_default,
              size_t bytes_default)
      : messages_max_(options.messages_max != 0 ? options.messages_max
                                                : messages_default),
        bytes_max_(options.bytes_max != 0 ? options.bytes_max : bytes_default) {
  }

  // Room for one more of `bytes`.
  bool Has(size_t messages, size_t total_bytes, size_t bytes) const {
    return messages < messages_max_ && total_bytes + bytes <= bytes_max_;
  }
  // False: not even an empty mailbox has room for it.
  bool CanEverHave(size_t bytes) const { return bytes <= bytes_max_; }

 private:
  size_t messages_max_;
  size_t bytes_max_;
};

}  // namespace internal
}  // namespace muster

#endif  // MUSTER_NODE_PROCESS_MAILBOX_H_
