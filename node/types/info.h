// Info: a message that is neither a call nor a cast.
//
// Either a protobuf message, which goes anywhere and is known by its full
// name, or a C++ value, which stays on its node and is known by its type. The
// system's own are Exit and Down (node/process/signals.h).
#ifndef MUSTER_NODE_TYPES_INFO_H_
#define MUSTER_NODE_TYPES_INFO_H_

#include <memory>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "google/protobuf/message.h"
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
  Info(T&& value) {  // NOLINT: a message is an info
    if constexpr (std::is_base_of_v<google::protobuf::Message, D>) {
      payload_ = Payload::Of(std::forward<T>(value));
    } else {
      value_ = std::make_unique<Value<D>>(std::forward<T>(value));
    }
  }

  // The content as a T, or null if it is something else. Valid as long as this
  // object is neither moved nor destroyed.
  template <typename T>
  const T* As() {
    if constexpr (std::is_base_of_v<google::protobuf::Message, T>) {
      if (value_ != nullptr || payload_.type() != T::descriptor()->full_name())
        return nullptr;
      return payload_.As<T>();
    } else {
      return const_cast<T*>(MutableValue<T>());
    }
  }
  // Moves a C++ value out; null if it is something else.
  template <typename T>
  T* MutableValue() {
    if (value_ == nullptr || value_->type() != typeid(T)) return nullptr;
    return &static_cast<Value<T>*>(value_.get())->value;
  }

  // Full name of the protobuf type, or the C++ type's name; for logs.
  std::string type() const;
  // True: a C++ value, which cannot leave its node.
  bool is_local() const { return value_ != nullptr; }
  const Payload& payload() const { return payload_; }
  size_t size_bytes() const;

 private:
  struct Holder {
    virtual ~Holder() = default;
    virtual const std::type_info& type() const = 0;
  };
  template <typename T>
  struct Value final : Holder {
    explicit Value(T v) : value(std::move(v)) {}
    const std::type_info& type() const override { return typeid(T); }
    T value;
  };

  Payload payload_;
  std::unique_ptr<Holder> value_;
};

}  // namespace muster

#endif  // MUSTER_NODE_TYPES_INFO_H_
