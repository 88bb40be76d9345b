// Info: a message that is neither a call nor a cast.
//
// Either a protobuf message, which goes anywhere and is known by its full
// name, or a C++ value, which stays on its node and is known by its type. The
// system's own are Exit, Down, NodeUp and NodeDown (node/process/signals.h).
#ifndef MUSTER_NODE_TYPES_INFO_H_
#define MUSTER_NODE_TYPES_INFO_H_

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

#include "node/types/payload.h"

namespace muster {

// Movable, not copyable. THREADS: one at a time, as a value.
class Info {
 public:
  Info() = default;
  explicit Info(Payload payload) : payload_(std::move(payload)) {}
  template <typename T, typename D = std::decay_t<T>,
            typename = std::enable_if_t<!std::is_same_v<D, Info> &&
                                        !std::is_same_v<D, Payload>>>
  Info(T&& value)  // NOLINT: a message is an info
      : payload_(Payload::Of(std::forward<T>(value))) {}

  // The content as a T, or null if it is something else. Valid as long as this
  // object is neither moved nor destroyed.
  template <typename T>
  const T* As() {
    if constexpr (internal::kIsMessage<T>) {
      // Bytes without a type are no T: only a call's method says what they are.
      if (payload_.type() != T::descriptor()->full_name()) return nullptr;
    }
    return payload_.As<T>();
  }
  // Moves a C++ value out; null if it is something else.
  template <typename T>
  T* MutableValue() {
    return payload_.MutableValue<T>();
  }

  // Full name of the protobuf type, or the C++ type's name; for logs.
  std::string type() const { return payload_.type(); }
  // True: a C++ value, which cannot leave its node.
  bool is_local() const { return payload_.is_local(); }
  const Payload& payload() const { return payload_; }
  size_t size_bytes() const { return payload_.size_bytes(); }

 private:
  Payload payload_;
};

}  // namespace muster

#endif  // MUSTER_NODE_TYPES_INFO_H_
