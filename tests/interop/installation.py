"""An installation as an operator makes it, by `init` and `serve`, for tests that look at its files or start it many times."""

import json
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

from gate import BINARY, LOGS, START_SECONDS, STOP_SECONDS, Certificate, must_run, run


class InstallationTest(unittest.TestCase):
    """One installation in a folder of its own; a test starts and stops its server."""

    OPTIONS = ()                                       # more for `init`

    @classmethod
    def setUpClass(cls):
        LOGS.mkdir(parents=True, exist_ok=True)
        cls.folder = Path(tempfile.mkdtemp(prefix=f"{cls.__name__}-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cls.prepare()
        cls.data = cls.folder / "data"
        cls.ports = free_ports(4)
        cls.init()

    @classmethod
    def prepare(cls):
        """What must be there before `init`."""

    @classmethod
    def init(cls):
        gateway, mtls, admin, pki = (f"127.0.0.1:{port}" for port in cls.ports)
        must_run(BINARY, "--data", cls.data, "init", "--hostname", "127.0.0.1", "--gateway", gateway, "--mtls", mtls, "--admin", admin,
                 "--pki", pki, "--pki-url", f"http://{pki}", *cls.OPTIONS)

    def serve(self):
        endpoints = self.data / "endpoints.json"
        endpoints.unlink(missing_ok=True)
        log = (LOGS / f"{type(self).__name__}.log").open("ab")
        self.addCleanup(log.close)
        process = subprocess.Popen([BINARY, "--data", self.data, "serve"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        deadline = time.monotonic() + START_SECONDS
        for ready in (*(lambda port=port: takes_connections(port) for port in self.ports), endpoints.exists):
            while not ready():
                self.assertIsNone(process.poll(), "the server ended")
                self.assertLess(time.monotonic(), deadline, "the server is not up")
                time.sleep(0.05)
        return process

    def stop(self, process):
        process.send_signal(signal.SIGTERM)
        self.assertEqual(0, process.wait(STOP_SECONDS))

    def cli(self, *arguments):
        text = must_run(BINARY, "--data", self.data, *arguments, "--output", "json")
        return json.loads(text) if text.strip() else None

    def sign(self, name):
        key, request, chain = (self.folder / f"{name}.{suffix}" for suffix in ("key", "csr", "crt"))
        must_run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                 "-keyout", key, "-out", request)
        answer = self.cli("certificate", "sign", request, "--client", "acme-orders")
        chain.write_text(answer["certificate_pem"] + answer["chain_pem"])
        return Certificate(chain, key)

    def crl(self):
        """The list of the authority for clients, as openssl reads it over HTTP's body."""
        issuing = next(issuer for issuer in self.cli("ca", "show") if issuer["kind"] == "issuing")
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[3]}/crl/{issuing['id']}.crl") as answer:
            (self.folder / "list.der").write_bytes(answer.read())
        must_run("openssl", "crl", "-inform", "DER", "-in", self.folder / "list.der", "-out", self.folder / "list.pem")
        return self.folder / "list.pem"

    def verifies(self, certificate, crl=None):
        lists = ["-crl_check", "-CRLfile", crl] if crl else []
        return run("openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", self.data / "ca.pem", "-untrusted",
                   certificate.chain, *lists, certificate.chain).returncode == 0


def takes_connections(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listening.getsockname()[1] for listening in sockets]
    for listening in sockets:
        listening.close()
    return ports
