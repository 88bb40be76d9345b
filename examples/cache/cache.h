// Cache: the guide's CacheWithTimeout.
#ifndef MUSTER_EXAMPLES_CACHE_CACHE_H_
#define MUSTER_EXAMPLES_CACHE_CACHE_H_

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "examples/cache/cache.muster.server.h"
#include "examples/cache/cache.pb.h"
#include "google/protobuf/struct.pb.h"

namespace examples {

// Keeps values until no message has come for the idle timeout. A timeout
// belongs to one result, so every callback asks for it again.
class Cache final : public cache::v1::CacheServer {
 public:
  muster::InitResult Init(const cache::v1::CacheOptions& options,
                          muster::Context& self) override;
  muster::Reply<cache::v1::PutResponse> Put(
      const cache::v1::PutRequest& request, muster::Context& self) override;
  muster::Reply<cache::v1::GetResponse> Get(
      const cache::v1::GetRequest& request, muster::Context& self) override;
  // An unexpected message is logged and dropped, but it is a message.
  muster::Next HandleInfo(muster::Info info, muster::Context& self) override;
  // Clears everything.
  muster::Next HandleTimeout(muster::Context& self) override;

 private:
  absl::Duration idle_timeout_;
  absl::flat_hash_map<std::string, google::protobuf::Value> values_;
};

}  // namespace examples

#endif  // MUSTER_EXAMPLES_CACHE_CACHE_H_
