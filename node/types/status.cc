#include "node/types/status.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/message_lite.h"
#include "node/types/proto_time.h"
#include "node/types/utf8.h"

namespace muster {
namespace {

constexpr absl::string_view kErrorInfoUrl =
    "type.googleapis.com/google.rpc.ErrorInfo";
constexpr absl::string_view kRetryInfoUrl =
    "type.googleapis.com/google.rpc.RetryInfo";
constexpr char kOutcomeKey[] = "outcome";

// The whole of it; about twice as much makes gRPC replace the error by a bare
// RESOURCE_EXHAUSTED.
constexpr size_t kRpcStatusBytesMax = 4096;
// Shares of that once it must be cut; what they leave is for foreign details.
constexpr size_t kCutMessageBytesMax = 1536;
constexpr size_t kCutInfoBytesMax = 1920;
constexpr size_t kCutValueBytesMax = 256;

std::string Serialize(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializePartialToCodedStream(&coded);
  }
  return bytes;
}

template <typename M>
std::optional<M> Detail(const absl::Status& status, absl::string_view url) {
  const absl::optional<absl::Cord> payload = status.GetPayload(url);
  if (!payload.has_value()) return std::nullopt;
  M message;
  if (!message.ParseFromString(std::string(*payload))) return std::nullopt;
  return message;
}

std::optional<core::v1::ErrorInfo> InfoOf(const absl::Status& status) {
  return Detail<core::v1::ErrorInfo>(status, kErrorInfoUrl);
}

// "outcome" first, then by key.
std::vector<std::pair<std::string, std::string>> SortedMetadata(
    const core::v1::ErrorInfo& info) {
  std::vector<std::pair<std::string, std::string>> entries(
      info.metadata().begin(), info.metadata().end());
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    const bool a_first = a.first == kOutcomeKey;
    const bool b_first = b.first == kOutcomeKey;
    return a_first != b_first ? a_first : a < b;
  });
  return entries;
}

// `info` with long values cut and what does not fit left out; counts the
// latter.
core::v1::ErrorInfo CutInfo(const core::v1::ErrorInfo& info, size_t* left_out) {
  core::v1::ErrorInfo cut;
  cut.set_reason(CutUtf8WithNote(info.reason(), kCutValueBytesMax));
  cut.set_domain(CutUtf8WithNote(info.domain(), kCutValueBytesMax));
  for (const auto& [key, value] : SortedMetadata(info)) {
    (*cut.mutable_metadata())[key] = CutUtf8WithNote(value, kCutValueBytesMax);
    if (cut.ByteSizeLong() > kCutInfoBytesMax) {
      cut.mutable_metadata()->erase(key);
      ++*left_out;
    }
  }
  return cut;
}

// Not absl::Cord(std::string&&): clang 19 and the g++ that built Debian's
// Abseil mangle that template's name differently.
absl::Cord ToCord(absl::string_view bytes) { return absl::Cord(bytes); }

void AddDetail(absl::string_view url, std::string value,
               core::v1::RpcStatus* rpc) {
  google::protobuf::Any* const any = rpc->add_details();
  any->set_type_url(std::string(url));
  any->set_value(std::move(value));
}

// Details in the order they travel in: ErrorInfo, RetryInfo, the rest by URL.
std::map<std::string, std::string> ForeignDetails(const absl::Status& status) {
  std::map<std::string, std::string> foreign;
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& value) {
    if (url == kErrorInfoUrl || url == kRetryInfoUrl) return;
    foreign[ToValidUtf8(url)] = std::string(value);
  });
  return foreign;
}

core::v1::RpcStatus CutRpcStatus(const absl::Status& status) {
  core::v1::RpcStatus rpc;
  rpc.set_code(static_cast<int32_t>(status.code()));
  size_t left_out = 0;
  if (const auto info = InfoOf(status)) {
    AddDetail(kErrorInfoUrl, Serialize(CutInfo(*info, &left_out)), &rpc);
  } else if (status.GetPayload(kErrorInfoUrl).has_value()) {
    ++left_out;  // Somebody else's bytes under that name.
  }
  if (const auto retry = Detail<core::v1::RetryInfo>(status, kRetryInfoUrl)) {
    AddDetail(kRetryInfoUrl, Serialize(*retry), &rpc);
  }
  const std::string message =
      CutUtf8WithNote(ToValidUtf8(status.message()), kCutMessageBytesMax);
  const auto note = [&message](size_t left_out) {
    if (left_out == 0) return message;
    return absl::StrCat(message, " [", left_out,
                        " details left out: over 4 KiB]");
  };
  for (auto& [url, value] : ForeignDetails(status)) {
    AddDetail(url, std::move(value), &rpc);
    rpc.set_message(note(left_out + 1));
    if (rpc.ByteSizeLong() > kRpcStatusBytesMax) {
      rpc.mutable_details()->RemoveLast();
      ++left_out;
    }
  }
  rpc.set_message(note(left_out));
  return rpc;
}

}  // namespace

absl::string_view OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kUnspecified:
      return "";
    case Outcome::kExecuted:
      return "EXECUTED";
    case Outcome::kNotExecuted:
      return "NOT_EXECUTED";
    case Outcome::kUnknown:
      return "UNKNOWN";
  }
  return "";
}

Error::Error(absl::StatusCode code, absl::string_view reason,
             absl::string_view message)
    : code_(code),
      message_(ToValidUtf8(message)),
      retry_after_(absl::ZeroDuration()) {
  info_.set_reason(ToValidUtf8(reason));
  info_.set_domain("muster");
}

Error& Error::SetOutcome(Outcome outcome) {
  if (outcome == Outcome::kUnspecified) {
    info_.mutable_metadata()->erase(kOutcomeKey);
  } else {
    (*info_.mutable_metadata())[kOutcomeKey] =
        std::string(OutcomeName(outcome));
  }
  return *this;
}

Error& Error::With(absl::string_view key, absl::string_view value) {
  (*info_.mutable_metadata())[ToValidUtf8(key)] = ToValidUtf8(value);
  return *this;
}

Error& Error::RetryAfter(absl::Duration delay) {
  retry_after_ = delay;
  return *this;
}

absl::Status Error::status() const {
  absl::Status status(code_, message_);
  status.SetPayload(kErrorInfoUrl, ToCord(Serialize(info_)));
  if (retry_after_ > absl::ZeroDuration()) {
    core::v1::RetryInfo retry;
    *retry.mutable_retry_delay() = ToProtoDuration(retry_after_);
    status.SetPayload(kRetryInfoUrl, ToCord(Serialize(retry)));
  }
  return status;
}

std::string ReasonOf(const absl::Status& status) {
  const auto info = InfoOf(status);
  return info.has_value() ? info->reason() : "";
}

Outcome OutcomeOf(const absl::Status& status) {
  const std::string name = DetailOf(status, kOutcomeKey);
  for (const Outcome outcome :
       {Outcome::kExecuted, Outcome::kNotExecuted, Outcome::kUnknown}) {
    if (name == OutcomeName(outcome)) return outcome;
  }
  return Outcome::kUnspecified;
}

std::string DetailOf(const absl::Status& status, absl::string_view key) {
  const auto info = InfoOf(status);
  if (!info.has_value()) return "";
  const auto found = info->metadata().find(std::string(key));
  return found == info->metadata().end() ? "" : found->second;
}

absl::Duration RetryDelayOf(const absl::Status& status) {
  const auto retry = Detail<core::v1::RetryInfo>(status, kRetryInfoUrl);
  if (!retry.has_value()) return absl::ZeroDuration();
  return std::max(FromProtoDuration(retry->retry_delay()),
                  absl::ZeroDuration());
}

absl::Status WithOutcome(absl::Status status, Outcome outcome) {
  if (status.ok()) return status;
  core::v1::ErrorInfo info;
  if (auto known = InfoOf(status)) {
    info = *std::move(known);
  } else {
    info.set_domain("muster");
  }
  if (outcome == Outcome::kUnspecified) {
    info.mutable_metadata()->erase(kOutcomeKey);
  } else {
    (*info.mutable_metadata())[kOutcomeKey] = std::string(OutcomeName(outcome));
  }
  status.SetPayload(kErrorInfoUrl, ToCord(Serialize(info)));
  return status;
}

absl::Status WithDetail(absl::Status status, absl::string_view key,
                        absl::string_view value) {
  if (status.ok()) return status;
  core::v1::ErrorInfo info;
  if (auto known = InfoOf(status)) {
    info = *std::move(known);
  } else {
    info.set_domain("muster");
  }
  (*info.mutable_metadata())[ToValidUtf8(key)] = ToValidUtf8(value);
  status.SetPayload(kErrorInfoUrl, ToCord(Serialize(info)));
  return status;
}

core::v1::RpcStatus ToRpcStatus(const absl::Status& status) {
  core::v1::RpcStatus rpc;
  rpc.set_code(static_cast<int32_t>(status.code()));
  rpc.set_message(ToValidUtf8(status.message()));
  for (const absl::string_view url : {kErrorInfoUrl, kRetryInfoUrl}) {
    const absl::optional<absl::Cord> payload = status.GetPayload(url);
    if (payload.has_value()) AddDetail(url, std::string(*payload), &rpc);
  }
  for (auto& [url, value] : ForeignDetails(status)) {
    AddDetail(url, std::move(value), &rpc);
  }
  if (rpc.ByteSizeLong() > kRpcStatusBytesMax) return CutRpcStatus(status);
  return rpc;
}

absl::Status FromRpcStatus(const core::v1::RpcStatus& rpc) {
  if (rpc.code() == 0) return absl::OkStatus();
  const bool known = rpc.code() > 0 && rpc.code() <= 16;
  absl::Status status =
      known ? absl::Status(static_cast<absl::StatusCode>(rpc.code()),
                           rpc.message())
            : absl::InternalError(absl::StrCat(rpc.message(), " [status code ",
                                               rpc.code(), "]"));
  for (const google::protobuf::Any& detail : rpc.details()) {
    if (detail.type_url().empty()) continue;
    status.SetPayload(detail.type_url(), ToCord(detail.value()));
  }
  return status;
}

}  // namespace muster
