// Payload: a protobuf message on its way, as an object or as bytes.
//
// Between processes of one node the object is moved and never serialized; from
// the wire it stays bytes until the receiver says which type it wants.
#ifndef MUSTER_NODE_TYPES_PAYLOAD_H_
#define MUSTER_NODE_TYPES_PAYLOAD_H_

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace muster {

// THREADS: one at a time, as a value.
class Payload {
 public:
  // Empty bytes of no type: the default value of any message.
  Payload() = default;
  explicit Payload(std::unique_ptr<google::protobuf::Message> message)
      : message_(std::move(message)) {}

  template <typename T>
  static Payload Of(T&& message) {
    using M = std::decay_t<T>;
    return Payload(std::make_unique<M>(std::forward<T>(message)));
  }
  // `type` may be empty where the method says what the bytes are.
  static Payload FromBytes(std::string bytes, absl::string_view type = "");

  // The message as a T, parsed now if it came as bytes; stays valid as long as
  // this payload is neither moved nor destroyed. Null: it is of another type,
  // or the bytes are no T.
  template <typename T>
  const T* As() {
    return static_cast<const T*>(AsMessage(T::default_instance()));
  }
  // Moves it out; null as As().
  template <typename T>
  std::unique_ptr<T> Take() {
    if (As<T>() == nullptr) return nullptr;
    return std::unique_ptr<T>(static_cast<T*>(message_.release()));
  }

  // Full name of the type; empty if it came as bytes without one.
  std::string type() const;
  // Serialized; deterministic within one build.
  std::string ToBytes() const;
  // What it counts for in a mailbox.
  size_t size_bytes() const;

  Payload Clone() const;

 private:
  const google::protobuf::Message* AsMessage(
      const google::protobuf::Message& prototype);

  std::unique_ptr<google::protobuf::Message> message_;
  std::string bytes_;  // Only without message_.
  std::string type_;   // Only without message_.
};

}  // namespace muster

#endif  // MUSTER_NODE_TYPES_PAYLOAD_H_
