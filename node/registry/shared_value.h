// SharedValue: a C++ value of any type that never changes and that many hold.
#ifndef MUSTER_NODE_REGISTRY_SHARED_VALUE_H_
#define MUSTER_NODE_REGISTRY_SHARED_VALUE_H_

#include <memory>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "absl/strings/string_view.h"

namespace muster {

// Copies are the same value. Text is kept as a std::string. THREADS: any, as a
// value.
class SharedValue {
 public:
  SharedValue() = default;  // None.
  template <typename T, typename D = std::decay_t<T>,
            typename = std::enable_if_t<!std::is_same_v<D, SharedValue>>>
  SharedValue(T&& value) {  // NOLINT: any value is one
    using Kept =
        std::conditional_t<std::is_convertible_v<const D&, absl::string_view>,
                           std::string, D>;
    held_ = std::make_shared<const Held<Kept>>(Kept(std::forward<T>(value)));
  }

  // The value if it is a T, else null; valid as long as a copy of this is.
  template <typename T>
  const T* As() const {
    if (held_ == nullptr || held_->type() != typeid(T)) return nullptr;
    return &static_cast<const Held<T>*>(held_.get())->value;
  }
  // It is a T and equals `value`.
  template <typename T>
  bool Is(const T& value) const {
    const T* const held = As<T>();
    return held != nullptr && *held == value;
  }
  bool Is(const char* text) const { return Is(std::string(text)); }
  bool empty() const { return held_ == nullptr; }

 private:
  struct Holder {
    virtual ~Holder() = default;
    virtual const std::type_info& type() const = 0;
  };
  template <typename T>
  struct Held final : Holder {
    explicit Held(T v) : value(std::move(v)) {}
    const std::type_info& type() const override { return typeid(T); }
    T value;
  };

  std::shared_ptr<const Holder> held_;
};

}  // namespace muster

#endif  // MUSTER_NODE_REGISTRY_SHARED_VALUE_H_
