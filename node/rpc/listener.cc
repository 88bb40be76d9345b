#include "node/rpc/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "node/base/check.h"

namespace muster {
namespace {

// Until it is tried again when the system gives nothing.
constexpr int kPauseMs = 100;

socklen_t ToSockaddr(const NodeAddress& address, sockaddr_storage* storage) {
  *storage = {};
  if (address.v6) {
    auto* const in6 = reinterpret_cast<sockaddr_in6*>(storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address.port);
    inet_pton(AF_INET6, address.host.c_str(), &in6->sin6_addr);
    return sizeof(*in6);
  }
  auto* const in = reinterpret_cast<sockaddr_in*>(storage);
  in->sin_family = AF_INET;
  in->sin_port = htons(address.port);
  inet_pton(AF_INET, address.host.c_str(), &in->sin_addr);
  return sizeof(*in);
}

// 0 if the system cannot say.
uint16_t PortOf(int fd) {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return 0;
  }
  return ntohs(storage.ss_family == AF_INET6
                   ? reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port
                   : reinterpret_cast<sockaddr_in*>(&storage)->sin_port);
}

void SetInt(int fd, int level, int option, int value) {
  setsockopt(fd, level, option, &value, sizeof(value));
}

int OpenReserve() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

}  // namespace

std::unique_ptr<Listener> Listener::Open(const NodeAddress& address,
                                         ListenerOptions options, int* error) {
  sockaddr_storage storage;
  const socklen_t size = ToSockaddr(address, &storage);
  const int fd = socket(address.v6 ? AF_INET6 : AF_INET,
                        SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    *error = errno;
    return nullptr;
  }
  SetInt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  // The wildcard is all addresses, of both families.
  if (address.v6) SetInt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&storage), size) != 0 ||
      listen(fd, SOMAXCONN) != 0) {
    *error = errno;
    close(fd);
    return nullptr;
  }
  const int wake = eventfd(0, EFD_CLOEXEC);
  if (wake < 0) {
    *error = errno;
    close(fd);
    return nullptr;
  }
  return std::unique_ptr<Listener>(
      new Listener(fd, wake, PortOf(fd), std::move(options)));
}

Listener::Listener(int fd, int wake, uint16_t port, ListenerOptions options)
    : options_(std::move(options)),
      port_(port),
      fd_(fd),
      wake_(wake),
      reserve_(OpenReserve()) {}

Listener::~Listener() {
  Stop();
  if (reserve_ >= 0) close(reserve_);
  close(wake_);
}

void Listener::Start(
    absl::AnyInvocable<void(int fd)> on_connection,
    absl::AnyInvocable<void(absl::string_view why)> on_refusal) {
  MUSTER_CHECK(!thread_.joinable() && fd_ >= 0);
  on_connection_ = std::move(on_connection);
  on_refusal_ = std::move(on_refusal);
  thread_ = std::thread([this] { Run(); });
}

void Listener::Stop() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    MUSTER_CHECK(write(wake_, &one, sizeof(one)) == sizeof(one));
    thread_.join();
  }
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

void Listener::Run() {
  bool paused = false;
  while (true) {
    pollfd both[] = {{wake_, POLLIN, 0}, {fd_, POLLIN, 0}};
    // Paused, only for the end: what waits would wake it again at once.
    if (poll(both, paused ? 1 : 2, paused ? kPauseMs : -1) < 0) {
      MUSTER_CHECK(errno == EINTR);
      continue;
    }
    if (both[0].revents != 0) return;
    paused = !AcceptAll();
  }
}

bool Listener::AcceptAll() {
  while (true) {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      Take(fd);
      continue;
    }
    switch (errno) {
      case EAGAIN:
        return true;
      case EMFILE:
      case ENFILE: {
        const char* const why = strerror(errno);
        if (reserve_ < 0) {
          Refuse(why);
          return false;
        }
        // With the reserve's descriptor the client is told at once, in place of
        // waiting for nobody. The system says EMFILE even if nobody waits.
        close(std::exchange(reserve_, -1));
        const int refused = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
        const bool nobody = refused < 0 && errno == EAGAIN;
        if (!nobody) Refuse(why);
        if (refused >= 0) close(refused);
        reserve_ = OpenReserve();
        if (nobody) return true;
        if (refused < 0) return false;
        break;
      }
      case ENOBUFS:
      case ENOMEM:
        Refuse(strerror(errno));
        return false;
      default:
        // The connection's own trouble, which accept(2) reports: it is gone.
        break;
    }
  }
}

void Listener::Take(int fd) {
  if (IsSpare(fd)) {
    Refuse("the file descriptors that are left are kept for the node itself");
    close(fd);
    return;
  }
  if (reserve_ < 0) reserve_ = OpenReserve();
  refusing_ = false;
  SetInt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetInt(
      fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
      static_cast<int>(absl::ToInt64Milliseconds(options_.unacknowledged_max)));
  on_connection_(fd);
}

void Listener::Refuse(absl::string_view why) {
  refused_.fetch_add(1, std::memory_order_relaxed);
  if (!std::exchange(refusing_, true)) on_refusal_(why);
}

bool Listener::IsSpare(int fd) const {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
      limit.rlim_cur == RLIM_INFINITY) {
    return false;
  }
  // The system gives the lowest free number: all below are in use.
  const rlim_t spare = std::min<rlim_t>(
      static_cast<rlim_t>(options_.descriptors_spare), limit.rlim_cur / 4);
  return static_cast<rlim_t>(fd) + spare >= limit.rlim_cur;
}

}  // namespace muster
