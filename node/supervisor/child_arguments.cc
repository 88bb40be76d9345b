#include "node/supervisor/child_arguments.h"

#include <iterator>
#include <string>

namespace muster {
namespace {

bool IsEmpty(const Payload& payload) {
  return !payload.is_local() && payload.type().empty() &&
         payload.ToBytes().empty();
}

void Append(std::vector<Payload>& values, Payload payload) {
  if (ArgumentList* const list = payload.MutableValue<ArgumentList>()) {
    for (Payload& value : list->values()) values.push_back(std::move(value));
    return;
  }
  values.push_back(std::move(payload));
}

}  // namespace

Payload InFront(Payload first, Payload second) {
  if (IsEmpty(first)) return second;
  if (IsEmpty(second)) return first;
  if (!first.is_local() && !second.is_local() &&
      first.type() == second.type()) {
    // Parsing the bytes of two messages, one after the other, merges them.
    return Payload::FromBytes(first.ToBytes() + second.ToBytes(), first.type());
  }
  std::vector<Payload> values;
  Append(values, std::move(first));
  Append(values, std::move(second));
  return Payload::Of(ArgumentList(std::move(values)));
}

}  // namespace muster
