#include "cluster/store/etcd_store.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "cluster/store/gate.h"
#include "cluster/store/handler_cell.h"
#include "cluster/store/validate.h"
#include "grpc/grpc.h"
#include "grpc/support/time.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/support/channel_arguments.h"
#include "grpcpp/support/client_callback.h"
#include "grpcpp/support/status.h"
#include "node/base/check.h"
#include "node/base/clock.h"
#include "node/base/mutex.h"
#include "node/types/names.h"
#include "node/types/status.h"
#include "third_party/etcd/rpc.grpc.pb.h"

namespace muster {
namespace {

namespace pb = etcdserverpb;

// Most bytes of etcd's or gRPC's own words in an error of ours.
constexpr size_t kQuoteBytesMax = 200;
// Times that List begins anew because its revision was compacted meanwhile.
constexpr int kListAttemptsMax = 4;

// What gRPC takes as a deadline, counted from now; no clock is read here.
gpr_timespec DeadlineIn(absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) {
    return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  }
  return gpr_time_from_micros(
      std::max<int64_t>(absl::ToInt64Microseconds(timeout), 0), GPR_TIMESPAN);
}

int Milliseconds(absl::Duration span) {
  return static_cast<int>(absl::ToInt64Milliseconds(span));
}

// How long sent bytes may stay unacknowledged by the other side's kernel before
// a connection is given up and made anew.
constexpr absl::Duration kUnacknowledgedMax = absl::Seconds(3);

grpc::ChannelArguments ChannelArgumentsFor(const EtcdStoreOptions& options) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // An operation is sent at most once; gRPC's transparent retries included.
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
              Milliseconds(options.backoff_min));
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS,
              Milliseconds(options.backoff_max));
  // The name is misleading: gRPC 1.51 takes it as the time to connect.
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
              Milliseconds(options.connect_timeout));
  // Not for its pings, which etcd does not like (guarantees E8) and which are
  // an hour apart: with a keep-alive gRPC sets TCP_USER_TIMEOUT. Without that a
  // connection that was cut off for a minute is silent for another one, until
  // TCP tries again.
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(absl::Hours(1)));
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(kUnacknowledgedMax));
  args.SetMaxReceiveMessageSize(options.receive_bytes_max);
  return args;
}

// Sets the two ends of the range of all keys that begin with `prefix`.
template <typename Range>
void SetPrefix(const std::string& prefix, Range* range) {
  const std::string zero(1, '\0');
  std::string end = prefix;
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (end.empty()) {
    end = zero;  // Without an end.
  } else {
    ++end.back();
  }
  range->set_key(prefix.empty() ? zero : prefix);
  range->set_range_end(end);
}

void AddCompare(const Compare& compare, pb::TxnRequest* request) {
  pb::Compare* out = request->add_compare();
  out->set_key(compare.key);
  out->set_result(compare.op == Compare::Op::kEqual ? pb::Compare::EQUAL
                                                    : pb::Compare::NOT_EQUAL);
  switch (compare.what) {
    case Compare::What::kCreateRevision:
      out->set_target(pb::Compare::CREATE);
      out->set_create_revision(compare.revision);
      return;
    case Compare::What::kModRevision:
      out->set_target(pb::Compare::MOD);
      out->set_mod_revision(compare.revision);
      return;
    case Compare::What::kValue:
      out->set_target(pb::Compare::VALUE);
      out->set_value(compare.value);
      return;
  }
}

void SetTxn(Txn txn, pb::TxnRequest* out);

void SetOp(StoreOp op, pb::RequestOp* out) {
  switch (op.kind) {
    case StoreOp::Kind::kPut:
      out->mutable_request_put()->set_key(std::move(op.key));
      out->mutable_request_put()->set_value(std::move(op.value));
      return;
    case StoreOp::Kind::kDelete:
      out->mutable_request_delete_range()->set_key(std::move(op.key));
      return;
    case StoreOp::Kind::kGet:
      out->mutable_request_range()->set_key(std::move(op.key));
      return;
    case StoreOp::Kind::kDeletePrefix:
      SetPrefix(op.key, out->mutable_request_delete_range());
      return;
    case StoreOp::Kind::kTxn:
      SetTxn(std::move(op.nested[0]), out->mutable_request_txn());
      return;
  }
}

void SetTxn(Txn txn, pb::TxnRequest* out) {
  for (const Compare& compare : txn.compares) AddCompare(compare, out);
  for (StoreOp& op : txn.then) SetOp(std::move(op), out->add_success());
  for (StoreOp& op : txn.otherwise) SetOp(std::move(op), out->add_failure());
}

KeyValue FromProto(mvccpb::KeyValue&& kv) {
  return {.key = std::move(*kv.mutable_key()),
          .value = std::move(*kv.mutable_value()),
          .create_revision = kv.create_revision(),
          .mod_revision = kv.mod_revision()};
}

TxnResult FromProto(pb::TxnResponse&& response) {
  TxnResult result{.succeeded = response.succeeded()};
  for (pb::ResponseOp& op : *response.mutable_responses()) {
    if (op.has_response_txn()) {
      result.nested.push_back(FromProto(std::move(*op.mutable_response_txn())));
    }
    if (!op.has_response_range()) continue;
    std::vector<KeyValue>& get = result.gets.emplace_back();
    for (mvccpb::KeyValue& kv : *op.mutable_response_range()->mutable_kvs()) {
      get.push_back(FromProto(std::move(kv)));
    }
  }
  // A nested one has none in its header, and gets it from the outer one.
  result.SetRevision(response.header().revision());
  return result;
}

bool IsWrite(const StoreOp& op) { return op.kind != StoreOp::Kind::kGet; }

// Whether an operation may have changed something.
enum class Effect { kReads, kWrites };

// The error for an answer that is not OK to a request that may have left.
absl::Status ErrorFor(const grpc::Status& status, Effect effect,
                      absl::string_view endpoint) {
  const std::string message =
      absl::StrCat("store at ", endpoint, ": ",
                   LogSafe(status.error_message(), kQuoteBytesMax));
  const Outcome open =
      effect == Effect::kWrites ? Outcome::kUnknown : Outcome::kNotExecuted;
  switch (status.error_code()) {
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Error(absl::StatusCode::kDeadlineExceeded, "TIMEOUT", message)
          .SetOutcome(open)
          .status();
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return Error(absl::StatusCode::kResourceExhausted, "NOSPACE", message)
          .SetOutcome(open)
          .status();
    // Only etcd says these, and they refuse.
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::ALREADY_EXISTS:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
      return Error(static_cast<absl::StatusCode>(status.error_code()),
                   "STORE_REFUSED", message)
          .NotExecuted()
          .status();
    default:
      // UNAVAILABLE, INTERNAL and others: a broken connection, or an etcd
      // that gave up waiting for its own consensus.
      if (effect == Effect::kReads) {
        return Error(absl::StatusCode::kUnavailable, "NOCONNECTION", message)
            .NotExecuted()
            .status();
      }
      return Error(absl::StatusCode::kAborted, "NOCONNECTION", message)
          .Unknown()
          .status();
  }
}

// True if the next endpoint may do better.
bool IsFailureOfEndpoint(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::DATA_LOSS:
      return true;
    default:
      return false;
  }
}

// Starts a Range, for Core::Call.
constexpr auto kRange = [](auto* kv, auto* context, auto* request,
                           auto* response, auto callback) {
  kv->Range(context, request, response, std::move(callback));
};

// One member and the way to it.
struct Member {
  std::string name;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<pb::KV::Stub> kv;
  std::unique_ptr<pb::Watch::Stub> watch;
};

}  // namespace

// What operations under way share with their store: connections, and the
// means to end the operations.
struct EtcdStore::Core {
  Core(Scheduler& scheduler, const std::vector<EtcdEndpoint>& endpoints,
       const Options& options)
      : scheduler(scheduler),
        page_keys(std::max<int64_t>(options.page_keys, 1)) {
    const grpc::ChannelArguments args = ChannelArgumentsFor(options);
    const auto credentials = options.credentials
                                 ? options.credentials
                                 : grpc::InsecureChannelCredentials();
    for (const EtcdEndpoint& endpoint : endpoints) {
      Member member{.name = endpoint.ToString(),
                    .channel = grpc::CreateCustomChannel(
                        endpoint.ChannelTarget(), credentials, args)};
      member.kv = pb::KV::NewStub(member.channel);
      member.watch = pb::Watch::NewStub(member.channel);
      members.push_back(std::move(member));
    }
  }

  size_t Current() ABSL_LOCKS_EXCLUDED(mu) {
    MutexLock lock(&mu);
    return current;
  }
  // Whether there is a connection to send over.
  bool IsReady(size_t index) {
    return members[index].channel->GetState(/*try_to_connect=*/true) ==
           GRPC_CHANNEL_READY;
  }
  // Goes on to the next endpoint unless somebody did already.
  void Failed(size_t index) ABSL_LOCKS_EXCLUDED(mu) {
    MutexLock lock(&mu);
    if (current == index) current = (index + 1) % members.size();
  }

  // Until Forget(), destruction cancels `context`; until Left(), which follows,
  // it waits.
  uint64_t Add(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mu) {
    MutexLock lock(&mu);
    ++calls;
    const uint64_t id = next_id++;
    active.emplace(id, context);
    // Cancelled before it is started, it fails at once.
    if (closed) context->TryCancel();
    return id;
  }
  // `context` is about to be destroyed.
  void Forget(uint64_t id) ABSL_LOCKS_EXCLUDED(mu) {
    MutexLock lock(&mu);
    active.erase(id);
  }
  // All that the call held is destroyed.
  void Left() ABSL_LOCKS_EXCLUDED(mu) {
    MutexLock lock(&mu);
    if (--calls == 0) idle.SignalAll();
  }
  // gRPC never calls back inside TryCancel: none of our callbacks is marked
  // as one that may run inline.
  void Cancel(uint64_t id) ABSL_LOCKS_EXCLUDED(mu) {
    MutexLock lock(&mu);
    const auto it = active.find(id);
    if (it != active.end()) it->second->TryCancel();
  }
  void Close() ABSL_LOCKS_EXCLUDED(mu) {
    gate.Close();
    MutexLock lock(&mu);
    closed = true;
    for (const auto& [id, context] : active) context->TryCancel();
    while (calls > 0) idle.Wait(&mu);
    // Here, because a channel must not end on a thread of gRPC's: 1.51 would
    // join that thread with itself. Nobody looks any more.
    members.clear();
  }

  // Starts one unary call on member `index`. `start` is handed the async stub,
  // context, request, response and callback; `answer` the status and the
  // response, unless the store is destroyed first.
  template <typename Request, typename Response, typename Start,
            typename Answer>
  static void Call(std::shared_ptr<Core> core, size_t index,
                   absl::Duration timeout, Request request, Start start,
                   Answer answer) {
    struct Unary {
      grpc::ClientContext context;
      Request request;
      Response response;
      std::shared_ptr<Core> core;
      Answer answer;
      uint64_t id = 0;
      size_t index = 0;

      void Finish(const grpc::Status& status) {
        std::unique_ptr<Unary> self(this);
        const std::shared_ptr<Core> the_core = core;
        if (IsFailureOfEndpoint(status)) core->Failed(index);
        core->gate.Call([&] { answer(status, std::move(response)); });
        // The answer and the channel that the context holds go before the
        // store can.
        core->Forget(id);
        self.reset();
        the_core->Left();
      }
    };
    auto* call = new Unary{.request = std::move(request),
                           .core = core,
                           .answer = std::move(answer),
                           .index = index};
    call->context.set_deadline(DeadlineIn(timeout));
    call->id = core->Add(&call->context);
    start(core->members[index].kv->async(), &call->context, &call->request,
          &call->response,
          [call](grpc::Status status) { call->Finish(status); });
  }

  // --- Constant after construction, members until Close() ---
  Scheduler& scheduler;
  const int64_t page_keys;
  std::vector<Member> members;

  // --- With synchronization of its own ---
  Gate gate;

  // --- Guarded by mu ---
  Mutex mu;
  CondVar idle;
  bool closed ABSL_GUARDED_BY(mu) = false;
  // Index of the endpoint in use.
  size_t current ABSL_GUARDED_BY(mu) = 0;
  // Calls that gRPC has not let go of.
  size_t calls ABSL_GUARDED_BY(mu) = 0;
  uint64_t next_id ABSL_GUARDED_BY(mu) = 1;
  // Those of them that can be cancelled.
  std::map<uint64_t, grpc::ClientContext*> active ABSL_GUARDED_BY(mu);
};

// One transaction that has not been sent.
struct EtcdStore::PendingCommit {
  pb::TxnRequest request;
  Effect effect = Effect::kReads;
  BootTime deadline;
  Done<TxnResult> done;
  size_t index = 0;
  // Endpoints that could not be connected to.
  size_t failed = 0;
};

// One List on its way through the pages. Touched by one call at a time.
struct EtcdStore::Listing {
  std::string prefix;
  // For each page.
  absl::Duration timeout;
  Done<RangeResult> done;
  size_t member = 0;
  int64_t page_keys = 0;
  int attempts = 0;
  // Of the page to come.
  std::string from;
  RangeResult result;

  void Restart() {
    from.clear();
    result = {};
    ++attempts;
  }
};

// One watch on a stream of its own. Owns itself from Start() to OnDone().
class EtcdStore::WatchStream final
    : public grpc::ClientBidiReactor<pb::WatchRequest, pb::WatchResponse> {
 public:
  WatchStream(std::shared_ptr<Core> core, const std::string& prefix,
              int64_t from_revision, std::shared_ptr<HandlerCell> cell)
      : core_(std::move(core)),
        index_(core_->Current()),
        cell_(std::move(cell)),
        next_revision_(std::max<int64_t>(from_revision, 1)) {
    pb::WatchCreateRequest* create = request_.mutable_create_request();
    SetPrefix(prefix, create);
    create->set_start_revision(next_revision_);
    create->set_fragment(true);
    // Without it a member that has no leader keeps silent (guarantees E10).
    context_.AddMetadata("hasleader", "true");
  }

  // Returns the id to cancel it by.
  uint64_t Start() {
    const uint64_t id = id_ = core_->Add(&context_);
    core_->members[index_].watch->async()->Watch(&context_, this);
    StartWrite(&request_);
    StartRead(&response_);
    StartCall();
    return id;
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;  // OnDone tells why.
    if (response_.canceled()) {
      cell_->End(EndOf(response_));
      context_.TryCancel();
      return;
    }
    Take();
    response_.Clear();
    StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) override {
    std::unique_ptr<WatchStream> self(this);
    const std::shared_ptr<Core> core = core_;
    if (IsFailureOfEndpoint(status)) core_->Failed(index_);
    cell_->End(Unavailable(status.error_message()));
    // The channel that the context holds goes before the store can.
    core->Forget(id_);
    self.reset();
    core->Left();
  }

 private:
  absl::Status Unavailable(absl::string_view why) const {
    return Error(absl::StatusCode::kUnavailable, "NOCONNECTION",
                 absl::StrCat("watch on the store at ",
                              core_->members[index_].name,
                              " ended: ", LogSafe(why, kQuoteBytesMax)))
        .NotExecuted()
        .status();
  }

  absl::Status EndOf(const pb::WatchResponse& response) const {
    if (response.compact_revision() == 0) {
      return Unavailable(response.cancel_reason());
    }
    return Error(
               absl::StatusCode::kOutOfRange, "COMPACTED",
               absl::StrCat("revision ", next_revision_,
                            " is gone, the history begins at ",
                            response.compact_revision(), ": list, then watch"))
        .NotExecuted()
        .status();
  }

  // Hands on what is complete of the response: all of it, or without its last
  // revision if that may go on in the next fragment.
  void Take() {
    for (mvccpb::Event& event : *response_.mutable_events()) {
      mvccpb::KeyValue& kv = *event.mutable_kv();
      // An old revision again (guarantees E6).
      if (kv.mod_revision() < next_revision_) continue;
      WatchEvent& item = pending_.emplace_back();
      if (event.type() == mvccpb::Event::DELETE) {
        item.kind = WatchEvent::Kind::kDelete;
        item.item.key = std::move(*kv.mutable_key());
        item.item.mod_revision = kv.mod_revision();
      } else {
        item.item = FromProto(std::move(kv));
      }
    }
    if (pending_.empty()) return;
    std::vector<WatchEvent> complete = std::exchange(pending_, {});
    if (response_.fragment()) {
      const int64_t last = complete.back().item.mod_revision;
      const auto split = std::find_if(complete.begin(), complete.end(),
                                      [last](const WatchEvent& event) {
                                        return event.item.mod_revision == last;
                                      });
      pending_.assign(std::make_move_iterator(split),
                      std::make_move_iterator(complete.end()));
      complete.erase(split, complete.end());
    }
    if (complete.empty()) return;
    next_revision_ = complete.back().item.mod_revision + 1;
    cell_->Events(std::move(complete));
  }

  // --- Constant after construction and Start() ---
  const std::shared_ptr<Core> core_;
  const size_t index_;
  const std::shared_ptr<HandlerCell> cell_;
  uint64_t id_ = 0;
  pb::WatchRequest request_;

  // --- Owned by gRPC's callbacks, which come one at a time ---
  grpc::ClientContext context_;
  pb::WatchResponse response_;
  // Above all revisions handed on.
  int64_t next_revision_;
  // The revision that may not be complete yet.
  std::vector<WatchEvent> pending_;
};

// Ends one watch when it is destroyed.
class EtcdStore::EtcdWatch final : public Watch {
 public:
  EtcdWatch(std::shared_ptr<Core> core, uint64_t stream,
            std::shared_ptr<HandlerCell> cell)
      : core_(std::move(core)), stream_(stream), cell_(std::move(cell)) {}
  ~EtcdWatch() override {
    cell_->Close();
    core_->Cancel(stream_);
  }

 private:
  const std::shared_ptr<Core> core_;
  const uint64_t stream_;
  const std::shared_ptr<HandlerCell> cell_;
};

EtcdStore::EtcdStore(Scheduler& scheduler, std::vector<EtcdEndpoint> endpoints,
                     Options options)
    : scheduler_(scheduler),
      endpoints_(std::move(endpoints)),
      core_(std::make_shared<Core>(scheduler, endpoints_, options)) {
  MUSTER_CHECK(!endpoints_.empty());
}

EtcdStore::~EtcdStore() { core_->Close(); }

std::string EtcdStore::ToString() const {
  return absl::StrCat(
      "etcd://", absl::StrJoin(endpoints_, ",",
                               [](std::string* out, const EtcdEndpoint& e) {
                                 absl::StrAppend(out, e.ToString());
                               }));
}

void EtcdStore::Commit(Txn txn, absl::Duration timeout, Done<TxnResult> done) {
  if (absl::Status status = ValidateTxn(txn); !status.ok()) {
    scheduler_.Post([core = core_, done = std::move(done),
                     status = std::move(status)]() mutable {
      core->gate.Call([&] { done(std::move(status)); });
    });
    return;
  }
  auto commit = std::make_shared<PendingCommit>();
  commit->effect =
      std::any_of(txn.then.begin(), txn.then.end(), IsWrite) ||
              std::any_of(txn.otherwise.begin(), txn.otherwise.end(), IsWrite)
          ? Effect::kWrites
          : Effect::kReads;
  SetTxn(std::move(txn), &commit->request);
  commit->deadline = scheduler_.clock().Boot() + timeout;
  commit->done = std::move(done);
  commit->index = core_->Current();
  if (commit->effect == Effect::kReads || core_->IsReady(commit->index)) {
    SendCommit(core_, *commit);
    return;
  }
  ProbeAndCommit(core_, std::move(commit));
}

void EtcdStore::ProbeAndCommit(std::shared_ptr<Core> core,
                               std::shared_ptr<PendingCommit> commit) {
  pb::RangeRequest request;
  request.set_key(std::string(1, '\0'));
  request.set_keys_only(true);
  request.set_serializable(true);
  const absl::Duration left = commit->deadline - core->scheduler.clock().Boot();
  Core::Call<pb::RangeRequest, pb::RangeResponse>(
      core, commit->index, left, std::move(request), kRange,
      [core, commit](const grpc::Status& status, pb::RangeResponse&&) mutable {
        if (status.ok()) {
          SendCommit(std::move(core), *commit);
          return;
        }
        const bool out_of_time =
            status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
        if (!out_of_time && ++commit->failed < core->members.size()) {
          commit->index = core->Current();
          ProbeAndCommit(std::move(core), std::move(commit));
          return;
        }
        commit->done(
            Error(absl::StatusCode::kUnavailable, "STORE_UNREACHABLE",
                  absl::StrCat("no connection to the store at ",
                               core->members[commit->index].name,
                               ", nothing was sent: ",
                               LogSafe(status.error_message(), kQuoteBytesMax)))
                .NotExecuted());
      });
}

void EtcdStore::SendCommit(std::shared_ptr<Core> core, PendingCommit& commit) {
  const absl::Duration left = commit.deadline - core->scheduler.clock().Boot();
  Core::Call<pb::TxnRequest, pb::TxnResponse>(
      core, commit.index, left, std::move(commit.request),
      [](auto* kv, auto* context, auto* request, auto* response,
         auto callback) {
        kv->Txn(context, request, response, std::move(callback));
      },
      [core, index = commit.index, effect = commit.effect,
       done = std::move(commit.done)](const grpc::Status& status,
                                      pb::TxnResponse&& response) mutable {
        if (status.ok()) {
          done(FromProto(std::move(response)));
        } else {
          done(ErrorFor(status, effect, core->members[index].name));
        }
      });
}

void EtcdStore::List(std::string prefix, absl::Duration timeout,
                     Done<RangeResult> done) {
  auto listing = std::make_shared<Listing>();
  listing->prefix = std::move(prefix);
  listing->timeout = timeout;
  listing->done = std::move(done);
  listing->page_keys = core_->page_keys;
  // One member for all pages: another may not have reached the revision.
  listing->member = core_->Current();
  ListPage(core_, std::move(listing));
}

void EtcdStore::ListPage(std::shared_ptr<Core> core,
                         std::shared_ptr<Listing> listing) {
  pb::RangeRequest request;
  SetPrefix(listing->prefix, &request);
  if (!listing->from.empty()) request.set_key(listing->from);
  request.set_limit(listing->page_keys);
  request.set_revision(listing->result.revision);
  const size_t member = listing->member;
  Core::Call<pb::RangeRequest, pb::RangeResponse>(
      core, member, listing->timeout, std::move(request), kRange,
      [core, listing](const grpc::Status& status,
                      pb::RangeResponse&& response) mutable {
        if (status.ok()) {
          RangeResult& result = listing->result;
          if (result.revision == 0) {
            result.revision = response.header().revision();
          }
          for (mvccpb::KeyValue& kv : *response.mutable_kvs()) {
            result.items.push_back(FromProto(std::move(kv)));
          }
          if (!response.more() || response.kvs().empty()) {
            listing->done(std::move(result));
            return;
          }
          // The smallest key after the last one.
          listing->from = result.items.back().key;
          listing->from.push_back('\0');
        } else if (status.error_code() ==
                       grpc::StatusCode::RESOURCE_EXHAUSTED &&
                   listing->page_keys > 1) {
          // Most likely a page beyond the receive limit.
          listing->page_keys = std::max<int64_t>(listing->page_keys / 8, 1);
        } else if (status.error_code() == grpc::StatusCode::OUT_OF_RANGE &&
                   listing->attempts < kListAttemptsMax) {
          listing->Restart();  // Its revision was compacted.
        } else {
          listing->done(ErrorFor(status, Effect::kReads,
                                 core->members[listing->member].name));
          return;
        }
        ListPage(std::move(core), std::move(listing));
      });
}

std::unique_ptr<Watch> EtcdStore::Follow(std::string prefix,
                                         int64_t from_revision,
                                         WatchHandler handler) {
  auto cell = std::make_shared<HandlerCell>(std::move(handler));
  const uint64_t stream =
      (new WatchStream(core_, prefix, from_revision, cell))->Start();
  return std::make_unique<EtcdWatch>(core_, stream, std::move(cell));
}

void EtcdStore::Compact(int64_t revision, absl::Duration timeout,
                        absl::AnyInvocable<void(absl::Status)> done) {
  pb::CompactionRequest request;
  request.set_revision(revision);
  const size_t index = core_->Current();
  Core::Call<pb::CompactionRequest, pb::CompactionResponse>(
      core_, index, timeout, std::move(request),
      [](auto* kv, auto* context, auto* request, auto* response,
         auto callback) {
        kv->Compact(context, request, response, std::move(callback));
      },
      [core = core_.get(), index, done = std::move(done)](
          const grpc::Status& status, pb::CompactionResponse&&) mutable {
        done(status.ok()
                 ? absl::OkStatus()
                 : ErrorFor(status, Effect::kReads, core->members[index].name));
      });
}

}  // namespace muster
