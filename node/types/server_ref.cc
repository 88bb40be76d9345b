#include "node/types/server_ref.h"

#include "absl/strings/str_cat.h"

namespace muster {

std::string ServerRef::ToString() const {
  switch (kind_) {
    case Kind::kPid:
      return pid_.ToString();
    case Kind::kAlias:
      return absl::StrCat("an alias of ", pid_.ToString());
    case Kind::kLocal:
      if (node_.empty()) return absl::StrCat(name_, " on this node");
      return absl::StrCat(name_, " on node ", node_);
    case Kind::kGlobal:
      return name_;
    case Kind::kVia:
      return absl::StrCat(name_, " in registry ", node_);
  }
  return name_;
}

core::v1::ServerRef ServerRef::ToProto() const {
  core::v1::ServerRef proto;
  switch (kind_) {
    case Kind::kPid:
      *proto.mutable_pid() = pid_.ToProto();
      break;
    case Kind::kAlias:
      *proto.mutable_alias()->mutable_pid() = pid_.ToProto();
      proto.mutable_alias()->set_id(alias_);
      break;
    case Kind::kLocal:
      proto.mutable_local()->set_node(node_);
      proto.mutable_local()->set_name(name_);
      break;
    case Kind::kGlobal:
      proto.set_global(name_);
      break;
    case Kind::kVia:  // Means nothing on another node.
      break;
  }
  return proto;
}

ServerRef ServerRef::FromProto(const core::v1::ServerRef& proto) {
  switch (proto.ref_case()) {
    case core::v1::ServerRef::kPid:
      return ServerRef(Pid::FromProto(proto.pid()));
    case core::v1::ServerRef::kAlias:
      return Alias(Pid::FromProto(proto.alias().pid()), proto.alias().id());
    case core::v1::ServerRef::kLocal:
      return Local(proto.local().name(), proto.local().node());
    case core::v1::ServerRef::kGlobal:
      return Global(proto.global());
    case core::v1::ServerRef::REF_NOT_SET:
      return Global("");
  }
  return Global("");
}

}  // namespace muster
