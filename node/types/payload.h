// Payload: what a message carries: a protobuf message, as an object or as
// bytes, or a C++ value.
//
// Between processes of one node the object is moved and never serialized; from
// the wire it stays bytes until the receiver says which type it wants. A C++
// value (a child spec, a function) cannot leave its node.
#ifndef MUSTER_NODE_TYPES_PAYLOAD_H_
#define MUSTER_NODE_TYPES_PAYLOAD_H_

#include <memory>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace muster {

namespace internal {

template <typename T>
inline constexpr bool kIsMessage =
    std::is_base_of_v<google::protobuf::Message, T>;

// The name of a C++ type as people write it.
std::string CppTypeName(const std::type_info& type);

// Full name of the message type T, or the C++ type's name; for messages to
// people.
template <typename T>
std::string TypeNameOf() {
  if constexpr (kIsMessage<T>) {
    return T::descriptor()->full_name();
  } else {
    return CppTypeName(typeid(T));
  }
}

}  // namespace internal

// Movable, not copyable. THREADS: one at a time, as a value.
class Payload {
 public:
  // Empty bytes of no type: the default value of any message.
  Payload() = default;
  explicit Payload(std::unique_ptr<google::protobuf::Message> message)
      : message_(std::move(message)) {}

  template <typename T>
  static Payload Of(T&& message) {
    using M = std::decay_t<T>;
    if constexpr (internal::kIsMessage<M>) {
      return Payload(std::make_unique<M>(std::forward<T>(message)));
    } else {
      Payload payload;
      payload.value_ = std::make_unique<Value<M>>(std::forward<T>(message));
      return payload;
    }
  }
  // `type` may be empty where the method says what the bytes are.
  static Payload FromBytes(std::string bytes, absl::string_view type = "");

  // The content as a T, parsed now if it came as bytes; stays valid as long as
  // this payload is neither moved nor destroyed. Null: it is of another type,
  // or the bytes are no T.
  template <typename T>
  const T* As() {
    if constexpr (internal::kIsMessage<T>) {
      if (value_ != nullptr) return nullptr;
      return static_cast<const T*>(AsMessage(T::default_instance()));
    } else {
      return MutableValue<T>();
    }
  }
  // Moves it out; null as As().
  template <typename T>
  std::unique_ptr<T> Take() {
    if (As<T>() == nullptr) return nullptr;
    if constexpr (internal::kIsMessage<T>) {
      return std::unique_ptr<T>(static_cast<T*>(message_.release()));
    } else {
      auto taken = std::make_unique<T>(std::move(*MutableValue<T>()));
      value_.reset();
      return taken;
    }
  }
  // The C++ value, to change or move from; null if it is something else.
  template <typename T>
  T* MutableValue() {
    if (value_ == nullptr || value_->type() != typeid(T)) return nullptr;
    return &static_cast<Value<T>*>(value_.get())->value;
  }

  // The message, if it is one as an object; null otherwise.
  const google::protobuf::Message* message() const { return message_.get(); }
  // Full name of the message's or C++ value's type; empty if it came as bytes
  // without one.
  std::string type() const;
  // True: a C++ value, which cannot leave its node.
  bool is_local() const { return value_ != nullptr; }
  // Serialized; deterministic within one build. A C++ value has no bytes.
  std::string ToBytes() const;
  // What it counts for in a mailbox.
  size_t size_bytes() const;

  // Requires a message.
  Payload Clone() const;

 private:
  struct Holder {
    virtual ~Holder() = default;
    virtual const std::type_info& type() const = 0;
  };
  template <typename T>
  struct Value final : Holder {
    template <typename U>
    explicit Value(U&& v) : value(std::forward<U>(v)) {}
    const std::type_info& type() const override { return typeid(T); }
    T value;
  };

  friend class TypeMark;

  const google::protobuf::Message* AsMessage(
      const google::protobuf::Message& prototype);

  std::unique_ptr<google::protobuf::Message> message_;
  std::string bytes_;              // Only without message_.
  std::string type_;               // Only without message_.
  std::unique_ptr<Holder> value_;  // Excludes the others.
};

// Remembers the type of a payload that will be moved; costs nothing until
// somebody asks.
class TypeMark {
 public:
  TypeMark() = default;
  explicit TypeMark(const Payload& payload);

  // As Payload::type().
  std::string Name() const;

 private:
  const google::protobuf::Descriptor* descriptor_ = nullptr;
  const std::type_info* cpp_ = nullptr;
  std::string text_;  // Of bytes.
};

}  // namespace muster

#endif  // MUSTER_NODE_TYPES_PAYLOAD_H_
