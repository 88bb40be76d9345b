#include "node/types/payload.h"

#include <cxxabi.h>

#include <climits>
#include <cstdint>
#include <cstdlib>
#include <typeinfo>

#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace muster {
namespace {

// Messages nested deeper are refused (guarantees section 10).
constexpr int kNestingMax = 32;

// What a C++ value counts for in a mailbox; its true size is its own secret.
constexpr size_t kLocalValueBytes = 64;

std::string Serialize(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    // Map fields in key order.
    coded.SetSerializationDeterministic(true);
    message.SerializePartialToCodedStream(&coded);
  }
  return bytes;
}

bool Parse(absl::string_view bytes, google::protobuf::Message* message) {
  if (bytes.size() > INT_MAX) return false;
  google::protobuf::io::CodedInputStream coded(
      reinterpret_cast<const uint8_t*>(bytes.data()),
      static_cast<int>(bytes.size()));
  coded.SetRecursionLimit(kNestingMax);
  return message->ParsePartialFromCodedStream(&coded) &&
         coded.ConsumedEntireMessage() && message->IsInitialized();
}

}  // namespace

namespace internal {

std::string CppTypeName(const std::type_info& type) {
  int error = 0;
  char* const text = abi::__cxa_demangle(type.name(), nullptr, nullptr, &error);
  if (error != 0 || text == nullptr) return type.name();
  std::string result(text);
  std::free(text);
  return result;
}

}  // namespace internal

Payload Payload::FromBytes(std::string bytes, absl::string_view type) {
  Payload payload;
  payload.bytes_ = std::move(bytes);
  payload.type_ = std::string(type);
  return payload;
}

std::string Payload::type() const {
  if (value_ != nullptr) return internal::CppTypeName(value_->type());
  if (message_ != nullptr) return message_->GetDescriptor()->full_name();
  return type_;
}

std::string Payload::ToBytes() const {
  return message_ != nullptr ? Serialize(*message_) : bytes_;
}

size_t Payload::size_bytes() const {
  if (value_ != nullptr) return kLocalValueBytes;
  return message_ != nullptr ? message_->ByteSizeLong() : bytes_.size();
}

TypeMark::TypeMark(const Payload& payload) {
  if (payload.value_ != nullptr) {
    cpp_ = &payload.value_->type();
  } else if (payload.message_ != nullptr) {
    descriptor_ = payload.message_->GetDescriptor();
  } else {
    text_ = payload.type_;
  }
}

std::string TypeMark::Name() const {
  if (cpp_ != nullptr) return internal::CppTypeName(*cpp_);
  return descriptor_ != nullptr ? descriptor_->full_name() : text_;
}

Payload Payload::Clone() const {
  if (message_ == nullptr) return FromBytes(bytes_, type_);
  std::unique_ptr<google::protobuf::Message> copy(message_->New());
  copy->CopyFrom(*message_);
  return Payload(std::move(copy));
}

const google::protobuf::Message* Payload::AsMessage(
    const google::protobuf::Message& prototype) {
  // The same class, not only the same descriptor: a dynamic message must not
  // be taken for the generated one.
  if (message_ != nullptr) {
    const google::protobuf::Message& held = *message_;
    if (typeid(held) == typeid(prototype)) return message_.get();
  }
  const std::string& wanted = prototype.GetDescriptor()->full_name();
  if (message_ != nullptr) {
    if (message_->GetDescriptor()->full_name() != wanted) return nullptr;
  } else if (!type_.empty() && type_ != wanted) {
    return nullptr;
  }
  std::unique_ptr<google::protobuf::Message> parsed(prototype.New());
  if (!Parse(message_ != nullptr ? Serialize(*message_) : bytes_,
             parsed.get())) {
    return nullptr;
  }
  message_ = std::move(parsed);
  bytes_ = std::string();
  type_ = std::string();
  return message_.get();
}

}  // namespace muster
