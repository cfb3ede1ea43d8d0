"""Messages that two programs read differently (request smuggling, RFC 9112 §11.2): none may reach what stands behind the gate.

hyper alone lets several of them through, so the gate must refuse them itself."""

import re
import socket

from gate import GateTest
from upstream import Upstream

PATH = "/proxied/echo"
SMUGGLED = "GET /proxied/echo?smuggled HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\n\r\n"

ROUTE = """
[[route]]
methods = ["GET", "POST"]
path = "{path}"
accept = [["api_key"]]
scopes = {{ any = ["{scope}"] }}
action = {{ proxy = {{ upstream = "{upstream}" }} }}
"""

# Two readings of where the message ends, or of whom it is for. {host}, {key} and {smuggled} are filled in.
HEADS = {
    "Content-Length, then Transfer-Encoding":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
    "Transfer-Encoding, then Content-Length":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{smuggled}",
    "two different Content-Lengths":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello{smuggled}",
    "the same Content-Length twice":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of Content-Lengths":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nContent-Length: 5, 0\r\n\r\nhello",
    "Content-Length with a sign":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nContent-Length: +5\r\n\r\nhello",
    "Content-Length below zero":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nContent-Length: -1\r\n\r\n{smuggled}",
    "Content-Length in hexadecimal":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nContent-Length: 0x5\r\n\r\nhello",
    "Content-Length beyond 64 bits":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
    "Transfer-Encoding twice":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
    "Transfer-Encoding chunked, identity":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}",
    "Transfer-Encoding chunked twice in one line":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n{smuggled}",
    "a Transfer-Encoding nobody knows":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}",
    "Transfer-Encoding in HTTP/1.0":
        "POST {path} HTTP/1.0\r\nHost: {host}\r\nx-api-key: {key}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
    "no Host":
        "GET {path} HTTP/1.1\r\nx-api-key: {key}\r\n\r\n",
    "two Hosts":
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nHost: internal.example\r\nx-api-key: {key}\r\n\r\n",
    "the same Host twice":
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\nx-api-key: {key}\r\n\r\n",
    "a Host that is a list":
        "GET {path} HTTP/1.1\r\nHost: {host}, internal.example\r\nx-api-key: {key}\r\n\r\n",
    "another Host":
        "GET {path} HTTP/1.1\r\nHost: internal.example\r\nx-api-key: {key}\r\n\r\n",
    "absolute form for another host":
        "GET http://internal.example{path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\n\r\n",
    "absolute form, and a Host that differs":
        "GET https://{host}{path} HTTP/1.1\r\nHost: internal.example\r\nx-api-key: {key}\r\n\r\n",
    "absolute form with a user":
        "GET https://user@{host}{path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\n\r\n",
    "lines that end in a bare LF":
        "GET {path} HTTP/1.1\nHost: {host}\nx-api-key: {key}\n\n",
    "one line that ends in a bare LF":
        "GET {path} HTTP/1.1\r\nHost: {host}\nx-api-key: {key}\r\n\r\n",
    "a bare CR inside a value":
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nx-a: b\rContent-Length: 5\r\n\r\n",
    "a folded line":
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nx-a: b\r\n c\r\nx-api-key: {key}\r\n\r\n",
    "a folded Transfer-Encoding":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{smuggled}",
    "a first line that is folded":
        "GET {path} HTTP/1.1\r\n Host: internal.example\r\nHost: {host}\r\nx-api-key: {key}\r\n\r\n",
    "a space before the colon":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n{smuggled}",
    "a tab before the colon":
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nContent-Length\t: 5\r\n\r\nhello",
    "a NUL in a value":
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nx-a: b\0c\r\n\r\n",
    "a line without a colon":
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nnonsense\r\n\r\n",
    "an empty name":
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\n: value\r\n\r\n",
    "two spaces in the first line":
        "GET  {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\n\r\n",
    "a fragment in the target":
        "GET {path}#a HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\n\r\n",
    "a path with a backslash":
        "GET /proxied\\echo HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\n\r\n",
    "a path with dots":
        "GET /proxied/x/../echo HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\n\r\n",
    "a path with encoded dots":
        "GET /proxied/x/%2e%2e/echo HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\n\r\n",
    "a path with an encoded slash":
        "GET /proxied%2fecho HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\n\r\n",
    "a path with a double slash":
        "GET //proxied/echo HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\n\r\n",
    "a path with a parameter":
        "GET /proxied/echo;a=b HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\n\r\n",
    "a version nobody speaks":
        "GET {path} HTTP/1.9\r\nHost: {host}\r\nx-api-key: {key}\r\n\r\n",
    "the key twice":
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nx-api-key: {key}\r\n\r\n",
    "CONNECT":
        "CONNECT internal.example:443 HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\n\r\n",
}

# The head is clean; the ambiguity comes later, when the gate may already have begun to pass the message on.
CHUNKS = {
    "a size with a prefix": "0x5\r\nhello\r\n0\r\n\r\n",
    "a size with a sign": "+5\r\nhello\r\n0\r\n\r\n",
    "a size below zero": "-1\r\nhello\r\n0\r\n\r\n",
    "a size beyond 64 bits": "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a size of nothing": "\r\nhello\r\n0\r\n\r\n",
    "a size that is no number": "five\r\nhello\r\n0\r\n\r\n",
    "a size line that ends in a bare LF": "5\nhello\r\n0\r\n\r\n",
    "a size line with a bare CR": "5\rX\r\nhello\r\n0\r\n\r\n",
    "data longer than its size": "3\r\nhello\r\n0\r\n\r\n",
    "data without its line end": "5\r\nhello0\r\n\r\n",
    "data that ends in two other bytes": "5\r\nhelloXX0\r\n\r\n",
    "an extension with a bare LF": "5;a=b\nhello\r\n0\r\n\r\n",
}


class AmbiguousHttp(GateTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.close)
        policies = cls.gate.data / "policies"
        (policies / "proxied.toml").write_text(
            ROUTE.format(path=PATH, scope=cls.gate.demo["scope"], upstream=cls.upstream.url))
        cls.gate.cli("policy", "apply", policies)

    def words(self):
        host, port = self.gate.address()
        words = {"host": f"{host}:{port}", "key": self.gate.demo["api_key"], "path": PATH}
        return words | {"smuggled": SMUGGLED.format(**words)}

    def exchange(self, message):
        """Sends the bytes and reads until the gate closes or falls silent; the statuses it answered."""
        answer = b""
        with self.gate.socket() as wire:
            wire.sendall(message.encode("latin-1"))
            wire.settimeout(2)
            try:
                while octets := wire.recv(65536):
                    answer += octets
            except (TimeoutError, socket.timeout):
                pass
            except OSError:
                pass                                   # closed without a goodbye: a refusal as well
        return [int(status) for status in re.findall(rb"(?:^|\r\n|\})HTTP/1\.[01] (\d{3})", answer)]

    def test_clean_messages_arrive(self):
        """Else the other tests would prove nothing."""
        before = len(self.upstream.served)
        head = "x-api-key: {key}\r\nConnection: close\r\n"
        clean = {
            b"": "GET {path}?a=b HTTP/1.1\r\nHost: {host}\r\n" + head + "\r\n",
            b"hello": "POST {path} HTTP/1.1\r\nHost: {host}\r\n" + head + "Content-Length: 5\r\n\r\nhello",
            b"hello there": "POST {path} HTTP/1.1\r\nHost: {host}\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n there\r\n0\r\n\r\n",
        }
        for message in clean.values():
            self.assertEqual([200], self.exchange(message.format(**self.words())), message)
        self.assertEqual(list(clean), [request["body"] for request in self.upstream.served[before:]])
        self.assertEqual(PATH + "?a=b", self.upstream.served[before]["path"])

    def test_ambiguous_heads(self):
        for name, message in HEADS.items():
            with self.subTest(name):
                self.upstream.arrived.clear()
                statuses = self.exchange(message.format(**self.words()))
                self.assertEqual([], self.upstream.arrived, "it reached what stands behind the gate")
                self.assertTrue(all(400 <= status < 500 or status in (501, 505) for status in statuses), statuses)
                self.assertLessEqual(len(statuses), 1, "what follows an ambiguous message is not read as a message")

    def test_ambiguous_chunks(self):
        for name, chunks in CHUNKS.items():
            with self.subTest(name):
                self.upstream.arrived.clear()
                self.upstream.served.clear()
                head = "POST {path} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {key}\r\nTransfer-Encoding: chunked\r\n\r\n"
                statuses = self.exchange((head + chunks + "{smuggled}").format(**self.words()))
                self.assertEqual([], self.upstream.served, "it reached what stands behind the gate, as a whole message")
                self.assertLessEqual(len(self.upstream.arrived), 1, "a second message came out of it")
                self.assertTrue(all(400 <= status < 500 or status == 502 for status in statuses), statuses)

    def test_a_client_cannot_speak_in_the_name_of_the_gate(self):
        """Identity headers come from the gate alone, and a client cannot have them removed (`Connection` names what to strip)."""
        names = ("x-portcullis-client", "x-portcullis-principal", "x-portcullis-scopes", "x-portcullis-partner", "x_portcullis_client",
                 "client-cert", "x-forwarded-client-cert", "x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-host")
        before = len(self.upstream.served)
        plain = self.gate.request("GET", PATH, self.gate.key_header())
        forged = self.gate.request("GET", PATH, self.gate.key_header() | dict.fromkeys(names, "forged")
                                   | {"connection": "keep-alive, " + ", ".join(names)})
        self.assertEqual(200, plain.status)
        self.assertIn(forged.status, (200, 400))
        served = [dict((name.lower(), value) for name, value in request["headers"]) for request in self.upstream.served[before:]]
        for headers in served:
            self.assertNotIn("forged", " ".join(headers.values()))
            self.assertNotIn(self.gate.demo["api_key"], " ".join(headers.values()), "the key stays at the gate")
        if forged.status == 200:
            varying = {"date", "x-request-id", "traceparent"}
            shared = [{name: value for name, value in headers.items() if name not in varying} for headers in served]
            self.assertEqual(*[set(headers) for headers in shared])
            self.assertIn(self.gate.demo["client_id"], " ".join(shared[1].values()), "the gate says who it is")
