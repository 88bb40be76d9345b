#include "cluster/service/manifest_compiler.h"

#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/dynamic_message.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/time_util.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

using google::protobuf::util::TimeUtil;

constexpr size_t kIdBytesMax = 63;
constexpr size_t kOptionsBytesMax = size_t{1} << 20;
constexpr int kLabelsMax = 32;
constexpr size_t kLabelBytesMax = 255;
constexpr uint32_t kIntensityDefault = 3;
constexpr int kPeriodDefaultSeconds = 5;
constexpr int kShutdownDefaultSeconds = 5;

Error Bad(absl::string_view path, absl::string_view text) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_MANIFEST",
               absl::StrCat(path, ": ", text))
      .With("path", path)
      .NotExecuted();
}

absl::Status CheckId(absl::string_view path, absl::string_view id) {
  if (id.empty()) return Bad(path, "is missing");
  bool valid = id.size() <= kIdBytesMax;
  for (const char c : id) {
    valid = valid && (absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                      c == '.' || c == '_' || c == '-');
  }
  if (valid) return absl::OkStatus();
  return Bad(path, absl::StrCat(LogSafe(id),
                                " is no id: 1 to 63 of letters, digits, "
                                "'.', '_' and '-'"));
}

// The JSON form of options as the serialized message of the type.
absl::StatusOr<core::v1::Payload> CompileOptions(
    absl::string_view path, const google::protobuf::Struct& options,
    const KnownType& type) {
  core::v1::Payload payload;
  payload.set_type(type.options);
  google::protobuf::DescriptorPool pool;
  for (const auto& file : type.descriptors->file()) {
    if (pool.BuildFile(file) == nullptr) {
      return Bad(path, "the type's descriptors are broken");
    }
  }
  const google::protobuf::Descriptor* descriptor =
      pool.FindMessageTypeByName(type.options);
  if (descriptor == nullptr) {
    if (options.fields().empty()) return payload;
    return Bad(path, "this type takes no options");
  }
  std::string json;
  const auto printed =
      google::protobuf::util::MessageToJsonString(options, &json);
  if (!printed.ok()) {
    return Bad(path,
               absl::StrCat("is not JSON: ", std::string(printed.message())));
  }
  google::protobuf::DynamicMessageFactory factory(&pool);
  std::unique_ptr<google::protobuf::Message> message(
      factory.GetPrototype(descriptor)->New());
  const auto parsed =
      google::protobuf::util::JsonStringToMessage(json, message.get());
  if (!parsed.ok()) {
    std::string fields;
    for (int i = 0; i < descriptor->field_count(); ++i) {
      absl::StrAppend(&fields, fields.empty() ? "" : ", ",
                      descriptor->field(i)->name());
    }
    return Bad(
        path, absl::StrCat("does not fit ", type.options,
                           " (fields: ", fields.empty() ? "none" : fields,
                           "): ", LogSafe(std::string(parsed.message()), 256)));
  }
  payload.set_value(message->SerializeAsString());
  if (payload.value().size() > kOptionsBytesMax) {
    return Bad(path, absl::StrCat("are ", payload.value().size(),
                                  " bytes; at most ", kOptionsBytesMax));
  }
  return payload;
}

absl::Status CheckPlacement(const std::string& path,
                            const store::v1::Placement& placement) {
  const std::string& label = placement.spread_by();
  switch (placement.policy()) {
    case store::v1::Placement::SPREAD:
      if (absl::Status id = CheckId(path + ".spread_by", label); !id.ok()) {
        return id;
      }
      break;
    case store::v1::Placement::POLICY_UNSPECIFIED:
    case store::v1::Placement::FEWEST:
    case store::v1::Placement::HASH:
      if (!label.empty()) {
        return Bad(path + ".spread_by", "is only for the policy spread");
      }
      break;
    default:
      return Bad(path + ".policy", "is unknown");
  }
  if (placement.require_size() > kLabelsMax) {
    return Bad(path + ".require",
               absl::StrCat("at most ", kLabelsMax, " labels"));
  }
  // In an order of their own, so that the same manifest has the same error.
  const std::map<std::string, std::string> require(placement.require().begin(),
                                                   placement.require().end());
  for (const auto& [name, value] : require) {
    if (absl::Status id = CheckId(path + ".require", name); !id.ok()) return id;
    if (value.size() > kLabelBytesMax) {
      return Bad(path + ".require",
                 absl::StrCat("the value of ", name, " has ", value.size(),
                              " bytes; at most ", kLabelBytesMax));
    }
  }
  if (!placement.pin().empty()) {
    if (absl::Status valid = ValidateNodeName(placement.pin()); !valid.ok()) {
      return Bad(path + ".pin", valid.message());
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<store::v1::ChildSpec> CompileChild(
    const std::string& path, const cluster::v1::ManifestChild& child,
    const std::map<std::string, KnownType>& types) {
  store::v1::ChildSpec spec;
  if (absl::Status id = CheckId(absl::StrCat(path, ".id"), child.id());
      !id.ok()) {
    return id;
  }
  spec.set_id(child.id());
  spec.set_name(child.name().empty() ? child.id() : child.name());
  if (absl::Status valid = ValidateName(spec.name()); !valid.ok()) {
    return Bad(absl::StrCat(path, ".name"), valid.message());
  }
  if (absl::StartsWith(spec.name(), "muster/")) {
    return Bad(absl::StrCat(path, ".name"),
               "names that begin with muster/ are the cluster's own");
  }
  if (child.type().empty()) {
    return Bad(absl::StrCat(path, ".type"), "is missing");
  }
  const auto type = types.find(child.type());
  if (type == types.end()) {
    std::string known;
    for (const auto& [name, unused] : types) {
      absl::StrAppend(&known, known.empty() ? "" : ", ", name);
    }
    return Bad(absl::StrCat(path, ".type"),
               absl::StrCat("no node has a server type ", LogSafe(child.type()),
                            "; there are: ", known.empty() ? "none" : known));
  }
  spec.set_type(child.type());
  absl::StatusOr<core::v1::Payload> options = CompileOptions(
      absl::StrCat(path, ".options"), child.options(), type->second);
  if (!options.ok()) return options.status();
  *spec.mutable_options() = *std::move(options);
  const store::v1::HostedType& defaults = type->second.hosted;
  spec.set_restart(child.restart());
  if (spec.restart() == store::v1::RESTART_UNSPECIFIED) {
    spec.set_restart(defaults.restart());
  }
  if (spec.restart() == store::v1::RESTART_UNSPECIFIED) {
    spec.set_restart(store::v1::PERMANENT);
  }
  if (child.has_shutdown()) {
    *spec.mutable_shutdown() = child.shutdown();
    if (TimeUtil::DurationToNanoseconds(child.shutdown().timeout()) < 0) {
      return Bad(absl::StrCat(path, ".shutdown"), "must not be negative");
    }
  } else if (defaults.has_shutdown()) {
    *spec.mutable_shutdown() = defaults.shutdown();
  } else {
    *spec.mutable_shutdown()->mutable_timeout() =
        TimeUtil::SecondsToDuration(kShutdownDefaultSeconds);
  }
  if (child.has_placement()) {
    if (absl::Status placed =
            CheckPlacement(absl::StrCat(path, ".placement"), child.placement());
        !placed.ok()) {
      return placed;
    }
    *spec.mutable_placement() = child.placement();
  }
  return spec;
}

absl::StatusOr<cluster::v1::ApplyRequest> CompileManifest(
    const cluster::v1::Manifest& manifest,
    const std::map<std::string, KnownType>& types) {
  absl::Status id = CheckId("supervisor", manifest.supervisor());
  if (!id.ok()) return id;
  cluster::v1::ApplyRequest request;
  request.set_strategy(manifest.strategy() == store::v1::STRATEGY_UNSPECIFIED
                           ? store::v1::ONE_FOR_ONE
                           : manifest.strategy());
  if (!store::v1::Strategy_IsValid(request.strategy())) {
    return Bad("strategy", "is unknown");
  }
  request.set_intensity(manifest.has_intensity() ? manifest.intensity()
                                                 : kIntensityDefault);
  *request.mutable_period() =
      manifest.has_period()
          ? manifest.period()
          : TimeUtil::SecondsToDuration(kPeriodDefaultSeconds);
  if (TimeUtil::DurationToNanoseconds(request.period()) <= 0) {
    return Bad("period", "must be positive, for example 5s");
  }
  std::map<std::string, int> ids;
  for (int i = 0; i < manifest.children_size(); ++i) {
    const cluster::v1::ManifestChild& child = manifest.children(i);
    const std::string path = absl::StrCat("children[", i, "]");
    id = CheckId(absl::StrCat(path, ".id"), child.id());
    if (!id.ok()) return id;
    const auto [same, fresh] = ids.emplace(child.id(), i);
    if (!fresh) {
      return Bad(absl::StrCat(path, ".id"),
                 absl::StrCat("'", child.id(), "' is also the id of children[",
                              same->second, "]: ids are unique"));
    }
    absl::StatusOr<store::v1::ChildSpec> spec =
        CompileChild(path, child, types);
    if (!spec.ok()) return spec.status();
    *request.add_children() = *std::move(spec);
  }
  return request;
}

}  // namespace muster
