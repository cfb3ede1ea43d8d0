"""Ten thousand requests that no honest client sends. The gate stays up, stays small, and says plainly what was wrong."""

import http.client
import json
import random
import socket
import ssl
import threading
import time
from collections import Counter

from gate import GateTest, ask

SEED = 20261123
THREADS = 4
TIME_LIMIT_SECONDS = 60
GROWTH_BYTES_MAX = 64 * 1024 * 1024
# What an answer must never show: the inside of the house.
INSIDE = ("panicked", "src/", ".rs:", "sqlx", "SQLITE", "RUST_BACKTRACE", "unwrap", "portcullis.db")

# kind -> how many; the order is shuffled.
MIX = {
    "garbage instead of TLS": 1500,
    "half a ClientHello": 500,
    "plain HTTP to a TLS port": 1000,
    "headers without end": 150,
    "path": 850,
    "api key": 1500,
    "bearer": 1500,
    "basic": 1000,
    "form": 500,
    "admin JSON": 800,
    "signing request": 400,
    "PKI path": 300,
}


class Sender:
    """One thread's connections, kept as long as the gate keeps them."""

    def __init__(self, gate, seed):
        self.gate, self.random, self.open = gate, random.Random(seed), {}

    def ask(self, listener, method, path, headers=None, body=None):
        """The answer, or None when the gate closed the connection instead."""
        for attempt in (1, 2):                         # a kept connection may have been closed since: once more on a new one
            fresh = listener not in self.open
            if fresh:
                self.open[listener] = self.connect(listener)
            try:
                return ask(self.open[listener], method, path, headers, body)
            except (http.client.HTTPException, OSError):
                self.open.pop(listener).close()
                if fresh:
                    return None
        return None

    def connect(self, listener):
        if listener == "pki":
            return http.client.HTTPConnection(*self.gate.address("pki"), timeout=20)
        return self.gate.connection(listener, self.gate.admin_certificate if listener == "admin" else None)

    def raw(self, listener, octets):
        """Bytes on a new TCP connection; what came back until the gate closed it."""
        with socket.create_connection(self.gate.address(listener), timeout=20) as wire:
            try:
                wire.sendall(octets)
                wire.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: wire.recv(65536), b""))
            except OSError as error:
                if isinstance(error, TimeoutError):
                    raise AssertionError(f"{listener} held on to a dead connection for 20 s") from error
                return b""

    def text(self, longest=200, alphabet="abc/.%\\;:=+&?#{}[]\"' 0\t~é\u202e"):
        return "".join(self.random.choices(alphabet, k=self.random.randrange(longest)))

    # ---- the kinds ----------------------------------------------------------------------------------------------------

    def send(self, kind):
        """Sends one; the answer, where there is one over HTTP."""
        return getattr(self, kind.replace(" ", "_").lower())()

    def garbage_instead_of_tls(self):
        octets = self.random.randbytes(self.random.randrange(1, 2000))
        self.raw(self.random.choice(("gateway", "mtls", "admin")), octets)

    def half_a_clienthello(self):
        hello = client_hello()
        kept = bytearray(hello[:self.random.randrange(1, len(hello))])
        kept[self.random.randrange(len(kept))] ^= 1 << self.random.randrange(8)
        self.raw(self.random.choice(("gateway", "mtls", "admin")), bytes(kept))

    def plain_http_to_a_tls_port(self):
        answer = self.raw(self.random.choice(("gateway", "mtls", "admin")), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        if b" 200 " in answer.partition(b"\r\n")[0]:
            raise AssertionError("a TLS port served plain HTTP")

    def headers_without_end(self):
        headers = {f"x-padding-{number}": "a" * 1000 for number in range(self.random.choice((40, 90, 300)))}
        return self.ask("gateway", "GET", self.gate.hello, headers)

    def path(self):
        path = "/" + self.random.choice(("..%2f..%2fetc/passwd", "%00", "%", "%zz", "a/../../b", "//", "\\..\\", "%c0%af", ";a=b",
                                         "test/hello-world/", "test//hello-world", "TEST/hello-world", "test/hello-world%2f",
                                         "a" * 9000, "%2e%2e/", "?" * 2000))
        return self.ask("gateway", self.random.choice(("GET", "POST", "BREW", "TRACE", "OPTIONS", "DELETE")), path)

    def api_key(self):
        key = self.gate.demo["api_key"]
        place = self.random.randrange(len(key))
        bad = self.random.choice((
            key[:place], key[:place] + ("0" if key[place] != "0" else "1") + key[place + 1:], key * 50, key + "x", "pc_demo_",
            "pc_demo_0000000000_" + "0" * 38, "", "é" * 60, key.swapcase()))
        return self.ask("gateway", "GET", self.gate.hello, {"x-api-key": bad.encode()})

    def bearer(self):
        bad = self.random.choice((
            "", "..", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiJ9.e30.AAAA", "e30." * 3000, "\x7f",
            "eyJhbGciOiJFUzI1NiIsImtpZCI6Ii4uLy4uIn0.e30.AAAA", self.text(alphabet="abcdef._-=")))
        return self.ask("gateway", "GET", self.gate.hello, {"authorization": ("Bearer " + bad).encode()})

    def basic(self):
        bad = self.random.choice(("!!!", "", "Og==", "YTpi", "YQ==", "A" * 10000, "/////w==", "AAAAAA==", "YTo6Og=="))
        return self.ask("gateway", "POST", "/oauth2/token", {"authorization": f"Basic {bad}",
                        "content-type": "application/x-www-form-urlencoded"}, "grant_type=client_credentials")

    def form(self):
        body = self.random.choice((self.text(400).encode(), b"grant_type=" * 200, b"&" * 3000, b"%", b"grant_type=%ff%fe", b"",
                                   b"grant_type=client_credentials&scope=" + b"a%20" * 3000, self.random.randbytes(300), b"x" * 100_000))
        return self.ask("gateway", "POST", "/oauth2/token",
                        {"content-type": self.random.choice(("application/x-www-form-urlencoded", "application/json", "a", ""))}, body)

    def admin_json(self):
        body = self.random.choice((b"", b"{", b"[]", b"null", b"{}" * 50, b'{"id":', b'{"id":{}}', b'{"id":"a","id":"b"}', b"[" * 5000,
                                   b'{"id":"' + b"a" * 5000 + b'"}', b'{"id":1e999}', b'{"unknown":true}', b"\xff\xfe", b"9" * 2000))
        noun = self.random.choice(("partners", "clients", "api-keys", "client-secrets", "policies", "explain"))
        return self.ask("admin", "POST", f"/v1/{noun}", {"content-type": "application/json"}, body)

    def signing_request(self):
        pem = self.random.choice((
            "", "-----BEGIN CERTIFICATE REQUEST-----", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
            "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n", "A" * 50_000, self.text(),
            "-----BEGIN CERTIFICATE REQUEST-----\n" + "MIIB" * 3000 + "\n-----END CERTIFICATE REQUEST-----\n"))
        return self.ask("admin", "POST", "/v1/certificates", {"content-type": "application/json"},
                        json.dumps({"client": "acme-orders", "csr": pem}).encode())

    def pki_path(self):
        return self.ask("pki", self.random.choice(("GET", "POST", "PUT")), "/" + self.random.choice(
            ("ca", "ca/..", "ca/%00.cer", "crl/" + "f" * 3000 + ".crl", "crl/..%2f..%2fkeys", "keys/root.key", "ca/x.cer", "demo.json")))


def client_hello():
    """A ClientHello as Python's TLS writes it, taken before it leaves."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


class Malformed(GateTest):
    def test_ten_thousand(self):
        self.assertEqual(10_000, sum(MIX.values()))
        kinds = [kind for kind, count in MIX.items() for _ in range(count)]
        random.Random(SEED).shuffle(kinds)
        self.assert_hello(self.gate.request("GET", self.gate.hello, self.gate.key_header()))
        warm_up, kinds = kinds[:300], kinds[300:]
        outcomes, faults = Counter(), []
        self.send_all([warm_up], outcomes, faults)
        before, began = self.gate.resident_bytes(), time.monotonic()

        self.send_all([kinds[number::THREADS] for number in range(THREADS)], outcomes, faults)

        seconds = time.monotonic() - began
        growth = self.gate.resident_bytes() - before
        print(f"\n{sum(outcomes.values())} sent in {seconds:.0f} s, grown by {growth / 1024 / 1024:.1f} MiB: {dict(outcomes)}")
        self.assertEqual([], faults[:10], f"{len(faults)} faults (seed {SEED})")
        self.assertEqual(10_000, sum(outcomes.values()))
        self.assertLess(seconds, TIME_LIMIT_SECONDS)
        self.assertLess(growth, GROWTH_BYTES_MAX)
        self.serves_soon()

    def send_all(self, shares, outcomes, faults):
        threads = [threading.Thread(target=self.send_share, args=(number, share, outcomes, faults)) for number, share in enumerate(shares)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def send_share(self, number, kinds, outcomes, faults):
        sender = Sender(self.gate, SEED + number)
        for kind in kinds:
            try:
                answer = sender.send(kind)
                if answer is not None:
                    self.judge(kind, answer)
                outcomes[answer.status if answer else "closed"] += 1
            except Exception as error:
                outcomes["fault"] += 1
                faults.append(f"{kind}: {error!r}")
                if self.gate.process.poll() is not None:
                    return
        for connection in sender.open.values():
            connection.close()

    def judge(self, kind, answer):
        """A refusal: 4xx, in words, with nothing of the inside."""
        assert 400 <= answer.status < 500, f"answered {answer!r}"
        assert not any(word in answer.body for word in INSIDE), f"shows the inside: {answer!r}"
        if answer.headers.get("content-type", "").partition(";")[0] in ("application/problem+json", "application/json"):
            words = answer.json
            assert words.get("message") or words.get("error"), f"says nothing: {answer!r}"
        elif kind not in ("path", "PKI path", "headers without end"):
            raise AssertionError(f"not JSON: {answer.headers} {answer!r}")

    def serves_soon(self):
        """A partner behind the same address gets in, at the latest when a limit on failures has passed."""
        deadline = time.monotonic() + 30
        while (answer := self.gate.request("GET", self.gate.hello, self.gate.key_header())).status == 429 and time.monotonic() < deadline:
            time.sleep(1)
        self.assert_hello(answer)

    def test_the_command_line_says_what_is_wrong_with_a_request(self):
        examples = {
            "empty": "",
            "no-pem": "hello",
            "cut": "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n",
            "a-key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        }
        for name, text in examples.items():
            with self.subTest(name=name):
                file = self.gate.scratch / f"{name}.csr"
                file.write_text(text)
                done = self.gate.command("certificate", "sign", file, "--client", "acme-orders")
                self.assertEqual(1, done.returncode, done.stdout + done.stderr)
                self.assertRegex(done.stderr + done.stdout, r"(?i)request|csr|pem")
                self.assertNotRegex(done.stderr, r"panicked|\.rs:\d+")
