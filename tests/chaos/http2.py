"""Enough of HTTP/2 and gRPC to speak to a node by hand, rightly or wrongly."""

import socket
import ssl
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION \
    = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
# Entries of HPACK's static table; of those we read the values of.
_STATIC = 61
_STATIC_ENTRIES = {8: (":status", "200"), 9: (":status", "204"),
                   12: (":status", "400"), 13: (":status", "404"),
                   14: (":status", "500")}


def frame(kind, flags, stream, payload):
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) +
            struct.pack(">I", stream) + payload)


def _integer(value, bits, first=0):
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out = bytearray([first | limit])
    value -= limit
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    out.append(value)
    return bytes(out)


def headers(pairs):
    """A header block: literals that go into no table."""
    out = bytearray()
    for name, value in pairs:
        out.append(0)
        for text in name, value:
            raw = text if isinstance(text, bytes) else text.encode()
            out += _integer(len(raw), 7) + raw
    return bytes(out)


def request(path, more=(), authority="node"):
    """The headers of a gRPC call."""
    return headers([(":method", "POST"), (":scheme", "https"), (":path", path),
                    (":authority", authority), ("te", "trailers"),
                    ("content-type", "application/grpc")] + list(more))


def message(payload, flags=0, length=None):
    """A gRPC message; `length`: what it claims."""
    return struct.pack(">BI", flags, len(payload) if length is None
                       else length) + payload


class Decoder:
    """Header blocks of a server: names and values, "?" where Huffman coded."""

    def __init__(self):
        self._dynamic = []

    def _entry(self, index):
        if index <= _STATIC:
            return _STATIC_ENTRIES.get(index, ("?", "?"))
        index -= _STATIC + 1
        return self._dynamic[index] if index < len(self._dynamic) else ("?",
                                                                        "?")

    def decode(self, block):
        pairs, self._at, self._block = [], 0, block
        while self._at < len(block):
            first = block[self._at]
            if first & 0x80:
                pairs.append(self._entry(self._number(7)))
            elif first & 0xe0 == 0x20:
                self._number(5)  # The table's size; it never gets that full.
            else:
                keep = first & 0xc0 == 0x40
                index = self._number(6 if keep else 4)
                name = self._entry(index)[0] if index else self._text()
                pair = (name, self._text())
                if keep:
                    self._dynamic.insert(0, pair)
                pairs.append(pair)
        return pairs

    def _number(self, bits):
        limit = (1 << bits) - 1
        value = self._block[self._at] & limit
        self._at += 1
        if value < limit:
            return value
        shift = 0
        while True:
            byte = self._block[self._at]
            self._at += 1
            value += (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def _text(self):
        huffman = self._block[self._at] & 0x80
        length = self._number(7)
        raw = self._block[self._at:self._at + length]
        self._at += length
        return "?" if huffman else raw.decode("latin-1")


class Closed(Exception):
    """The other side has ended the connection."""


class Connection:
    """A connection to a node, over TLS if there is a directory with a
    certificate."""

    def __init__(self, address, tls_dir="", timeout=10, greet=True,
                 tls_context=None):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls_dir:
            tls_context = context(tls_dir)
        if tls_context:
            self.socket = tls_context.wrap_socket(self.socket,
                                                  server_hostname="node")
        self._decoder = Decoder()
        self._received = b""
        self._stream = -1
        # What may be sent: on all streams (0), and beyond the first on each.
        self._windows = {0: 65535}
        self._first_window = 65535
        # How streams have ended.
        self._ended = {}
        if greet:
            self.send(PREFACE + frame(SETTINGS, 0, 0, b""))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (OSError, ssl.SSLError) as why:
            raise Closed(str(why)) from None

    def next_stream(self):
        self._stream += 2
        return self._stream

    def read_frame(self):
        """(kind, flags, stream, payload)."""
        head = self._read(9)
        length = int.from_bytes(head[:3], "big")
        stream = int.from_bytes(head[5:], "big") & 0x7fffffff
        return head[3], head[4], stream, self._read(length)

    def _read(self, size):
        while len(self._received) < size:
            try:
                more = self.socket.recv(65536)
            except (OSError, ssl.SSLError) as why:
                raise Closed(str(why)) from None
            if not more:
                raise Closed("end of the connection")
            self._received += more
        out, self._received = (self._received[:size],
                               self._received[size:])
        return out

    def answer(self, stream):
        """How a call ended: gRPC's status, or what HTTP/2 said instead."""
        while stream not in self._ended:
            self._take(*self.read_frame())
        return self._ended.pop(stream)

    def _take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[at:at + 6])
                if name == 4:  # What a stream may send at first.
                    self._first_window = value
            self.send(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            self._windows[stream] = self._windows.get(stream, 0) + \
                int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            raise Closed("goaway %d" % int.from_bytes(payload[4:8], "big"))
        elif kind == HEADERS:
            fields = dict(self._decoder.decode(payload))
            if "grpc-status" in fields:
                self._ended.setdefault(stream, int(fields["grpc-status"]))
            elif fields.get(":status") != "200":
                self._ended.setdefault(stream, "http " +
                                       fields.get(":status", "?"))
        elif kind == RST_STREAM:
            self._ended.setdefault(stream, "reset %d" %
                                   int.from_bytes(payload, "big"))

    def call(self, path, body, more=()):
        """One call: gRPC's status, or what HTTP/2 said instead."""
        stream = self.next_stream()
        try:
            self.send(frame(HEADERS, END_HEADERS, stream, request(path, more)))
            self.send_data(stream, body)
            return self.answer(stream)
        except Closed as why:
            if str(why).startswith("goaway"):
                return str(why)
            raise

    def send_data(self, stream, body):
        """As much at a time as the other side takes; all of it, or until it
        has answered."""
        rest = body
        while True:
            room = min(16384, self._windows[0],
                       self._first_window + self._windows.get(stream, 0))
            if rest and room <= 0:
                self._take(*self.read_frame())
                if stream in self._ended:
                    return
                continue
            piece, rest = rest[:room], rest[room:]
            for window in 0, stream:
                self._windows[window] = self._windows.get(window, 0) - \
                    len(piece)
            self.send(frame(DATA, 0 if rest else END_STREAM, stream, piece))
            if not rest:
                return


def context(tls_dir):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False  # Nodes are known by their SPIFFE ids.
    made.load_verify_locations(tls_dir + "/ca.pem")
    made.load_cert_chain(tls_dir + "/cert.pem", tls_dir + "/key.pem")
    made.set_alpn_protocols(["h2"])
    return made
