"""A hostile or broken peer of a node. Runs where the clients are.

  hostile.py ATTACK ADDRESS TLS_DIR [ARGUMENT...]

prints what came of it as one line of JSON.
"""

import json
import random
import select
import socket
import ssl
import sys
import threading
import time

import http2
from http2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS,
                   PING, RST_STREAM, SETTINGS, Closed, Connection, frame,
                   message, request)

READ = "/chaos.v1.Ledger/Read"
ADD = "/chaos.v1.Ledger/Add"
CALL = "/muster.process.v1.ProcessService/Call"
OK, INVALID, UNIMPLEMENTED, EXHAUSTED, UNAVAILABLE = 0, 3, 12, 8, 14


def tag(number, wire):
    return bytes([number << 3 | wire])


def text(number, value):
    return tag(number, 2) + http2._integer(len(value), 7) + value \
        if len(value) < 127 else tag(number, 2) + _varint(len(value)) + value


def _varint(value):
    out = bytearray()
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    out.append(value)
    return bytes(out)


def an_id():
    """Field 1: an id that no other call has."""
    return b"\x08" + _varint(time.clock_gettime_ns(time.CLOCK_BOOTTIME))


# --- Bad input: what a request is and how a call with it may end. ------------


def bad_inputs(name):
    here = [("muster-name", name)]
    huge = b"\x22" + _varint(5 << 20) + b"x" * (5 << 20)
    return [
        ("a good call", READ, message(b""), here, {OK}),
        ("truncated protobuf", ADD, message(b"\x08"), here, {INVALID}),
        ("a varint of eleven bytes", ADD, message(b"\x08" + b"\xff" * 11), here,
         {INVALID}),
        ("a length that is not there", ADD, message(b"\x22\x7fabc"), here,
         {INVALID}),
        ("another wire type", ADD, message(an_id() + b"\x12\x01a"), here,
         {OK, INVALID}),
        ("an unknown field", ADD, message(an_id() + b"\x9a\x06\x01a"), here,
         {OK}),
        ("groups, 10,000 deep", ADD, message(b"\xa3\x06" * 10000), here,
         {INVALID}),
        ("a field number of 0", ADD, message(b"\x00\x00"), here, {INVALID}),
        ("text that is no UTF-8", CALL, message(text(2, b"\xff\xfe")), [],
         {INVALID}),
        ("an unknown method", "/chaos.v1.Ledger/Nothing", message(b""), here,
         {UNIMPLEMENTED}),
        ("an unknown service", "/no.such.v1.Service/Do", message(b""), here,
         {UNIMPLEMENTED}),
        ("5 MiB in a message", ADD, message(huge), here, {EXHAUSTED}),
        ("a claim of 4 GiB", ADD, message(b"abc", length=0xffffffff), here,
         {EXHAUSTED, 13, INVALID}),
        ("half a message", ADD, message(b"abc", length=100), here,
         {13, INVALID, 2, "reset 1", "reset 2"}),
        ("a compressed message", ADD, message(b"abc", flags=1), here,
         {INVALID, UNIMPLEMENTED, 13}),
        ("two messages", READ, message(b"") + message(b""), here,
         {OK, INVALID, 13, UNIMPLEMENTED}),
        ("no message", ADD, b"", here, {INVALID, 13, UNIMPLEMENTED}),
        ("no name", READ, message(b""), [], {INVALID, 5}),
        ("a name of 256 bytes", READ, message(b""),
         [("muster-name", "x" * 256)], {INVALID}),
        ("a name with two dots and a slash", READ, message(b""),
         [("muster-name", "../x y")], {INVALID}),
        ("12 KiB of metadata", READ, message(b""),
         here + [("weight", "x" * 12288)], {INVALID, EXHAUSTED}),
        ("900 keys of 12 KiB", READ, message(b""), here +
         [("key-%04d" % i, "value") for i in range(900)],
         {INVALID, EXHAUSTED, "reset 11", "goaway 11"}),
        ("a deadline of nothing", READ, message(b""),
         here + [("grpc-timeout", "0n")], {4}),
        ("a deadline that is no number", READ, message(b""),
         here + [("grpc-timeout", "soon")], {OK, INVALID, 13, 2, 4}),
        ("a method of 4 KiB", "/" + "a" * 4096 + "/B", message(b""), here,
         {UNIMPLEMENTED, INVALID}),
        ("a path with control bytes", "/a\x01b/\x7f", message(b""), here,
         {UNIMPLEMENTED, INVALID, 13, "reset 1", "goaway 1"}),
    ]


def patiently(address, tls_dir, path, body, more):
    """How a call ends on a connection of its own, once the node is not frozen
    (a busy machine)."""
    for _ in range(50):
        try:
            with Connection(address, tls_dir) as connection:
                status = connection.call(path, body, more)
        except Closed as why:
            return "closed: %s" % why
        if status != UNAVAILABLE:
            break
        time.sleep(0.2)
    return status


def bad_input(address, tls_dir, name):
    """Each bad request on a connection of its own, and a good one after it."""
    wrong, ended = [], {}
    for what, path, body, more, right in bad_inputs(name):
        status = patiently(address, tls_dir, path, body, more)
        ended[what] = status
        if status not in right:
            wrong.append("%s: %s, not %s" % (what, status, sorted(right,
                                                                  key=str)))
        after = patiently(address, tls_dir, READ, message(b""),
                          [("muster-name", name)])
        if after != OK:
            wrong.append("a good call after %s: %s" % (what, after))
    return {"inputs": len(ended), "wrong": wrong, "ended": ended}


def garbage(address, tls_dir, seed, count):
    """Noise at each layer, and good conversations with flipped bits."""
    rng = random.Random(int(seed))
    did = {"noise instead of TLS": 0, "noise instead of HTTP/2": 0,
           "noise after the preface": 0, "flipped bits": 0}
    good = (http2.PREFACE + frame(SETTINGS, 0, 0, b"") +
            frame(HEADERS, END_HEADERS, 1,
                  request(READ, [("muster-name", "n0")])) +
            frame(DATA, END_STREAM, 1, message(b"")))
    for turn in range(int(count)):
        kind = sorted(did)[turn % len(did)]
        noise = rng.randbytes(rng.randrange(1, 4096))
        try:
            if kind == "noise instead of TLS":
                connection = Connection(address, timeout=2, greet=False)
            else:
                connection = Connection(address, tls_dir, timeout=2,
                                        greet=False)
            with connection:
                if kind == "noise after the preface":
                    noise = http2.PREFACE + noise
                elif kind == "flipped bits":
                    flipped = bytearray(good)
                    for _ in range(rng.randrange(1, 8)):
                        at = rng.randrange(len(flipped))
                        flipped[at] ^= 1 << rng.randrange(8)
                    noise = bytes(flipped)
                connection.send(noise)
                did[kind] += 1
                # A little time to answer.
                select.select([connection.socket], [], [], 0.05)
        except (Closed, OSError, ssl.SSLError):
            pass
    return {"did": did}


# --- Attacks that take long -------------------------------------------------


def stalled(address, _, seconds, count):
    """TCP connections that never begin TLS: after how long each is closed."""
    sockets = {}
    host, port = address.rsplit(":", 1)
    for _ in range(int(count)):
        one = socket.create_connection((host, int(port)), 10)
        one.setblocking(False)
        sockets[one] = time.monotonic()
    closed = []
    end = time.monotonic() + float(seconds)
    while sockets and time.monotonic() < end:
        ready, _, _ = select.select(list(sockets), [], [], 0.2)
        for one in ready:
            try:
                gone = not one.recv(4096)
            except BlockingIOError:
                continue
            except OSError:
                gone = True
            if gone:
                closed.append(time.monotonic() - sockets.pop(one))
                one.close()
    return {"opened": int(count), "closed": len(closed),
            "closed_after_s": [round(min(closed, default=-1), 1),
                               round(max(closed, default=-1), 1)]}


def slowloris(address, tls_dir, seconds, count):
    """Requests whose headers come a byte every now and then."""
    connections, alive = [], 0
    block = request(READ, [("muster-name", "n0")])
    head = frame(HEADERS, END_HEADERS, 1, block)
    for _ in range(int(count)):
        connections.append(Connection(address, tls_dir))
    end, at = time.monotonic() + float(seconds), 0
    sent = 0
    while time.monotonic() < end and at < len(head) - 1:
        alive = 0
        for connection in connections:
            try:
                connection.send(head[at:at + 1])
                alive += 1
                sent += 1
            except Closed:
                pass
        at += 1
        time.sleep(0.5)
    return {"connections": len(connections), "bytes": sent,
            "alive_at_end": alive}


def idle(address, tls_dir, seconds, count):
    """Connections that say hello and no more."""
    held, refused, lock = [], [0], threading.Lock()
    began = time.monotonic()

    def connect(share):
        for _ in range(share):
            try:
                connection = Connection(address, tls_dir, timeout=10)
                with lock:
                    held.append(connection)
            except (OSError, ssl.SSLError, Closed):
                with lock:
                    refused[0] += 1
    threads = [threading.Thread(target=connect, args=(int(count) // 8,))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    print(json.dumps({"held": len(held), "refused": refused[0],
                      "took_s": round(took, 1)}), flush=True)
    time.sleep(float(seconds))
    alive = 0
    for connection in held:
        connection.socket.settimeout(0.001)
        try:
            while True:
                if not connection.socket.recv(65536):
                    break
        except (TimeoutError, ssl.SSLWantReadError):
            alive += 1
        except OSError:
            pass
    return {"alive_at_end": alive}


def never_reads(address, tls_dir, seconds, count):
    """Calls whose answers nobody reads: the window is never opened."""
    sent, ended = 0, 0
    connections = [Connection(address, tls_dir, timeout=2)
                   for _ in range(int(count))]
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end and connections:
        for connection in list(connections):
            stream = connection.next_stream()
            try:
                connection.send(
                    frame(HEADERS, END_HEADERS, stream,
                          request(READ, [("muster-name", "n0")])) +
                    frame(DATA, END_STREAM, stream, message(b"")))
                sent += 1
            except Closed:
                connections.remove(connection)
                ended += 1
    return {"calls": sent, "connections_ended": ended}


def rapid_reset(address, tls_dir, seconds, _):
    """Calls that are cancelled as soon as they are sent."""
    return _hammer(address, tls_dir, seconds, lambda stream: (
        frame(HEADERS, END_HEADERS, stream,
              request(READ, [("muster-name", "n0")])) +
        frame(RST_STREAM, 0, stream, b"\0\0\0\x08")))


def ping_flood(address, tls_dir, seconds, _):
    return _hammer(address, tls_dir, seconds,
                   lambda stream: frame(PING, 0, 0, b"12345678"))


def settings_flood(address, tls_dir, seconds, _):
    return _hammer(address, tls_dir, seconds,
                   lambda stream: frame(SETTINGS, 0, 0, b""))


def header_bomb(address, tls_dir, seconds, _):
    """Header blocks without an end."""
    def piece(stream):
        block = http2.headers([("k%d" % stream, "x" * 8000)])
        if stream == 1:
            return frame(HEADERS, 0, 1, request(READ) + block)
        return frame(CONTINUATION, 0, 1, block)
    return _hammer(address, tls_dir, seconds, piece)


def _hammer(address, tls_dir, seconds, piece):
    """Sends pieces as fast as it goes, anew when the connection is ended;
    reads and drops what comes."""
    sent, connections, refused = 0, 0, 0
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        try:
            connection = Connection(address, tls_dir, timeout=2)
        except (OSError, ssl.SSLError, Closed):
            refused += 1
            time.sleep(0.05)
            continue
        connections += 1
        with connection:
            connection.socket.settimeout(2)
            drain = threading.Thread(target=_drain, args=(connection,),
                                     daemon=True)
            drain.start()
            try:
                while time.monotonic() < end:
                    batch = b"".join(piece(connection.next_stream())
                                     for _ in range(50))
                    connection.send(batch)
                    sent += 50
            except Closed:
                pass
    return {"sent": sent, "connections": connections,
            "connections_refused": refused,
            "sent_a_second": round(sent / float(seconds))}


def _drain(connection):
    try:
        while connection.socket.recv(65536):
            pass
    except (OSError, ssl.SSLError):
        pass


# --- Who may come in --------------------------------------------------------


def enter(address, tls_dir, name, path=READ):
    """Whether a call with this certificate ("-": TLS without one, "plain":
    none at all) is answered, and what came instead."""
    try:
        if tls_dir == "plain":
            connection = Connection(address, timeout=5)
        elif tls_dir.startswith("-"):
            bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            bare.check_hostname = False
            bare.verify_mode = ssl.CERT_NONE
            bare.set_alpn_protocols(["h2"])
            connection = Connection(address, timeout=5, tls_context=bare)
        else:
            connection = Connection(address, tls_dir, timeout=5)
        with connection:
            status = connection.call(path, message(b""),
                                     [("muster-name", name)])
    except (OSError, ssl.SSLError, Closed) as why:
        return {"served": False, "why": str(why)}
    return {"served": status == OK, "why": str(status)}


ATTACKS = {f.__name__.replace("_", "-"): f for f in (
    bad_input, garbage, stalled, slowloris, idle, never_reads, rapid_reset,
    ping_flood, settings_flood, header_bomb, enter)}


def main():
    attack, address, tls_dir, *rest = sys.argv[1:]
    print(json.dumps(ATTACKS[attack](address, tls_dir, *rest)), flush=True)


if __name__ == "__main__":
    main()
