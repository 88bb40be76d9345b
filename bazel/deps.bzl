"""Everything Muster depends on, from the system, under the labels that the
projects themselves use.

muster_deps() is called by our WORKSPACE and by that of every user. Nothing in
here downloads. A workspace that wants one of these libraries from source
declares a repository of the same name before calling muster_deps(): the first
declaration wins.
"""

# Where Debian's bazel-* packages put the rule sets that Bazel itself loads.
_RULES = "/usr/share/bazel"

_HINT = "run bazel/setup.sh, which installs what is missing"

def _pkg_config(ctx, args):
    tool = ctx.which("pkg-config")
    if not tool:
        fail("pkg-config not found: " + _HINT)
    result = ctx.execute([tool] + args)
    if result.return_code != 0:
        fail("pkg-config %s: %s (%s)" % (" ".join(args), result.stderr.strip(), _HINT))
    return result.stdout.strip()

# Headers under /usr/include are no inputs that Bazel sees. This one is: it is
# listed by every library of a repository and holds the version, so that the
# action keys (and with them the disk cache) change when the system is upgraded.
def _write_version(ctx, versions):
    ctx.file(
        "version.h",
        "".join(["// %s %s\n" % (module, versions[module]) for module in sorted(versions)]),
        executable = False,
    )

_VERSION_TARGET = """
cc_library(
    name = "version",
    hdrs = ["version.h"],
    visibility = ["//:__subpackages__"],
)
"""

def _link(libraries):
    # Bazel's default is --no-as-needed; a test that loads a hundred shared
    # libraries it never calls starts noticeably later.
    return ["-Wl,--as-needed"] + ["-l" + library for library in libraries]

# --- Libraries described by one string ---------------------------------------

def _system_library_impl(ctx):
    versions = {}
    for module in ctx.attr.modules:
        versions[module] = _pkg_config(ctx, ["--modversion", module])
    for header in ctx.attr.headers:
        if not ctx.path(header).exists:
            fail("%s not found: %s" % (header, _HINT))
        versions[header] = "present"
    _write_version(ctx, versions)
    for tool in ctx.attr.tools:
        path = ctx.which(tool)
        if not path:
            fail("%s not found: %s" % (tool, _HINT))
        ctx.symlink(path, tool)
    build = [
        "package(default_visibility = [\"//visibility:public\"])",
        _VERSION_TARGET,
    ]
    if ctx.attr.tools:
        build.append("exports_files(%r)" % ctx.attr.tools)
    for name in ctx.attr.libraries:
        build.append("cc_library(\n    name = %r,\n    defines = %r,\n    linkopts = %r,\n    deps = %r,\n)" % (
            name,
            ctx.attr.defines,
            _link(ctx.attr.libraries[name]),
            [":version"] + ctx.attr.deps.get(name, []),
        ))
    ctx.file("BUILD", "\n".join(build) + "\n", executable = False)

_system_library = repository_rule(
    implementation = _system_library_impl,
    attrs = {
        "defines": attr.string_list(doc = "preprocessor definitions for whoever includes it"),
        "deps": attr.string_list_dict(doc = "library name -> labels"),
        "headers": attr.string_list(doc = "files that must exist, for packages without a .pc"),
        "libraries": attr.string_list_dict(doc = "target name -> names for -l"),
        "modules": attr.string_list(doc = "pkg-config modules that must exist"),
        "tools": attr.string_list(doc = "programs to link into the repository"),
    },
    environ = ["PATH", "PKG_CONFIG_PATH"],
    local = True,
)

# --- Protobuf ----------------------------------------------------------------

# Well-known protos and what they import.
_WELL_KNOWN = {
    "any": [],
    "api": ["source_context", "type"],
    "compiler/plugin": ["descriptor"],
    "descriptor": [],
    "duration": [],
    "empty": [],
    "field_mask": [],
    "source_context": [],
    "struct": [],
    "timestamp": [],
    "type": ["any", "source_context"],
    "wrappers": [],
}

def _proto_target(stem):
    return stem.replace("/", "_") + "_proto"

def _protobuf_impl(ctx):
    _write_version(ctx, {"protobuf": _pkg_config(ctx, ["--modversion", "protobuf"])})
    protoc = ctx.which("protoc")
    if not protoc:
        fail("protoc not found: " + _HINT)
    ctx.symlink(protoc, "protoc")
    include = _pkg_config(ctx, ["--variable=includedir", "protobuf"])
    build = [
        "package(default_visibility = [\"//visibility:public\"])",
        _VERSION_TARGET,
        "exports_files([\"protoc\"])",
        "cc_library(name = \"protobuf\", linkopts = %r, deps = [\":version\"])" %
        _link(["protobuf", "pthread"]),
        "cc_library(name = \"protoc_lib\", linkopts = %r, deps = [\":protobuf\"])" %
        _link(["protoc"]),
    ]
    for stem in sorted(_WELL_KNOWN):
        path = "google/protobuf/%s.proto" % stem
        ctx.symlink("%s/%s" % (include, path), path)
        build.append("proto_library(name = %r, srcs = [%r], deps = %r)" % (
            _proto_target(stem),
            path,
            [":" + _proto_target(dep) for dep in _WELL_KNOWN[stem]],
        ))
    ctx.file("BUILD", "\n".join(build) + "\n", executable = False)

_protobuf = repository_rule(
    implementation = _protobuf_impl,
    environ = ["PATH", "PKG_CONFIG_PATH"],
    local = True,
)

# --- Abseil ------------------------------------------------------------------

# Abseil's label -> module of Debian's pkg-config files. What a module needs in
# turn is read from those files.
_ABSL = {
    "absl/algorithm": {"algorithm": "absl_algorithm", "container": "absl_algorithm_container"},
    "absl/base": {
        "base": "absl_base",
        "config": "absl_config",
        "core_headers": "absl_core_headers",
        "dynamic_annotations": "absl_dynamic_annotations",
        "endian": "absl_endian",
        "log_severity": "absl_log_severity",
        "prefetch": "absl_prefetch",
    },
    "absl/cleanup": {"cleanup": "absl_cleanup"},
    "absl/container": {
        "btree": "absl_btree",
        "fixed_array": "absl_fixed_array",
        "flat_hash_map": "absl_flat_hash_map",
        "flat_hash_set": "absl_flat_hash_set",
        "inlined_vector": "absl_inlined_vector",
        "node_hash_map": "absl_node_hash_map",
        "node_hash_set": "absl_node_hash_set",
    },
    "absl/debugging": {
        "failure_signal_handler": "absl_failure_signal_handler",
        "leak_check": "absl_leak_check",
        "stacktrace": "absl_stacktrace",
        "symbolize": "absl_symbolize",
    },
    "absl/flags": {
        "commandlineflag": "absl_flags_commandlineflag",
        "config": "absl_flags_config",
        "flag": "absl_flags",
        "marshalling": "absl_flags_marshalling",
        "parse": "absl_flags_parse",
        "reflection": "absl_flags_reflection",
        "usage": "absl_flags_usage",
    },
    "absl/functional": {
        "any_invocable": "absl_any_invocable",
        "bind_front": "absl_bind_front",
        "function_ref": "absl_function_ref",
    },
    "absl/hash": {"hash": "absl_hash"},
    "absl/memory": {"memory": "absl_memory"},
    "absl/meta": {"type_traits": "absl_type_traits"},
    "absl/numeric": {"bits": "absl_bits", "int128": "absl_int128"},
    "absl/random": {
        "bit_gen_ref": "absl_random_bit_gen_ref",
        "distributions": "absl_random_distributions",
        "random": "absl_random_random",
        "seed_sequences": "absl_random_seed_sequences",
    },
    "absl/status": {"status": "absl_status", "statusor": "absl_statusor"},
    "absl/strings": {
        "cord": "absl_cord",
        "str_format": "absl_str_format",
        "strings": "absl_strings",
    },
    "absl/synchronization": {"synchronization": "absl_synchronization"},
    "absl/time": {"time": "absl_time"},
    "absl/types": {
        "any": "absl_any",
        "compare": "absl_compare",
        "optional": "absl_optional",
        "span": "absl_span",
        "variant": "absl_variant",
    },
    "absl/utility": {"utility": "absl_utility"},
}

def _read_pc(ctx, directory, module):
    """Returns (required absl modules, names for -l) of one .pc file."""
    requires = []
    libraries = []
    for line in ctx.read("%s/%s.pc" % (directory, module)).split("\n"):
        key, _, value = line.partition(":")
        if key == "Requires":
            # "absl_config = 20220623, absl_cord = 20220623"
            requires += [
                part.strip().split(" ")[0]
                for part in value.split(",")
                if part.strip()
            ]
        elif key == "Libs":
            libraries += [word[2:] for word in value.split(" ") if word.startswith("-l")]
    return requires, libraries

def _absl_impl(ctx):
    version = _pkg_config(ctx, ["--modversion", "absl_base"])
    directory = _pkg_config(ctx, ["--variable=pcfiledir", "absl_base"])
    _write_version(ctx, {"absl": version})

    # Starlark has neither recursion nor while: a bounded walk over the modules
    # reachable from the labels above.
    pending = []
    for package in _ABSL:
        pending += _ABSL[package].values()
    seen = {}
    build = [_VERSION_TARGET]
    for _ in range(10000):
        if not pending:
            break
        module = pending.pop()
        if module in seen:
            continue
        seen[module] = True
        requires, libraries = _read_pc(ctx, directory, module)
        pending += requires
        build.append("cc_library(\n    name = %r,\n    linkopts = %r,\n    visibility = [\"//:__subpackages__\"],\n    deps = %r,\n)" % (
            module,
            _link(libraries) if libraries else [],
            [":version"] + [":" + name for name in requires],
        ))
    ctx.file("BUILD", "\n".join(build) + "\n", executable = False)
    for package in _ABSL:
        ctx.file(
            package + "/BUILD",
            "package(default_visibility = [\"//visibility:public\"])\n" + "".join([
                "alias(name = %r, actual = %r)\n" % (name, "//:" + _ABSL[package][name])
                for name in sorted(_ABSL[package])
            ]),
            executable = False,
        )

_absl = repository_rule(
    implementation = _absl_impl,
    environ = ["PATH", "PKG_CONFIG_PATH"],
    local = True,
)

# --- What Bazel itself asks for ----------------------------------------------

_NATIVE_CC_RULES = [
    "cc_binary",
    "cc_import",
    "cc_library",
    "cc_proto_library",
    "cc_test",
    "cc_toolchain",
    "cc_toolchain_suite",
    "fdo_prefetch_hints",
    "fdo_profile",
    "objc_import",
    "objc_library",
]

def _rules_cc_impl(ctx):
    # Debian's bazel-rules-cc wants use_cpp_toolchain, which 4.2.3 does not
    # have. Nothing here needs more than the native rules under that name.
    ctx.file("BUILD", "", executable = False)
    ctx.file("cc/BUILD", "exports_files([\"defs.bzl\"])\n", executable = False)
    ctx.file("cc/defs.bzl", "".join([
        "def %s(**kwargs):\n    native.%s(**kwargs)\n\n" % (rule, rule)
        for rule in _NATIVE_CC_RULES
    ]), executable = False)

_rules_cc = repository_rule(implementation = _rules_cc_impl)

def _coverage_tools_impl(ctx):
    # `bazel test` resolves these two labels even when it collects no coverage.
    ctx.file("BUILD", """
package(default_visibility = ["//visibility:public"])

filegroup(name = "coverage_report_generator")

filegroup(name = "lcov_merger")
""", executable = False)

_coverage_tools = repository_rule(implementation = _coverage_tools_impl)

def _once(rule, name, **kwargs):
    if name not in native.existing_rules():
        rule(name = name, **kwargs)

def muster_deps():
    """Declares every repository that Muster's BUILD files name."""
    _once(_rules_cc, "rules_cc")
    _once(_coverage_tools, "remote_coverage_tools")
    _once(native.local_repository, "rules_java", path = _RULES + "/rules/java")
    _once(native.local_repository, "rules_proto", path = _RULES + "/rules/proto")
    _once(native.local_repository, "bazel_skylib", path = _RULES + "/tools/skylib")

    _once(_protobuf, "com_google_protobuf")
    _once(_absl, "com_google_absl")
    _once(
        _system_library,
        "com_github_grpc_grpc",
        modules = ["grpc++"],
        libraries = {"grpc++": ["grpc++", "grpc", "gpr"]},
        deps = {"grpc++": [
            # What gRPC's public headers call from the including file.
            "@com_google_absl//absl/status",
            "@com_google_absl//absl/status:statusor",
            "@com_google_absl//absl/strings",
            "@com_google_absl//absl/strings:cord",
            "@com_google_absl//absl/synchronization",
            "@com_google_absl//absl/time",
            "@com_google_protobuf//:protobuf",
        ]},
        tools = ["grpc_cpp_plugin"],
    )
    _once(
        _system_library,
        "com_google_googletest",
        modules = ["gmock", "gtest"],
        defines = ["GTEST_HAS_PTHREAD=1"],
        libraries = {
            "gtest": ["gmock", "gtest", "pthread"],
            # GoogleMock's main prepares GoogleTest too.
            "gtest_main": ["gmock_main"],
        },
        deps = {"gtest_main": [":gtest"]},
    )
    _once(
        _system_library,
        "com_github_google_benchmark",
        modules = ["benchmark"],
        libraries = {
            "benchmark": ["benchmark", "pthread"],
            "benchmark_main": ["benchmark_main"],
        },
        deps = {"benchmark_main": [":benchmark"]},
    )
    _once(
        _system_library,
        "com_github_gabime_spdlog",
        modules = ["fmt", "spdlog"],
        defines = ["SPDLOG_COMPILED_LIB", "SPDLOG_FMT_EXTERNAL", "SPDLOG_SHARED_LIB"],
        libraries = {"spdlog": ["spdlog", "fmt", "pthread"]},
    )
    _once(
        _system_library,
        "com_github_cliutils_cli11",
        modules = ["CLI11"],
        libraries = {"cli11": []},
    )
    _once(
        _system_library,
        "com_github_jbeder_yaml_cpp",
        modules = ["yaml-cpp"],
        libraries = {"yaml_cpp": ["yaml-cpp"]},
    )
    _once(
        _system_library,
        "boringssl",
        modules = ["libcrypto"],
        libraries = {"crypto": ["crypto"]},
    )
    _once(
        _system_library,
        "com_github_nlohmann_json",
        modules = ["nlohmann_json"],
        libraries = {"json": []},
    )
