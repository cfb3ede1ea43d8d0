"""One revocation, watched from every side at once: until when does a revoked certificate open the door?

The same certificate is used on new connections, on an open HTTP/1.1 and an open HTTP/2 connection, and on resumed sessions, and
its status is asked of the revocation list and the OCSP responder, from before the revocation is sent until each of them says no.
Beside the gate stands nginx with the CA's list in `ssl_crl`, which fetches the new list at once and reloads: the best that can be
had of it. All times count from the moment the revocation is sent."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from gate import LOGS, ask, must_run

HERE = Path(__file__).resolve().parent
DEADLINE_SECONDS = 6                                   # what is served so long after its revocation counts as never denied
BUSY_SECONDS = 0.3                                     # how long every way is in use before
WAYS = {"new": "new connection", "http1": "open HTTP/1.1 connection", "http2": "open HTTP/2 connection", "resumed": "resumed session"}
SOURCES = {"crl": "revocation list published", "ocsp": "OCSP says revoked"}

NGINX = """
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {folder}/server.crt;
        ssl_certificate_key {folder}/server.key;
        ssl_session_cache shared:TLS:1m;
        ssl_session_tickets off;
        ssl_client_certificate {ca};
        ssl_crl {crl};
        ssl_verify_client on;
        ssl_verify_depth 2;
        location / {{ return 200 "hello\\n"; }}
    }}
}}
"""


class Denied:
    """What one way saw: when each served request began, when the first denial came, and what that was. In nanoseconds."""

    def __init__(self, served, at, by):
        self.served, self.at, self.by = served, at, by

    def after_ms(self, sent):
        return None if self.at is None else (self.at - sent) / 1e6

    def served_after(self, moment):
        return sum(began > moment for began in self.served)


class Door:
    """Where a certificate is tried: a host with TLS, and a path that it opens."""

    def __init__(self, address, path, certificate, ca=None):
        self.address, self.path, self.certificate, self.ca = address, path, certificate, ca

    def context(self, alpn="http/1.1"):
        context = ssl.create_default_context(cafile=self.ca) if self.ca else ssl._create_unverified_context()
        context.set_alpn_protocols([alpn])
        self.certificate.load_into(context)
        return context

    def call(self, context, session=None):
        """One request on a connection of its own: (status, session, resumed)."""
        with socket.create_connection(self.address, timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname=self.address[0], session=session) as tls:
                status = self.ask(tls)
                return status, tls.session, tls.session_reused

    def ask(self, tls):
        """One request on an open HTTP/1.1 connection; its status, 0 when the connection ended."""
        tls.sendall(f"GET {self.path} HTTP/1.1\r\nHost: {self.address[0]}:{self.address[1]}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            piece = tls.recv(16384)
            if not piece:
                return 0
            head += piece
        head, _, body = head.partition(b"\r\n\r\n")
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        while len(body) < length:
            piece = tls.recv(16384)
            if not piece:
                return 0
            body += piece
        return int(head.split()[1])


class Watch:
    """Uses one certificate in every way at once."""

    def __init__(self, door, folder):
        self.door, self.folder = door, folder
        self.seen, self.trouble = {}, []
        self.until = None
        self.ready = threading.Barrier(4)
        self.threads = [threading.Thread(target=self.guard, args=(name, way), daemon=True)
                        for name, way in [("new", self.new), ("http1", self.http1), ("resumed", self.resumed)]]

    def begin(self):
        command = ["node", HERE / "h2_until_denied.mjs", f"https://{self.door.address[0]}:{self.door.address[1]}{self.door.path}",
                   self.door.ca or self.door.certificate.chain, self.door.certificate.chain, self.door.certificate.key]
        environment = None if self.door.ca else {"INSECURE": "1"}
        self.http2 = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                      env=os.environ | (environment or {}))
        line = self.http2.stdout.readline().strip()
        if line != "open":
            self.http2.kill()
            raise AssertionError(f"HTTP/2 did not open: {line} {self.http2.stderr.read()}")
        for thread in self.threads:
            thread.start()
        self.ready.wait(20)
        time.sleep(BUSY_SECONDS)

    def end(self, sent):
        """Waits until every way is denied or the deadline has passed: what each saw, by its name."""
        self.until = sent + DEADLINE_SECONDS * 1_000_000_000
        for thread in self.threads:
            thread.join(DEADLINE_SECONDS + 20)
        try:
            left = max(0.1, (self.until - time.monotonic_ns()) / 1e9)
            output = self.http2.communicate(timeout=left)[0]
            told = json.loads(output.strip().splitlines()[-1])
            self.seen["http2"] = Denied(told["served"], None if told["by"] == "never" else told["at"], told["by"])
        except subprocess.TimeoutExpired:
            self.http2.kill()
            self.http2.communicate()
            self.seen["http2"] = Denied([], None, "never")
        if self.trouble:
            raise AssertionError("; ".join(self.trouble))
        return self.seen

    def guard(self, name, way):
        try:
            self.seen[name] = way()
        except Exception as error:                     # a thread's own exceptions are seen by nobody
            self.trouble.append(f"{name}: {type(error).__name__}: {error}")
            self.ready.abort()

    def over(self):
        return self.until is not None and time.monotonic_ns() > self.until

    def repeat(self, attempt):
        """Attempts until one is denied: `attempt` gives a status, or raises when the connection is refused or ended."""
        served = []
        status = attempt()
        if status != 200:
            raise AssertionError(f"refused before the revocation: {status}")
        self.ready.wait(20)
        while not self.over():
            began = time.monotonic_ns()
            try:
                status = attempt()
            except (OSError, ssl.SSLError):
                status = 0
            if status != 200:
                return Denied(served, time.monotonic_ns(), str(status) if status else "closed")
            served.append(began)
            time.sleep(0.001)
        return Denied(served, None, "never")

    def new(self):
        context = self.door.context()
        return self.repeat(lambda: self.door.call(context)[0])

    def http1(self):
        with socket.create_connection(self.door.address, timeout=10) as plain:
            with self.door.context().wrap_socket(plain, server_hostname=self.door.address[0]) as tls:
                return self.repeat(lambda: self.door.ask(tls))

    def resumed(self):
        # TLS 1.2: the session is there when the handshake is, and one session may be used again and again.
        context = self.door.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        _, session, _ = self.door.call(context)

        def attempt():
            status, _, resumed = self.door.call(context, session)
            if status == 200 and not resumed:
                raise AssertionError("the session was not resumed")
            return status
        return self.repeat(attempt)


def revoke(gate, certificate):
    """Revokes over a connection that is open already: (sent, answered, answer)."""
    connection = gate.connection("admin", gate.admin_certificate)
    ask(connection, "GET", "/v1/status")
    body = json.dumps({"serial": certificate.serial, "reason": "cessation-of-operation"})
    sent = time.monotonic_ns()
    answer = ask(connection, "POST", "/v1/certificates/revoke", {"content-type": "application/json"}, body)
    answered = time.monotonic_ns()
    connection.close()
    if answer.status != 200:
        raise AssertionError(f"not revoked: {answer}")
    return sent, answered, answer.json


def leaf_and_issuer(certificate):
    leaf, issuer = x509.load_pem_x509_certificates(certificate.chain.read_bytes())[:2]
    return leaf, issuer


def list_has_it(certificate):
    leaf, _ = leaf_and_issuer(certificate)
    points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    url = points[0].full_name[0].value
    crl = x509.load_der_x509_crl(urllib.request.urlopen(url, timeout=10).read())
    return crl.get_revoked_certificate_by_serial_number(leaf.serial_number) is not None


def responder(certificate):
    """The OCSP responder that the certificate names; None when it names none."""
    leaf, _ = leaf_and_issuer(certificate)
    try:
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return None
    urls = [one.access_location.value for one in access if one.access_method == x509.AuthorityInformationAccessOID.OCSP]
    return urls[0] if urls else None


def ocsp_status(certificate, url):
    leaf, issuer = leaf_and_issuer(certificate)
    request = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA256()).build().public_bytes(Encoding.DER)
    call = urllib.request.Request(url, request, {"content-type": "application/ocsp-request"})
    return ocsp.load_der_ocsp_response(urllib.request.urlopen(call, timeout=10).read()).certificate_status


def poll(condition, sent):
    """When the condition first holds; None when it does not before the deadline."""
    while time.monotonic_ns() < sent + DEADLINE_SECONDS * 1_000_000_000:
        if condition():
            return time.monotonic_ns()
        time.sleep(0.002)
    return None


def watch_gate(gate, name):
    """The gate's side: {way or source: Denied}, and what the revocation answered."""
    certificate = gate.sign(name)
    watch = Watch(Door(gate.address(), gate.hello, certificate, str(gate.ca)), gate.scratch)
    url = responder(certificate)
    assert not list_has_it(certificate)
    if url:
        assert ocsp_status(certificate, url) == ocsp.OCSPCertStatus.GOOD
    watch.begin()
    sent, answered, answer = revoke(gate, certificate)
    sources = {"crl": poll(lambda: list_has_it(certificate), sent)}
    if url:
        sources["ocsp"] = poll(lambda: ocsp_status(certificate, url) == ocsp.OCSPCertStatus.REVOKED, sent)
    seen = watch.end(sent)
    seen |= {source: Denied([], at, "published" if at else "never") for source, at in sources.items()}
    return seen, sent, answered, answer


class Nginx:
    """nginx with the lists of this moment."""

    def __init__(self, gate, folder):
        self.gate, self.folder = gate, Path(folder)
        self.crl = self.folder / "nginx-lists.pem"

    def start(self):
        must_run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
                 "/CN=127.0.0.1", "-keyout", self.folder / "server.key", "-out", self.folder / "server.crt")
        self.fetch()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = ("127.0.0.1", port)
        configuration = self.folder / "nginx-table.conf"
        configuration.write_text(NGINX.format(folder=self.folder, port=port, ca=self.gate.ca, crl=self.crl))
        LOGS.mkdir(parents=True, exist_ok=True)
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
        with (LOGS / "nginx-table.log").open("w") as output:
            self.process = subprocess.Popen([program, "-p", str(self.folder), "-c", str(configuration)], stdout=output, stderr=output)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(self.address, timeout=1).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"nginx did not start: {(LOGS / 'nginx-table.log').read_text()}") from None
                time.sleep(0.05)

    def fetch(self):
        """The lists of the CA's whole chain, as one file: what `ssl_crl` wants. Whether they are others than before."""
        new = urllib.request.urlopen(f"{self.gate.demo['pki']}/chain.crl.pem", timeout=10).read()
        if self.crl.exists() and self.crl.read_bytes() == new:
            return False
        self.crl.write_bytes(new)
        return True

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def watch_nginx(gate, nginx, name):
    """nginx's side of a revocation of its own: {way: Denied}, and when it was sent and answered."""
    certificate = gate.sign(name)
    watch = Watch(Door(nginx.address, "/", certificate), gate.scratch)
    watch.begin()
    sent, answered, _ = revoke(gate, certificate)
    if poll(nginx.fetch, sent) is None:
        raise AssertionError("no new list")
    nginx.reload()
    return watch.end(sent), sent, answered


def table(gate_seen, gate_sent, gate_answered, nginx_seen, nginx_sent):
    """The rows, ready to print."""
    def shown(denied, sent):
        if denied is None:
            return "-"
        after = denied.after_ms(sent)
        return f"not within {DEADLINE_SECONDS} s" if after is None else f"{after:8.1f} ms ({denied.by})"

    rows = [("denied on", "Portcullis", "served after the answer", "nginx, ssl_crl and reload")]
    for way, title in WAYS.items():
        ours = gate_seen[way]
        rows.append((title, shown(ours, gate_sent), str(ours.served_after(gate_answered)), shown(nginx_seen.get(way), nginx_sent)))
    for source, title in SOURCES.items():
        rows.append((title, shown(gate_seen.get(source), gate_sent), "", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
