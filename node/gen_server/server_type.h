// ServerType: a kind of server that a node can start by name.
#ifndef MUSTER_NODE_GEN_SERVER_SERVER_TYPE_H_
#define MUSTER_NODE_GEN_SERVER_SERVER_TYPE_H_

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/descriptor.h"
#include "node/gen_server/gen_server.h"
#include "node/process/mailbox.h"

namespace muster {

// When a supervisor starts an ended child again (otp 7.3).
enum class Restart {
  kPermanent,  // Always.
  kTransient,  // After an abnormal exit.
  kTemporary,  // Never.
};

// How a supervisor stops a child (otp S25).
class Shutdown {
 public:
  // Asks with exit(shutdown), kills after `limit`; infinite waits for ever.
  static Shutdown Within(absl::Duration limit) { return Shutdown(limit); }
  static Shutdown BrutalKill() { return Shutdown(-absl::InfiniteDuration()); }

  bool brutal_kill() const { return limit_ == -absl::InfiniteDuration(); }
  absl::Duration limit() const { return limit_; }
  // As Runtime::Stop takes it: zero kills at once. A limit of zero still asks
  // first, and gives no time to answer (otp S25).
  absl::Duration patience() const {
    if (brutal_kill()) return absl::ZeroDuration();
    return std::max(limit_, absl::Nanoseconds(1));
  }
  friend bool operator==(Shutdown, Shutdown) = default;

 private:
  explicit Shutdown(absl::Duration limit) : limit_(limit) {}
  absl::Duration limit_;
};

// What a child of this type gets where its spec is silent: the guide's
// child_spec/1.
struct ChildDefaults {
  Restart restart = Restart::kPermanent;
  Shutdown shutdown = Shutdown::Within(absl::Seconds(5));
};

// Copyable, so that a braced list of types works.
struct ServerTypeInfo {
  // What manifests call it: [a-z0-9_]{1,63}.
  std::string name;
  const google::protobuf::ServiceDescriptor* service = nullptr;
  // Message it is started with; google.protobuf.Empty if the service names
  // none.
  const google::protobuf::Descriptor* options = nullptr;
  std::function<std::unique_ptr<GenServer>()> factory;
  ChildDefaults defaults;
  // How much may wait for one of its processes, and what then happens.
  MailboxOptions mailbox;
};

// Several types may share one service. The factory brings dependencies.
template <typename T>
ServerTypeInfo ServerType(
    absl::string_view name,
    std::function<std::unique_ptr<GenServer>()> factory =
        [] { return std::make_unique<T>(); },
    ChildDefaults defaults = ChildDefaults()) {
  ServerTypeInfo info;
  info.name = std::string(name);
  info.service = T::ServiceDescriptor();
  info.options = T::Options::descriptor();
  info.factory = std::move(factory);
  info.defaults = defaults;
  return info;
}

}  // namespace muster

#endif  // MUSTER_NODE_GEN_SERVER_SERVER_TYPE_H_
