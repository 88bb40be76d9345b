#include "examples/cache/cache.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "examples/duration_option.h"

namespace examples {

using cache::v1::CacheOptions;
using cache::v1::GetRequest;
using cache::v1::GetResponse;
using cache::v1::PutRequest;
using cache::v1::PutResponse;
using google::protobuf::Value;
using muster::Context;
using muster::Info;
using muster::InitResult;
using muster::Next;
using muster::Reply;

InitResult Cache::Init(const CacheOptions& options, Context&) {
  const absl::StatusOr<absl::Duration> idle_timeout =
      DurationOption("idle_timeout", options.has_idle_timeout(),
                     options.idle_timeout(), absl::Seconds(60));
  if (!idle_timeout.ok()) return idle_timeout.status();
  idle_timeout_ = *idle_timeout;
  return muster::Ok(muster::Timeout(idle_timeout_));
}

Reply<PutResponse> Cache::Put(const PutRequest& request, Context&) {
  Value value = request.value();
  // A Value without a kind is no JSON.
  if (value.kind_case() == Value::KIND_NOT_SET) {
    value.set_null_value(google::protobuf::NULL_VALUE);
  }
  values_.insert_or_assign(request.key(), std::move(value));
  return muster::ReplyThen(PutResponse(), muster::Timeout(idle_timeout_));
}

Reply<GetResponse> Cache::Get(const GetRequest& request, Context&) {
  GetResponse response;
  const auto found = values_.find(request.key());
  if (found != values_.end()) *response.mutable_value() = found->second;
  return muster::ReplyThen(std::move(response), muster::Timeout(idle_timeout_));
}

Next Cache::HandleInfo(Info info, Context& self) {
  self.LogWarning(absl::StrCat("Received unexpected message: ", info.type()));
  return muster::Timeout(idle_timeout_);
}

Next Cache::HandleTimeout(Context& self) {
  self.LogInfo("Cache cleared due to inactivity");
  values_.clear();
  return muster::Timeout(idle_timeout_);
}

}  // namespace examples
