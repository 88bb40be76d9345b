// A server that counts visits, and the node that hosts it.
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "muster.h"
#include "visits.muster.client.h"
#include "visits.muster.server.h"

namespace visits::v1 {

class Visits final : public VisitsServer {
 public:
  muster::InitResult Init(const VisitsOptions& options,
                          muster::Context& self) override {
    if (options.pages_max() != 0) pages_max_ = options.pages_max();
    self.SendAfter(kReportEvery, Report());
    return muster::Ok();
  }

  muster::Reply<VisitCount> Visit(const VisitRequest& request,
                                  muster::Context&) override {
    if (!counts_.contains(request.page()) && counts_.size() >= pages_max_) {
      return absl::ResourceExhaustedError("no room for another page");
    }
    ++counts_[request.page()];
    return Count(request.page());
  }

  muster::Reply<VisitCount> GetCount(const GetCountRequest& request,
                                     muster::Context&) override {
    if (!counts_.contains(request.page())) {
      return absl::NotFoundError("nobody has visited that page");
    }
    return Count(request.page());
  }

  // A coroutine: while it waits, this server handles nothing else and no thread
  // is blocked.
  muster::Reply<VisitCount> CopyFrom(const CopyFromRequest& request,
                                     muster::Context& self) override {
    GetCountRequest get;
    get.set_page(request.page());
    VisitsClient other(self, request.server());
    absl::StatusOr<VisitCount> count = co_await other.GetCount(get);
    if (!count.ok()) co_return count.status();
    counts_[request.page()] = count->count();
    co_return Count(request.page());
  }

  muster::Next Forget(const ForgetRequest&, muster::Context&) override {
    counts_.clear();
    return muster::NoReply();
  }

  muster::Next HandleInfo(muster::Info info, muster::Context& self) override {
    if (info.As<Report>() == nullptr) {
      return VisitsServer::HandleInfo(std::move(info), self);  // Logs, drops.
    }
    self.LogInfo(std::to_string(counts_.size()) + " pages");
    self.SendAfter(kReportEvery, Report());
    return muster::NoReply();
  }

 private:
  struct Report {};  // What this server sends itself.
  static constexpr absl::Duration kReportEvery = absl::Seconds(10);

  VisitCount Count(const std::string& page) const {
    VisitCount count;
    count.set_page(page);
    count.set_count(counts_.at(page));
    return count;
  }

  size_t pages_max_ = 1000;
  std::map<std::string, uint64_t> counts_;
};

}  // namespace visits::v1

int main(int argc, char** argv) {
  return muster::Main(argc, argv,
                      {muster::ServerType<visits::v1::Visits>("visits")});
}
