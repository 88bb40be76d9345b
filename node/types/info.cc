#include "node/types/info.h"

#include <cxxabi.h>

#include <cstdlib>

namespace muster {
namespace {

// What a C++ value counts for in a mailbox; its true size is its own secret.
constexpr size_t kLocalValueBytes = 64;

std::string Demangled(const char* name) {
  int error = 0;
  char* const text = abi::__cxa_demangle(name, nullptr, nullptr, &error);
  if (error != 0 || text == nullptr) return name;
  std::string result(text);
  std::free(text);
  return result;
}

}  // namespace

std::string Info::type() const {
  return value_ != nullptr ? Demangled(value_->type().name()) : payload_.type();
}

size_t Info::size_bytes() const {
  return value_ != nullptr ? kLocalValueBytes : payload_.size_bytes();
}

}  // namespace muster
