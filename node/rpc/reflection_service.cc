#include "node/rpc/reflection_service.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "muster/process/v1/process.pb.h"
#include "node/base/mutex.h"
#include "node/rpc/byte_buffer.h"
#include "node/rpc/descriptor_search.h"
#include "node/rpc/descriptor_source.h"
#include "node/rpc/grpc_status.h"
#include "node/types/names.h"
#include "node/types/status.h"
#include "third_party/grpc/health/v1/health.pb.h"
#include "third_party/grpc/reflection/v1/reflection.grpc.pb.h"
#include "third_party/grpc/reflection/v1alpha/reflection.grpc.pb.h"

namespace muster {
namespace {

using google::protobuf::FileDescriptorProto;
using google::protobuf::FileDescriptorSet;
using grpc::reflection::v1::ServerReflectionRequest;
using grpc::reflection::v1::ServerReflectionResponse;

// Longest symbol or file name that is looked for.
constexpr size_t kSymbolBytesMax = 1024;
// Services that one question looks through.
constexpr size_t kServicesMax = 1000;

constexpr absl::string_view kOwnServices[] = {
    "grpc.health.v1.Health", "muster.process.v1.ProcessService"};

// What every stream of one service refers to.
struct Shared {
  BackendCell* backend;
  size_t message_bytes_max;
  DescriptorSet own;
};

DescriptorSet OwnDescriptors() {
  auto set = std::make_shared<FileDescriptorSet>();
  AddWithImports(process::v1::CallRequest::descriptor()->file(), set.get());
  AddWithImports(grpc::health::v1::HealthCheckRequest::descriptor()->file(),
                 set.get());
  return set;
}

void SetError(absl::StatusCode code, absl::string_view message,
              ServerReflectionResponse* response) {
  response->mutable_error_response()->set_error_code(static_cast<int>(code));
  response->mutable_error_response()->set_error_message(std::string(message));
}

// One question, looked for in one service's descriptors after the other.
// Holds itself in the callbacks it waits for; answers exactly once, at the
// latest when it is dropped. THREADS: one at a time, handed on by callbacks.
class Lookup {
 public:
  Lookup(
      const Shared& shared, ServerReflectionRequest request,
      absl::AnyInvocable<void(absl::StatusOr<ServerReflectionResponse>)> done)
      : shared_(shared), request_(std::move(request)), done_(std::move(done)) {}
  ~Lookup() { Answer(BackendCell::Starting()); }
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

  static void Start(std::shared_ptr<Lookup> self) {
    {
      BackendCell::Use use(self->shared_.backend);
      if (!use) return self->Answer(BackendCell::Starting());
      self->services_ = use->descriptors->Services();
    }
    if (request_too_long(self->request_)) {
      ServerReflectionResponse response;
      SetError(absl::StatusCode::kInvalidArgument, "the name is too long",
               &response);
      return self->Answer(std::move(response));
    }
    if (self->request_.has_list_services()) return self->AnswerList();
    self->LikeliestFirst();
    self->Visit(*self->shared_.own);
    if (self->done_ != nullptr) GoOn(std::move(self));
  }

 private:
  static bool request_too_long(const ServerReflectionRequest& r) {
    return std::max({r.file_by_filename().size(),
                     r.file_containing_symbol().size(),
                     r.all_extension_numbers_of_type().size(),
                     r.file_containing_extension().containing_type().size()}) >
           kSymbolBytesMax;
  }

  void AnswerList() {
    std::set<std::string> names(services_.begin(), services_.end());
    for (const absl::string_view own : kOwnServices) {
      names.insert(std::string(own));
    }
    ServerReflectionResponse response;
    auto* const list = response.mutable_list_services_response();
    for (const std::string& name : names) list->add_service()->set_name(name);
    Answer(std::move(response));
  }

  // A service and its methods are in its own descriptors.
  void LikeliestFirst() {
    if (services_.size() > kServicesMax) services_.resize(kServicesMax);
    const std::string& symbol = request_.file_containing_symbol();
    std::vector<std::string> likely;
    std::vector<std::string> others;
    for (std::string& service : services_) {
      const bool own = symbol == service ||
                       absl::StartsWith(symbol, absl::StrCat(service, "."));
      (own ? likely : others).push_back(std::move(service));
    }
    services_ = std::move(likely);
    services_.insert(services_.end(), others.begin(), others.end());
  }

  static void GoOn(std::shared_ptr<Lookup> self) {
    // Whether the callback came inside Describe; then the loop goes on here
    // instead of deeper on the stack. Acquire/release: the second of the two
    // takes over what the first has written.
    enum : int { kPending, kCame, kLeft };
    while (self->next_ < self->services_.size()) {
      auto turn = std::make_shared<std::atomic<int>>(kPending);
      {
        BackendCell::Use use(self->shared_.backend);
        if (!use) return self->Answer(BackendCell::Starting());
        const std::string service = self->services_[self->next_++];
        use->descriptors->Describe(
            service, [self, turn](absl::StatusOr<DescriptorSet> set) {
              // Nobody hosts it any more, or its node is away: look elsewhere.
              if (set.ok() && *set != nullptr) self->Visit(**set);
              if (turn->exchange(kCame, std::memory_order_acq_rel) == kLeft) {
                GoOn(self);
              }
            });
      }
      if (turn->exchange(kLeft, std::memory_order_acq_rel) == kPending) return;
      if (self->done_ == nullptr) return;
    }
    if (self->done_ != nullptr) self->Conclude();
  }

  // Answers if the set has what is asked for.
  void Visit(const FileDescriptorSet& set) {
    if (done_ == nullptr) return;
    const FileDescriptorProto* file = nullptr;
    switch (request_.message_request_case()) {
      case ServerReflectionRequest::kFileByFilename:
        file = FindFile(set, request_.file_by_filename());
        break;
      case ServerReflectionRequest::kFileContainingSymbol:
        file = FindFileOfSymbol(set, request_.file_containing_symbol());
        break;
      case ServerReflectionRequest::kFileContainingExtension:
        file = FindFileOfExtension(
            set, request_.file_containing_extension().containing_type(),
            request_.file_containing_extension().extension_number());
        break;
      case ServerReflectionRequest::kAllExtensionNumbersOfType: {
        const std::string& type = request_.all_extension_numbers_of_type();
        type_known_ = type_known_ || FindFileOfSymbol(set, type) != nullptr;
        AddExtensionNumbers(set, type, &numbers_);
        return;
      }
      default:
        return;
    }
    if (file == nullptr) return;
    ServerReflectionResponse response;
    for (std::string& bytes : SerializeWithImports(set, *file)) {
      response.mutable_file_descriptor_response()->add_file_descriptor_proto(
          std::move(bytes));
    }
    Answer(std::move(response));
  }

  // All sets have been looked through.
  void Conclude() {
    ServerReflectionResponse response;
    switch (request_.message_request_case()) {
      case ServerReflectionRequest::kAllExtensionNumbersOfType:
        if (type_known_) {
          auto* const r = response.mutable_all_extension_numbers_response();
          r->set_base_type_name(request_.all_extension_numbers_of_type());
          for (const int32_t number : numbers_) r->add_extension_number(number);
        } else {
          NotFound(request_.all_extension_numbers_of_type(), &response);
        }
        break;
      case ServerReflectionRequest::kFileByFilename:
        NotFound(request_.file_by_filename(), &response);
        break;
      case ServerReflectionRequest::kFileContainingSymbol:
        NotFound(request_.file_containing_symbol(), &response);
        break;
      case ServerReflectionRequest::kFileContainingExtension:
        NotFound(
            absl::StrCat(
                request_.file_containing_extension().containing_type(), ":",
                request_.file_containing_extension().extension_number()),
            &response);
        break;
      default:
        SetError(absl::StatusCode::kInvalidArgument,
                 "the request asks for nothing", &response);
    }
    Answer(std::move(response));
  }

  static void NotFound(absl::string_view what,
                       ServerReflectionResponse* response) {
    SetError(absl::StatusCode::kNotFound,
             absl::StrCat("no hosted service has ", LogSafe(what)), response);
  }

  void Answer(absl::StatusOr<ServerReflectionResponse> response) {
    auto done = std::exchange(done_, nullptr);
    if (done == nullptr) return;
    if (response.ok()) {
      response->set_valid_host(request_.host());
      *response->mutable_original_request() = request_;
      if (response->ByteSizeLong() > shared_.message_bytes_max) {
        SetError(absl::StatusCode::kResourceExhausted,
                 "the descriptors are over the size limit of a message",
                 &*response);
      }
    }
    done(std::move(response));
  }

  const Shared shared_;
  const ServerReflectionRequest request_;
  absl::AnyInvocable<void(absl::StatusOr<ServerReflectionResponse>)> done_;
  std::vector<std::string> services_;
  size_t next_ = 0;
  bool type_known_ = false;
  std::set<int32_t> numbers_;
};

// One stream.
//
//   reading --(1)--> looking --(2)--> writing --(3)--> reading
//      \--(4)--> finished   \--(5)--> finished
//   (1) a question came   (2) its Lookup answered   (3) the answer is out
//   (4) the client has half-closed or is gone   (5) the client is gone
//
// (2) and (5) race: whoever takes the question's turn goes on, the other does
// not touch the reactor. Owned by gRPC: deletes itself in OnDone.
class ReflectionCall final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit ReflectionCall(const Shared& shared) : shared_(shared) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    ServerReflectionRequest request;
    if (!ParseBounded(request_, &request)) {
      return Finish(
          ToGrpcStatus(Error(absl::StatusCode::kInvalidArgument, "BAD_REQUEST",
                             "the request is no ServerReflectionRequest")
                           .NotExecuted()));
    }
    auto turn = std::make_shared<std::atomic<bool>>(false);
    bool cancelled = false;
    {
      MutexLock lock(&mu_);
      cancelled = cancelled_;
      turn_ = turn;
    }
    if (cancelled) {
      if (Take(*turn)) Finish(grpc::Status::CANCELLED);
      return;
    }
    Lookup::Start(std::make_shared<Lookup>(
        shared_, std::move(request),
        [this, turn](absl::StatusOr<ServerReflectionResponse> response) {
          if (Take(*turn)) Respond(std::move(response));
        }));
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    StartRead(&request_);
  }

  void OnCancel() override {
    std::shared_ptr<std::atomic<bool>> turn;
    {
      MutexLock lock(&mu_);
      cancelled_ = true;
      turn = turn_;
    }
    // Otherwise a read or write is under way and will fail.
    if (turn != nullptr && Take(*turn)) Finish(grpc::Status::CANCELLED);
  }

  void OnDone() override { delete this; }

 private:
  // Acquire/release: the one that gets it sees what the reactor has done.
  static bool Take(std::atomic<bool>& turn) {
    return !turn.exchange(true, std::memory_order_acq_rel);
  }

  void Respond(absl::StatusOr<ServerReflectionResponse> response) {
    if (!response.ok()) return Finish(ToGrpcStatus(response.status()));
    response_ = ToByteBuffer(response->SerializeAsString());
    StartWrite(&response_);
  }

  const Shared shared_;
  // Owned by whoever has the turn.
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;

  Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<std::atomic<bool>> turn_ ABSL_GUARDED_BY(mu_);
};

// Raw: the same bytes in both versions.
template <typename Generated>
class RawService
    : public Generated::template WithRawCallbackMethod_ServerReflectionInfo<
          typename Generated::Service> {
 public:
  explicit RawService(Shared shared) : shared_(std::move(shared)) {}

  using Generated::template WithRawCallbackMethod_ServerReflectionInfo<
      typename Generated::Service>::ServerReflectionInfo;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>*
  ServerReflectionInfo(grpc::CallbackServerContext*) override {
    return new ReflectionCall(shared_);
  }

 private:
  const Shared shared_;
};

}  // namespace

class ReflectionService::V1 final
    : public RawService<grpc::reflection::v1::ServerReflection> {
  using RawService::RawService;
};

class ReflectionService::V1Alpha final
    : public RawService<grpc::reflection::v1alpha::ServerReflection> {
  using RawService::RawService;
};

ReflectionService::ReflectionService(BackendCell* backend,
                                     size_t message_bytes_max) {
  const Shared shared = {backend, message_bytes_max, OwnDescriptors()};
  v1_ = std::make_unique<V1>(shared);
  v1alpha_ = std::make_unique<V1Alpha>(shared);
}

ReflectionService::~ReflectionService() = default;

std::vector<grpc::Service*> ReflectionService::services() {
  return {v1_.get(), v1alpha_.get()};
}

}  // namespace muster
