"""C++ code for .proto files.

One aspect turns every proto_library it meets into C++ exactly once, however
many libraries ask for it, and follows `deps`. The rules on top of it hand the
result on as an ordinary C++ dependency and may add what a protoc plugin writes
for the library's own files.

Generated files live in a directory of their own per target and are included by
the path a .proto is imported with: `import "muster/core/v1/core.proto"` is
`#include "muster/core/v1/core.pb.h"`. The directory is a system include path,
so that generated headers do not meet our warnings.
"""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

# The repository whose C++ code is compiled into libprotobuf.
_PROTOBUF_REPOSITORY = "com_google_protobuf"

_VIRTUAL = "/_virtual_imports/"

_TOOLCHAIN_ATTRS = {
    "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    "_protobuf": attr.label(default = "@com_google_protobuf//:protobuf"),
    "_protoc": attr.label(
        default = "@com_google_protobuf//:protoc",
        allow_single_file = True,
        executable = True,
        cfg = "host",
    ),
}

def _import_path(file):
    """The path that other .proto files import `file` by."""
    path = file.path
    if _VIRTUAL in path:
        # strip_import_prefix and import_prefix make a tree of links under
        # <package>/_virtual_imports/<target>/.
        return path.split(_VIRTUAL, 1)[1].split("/", 1)[1]
    for root in [file.root.path, file.owner.workspace_root]:
        if root and path.startswith(root + "/"):
            path = path[len(root) + 1:]
    return path

def _mapping(file):
    return "-I%s=%s" % (_import_path(file), file.path)

def _generate(ctx, proto, directory, suffixes, output_flag, plugin = None):
    """Runs protoc over the direct sources of `proto`.

    Returns:
      (generated files, path of the include directory)
    """
    root = "/".join([
        part
        for part in [ctx.bin_dir.path, ctx.label.workspace_root, ctx.label.package, directory]
        if part
    ])
    outputs = []
    for source in proto.direct_sources:
        stem = _import_path(source)[:-len(".proto")]
        for suffix in suffixes:
            outputs.append(ctx.actions.declare_file("%s/%s%s" % (directory, stem, suffix)))
    if outputs:
        args = ctx.actions.args()
        args.add("--%s_out=%s" % (output_flag, root))
        if plugin:
            args.add("--plugin=protoc-gen-%s=%s" % (output_flag, plugin.executable.path))

        # File by file instead of directory by directory: the same file can be
        # seen through more than one directory.
        args.add_all(proto.transitive_sources, map_each = _mapping)
        args.add_all([_import_path(source) for source in proto.direct_sources])
        ctx.actions.run(
            executable = ctx.executable._protoc,
            tools = [plugin] if plugin else [],
            arguments = [args],
            inputs = proto.transitive_sources,
            outputs = outputs,
            mnemonic = "MusterProtoc",
            progress_message = "Generating C++ for %s" % ctx.label,
        )
    return outputs, root

def _compile(ctx, name, files, include, deps):
    """Compiles generated files.

    Returns:
      (CcInfo of them and of deps, their own static libraries)
    """
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    compilation_context, objects = cc_common.compile(
        name = name,
        actions = ctx.actions,
        feature_configuration = features,
        cc_toolchain = toolchain,
        srcs = [file for file in files if file.extension == "cc"],
        public_hdrs = [file for file in files if file.extension == "h"],
        system_includes = [include],
        # Somebody else's code generator wrote it; its warnings are not ours.
        user_compile_flags = ["-w"],
        compilation_contexts = [dep.compilation_context for dep in deps],
    )
    linking_context, linked = cc_common.create_linking_context_from_compilation_outputs(
        name = name,
        actions = ctx.actions,
        feature_configuration = features,
        cc_toolchain = toolchain,
        compilation_outputs = objects,
        linking_contexts = [dep.linking_context for dep in deps],
        disallow_dynamic_library = True,
    )
    library = linked.library_to_link
    archives = [library.static_library, library.pic_static_library] if library else []
    return CcInfo(
        compilation_context = compilation_context,
        linking_context = linking_context,
    ), [archive for archive in archives if archive]

MusterProtoCcInfo = provider(
    doc = "C++ code of a proto_library and of everything it imports.",
    fields = {
        "archives": "static libraries of the proto_library's own files",
        "cc_info": "CcInfo",
    },
)

def _cc_proto_aspect_impl(target, ctx):
    runtime = ctx.attr._protobuf[CcInfo]
    if target.label.workspace_name == _PROTOBUF_REPOSITORY:
        return [MusterProtoCcInfo(archives = [], cc_info = runtime)]
    deps = [dep[MusterProtoCcInfo].cc_info for dep in getattr(ctx.rule.attr, "deps", [])]
    deps.append(runtime)
    if not target[ProtoInfo].direct_sources:
        # A proto_library without sources stands for its deps.
        return [MusterProtoCcInfo(
            archives = [],
            cc_info = cc_common.merge_cc_infos(cc_infos = deps),
        )]
    name = target.label.name + ".pb"
    files, include = _generate(
        ctx,
        target[ProtoInfo],
        directory = "_cc/" + name,
        suffixes = [".pb.h", ".pb.cc"],
        output_flag = "cpp",
    )
    info, archives = _compile(ctx, name, files, include, deps)
    return [MusterProtoCcInfo(archives = archives, cc_info = info)]

cc_proto_aspect = aspect(
    implementation = _cc_proto_aspect_impl,
    attr_aspects = ["deps"],
    attrs = _TOOLCHAIN_ATTRS,
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
    incompatible_use_toolchain_transition = True,
)

def _cc_proto_impl(ctx):
    info = ctx.attr.proto[MusterProtoCcInfo].cc_info
    hand_on = [info] + [dep[CcInfo] for dep in ctx.attr.deps]

    # So that building the target by its name compiles what it stands for.
    built = list(ctx.attr.proto[MusterProtoCcInfo].archives)
    if ctx.attr.suffixes:
        name = ctx.label.name + "." + ctx.attr.output_flag
        files, include = _generate(
            ctx,
            ctx.attr.proto[ProtoInfo],
            directory = "_cc/" + name,
            suffixes = ctx.attr.suffixes,
            output_flag = ctx.attr.output_flag,
            plugin = ctx.attr.plugin.files_to_run,
        )
        result, archives = _compile(ctx, name, files, include, hand_on)
        built += files + archives
    else:
        result = cc_common.merge_cc_infos(cc_infos = hand_on)
    return [
        DefaultInfo(files = depset(built)),
        result,
    ]

cc_proto = rule(
    doc = "C++ code of a proto_library, with what a protoc plugin adds to its own files.",
    implementation = _cc_proto_impl,
    attrs = dict(
        _TOOLCHAIN_ATTRS,
        deps = attr.label_list(
            doc = "C++ that the plugin's output includes",
            providers = [CcInfo],
        ),
        output_flag = attr.string(doc = "the X of --X_out and of protoc-gen-X"),
        plugin = attr.label(
            allow_single_file = True,
            executable = True,
            cfg = "host",
        ),
        proto = attr.label(
            mandatory = True,
            providers = [ProtoInfo],
            aspects = [cc_proto_aspect],
        ),
        suffixes = attr.string_list(doc = "what replaces .proto in the plugin's outputs"),
    ),
    fragments = ["cpp"],
    provides = [CcInfo],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
    incompatible_use_toolchain_transition = True,
)

def muster_proto(name, srcs, deps = [], grpc = False, visibility = None, testonly = None):
    """A proto_library `name` and its C++ code `name`_cc.

    Sources under proto/ are imported relative to it, all others relative to
    the workspace.

    Args:
      name: the proto_library, which other protos (of any workspace) depend on.
      srcs: .proto files.
      deps: proto_libraries that they import.
      grpc: whether `name`_cc also has gRPC's stubs (<stem>.grpc.pb.h) for the
        services in srcs.
      visibility: of both.
      testonly: of both.
    """
    package = native.package_name()
    native.proto_library(
        name = name,
        srcs = srcs,
        deps = deps,
        strip_import_prefix = "/proto" if package == "proto" or package.startswith("proto/") else None,
        visibility = visibility,
        testonly = testonly,
    )
    if grpc:
        cc_proto(
            name = name + "_cc",
            proto = ":" + name,
            output_flag = "grpc",
            plugin = "@com_github_grpc_grpc//:grpc_cpp_plugin",
            suffixes = [".grpc.pb.h", ".grpc.pb.cc"],
            deps = ["@com_github_grpc_grpc//:grpc++"],
            visibility = visibility,
            testonly = testonly,
        )
    else:
        cc_proto(
            name = name + "_cc",
            proto = ":" + name,
            visibility = visibility,
            testonly = testonly,
        )
