#!/usr/bin/python3
"""Calls any server of a cluster with JSON, knowing no .proto file.

    reflection_client.py --endpoint HOST:PORT --stubs DIR list
    reflection_client.py --endpoint HOST:PORT --stubs DIR describe \\
        counter.v1.Counter
    reflection_client.py --endpoint HOST:PORT --stubs DIR call \\
        counter_a counter.v1.Counter/Increment '{"by": 2}'

What a node serves comes from its reflection service; the only stubs, made by
generate.sh, are that service's own. The answer of a call is printed as JSON.
The exit code is 0, or 1 with a message if something is unknown or a call
failed, or 2 for wrong arguments.
"""

import argparse
import importlib
import json
import sys

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf import descriptor_pool
from google.protobuf import json_format
from google.protobuf import message_factory

CALL_SECONDS = 10


class Failure(Exception):
    """Something that the user has to know; ends the program."""


class Reflection:
    """One node's descriptors, fetched when they are needed."""

    def __init__(self, channel, version):
        module = "third_party.grpc.reflection.%s.reflection_pb2" % version
        self._pb = importlib.import_module(module)
        self._stub = importlib.import_module(
            module + "_grpc").ServerReflectionStub(channel)
        self._pool = descriptor_pool.DescriptorPool()
        self._added = set()

    def _ask(self, **request):
        responses = self._stub.ServerReflectionInfo(
            iter([self._pb.ServerReflectionRequest(**request)]),
            timeout=CALL_SECONDS)
        for response in responses:
            if response.HasField("error_response"):
                raise Failure("reflection: %s"
                              % response.error_response.error_message)
            return response
        raise Failure("reflection: the node answered nothing")

    def services(self):
        """Full names of all services, sorted."""
        response = self._ask(list_services="")
        return sorted(service.name
                      for service in response.list_services_response.service)

    def service(self, name):
        """The descriptor of one service."""
        response = self._ask(file_containing_symbol=name)
        self._add(response)
        try:
            return self._pool.FindServiceByName(name)
        except KeyError:
            raise Failure("%s is no service; `list` shows them" % name) from None

    def _add(self, response):
        """Adds files to the pool, imports first, asking for missing ones."""
        files = {}
        for data in response.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            files[file.name] = file

        def add(name):
            if name in self._added:
                return
            self._added.add(name)
            if name not in files:
                more = self._ask(file_by_filename=name)
                for data in more.file_descriptor_response.file_descriptor_proto:
                    file = descriptor_pb2.FileDescriptorProto.FromString(data)
                    files.setdefault(file.name, file)
            if name not in files:
                raise Failure("reflection: the node does not know %s" % name)
            for imported in files[name].dependency:
                add(imported)
            self._pool.AddSerializedFile(files[name].SerializeToString())

        for name in list(files):
            add(name)

    def message_class(self, descriptor):
        """The Python class of a message type."""
        if hasattr(message_factory, "GetMessageClass"):
            return message_factory.GetMessageClass(descriptor)
        return message_factory.MessageFactory(self._pool).GetPrototype(
            descriptor)


def list_services(reflection, _arguments, _channel):
    for name in reflection.services():
        print(name)


def describe(reflection, arguments, _channel):
    service = reflection.service(arguments.service)
    print("service %s" % service.full_name)
    for method in service.methods:
        print("  %s(%s) returns (%s)" % (method.name,
                                         method.input_type.full_name,
                                         method.output_type.full_name))


def call(reflection, arguments, channel):
    service_name, slash, method_name = arguments.method.partition("/")
    if not slash:
        raise Failure("%r is no method; write it as counter.v1.Counter/Increment"
                      % arguments.method)
    service = reflection.service(service_name)
    method = service.methods_by_name.get(method_name)
    if method is None:
        raise Failure("%s has no method %s; it has %s" % (
            service_name, method_name,
            ", ".join(known.name for known in service.methods)))
    request_class = reflection.message_class(method.input_type)
    response_class = reflection.message_class(method.output_type)
    try:
        request = json_format.Parse(arguments.request, request_class())
    except json_format.ParseError as error:
        raise Failure("the request is no %s: %s" % (
            method.input_type.full_name, error)) from None
    invoke = channel.unary_unary(
        "/%s/%s" % (service_name, method_name),
        request_serializer=request_class.SerializeToString,
        response_deserializer=response_class.FromString)
    response = invoke(request, metadata=(("muster-name", arguments.name),),
                      timeout=CALL_SECONDS)
    print(json.dumps(json_format.MessageToDict(
        response, preserving_proto_field_name=True,
        including_default_value_fields=True)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--endpoint", default="127.0.0.1:7001",
                        metavar="HOST:PORT",
                        help="any node of the cluster (default: %(default)s)")
    parser.add_argument("--stubs", metavar="DIR",
                        help="where generate.sh put the stubs; without it they "
                        "must be on PYTHONPATH")
    parser.add_argument("--version", choices=("v1alpha", "v1"),
                        default="v1alpha", help="of the reflection service")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("list", help="all services")
    command.set_defaults(run=list_services)
    command = commands.add_parser("describe", help="methods of a service")
    command.add_argument("service", help="such as counter.v1.Counter")
    command.set_defaults(run=describe)
    command = commands.add_parser("call", help="call or cast by JSON")
    command.add_argument("name", help="of the server, such as counter_a")
    command.add_argument("method", help="such as counter.v1.Counter/Increment")
    command.add_argument("request", nargs="?", default="{}",
                         help="JSON; default: {}")
    command.set_defaults(run=call)
    arguments = parser.parse_args()
    if arguments.stubs:
        sys.path.insert(0, arguments.stubs)

    # A proxy of the environment has no business on loopback.
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(arguments.endpoint, options=options) as channel:
        try:
            try:
                reflection = Reflection(channel, arguments.version)
            except ImportError as error:
                parser.error("no stubs (%s): run generate.sh DIR, then give "
                             "--stubs DIR" % error)
            arguments.run(reflection, arguments, channel)
        except Failure as error:
            print("FAILED: %s" % error, file=sys.stderr)
            return 1
        except grpc.RpcError as error:
            print("FAILED: %s: %s" % (error.code().name, error.details()),
                  file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
