"""What a workspace that uses Muster loads."""

load("//bazel:proto.bzl", "cc_proto")

def muster_cc_library(name, proto, visibility = None, deps = [], testonly = None, tags = []):
    """Typed GenServer bases and clients for the services of a proto_library.

    For each service file <stem>.proto of `proto` the library offers
    <stem>.muster.server.h and <stem>.muster.client.h, included by the path the
    .proto is imported with, and the <stem>.pb.h of it and of all it imports.

    Args:
      name: of the C++ library.
      proto: a proto_library of any package or workspace. It depends on
        @muster//proto/muster/options/v1:options if its files import
        muster/options/v1/options.proto.
      visibility: as usual.
      deps: further C++ libraries to hand on.
      testonly: as usual.
      tags: as usual.
    """
    cc_proto(
        name = name,
        proto = proto,
        output_flag = "muster",
        plugin = Label("//proto/plugin:protoc-gen-muster"),
        suffixes = [".muster.server.h", ".muster.client.h"],
        deps = [Label("//node"), Label("//client")] + deps,
        visibility = visibility,
        testonly = testonly,
        tags = tags,
    )
