"""Other gates that trust our CA: nginx and haproxy, with the certificates and the lists we publish, accept and then refuse."""

import socket
import subprocess
import time

from gate import LOGS, GateTest, must_run, run
from test_openssl import distribution_point, fetch_crl, split_chain

START_SECONDS = 10

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/server.crt;
        ssl_certificate_key {folder}/server.key;
        ssl_client_certificate {ca};
        ssl_crl {crl};
        ssl_verify_client on;
        ssl_verify_depth 2;
        location / {{ return 200 "$ssl_client_serial\\n"; }}
    }}
}}
"""

HAPROXY = """
global
    maxconn 64
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 10s
frontend gate
    bind 127.0.0.1:{port} ssl crt {folder}/server.pem ca-file {ca} crl-file {crl} verify required
    http-request return status 200 content-type text/plain lf-string "%[ssl_c_serial,hex]\\n"
"""


class RelyingParties(GateTest):
    def setUp(self):
        self.folder = self.gate.scratch
        if not (self.folder / "server.pem").exists():
            must_run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
                     "/CN=127.0.0.1", "-keyout", self.folder / "server.key", "-out", self.folder / "server.crt")
            (self.folder / "server.pem").write_text((self.folder / "server.crt").read_text() + (self.folder / "server.key").read_text())

    def lists(self, certificate):
        """All lists that a chain names. OpenSSL's servers want one for every CA of the chain, the root's as well."""
        chain = split_chain(certificate, self.folder)
        files = [fetch_crl(distribution_point(file), self.folder, f"list-{number}") for number, file in enumerate(chain)]
        crl = self.folder / "lists.pem"
        crl.write_text("".join(file.read_text() for file in files))
        return crl

    def judge(self, template, command, certificate):
        """Starts the server with the lists of this moment; whether it lets the certificate in, and what it answered."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        configuration = self.folder / f"{command[0]}.conf"
        configuration.write_text(template.format(folder=self.folder, port=port, ca=self.gate.ca, crl=self.lists(certificate)))
        log = LOGS / f"{command[0]}.log"
        with log.open("w") as output:
            server = subprocess.Popen([*command, configuration], stdout=output, stderr=output, cwd=self.folder)
        try:
            self.wait_for(port, server, log)
            done = run("curl", "--silent", "--show-error", "--insecure", "--max-time", "10", "--write-out", "\n%{http_code}",
                       *certificate.curl(), f"https://127.0.0.1:{port}/")
            anonymous = run("curl", "--silent", "--insecure", "--max-time", "10", "--output", "/dev/null", "--write-out", "%{http_code}",
                            f"https://127.0.0.1:{port}/")
        finally:
            server.terminate()
            server.wait(10)
        self.assertNotEqual("200", anonymous.stdout, "it asks for a certificate at all")
        body, _, status = done.stdout.rpartition("\n")
        return status == "200", body if status == "200" else f"{status} {body}{done.stderr}{log.read_text()}"

    def wait_for(self, port, server, log):
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    return
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the server did not start:\n{log.read_text()}") from None
                time.sleep(0.05)

    def accepts_then_refuses(self, template, *command):
        certificate = self.gate.sign(f"judged-by-{command[0]}")
        accepted, answer = self.judge(template, command, certificate)
        self.assertTrue(accepted, answer)
        self.assertEqual(certificate.serial.lower().lstrip("0"), answer.strip().lower().lstrip("0"))
        self.gate.revoke(certificate)
        accepted, answer = self.judge(template, command, certificate)
        self.assertFalse(accepted, answer)
        accepted, answer = self.judge(template, command, self.gate.certificate)
        self.assertTrue(accepted, f"another certificate is still good: {answer}")

    def test_nginx(self):
        self.accepts_then_refuses(NGINX, "nginx", "-p", str(self.folder), "-c")

    def test_haproxy(self):
        self.accepts_then_refuses(HAPROXY, "haproxy", "-db", "-f")
