// Mutual TLS over real connections on loopback: who is refused, and that nobody
// gets in by plaintext instead (fault F33, guarantees section 9); certificates
// that change under load (fault F34).
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/security/tls_certificate_verifier.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "muster/process/v1/process.grpc.pb.h"
#include "node/peer/grpc_transport.h"
#include "node/peer/transport.h"
#include "node/rpc/authorizer.h"
#include "node/tls/access.h"
#include "node/tls/credentials.h"
#include "node/tls/tls_directory.h"
#include "node/types/status.h"
#include "tests/integration/rpc/rpc_fixture.h"
#include "tests/testkit/capture_logger.h"
#include "tests/testkit/test_authority.h"
#include "third_party/grpc/health/v1/health.grpc.pb.h"

namespace muster {
namespace {

using grpc::experimental::CertificateVerifier;
using grpc::experimental::IdentityKeyCertPair;
using grpc::experimental::NoOpCertificateVerifier;
using grpc::experimental::StaticDataCertificateProvider;
using grpc::experimental::TlsChannelCredentialsOptions;

class TlsTest : public RpcTest {
 protected:
  TlsTest() {
    server_dir_.Swap(authority_.Make(TestAuthority::Id(Role::kNode, "a")));
    auto opened = TlsDirectory::Open(server_dir_.path(), &clock_, &told_);
    EXPECT_TRUE(opened.ok()) << opened.status();
    directory_ = *std::move(opened);
    credentials_ = std::make_unique<TlsCredentials>(directory_.get());
    LogFailedHandshakes(&told_, &clock_);
    RpcServerOptions options;
    options.credentials = credentials_->ForServer();
    absl::StatusOr<ClientGrant> grant = ParseClientGrant("c=tally");
    EXPECT_TRUE(grant.ok());
    options.authorizer = std::make_shared<Authorizer>(
        directory_->identity(), AccessPolicy({*grant}), &clock_, &told_);
    auto server = RpcServer::Start(std::move(options), {});
    EXPECT_TRUE(server.ok()) << server.status();
    tls_server_ = *std::move(server);
    tls_server_->SetBackend(backend_);
  }
  ~TlsTest() override {
    tls_server_->SetBackend(nullptr);
    tls_server_->Shutdown(absl::ZeroDuration());
    LogFailedHandshakes(nullptr, nullptr);
  }

  // What a stranger would use: any material, and no look at the server.
  static std::shared_ptr<grpc::ChannelCredentials> Careless(
      const TlsMaterial& material, bool with_certificate = true) {
    std::vector<IdentityKeyCertPair> pairs;
    if (with_certificate) {
      pairs.push_back({material.key, material.certificate});
    }
    TlsChannelCredentialsOptions options;
    options.set_certificate_provider(
        std::make_shared<StaticDataCertificateProvider>(material.roots, pairs));
    options.watch_root_certs();
    if (with_certificate) options.watch_identity_key_cert_pairs();
    options.set_verify_server_certs(false);
    options.set_check_call_host(false);
    options.set_certificate_verifier(
        std::make_shared<NoOpCertificateVerifier>());
    return grpc::experimental::TlsCredentials(options);
  }

  std::shared_ptr<grpc::Channel> Open(
      const std::shared_ptr<grpc::ChannelCredentials>& credentials,
      const std::string& address = "") const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(
        address.empty() ? tls_server_->address() : address, credentials,
        arguments);
  }

  static absl::Status AddOver(const std::shared_ptr<grpc::Channel>& channel,
                              absl::string_view name = "tally") {
    auto context = Named(name);
    tally::v1::AddRequest request;
    request.set_by(1);
    tally::v1::TallyValue value;
    return FromGrpcStatus(tally::v1::Tally::NewStub(channel)->Add(
        context.get(), request, &value));
  }
  absl::Status AddAs(const TlsMaterial& material) {
    return AddOver(Open(Careless(material)));
  }
  absl::Status AddAs(const Identity& identity) {
    return AddAs(authority_.Make(identity));
  }

  // One call of ProcessService with that inside.
  static absl::Status CallOver(const std::shared_ptr<grpc::Channel>& channel,
                               const std::string& name,
                               const std::string& method) {
    auto context = Named("");
    process::v1::CallRequest request;
    request.mutable_server()->set_global(name);
    request.set_method(method);
    process::v1::CallResponse response;
    return FromGrpcStatus(process::v1::ProcessService::NewStub(channel)->Call(
        context.get(), request, &response));
  }

  // A directory of its own with what follows from it; a server when asked.
  class Side {
   public:
    Side(TlsTest* test, const char* name, const TlsMaterial& material)
        : test_(test), dir_(absl::StrCat("tls_test_", name)) {
      dir_.Swap(material);
      auto opened =
          TlsDirectory::Open(dir_.path(), &test->clock_, &test->told_);
      EXPECT_TRUE(opened.ok()) << opened.status();
      directory_ = *std::move(opened);
      credentials_ = std::make_unique<TlsCredentials>(directory_.get());
    }
    ~Side() {
      if (server_ != nullptr) server_->SetBackend(nullptr);
    }

    const TlsCredentials& credentials() const { return *credentials_; }
    // The address of a server with these credentials and the same servers.
    std::string Serve() const {
      if (server_ != nullptr) return server_->address();
      RpcServerOptions options;
      options.credentials = credentials_->ForServer();
      options.authorizer = std::make_shared<Authorizer>(
          TestAuthority::Id(Role::kNode, "a"), AccessPolicy(), &test_->clock_,
          &test_->told_);
      auto server = RpcServer::Start(std::move(options), {});
      EXPECT_TRUE(server.ok()) << server.status();
      server_ = *std::move(server);
      server_->SetBackend(test_->backend_);
      return server_->address();
    }

   private:
    TlsTest* const test_;
    TlsDir dir_;
    std::unique_ptr<TlsDirectory> directory_;
    std::unique_ptr<TlsCredentials> credentials_;
    mutable std::unique_ptr<RpcServer> server_;
  };

  CaptureLogger told_;
  const TestAuthority authority_{clock_.Wall()};
  TlsDir server_dir_{"tls_test_server"};
  std::unique_ptr<TlsDirectory> directory_;
  std::unique_ptr<TlsCredentials> credentials_;
  std::unique_ptr<RpcServer> tls_server_;
};

TEST_F(TlsTest, LetsInWhoMay) {
  EXPECT_EQ(AddAs(TestAuthority::Id(Role::kClient, "c")), absl::OkStatus());
  EXPECT_EQ(AddAs(TestAuthority::Id(Role::kOperator, "o")), absl::OkStatus());
  EXPECT_EQ(AddAs(TestAuthority::Id(Role::kAdmin, "r")), absl::OkStatus());
  EXPECT_EQ(AddAs(TestAuthority::Id(Role::kNode, "b")), absl::OkStatus());
  EXPECT_EQ(adds_.load(), 4);
}

// Without a certificate that the roots have signed and that is valid now there
// is no connection (guarantees 9.2).
TEST_F(TlsTest, RefusesHandshakes) {
  const Identity who = TestAuthority::Id(Role::kAdmin, "x");
  const TestAuthority stranger(clock_.Wall(), "stranger");
  LeafRequest expired = authority_.Request(who);
  expired.not_after = clock_.Wall() - absl::Minutes(1);
  LeafRequest early = authority_.Request(who);
  early.not_before = clock_.Wall() + absl::Minutes(10);
  const struct {
    const char* what;
    std::shared_ptr<grpc::Channel> channel;
  } rows[] = {
      {"no certificate", Open(Careless(authority_.Make(who), false))},
      {"wrong authority", Open(Careless(stranger.Make(who)))},
      {"expired", Open(Careless(authority_.Make(expired)))},
      {"not yet valid", Open(Careless(authority_.Make(early)))},
      {"plaintext", Open(grpc::InsecureChannelCredentials())},
  };
  size_t logged = 0;
  for (const auto& [what, channel] : rows) {
    const absl::Status status = AddOver(channel);
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << what << status;
    EXPECT_EQ(ReasonOf(status), "NOCONNECTION") << what;
    const size_t now = told_.Count(LogLevel::kWarning, "TLS: ");
    EXPECT_GT(now, logged) << what << ": the reason is not in the log";
    logged = now;
  }
  EXPECT_EQ(adds_.load(), 0);
}

// A connection, but nobody who may call (guarantees 9.5).
TEST_F(TlsTest, RefusesIdentities) {
  Identity elsewhere = TestAuthority::Id(Role::kAdmin, "x");
  elsewhere.trust_domain = "example.com";
  LeafRequest two = authority_.Request(TestAuthority::Id(Role::kAdmin, "x"));
  two.uris = {"spiffe://example.org/demo/client/c"};
  LeafRequest none = authority_.Request(TestAuthority::Id(Role::kAdmin, "x"));
  none.identity.reset();
  none.common_name = "spiffe://example.org/demo/admin/x";
  const TlsMaterial rows[] = {
      authority_.Make(TestAuthority::Id(Role::kAdmin, "x", "other")),
      authority_.Make(elsewhere), authority_.Make(two), authority_.Make(none)};
  for (const TlsMaterial& material : rows) {
    const absl::Status status = AddAs(material);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << status;
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted);
  }
  EXPECT_EQ(told_.Count(LogLevel::kWarning, "refused: "), 4u);
  EXPECT_EQ(adds_.load(), 0);
}

TEST_F(TlsTest, RefusesRoles) {
  EXPECT_EQ(AddAs(TestAuthority::Id(Role::kViewer, "v")).code(),
            absl::StatusCode::kPermissionDenied);
  const auto client =
      Open(Careless(authority_.Make(TestAuthority::Id(Role::kClient, "c"))));
  const auto other =
      Open(Careless(authority_.Make(TestAuthority::Id(Role::kClient, "d"))));
  const auto op =
      Open(Careless(authority_.Make(TestAuthority::Id(Role::kOperator, "o"))));
  const auto viewer =
      Open(Careless(authority_.Make(TestAuthority::Id(Role::kViewer, "v"))));
  const struct {
    const char* what;
    absl::Status status;
  } rows[] = {
      {"another's prefix", AddOver(other)},
      {"outside the prefix", AddOver(client, "other")},
      {"Muster's own", AddOver(client, "muster/agent")},
      {"outside the prefix, inside a message",
       CallOver(client, "other", "/tally.v1.Tally/Add")},
      {"sys by a client",
       CallOver(client, "tally", "/muster.sys.v1.Sys/GetState")},
      {"state by an operator",
       CallOver(op, "tally", "/muster.sys.v1.Sys/GetState")},
      {"without an entry", CallOver(op, "tally", "/muster.Supervisor/X")},
      {"inside only",
       CallOver(op, "tally", "/muster.cluster.v1.Agent/StopChild")},
      {"a viewer calls", CallOver(viewer, "tally", "/tally.v1.Tally/Add")},
  };
  for (const auto& [what, status] : rows) {
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied)
        << what << status;
    EXPECT_EQ(OutcomeOf(status), Outcome::kNotExecuted) << what;
  }
  EXPECT_EQ(adds_.load(), 0);
  // What they may.
  EXPECT_EQ(AddOver(client), absl::OkStatus());
  auto context = Named("");
  grpc::health::v1::HealthCheckResponse health;
  EXPECT_TRUE(grpc::health::v1::Health::NewStub(viewer)
                  ->Check(context.get(), {}, &health)
                  .ok());
  EXPECT_EQ(health.status(), grpc::health::v1::HealthCheckResponse::SERVING);
}

// A client's certificate opens no stream between nodes, known to this server or
// not.
TEST_F(TlsTest, PeerStreamsAreForNodes) {
  for (const Role role :
       {Role::kClient, Role::kViewer, Role::kOperator, Role::kAdmin}) {
    const auto channel =
        Open(Careless(authority_.Make(TestAuthority::Id(role, "c"))));
    grpc::GenericStub stub(channel);
    auto context = Named("");
    grpc::CompletionQueue queue;
    const auto stream = stub.PrepareCall(
        context.get(), "/muster.peer.v1.PeerService/Connect", &queue);
    grpc::Status status;
    stream->StartCall(&queue);
    void* tag = nullptr;
    bool ok = false;
    ASSERT_TRUE(queue.Next(&tag, &ok));
    stream->Finish(&status, &queue);
    ASSERT_TRUE(queue.Next(&tag, &ok));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED)
        << RoleName(role) << ": " << status.error_message();
  }
}

// The dialing side: pins what it dials (guarantees 9.4).
TEST_F(TlsTest, ClientsCheckTheServer) {
  TlsDir dir("tls_test_client");
  dir.Swap(authority_.Make(TestAuthority::Id(Role::kClient, "c")));
  auto opened = TlsDirectory::Open(dir.path(), &clock_, &told_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const TlsCredentials mine(opened->get());
  EXPECT_EQ(AddOver(Open(mine.ForNode(""))), absl::OkStatus());
  EXPECT_EQ(AddOver(Open(mine.ForNode("a"))), absl::OkStatus());
  EXPECT_EQ(ReasonOf(AddOver(Open(mine.ForNode("b")))), "NOCONNECTION");
  // No fallback to plaintext, in either direction.
  EXPECT_EQ(ReasonOf(AddOver(Open(mine.ForNode(""), server_->address()))),
            "NOCONNECTION");
  EXPECT_EQ(adds_.load(), 2);
  // Servers that are no node of this cluster: the certificate of a client, of
  // another cluster, of another authority.
  const TestAuthority stranger(clock_.Wall(), "stranger");
  const TlsMaterial wrong[] = {
      authority_.Make(TestAuthority::Id(Role::kClient, "a")),
      authority_.Make(TestAuthority::Id(Role::kAdmin, "a")),
      authority_.Make(TestAuthority::Id(Role::kNode, "a", "other")),
      stranger.Make(TestAuthority::Id(Role::kNode, "a"))};
  for (const TlsMaterial& material : wrong) {
    const Side pretender(this, "false", material);
    EXPECT_EQ(ReasonOf(AddOver(Open(mine.ForNode(""), pretender.Serve()))),
              "NOCONNECTION");
  }
  EXPECT_EQ(adds_.load(), 2);
}

// The C++ client, by its certificate.
TEST_F(TlsTest, TheClientSpeaksTls) {
  TlsDir dir("tls_test_cpp");
  dir.Swap(authority_.Make(TestAuthority::Id(Role::kClient, "c")));
  ClientOptions options;
  options.tls_dir = dir.path();
  options.tls_node = "a";
  auto client = Client::Connect(tls_server_->address(), options);
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ((*client)->WhereIs("tally").Wait()->node(), "a");
  const absl::Status other = (*client)->WhereIs("other").Wait().status();
  EXPECT_EQ(other.code(), absl::StatusCode::kPermissionDenied) << other;
  EXPECT_EQ(OutcomeOf(other), Outcome::kNotExecuted);
  options.tls_node = "b";
  auto wrong = Client::Connect(tls_server_->address(), options);
  ASSERT_TRUE(wrong.ok()) << wrong.status();
  CallOptions soon;
  soon.timeout = absl::Seconds(2);
  EXPECT_FALSE((*wrong)->WhereIs("tally", soon).Wait().ok());
  options.tls_dir = dir.path() + "/nothing";
  EXPECT_EQ(ReasonOf(Client::Connect(tls_server_->address(), options).status()),
            "NO_TLS_FILE");
}

// The accepting side of a stream between nodes learns who dialed from the
// certificate; the dialing side takes nobody else (guarantees 9.18).
TEST_F(TlsTest, StreamsProveTheirNodes) {
  // Tells what the stream it is given says.
  struct Ear final : public StreamHandler {
    explicit Ear(
        std::shared_ptr<internal::Arrival<absl::StatusOr<std::string>>> heard)
        : arrival(std::move(heard)) {}
    void OnMessage(std::string message) override { arrival->Set(message); }
    void OnWritten() override {}
    void OnClosed(absl::Status status) override {
      arrival->Set(std::string(absl::StatusCodeToString(status.code())));
      stream = nullptr;
    }
    std::shared_ptr<internal::Arrival<absl::StatusOr<std::string>>> arrival;
    std::shared_ptr<Stream> stream;
  };
  GrpcTransport here(&scheduler_);
  here.Serve([](std::shared_ptr<Stream> stream) {
    auto ear = std::make_shared<Ear>(
        std::make_shared<internal::Arrival<absl::StatusOr<std::string>>>());
    ear->stream = stream;
    stream->Write(absl::StrCat("you are ", stream->ProvenNode()));
    return ear;
  });
  RpcServerOptions server_options;
  server_options.credentials = credentials_->ForServer();
  server_options.authorizer = std::make_shared<Authorizer>(
      directory_->identity(), AccessPolicy(), &clock_, &told_);
  auto server = RpcServer::Start(
      std::move(server_options), {},
      [&](grpc::ServerBuilder* builder) { here.Register(builder); });
  ASSERT_TRUE(server.ok()) << server.status();
  const auto dial = [&](const Side& side, const std::string& node) {
    GrpcTransportOptions options;
    options.credentials = [&](const std::string& wanted) {
      return side.credentials().ForNode(wanted);
    };
    GrpcTransport there(&scheduler_, options);
    auto arrival =
        std::make_shared<internal::Arrival<absl::StatusOr<std::string>>>();
    const auto stream = there.DialNode(node, (*server)->address(),
                                       std::make_shared<Ear>(arrival));
    const std::string heard =
        *Pending<absl::StatusOr<std::string>>(arrival).Wait();
    stream->Close(absl::OkStatus());
    there.Shutdown();
    return heard;
  };
  const Side b(this, "b", authority_.Make(TestAuthority::Id(Role::kNode, "b")));
  const Side c(this, "c",
               authority_.Make(TestAuthority::Id(Role::kClient, "c")));
  EXPECT_EQ(dial(b, "a"), "you are b");
  EXPECT_EQ(dial(b, "z"), "UNAVAILABLE");
  EXPECT_EQ(dial(c, "a"), "PERMISSION_DENIED");
  here.Shutdown();
  (*server)->Shutdown(absl::ZeroDuration());
}

TEST_F(TlsTest, AuditsWhatChanges) {
  const auto op =
      Open(Careless(authority_.Make(TestAuthority::Id(Role::kOperator, "o"))));
  CallOver(op, "tally", "/muster.sys.v1.Sys/Terminate").IgnoreError();
  EXPECT_EQ(told_.Count(LogLevel::kInfo,
                        "audit: spiffe://example.org/demo/operator/o "
                        "\"/muster.sys.v1.Sys/Terminate\""),
            1u);
  EXPECT_EQ(AddOver(op), AddOver(op));
  EXPECT_EQ(told_.Count(LogLevel::kInfo, "audit: "), 1u);
}

// Leaf, then authority with overlap, while calls run: none fails, and new
// handshakes use what is new (fault F34).
TEST_F(TlsTest, RotatesUnderLoad) {
  const Identity node = TestAuthority::Id(Role::kNode, "a");
  const Identity client = TestAuthority::Id(Role::kClient, "c");
  TlsDir dir("tls_test_rotating");
  dir.Swap(authority_.Make(client));
  auto opened = TlsDirectory::Open(dir.path(), &clock_, &told_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const TlsCredentials mine(opened->get());
  std::atomic<bool> over{false};
  std::atomic<int> calls{0};
  std::atomic<int> failed{0};
  std::vector<std::thread> load;
  // One keeps its connection, the other makes a new one for each call.
  load.emplace_back([&] {
    const auto channel = Open(mine.ForNode("a"));
    while (!over) failed += AddOver(channel).ok() ? 0 : 1, ++calls;
  });
  load.emplace_back([&] {
    while (!over) {
      failed += AddOver(Open(mine.ForNode("a"))).ok() ? 0 : 1;
      ++calls;
    }
  });
  const TestAuthority next(clock_.Wall(), "next");
  const auto with_both = [&](TlsMaterial material) {
    material.roots =
        authority_.authority().certificate + next.authority().certificate;
    return material;
  };
  const auto rotate = [&](const TlsMaterial& server, const TlsMaterial& user) {
    server_dir_.Swap(server);
    EXPECT_TRUE(directory_->Look());
    dir.Swap(user);
    EXPECT_TRUE((*opened)->Look());
  };
  // gRPC reads what was published within a second or so: until a call works,
  // or does not any more.
  const auto becomes = [](bool works,
                          const std::function<absl::Status()>& call) {
    for (int i = 0; i < 5000; ++i) {
      if (call().ok() == works) return true;
    }
    return false;
  };
  // Servers that the rotating client meets in its new world, and a client that
  // meets the rotating server there.
  const Side server_of_both(this, "both", with_both(next.Make(node)));
  const Side server_of_next(this, "next", next.Make(node));
  const Side client_of_next(this, "user", next.Make(client));
  // The leaf; a half-written pair and garbage in between change nothing.
  rotate(authority_.Make(node), authority_.Make(client));
  TlsMaterial half = authority_.Make(node);
  half.key = authority_.Make(node).key;
  server_dir_.Swap(half);
  EXPECT_FALSE(directory_->Look());
  half.certificate = "garbage";
  server_dir_.Swap(half);
  EXPECT_FALSE(directory_->Look());
  EXPECT_EQ(told_.Count(LogLevel::kError, "the old ones stay"), 2u);
  // The authority: both are known everywhere before anybody uses the new one,
  // and everybody uses the new one before the old one goes.
  rotate(with_both(authority_.Make(node)), with_both(authority_.Make(client)));
  EXPECT_TRUE(becomes(true, [&] { return AddAs(next.Make(client)); }));
  EXPECT_TRUE(becomes(true, [&] {
    return AddOver(Open(mine.ForNode("a"), server_of_both.Serve()));
  }));
  rotate(with_both(next.Make(node)), with_both(next.Make(client)));
  EXPECT_TRUE(becomes(true, [&] {
    return AddOver(Open(mine.ForNode("a"), server_of_next.Serve()));
  }));
  EXPECT_TRUE(becomes(true, [&] {
    return AddOver(Open(client_of_next.credentials().ForNode("a")));
  }));
  rotate(next.Make(node), next.Make(client));
  EXPECT_TRUE(becomes(false, [&] { return AddAs(authority_.Make(client)); }));
  EXPECT_EQ(AddAs(next.Make(client)), absl::OkStatus());
  over = true;
  for (std::thread& thread : load) thread.join();
  EXPECT_GT(calls.load(), 20);
  EXPECT_EQ(failed.load(), 0);
  EXPECT_EQ(directory_->counters().refused, 2u);
}

TEST(TlsListenTest, PlaintextStaysOnLoopback) {
  RpcServerOptions options;
  options.listen = "0.0.0.0:0";
  EXPECT_EQ(ReasonOf(RpcServer::Start(options, {}).status()), "NOT_LOOPBACK");
  options.listen = "127.0.0.1:0";
  options.credentials = grpc::InsecureServerCredentials();
  EXPECT_EQ(ReasonOf(RpcServer::Start(options, {}).status()), "BAD_OPTION");
}

}  // namespace
}  // namespace muster
