#include "tests/testkit/etcd_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "grpcpp/channel.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "node/types/status.h"

namespace muster {
namespace {

// Starts with other ports before giving up.
constexpr int kAttempts = 5;
// Long after which an etcd that does not serve never will.
constexpr std::chrono::seconds kServingMax(30);
constexpr size_t kLogTailBytes = 2000;

absl::Status Unavailable(absl::string_view message) {
  return Error(absl::StatusCode::kUnavailable, "ETCD", message)
      .NotExecuted()
      .status();
}

// A loopback port that is free now. 0 if there is none.
uint16_t FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  uint16_t port = 0;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    port = ntohs(address.sin_port);
  }
  close(fd);
  return port;
}

absl::StatusOr<std::string> NewDirectory() {
  const char* parent = std::getenv("TEST_TMPDIR");
  if (parent == nullptr) parent = std::getenv("TMPDIR");
  if (parent == nullptr) parent = "/tmp";
  std::string path = absl::StrCat(parent, "/etcd.XXXXXX");
  if (mkdtemp(path.data()) == nullptr) {
    return Unavailable(absl::StrCat("cannot make a directory in ", parent, ": ",
                                    strerror(errno)));
  }
  return path;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EtcdServer>> EtcdServer::Start() {
  absl::Status status = Unavailable("not tried");
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    absl::StatusOr<std::string> directory = NewDirectory();
    if (!directory.ok()) return directory.status();
    std::unique_ptr<EtcdServer> server(
        new EtcdServer(*directory, FreePort(), FreePort()));
    status = server->Launch();
    if (status.ok()) return server;
  }
  return status;
}

EtcdServer::EtcdServer(std::string directory, uint16_t port, uint16_t peer_port)
    : directory_(std::move(directory)), port_(port), peer_port_(peer_port) {}

EtcdServer::~EtcdServer() { Kill(); }

std::string EtcdServer::spec() const {
  return absl::StrCat("etcd://127.0.0.1:", port_);
}

void EtcdServer::Stop() { End(SIGTERM); }

void EtcdServer::Kill() { End(SIGKILL); }

absl::Status EtcdServer::Restart() {
  Kill();
  return Launch();
}

void EtcdServer::Pause() {
  if (pid_ == 0) return;
  kill(pid_, SIGSTOP);
  // Its threads stop one after the other; the kernel tells when all have.
  int how = 0;
  while (waitpid(pid_, &how, WUNTRACED) < 0 && errno == EINTR) {
  }
  if (!WIFSTOPPED(how)) pid_ = 0;  // It had ended.
}

void EtcdServer::Resume() {
  if (pid_ != 0) kill(pid_, SIGCONT);
}

void EtcdServer::End(int signal) {
  if (pid_ == 0) return;
  kill(pid_, SIGCONT);
  kill(pid_, signal);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

absl::Status EtcdServer::Launch() {
  const std::string client = absl::StrCat("http://127.0.0.1:", port_);
  const std::string peer = absl::StrCat("http://127.0.0.1:", peer_port_);
  std::vector<std::string> arguments = {
      "etcd",
      "--name=test",
      absl::StrCat("--data-dir=", directory_, "/data"),
      absl::StrCat("--listen-client-urls=", client),
      absl::StrCat("--advertise-client-urls=", client),
      absl::StrCat("--listen-peer-urls=", peer),
      absl::StrCat("--initial-advertise-peer-urls=", peer),
      absl::StrCat("--initial-cluster=test=", peer),
      "--logger=zap",
      "--log-level=warn",
  };
  // Everything is made before the fork: after it only what is safe in a
  // signal handler may be called. The environment has no ETCD_* variables.
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::string path = "PATH=/usr/local/bin:/usr/bin:/bin";
  char* const envp[] = {path.data(), nullptr};
  const std::string log = absl::StrCat(directory_, "/log");
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    return Unavailable(absl::StrCat("cannot fork: ", strerror(errno)));
  }
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    const int in = open("/dev/null", O_RDONLY);
    const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(in, 0);
    dup2(out, 1);
    dup2(out, 2);
    execvpe("etcd", argv.data(), envp);
    _exit(127);
  }
  pid_ = pid;
  return WaitUntilServing();
}

absl::Status EtcdServer::WaitUntilServing() {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
  const auto channel =
      grpc::CreateCustomChannel(absl::StrCat("ipv4:127.0.0.1:", port_),
                                grpc::InsecureChannelCredentials(), args);
  const auto start = std::chrono::system_clock::now();
  // etcd opens its port to clients once it has a leader.
  while (!channel->WaitForConnected(std::chrono::system_clock::now() +
                                    std::chrono::milliseconds(100))) {
    int how = 0;
    if (waitpid(pid_, &how, WNOHANG) == pid_) {
      pid_ = 0;
      return Unavailable(absl::StrCat(
          "etcd ended (wait status ", how,
          "); is etcd-server installed, are its ports free? ", LogTail()));
    }
    if (std::chrono::system_clock::now() - start > kServingMax) {
      Kill();
      return Unavailable(absl::StrCat("etcd does not serve: ", LogTail()));
    }
  }
  return absl::OkStatus();
}

std::string EtcdServer::LogTail() const {
  std::ifstream file(absl::StrCat(directory_, "/log"));
  std::stringstream text;
  text << file.rdbuf();
  std::string log = text.str();
  if (log.size() > kLogTailBytes) log.erase(0, log.size() - kLogTailBytes);
  return log;
}

}  // namespace muster
