"""The gate under test, started from its binary, and the ways to touch it from outside.

Everything here leans on contracts that partners lean on too: the `demo` command, `demo.json`, the CLI and its JSON, the HTTP
surface. No test reads a table or a private file."""

import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("PORTCULLIS_BIN", ROOT / "target/debug/portcullis"))
LOGS = ROOT / "target/interop/logs"

START_SECONDS = 60                                     # a debug build makes three CA keys and their encrypted files
STOP_SECONDS = 20
COMMAND_SECONDS = 60
REQUEST_SECONDS = 20

LISTENERS = ("gateway", "mtls", "admin", "pki")
CLIENT = "acme-orders"
HELLO = {"message": "hello world!"}


def run(*command, stdin=None, environment=None, cwd=None, seconds=COMMAND_SECONDS):
    """Runs a foreign program to its end: the finished process, its output as text."""
    return subprocess.run([str(word) for word in command], input=stdin, cwd=cwd, timeout=seconds, text=True, errors="replace",
                          capture_output=True, env=os.environ | (environment or {}),
                          **({} if stdin is not None else {"stdin": subprocess.DEVNULL}))


def must_run(*command, **keywords):
    """Like run, for steps that prepare a test: what they print, and an error when they fail."""
    done = run(*command, **keywords)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Certificate:
    """A client certificate on disk: the chain (leaf first) and the key, both PEM."""

    def __init__(self, chain, key):
        self.chain, self.key = Path(chain), Path(key)

    @property
    def serial(self):
        """Hex, as openssl writes it."""
        return must_run("openssl", "x509", "-in", self.chain, "-noout", "-serial").strip().removeprefix("serial=")

    def curl(self):
        return ["--cert", self.chain, "--key", self.key]

    def load_into(self, context):
        context.load_cert_chain(self.chain, self.key)


class Answer:
    """What came back: status, headers (lower-case names, first of each), body."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Gate:
    """One demo of its own: a folder, four free ports, a process."""

    def __init__(self, name):
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self.data = self.folder / "data"               # the gate's own; a test edits data/policies and nothing else there
        self.scratch = self.folder / "scratch"
        self.scratch.mkdir()
        self.addresses = dict.fromkeys(LISTENERS, "127.0.0.1:0")
        self.process = None
        LOGS.mkdir(parents=True, exist_ok=True)
        self.log = LOGS / f"{name}.log"
        self.log.write_bytes(b"")

    # ---- its life -----------------------------------------------------------------------------------------------------

    def start(self, environment=None):
        """Starts and waits until every listener takes connections. A second start keeps the ports of the first."""
        if not BINARY.exists():
            raise AssertionError(f"{BINARY} is missing: cargo build --bin portcullis")
        options = [word for listener in LISTENERS for word in (f"--{listener}", self.addresses[listener])]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([BINARY, "demo", "--data", self.data, *options], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=self.folder, env=os.environ | (environment or {}))
        deadline = time.monotonic() + START_SECONDS
        self.wait_for(lambda: self.read_demo(), deadline, "demo.json")
        self.addresses = {name: urllib.parse.urlsplit(self.demo[name]).netloc for name in LISTENERS}
        for name in LISTENERS:
            self.wait_for(lambda: self.takes_connections(name), deadline, f"the {name} listener")
        return self

    def wait_for(self, condition, deadline, what):
        while not condition():
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode} before {what} was there:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"no {what} within {START_SECONDS} s:\n{self.last_words()}")
            time.sleep(0.05)

    def read_demo(self):
        try:
            self.demo = json.loads((self.data / "demo.json").read_text())
            return True
        except (FileNotFoundError, json.JSONDecodeError):
            return False

    def takes_connections(self, name):
        try:
            with socket.create_connection(self.address(name), timeout=1):
                return True
        except OSError:
            return False

    def stop(self):
        """Asks it to end, as systemd does; its exit code, which is 0 when it ended in order."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running {STOP_SECONDS} s after SIGTERM:\n{self.last_words()}") from None

    def kill(self):
        """Ends it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def discard(self):
        if self.process and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def last_words(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])

    def resident_bytes(self):
        """What it holds in memory, from the kernel."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    # ---- where all is -------------------------------------------------------------------------------------------------

    def path(self, name):
        return self.data / self.demo[name]

    @property
    def ca(self):
        return self.path("ca")

    @property
    def certificate(self):
        return Certificate(self.path("client_certificate"), self.path("client_key"))

    @property
    def admin_certificate(self):
        return Certificate(self.path("admin_certificate"), self.path("admin_key"))

    @property
    def hello(self):
        return self.demo["path"]

    def address(self, listener="gateway"):
        host, _, port = self.addresses[listener].rpartition(":")
        return host, int(port)

    # ---- the command line ---------------------------------------------------------------------------------------------

    def command(self, *arguments, output="json"):
        """Runs a CLI command; the finished process."""
        return run(BINARY, "--data", self.data, *arguments, "--output", output)

    def cli(self, *arguments):
        """Runs a CLI command that must succeed; its JSON."""
        done = self.command(*arguments)
        if done.returncode != 0:
            raise AssertionError(f"portcullis {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def sign(self, name, client=CLIENT):
        """A new certificate, the way a careful partner gets one: the key never leaves, only the request does."""
        key, request, chain = (self.scratch / f"{name}.{suffix}" for suffix in ("key", "csr", "crt"))
        must_run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                 "-keyout", key, "-out", request)
        answer = self.cli("certificate", "sign", request, "--client", client)
        chain.write_text(answer["certificate_pem"] + answer["chain_pem"])
        return Certificate(chain, key)

    def revoke(self, certificate, reason="key-compromise"):
        """Returns when the gate enforces it."""
        return self.cli("certificate", "revoke", certificate.serial, "--reason", reason)

    # ---- HTTP ---------------------------------------------------------------------------------------------------------

    def context(self, certificate=None, alpn=("http/1.1",)):
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols(list(alpn))
        if certificate:
            certificate.load_into(context)
        return context

    def connection(self, listener="gateway", certificate=None):
        """A connection that stays open between requests."""
        return http.client.HTTPSConnection(*self.address(listener), context=self.context(certificate), timeout=REQUEST_SECONDS)

    def socket(self, listener="gateway", certificate=None):
        """A bare TLS socket, for what no decent client sends."""
        plain = socket.create_connection(self.address(listener), timeout=REQUEST_SECONDS)
        return self.context(certificate).wrap_socket(plain, server_hostname=self.address(listener)[0])

    def request(self, method, path, headers=None, body=None, listener="gateway", certificate=None):
        """One request on a connection of its own."""
        connection = self.connection(listener, certificate)
        try:
            return ask(connection, method, path, headers, body)
        finally:
            connection.close()

    def key_header(self):
        return {"x-api-key": self.demo["api_key"]}

    def basic_header(self, client=None, secret=None):
        pair = f"{client or self.demo['client_id']}:{secret or self.demo['client_secret']}"
        return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def token_answer(self, headers=None, **form):
        """POST to the token endpoint; a plain grant unless the form says otherwise."""
        form = {"grant_type": "client_credentials"} | form
        headers = {"content-type": "application/x-www-form-urlencoded"} | (self.basic_header() if headers is None else headers)
        path = urllib.parse.urlsplit(self.demo["token_url"]).path
        return self.request("POST", path, headers, urllib.parse.urlencode(form))

    def bearer_header(self):
        answer = self.token_answer(scope=self.demo["scope"])
        if answer.status != 200:
            raise AssertionError(f"no token: {answer!r}")
        return {"authorization": f"Bearer {answer.json['access_token']}"}


def ask(connection, method, path, headers=None, body=None):
    """One request on an open connection."""
    connection.request(method, path, body=body, headers=headers or {})
    response = connection.getresponse()
    return Answer(response.status, {name.lower(): value for name, value in reversed(response.getheaders())},
                  response.read().decode(errors="replace"))


class GateTest(unittest.TestCase):
    """Tests that share one gate, which must be alive after them and end in order."""

    @classmethod
    def setUpClass(cls):
        cls.gate = Gate(cls.__name__)
        cls.addClassCleanup(cls.gate.discard)
        cls.gate.start()

    @classmethod
    def tearDownClass(cls):
        exit_code = cls.gate.stop()
        if exit_code != 0:
            raise AssertionError(f"exit code {exit_code} after SIGTERM:\n{cls.gate.last_words()}")

    def assert_hello(self, answer):
        self.assertEqual(200, answer.status, answer)
        self.assertEqual(HELLO, answer.json)

    def assert_unauthorized(self, answer):
        """401 as a partner sees it: the same whether the credential is absent, unknown, expired or revoked."""
        self.assertEqual(401, answer.status, answer)
        self.assertEqual("Unauthorized", answer.json["message"])

    def assert_cut_off(self, connection, path, headers=None):
        """A connection that lived before a revocation: it is closed, or it answers 401; it never serves again."""
        try:
            answer = ask(connection, "GET", path, headers)
        except (http.client.HTTPException, OSError):
            return
        self.assert_unauthorized(answer)
