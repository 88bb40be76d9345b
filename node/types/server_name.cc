#include "node/types/server_name.h"

#include "absl/strings/str_cat.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {

absl::Status ServerName::Validate() const {
  switch (kind_) {
    case Kind::kNone:
      return absl::OkStatus();
    case Kind::kLocal:
    case Kind::kGlobal:
      return ValidateName(name_);
    case Kind::kVia:
      if (!registry_.empty() && !name_.empty()) return absl::OkStatus();
      return Error(
                 absl::StatusCode::kInvalidArgument, "BAD_NAME",
                 absl::StrCat("via(", LogSafe(registry_), ", ", LogSafe(name_),
                              ") is no name: it needs a registry and a key"))
          .NotExecuted();
  }
  return absl::OkStatus();
}

std::string ServerName::ToString() const {
  switch (kind_) {
    case Kind::kNone:
      return "no name";
    case Kind::kLocal:
      return absl::StrCat("'", name_, "'");
    case Kind::kGlobal:
      return absl::StrCat("'", name_, "' (cluster-wide)");
    case Kind::kVia:
      return absl::StrCat("'", name_, "' in registry ", registry_);
  }
  return "";
}

}  // namespace muster
