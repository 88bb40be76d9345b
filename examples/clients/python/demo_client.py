#!/usr/bin/python3
"""Calls the five servers of the GenServer guide with stock gRPC stubs.

    examples/clients/python/generate.sh /tmp/stubs
    examples/clients/python/demo_client.py --endpoint 127.0.0.1:7001 \\
        --stubs /tmp/stubs

The servers are those of examples/application.yaml. The only thing that is
Muster's here is the metadata key muster-name, which says who is called. Prints
what it does and checks every answer; the exit code is 0 if all were right, 1 if
one was wrong or a call failed, 2 for wrong arguments.
"""

import argparse
import re
import sys
import time

import grpc
from google.protobuf import json_format
from google.protobuf import struct_pb2

# How long one call may take. Also the limit of waiting for a tick.
CALL_SECONDS = 10


class Mismatch(Exception):
    """An answer that is not what it must be."""


def check(what, got, wanted):
    """Prints one answer; raises Mismatch if it is wrong."""
    if got != wanted:
        raise Mismatch("%s: got %r, expected %r" % (what, got, wanted))
    print("  %s: %r" % (what, got))


class Named:
    """A stub whose every call goes to the server of one name."""

    def __init__(self, stub, name):
        self._stub = stub
        self._metadata = (("muster-name", name),)

    def __getattr__(self, method):
        def call(request):
            return getattr(self._stub, method)(
                request, metadata=self._metadata, timeout=CALL_SECONDS)
        return call


def counter(channel, name):
    """Counter: calls, and a cast whose effect the next call sees."""
    from examples.counter import counter_pb2 as pb
    from examples.counter import counter_pb2_grpc

    print("Counter %s" % name)
    server = Named(counter_pb2_grpc.CounterStub(channel), name)
    server.Reset(pb.ResetRequest())
    check("after Reset", server.GetValue(pb.GetValueRequest()).value, 0)
    check("Increment", server.Increment(pb.IncrementRequest()).value, 1)
    check("Increment by 9", server.Increment(pb.IncrementRequest(by=9)).value,
          10)
    check("Decrement", server.Decrement(pb.DecrementRequest()).value, 9)
    check("Decrement by 4", server.Decrement(pb.DecrementRequest(by=4)).value,
          5)
    check("GetValue", server.GetValue(pb.GetValueRequest()).value, 5)
    server.Reset(pb.ResetRequest())
    check("after Reset", server.GetValue(pb.GetValueRequest()).value, 0)


def periodic_task(channel):
    """PeriodicTask: it ticks without being asked."""
    from examples.periodic import periodic_pb2 as pb
    from examples.periodic import periodic_pb2_grpc

    print("PeriodicTask periodic_task")
    server = Named(periodic_pb2_grpc.PeriodicTaskStub(channel),
                   "periodic_task")
    first = server.GetCount(pb.GetCountRequest()).count
    print("  ticks so far: %d" % first)
    deadline = time.monotonic() + CALL_SECONDS
    while server.GetCount(pb.GetCountRequest()).count <= first:
        if time.monotonic() > deadline:
            raise Mismatch("no tick within %d s; the interval in "
                           "application.yaml is 1s" % CALL_SECONDS)
        time.sleep(0.1)
    print("  it has ticked")


def cache(channel):
    """CacheWithTimeout: any JSON value under a key."""
    from examples.cache import cache_pb2 as pb
    from examples.cache import cache_pb2_grpc

    print("Cache cache")
    server = Named(cache_pb2_grpc.CacheStub(channel), "cache")
    wanted = {"size": 3.0, "colours": ["red", "green"], "on": True}
    value = json_format.ParseDict(wanted, struct_pb2.Value())
    server.Put(pb.PutRequest(key="shirt", value=value))
    got = server.Get(pb.GetRequest(key="shirt"))
    check("Get of what was put", json_format.MessageToDict(got.value), wanted)
    server.Put(pb.PutRequest(key="shirt",
                             value=struct_pb2.Value(string_value="sold")))
    got = server.Get(pb.GetRequest(key="shirt"))
    check("Get after another Put", got.value.string_value, "sold")
    got = server.Get(pb.GetRequest(key="trousers"))
    check("an absent key has a value", got.HasField("value"), False)


def application(channel, fresh):
    """The Application tree: servers of one type have a state each."""
    from examples.counter import counter_pb2 as pb
    from examples.counter import counter_pb2_grpc

    print("Application counter_a, counter_b")
    stub = counter_pb2_grpc.CounterStub(channel)
    a, b = Named(stub, "counter_a"), Named(stub, "counter_b")
    get = pb.GetValueRequest()
    value_a, value_b = a.GetValue(get).value, b.GetValue(get).value
    if fresh:
        check("counter_a starts with", value_a, 100)
        check("counter_b starts with", value_b, 200)
    check("counter_a after Increment", a.Increment(pb.IncrementRequest()).value,
          value_a + 1)
    check("counter_b is as before", b.GetValue(get).value, value_b)
    check("counter_a after Decrement", a.Decrement(pb.DecrementRequest()).value,
          value_a)


def session_store(channel):
    """SessionStore: ids nobody can guess, and errors as status codes."""
    from examples.session import session_pb2 as pb
    from examples.session import session_pb2_grpc

    print("SessionStore session_store")
    server = Named(session_pb2_grpc.SessionStoreStub(channel), "session_store")
    request = pb.CreateSessionRequest(user_id="user_42")
    request.data.update({"theme": "dark", "logins": 3})
    session_id = server.CreateSession(request).session_id
    if not re.fullmatch(r"[A-Za-z0-9_-]{22}", session_id):
        raise Mismatch("CreateSession: %r is not 22 URL-safe characters"
                       % session_id)
    other = server.CreateSession(request).session_id
    check("two ids are the same", other == session_id, False)
    session = server.GetSession(pb.GetSessionRequest(session_id=session_id))
    check("GetSession id is that of CreateSession", session.id == session_id,
          True)
    check("GetSession user_id", session.user_id, "user_42")
    check("GetSession data", json_format.MessageToDict(session.data),
          {"theme": "dark", "logins": 3.0})
    check("GetSession has created_at", session.created_at.seconds > 0, True)
    for one in (session_id, other):
        server.DeleteSession(pb.DeleteSessionRequest(session_id=one))
    try:
        server.GetSession(pb.GetSessionRequest(session_id=session_id))
    except grpc.RpcError as error:
        check("GetSession after DeleteSession", error.code().name, "NOT_FOUND")
    else:
        raise Mismatch("GetSession after DeleteSession: got a session, "
                       "expected NOT_FOUND")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0],
        epilog="The servers are those of examples/application.yaml.")
    parser.add_argument("--endpoint", default="127.0.0.1:7001",
                        metavar="HOST:PORT",
                        help="any node of the cluster (default: %(default)s)")
    parser.add_argument("--stubs", metavar="DIR",
                        help="where generate.sh put the stubs; without it they "
                        "must be on PYTHONPATH")
    parser.add_argument("--fresh", action="store_true",
                        help="the tree has just been started: check initial "
                        "values too")
    arguments = parser.parse_args()
    if arguments.stubs:
        sys.path.insert(0, arguments.stubs)
    try:
        import examples.counter.counter_pb2_grpc  # noqa: F401
    except ImportError as error:
        parser.error("no stubs (%s): run generate.sh DIR, then give --stubs DIR"
                     % error)

    # A proxy of the environment has no business on loopback.
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(arguments.endpoint, options=options) as channel:
        try:
            counter(channel, "counter")
            periodic_task(channel)
            cache(channel)
            application(channel, arguments.fresh)
            session_store(channel)
        except Mismatch as error:
            print("FAILED: %s" % error, file=sys.stderr)
            return 1
        except grpc.RpcError as error:
            print("FAILED: %s: %s" % (error.code().name, error.details()),
                  file=sys.stderr)
            return 1
    print("all five servers answered as they should")
    return 0


if __name__ == "__main__":
    sys.exit(main())
