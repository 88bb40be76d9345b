// ChildArguments: what a child is initialized with, beside its spec.
#ifndef MUSTER_NODE_SUPERVISOR_CHILD_ARGUMENTS_H_
#define MUSTER_NODE_SUPERVISOR_CHILD_ARGUMENTS_H_

#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

#include "node/types/payload.h"

namespace muster {

// Makes the same arguments for each start, so that a restarted child gets what
// its first start got.
class ChildArguments {
 public:
  ChildArguments() {}  // None.
  explicit ChildArguments(std::function<Payload()> make)
      : make_(std::move(make)) {}
  // Copies of one value: a message, or a C++ value.
  template <typename T>
  static ChildArguments Of(T value) {
    return ChildArguments(
        [value = std::move(value)] { return Payload::Of(value); });
  }

  Payload Make() const { return make_ ? make_() : Payload(); }
  bool empty() const { return make_ == nullptr; }

 private:
  std::function<Payload()> make_;
};

// Several arguments that are not of one message type, in order; what the
// child's Init gets (Payload::As<ArgumentList>).
class ArgumentList {
 public:
  ArgumentList() {}
  explicit ArgumentList(std::vector<Payload> values)
      : values_(std::move(values)) {}

  size_t size() const { return values_.size(); }
  // Null: there are not so many, or it is another type.
  template <typename T>
  const T* Get(size_t at) const {
    return at < values_.size() ? values_[at].template As<T>() : nullptr;
  }
  std::vector<Payload>& values() { return values_; }

 private:
  // As<T>() parses bytes in place.
  mutable std::vector<Payload> values_;
};

// One argument of two, `first` in front (otp D1): the other one if one is
// empty; two messages of one type become one, `second` merged over `first`, so
// that `first` holds the defaults; else an ArgumentList of both.
Payload InFront(Payload first, Payload second);

}  // namespace muster

#endif  // MUSTER_NODE_SUPERVISOR_CHILD_ARGUMENTS_H_
