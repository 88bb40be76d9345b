// A node binary that is not the stock one: it hosts the type `crash`, whose
// handlers throw, stop and sleep.
#include <cstdint>
#include <stdexcept>

#include "absl/time/time.h"
#include "cluster/muster.h"
#include "google/protobuf/empty.pb.h"
#include "tests/integration/cluster/crash.muster.server.h"
#include "tests/integration/cluster/crash.pb.h"

namespace {

using google::protobuf::Empty;
using muster::Context;
using muster::InitResult;
using muster::Next;
using muster::Reply;

class Crash final : public crash::v1::CrashServer {
 public:
  InitResult Init(const crash::v1::CrashOptions& options, Context&) override {
    count_ = options.first_count();
    return muster::Ok();
  }

  Reply<crash::v1::PingResponse> Ping(const crash::v1::PingRequest&,
                                      Context&) override {
    return Pong();
  }

  Reply<Empty> ThrowException(const crash::v1::ThrowExceptionRequest& request,
                              Context&) override {
    throw std::runtime_error(request.what());
  }

  Reply<Empty> ThrowNumber(const crash::v1::ThrowNumberRequest&,
                           Context&) override {
    throw 42;
  }

  Reply<Empty> StopBecause(const crash::v1::StopBecauseRequest& request,
                           Context&) override {
    return muster::Stop(muster::ExitReason::Custom(request.why()));
  }

  Reply<crash::v1::PingResponse> Nap(const crash::v1::NapRequest& request,
                                     Context& self) override {
    const absl::Duration duration =
        absl::Seconds(request.duration().seconds()) +
        absl::Nanoseconds(request.duration().nanos());
    co_await self.Sleep(duration);
    co_return Pong();
  }

  Next SetCount(const crash::v1::SetCountRequest& request, Context&) override {
    count_ = request.count();
    return muster::NoReply();
  }

 private:
  crash::v1::PingResponse Pong() {
    crash::v1::PingResponse response;
    response.set_count(++count_);
    return response;
  }

  int64_t count_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  return muster::Main(argc, argv,
                      {muster::ServerType<Crash>("crash"),
                       muster::ServerType<Crash>("crash_too")});
}
