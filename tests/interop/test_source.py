"""Callers behind haproxy and nginx: their own address is judged, whatever they say of themselves, and nobody else reaches the
listeners that believe a proxy."""

import http.client
import socket
import ssl
import subprocess
import time

from gate import LOGS, REQUEST_SECONDS, GateTest, ask, must_run

START_SECONDS = 10
OFFICE, ELSEWHERE, STRANGER = "127.0.0.5", "127.0.0.6", "127.0.0.9"

# What deploy's readers write too. "balanced" is reached over the PROXY protocol, "proxied" by X-Forwarded-For.
LISTENERS = """
[[listener]]
name = "balanced"
serves = "gateway"
address = "127.0.0.1:{balanced}"
hostnames = ["127.0.0.1"]
proxy_protocol = {{ from = ["127.0.0.1"] }}

[[listener]]
name = "proxied"
serves = "gateway"
address = "127.0.0.1:{proxied}"
hostnames = ["127.0.0.1"]
trusted_proxies = ["127.0.0.1/32"]
"""

HAPROXY = """
global
    maxconn 256
    stats socket {folder}/haproxy.sock mode 600 level user
    ssl-server-verify required
defaults
    timeout client 10s
    timeout server 10s
    timeout connect 10s
frontend passes-on
    mode tcp
    bind 127.0.0.1:{passed_on}
    default_backend passed-on
backend passed-on
    mode tcp
    server gate 127.0.0.1:{balanced} send-proxy-v2 check check-send-proxy inter 100ms
frontend ends-tls-and-balances
    mode http
    bind 127.0.0.1:{reencrypted} ssl crt {folder}/server.pem
    default_backend reencrypted
backend reencrypted
    mode http
    server gate 127.0.0.1:{balanced} send-proxy-v2 ssl ca-file {ca}
frontend ends-tls
    mode http
    bind 127.0.0.1:{ended} ssl crt {folder}/server.pem
    http-request set-header X-Forwarded-For %[src]
    default_backend ended
backend ended
    mode http
    server gate 127.0.0.1:{proxied} ssl ca-file {ca}
frontend adds-a-line
    mode http
    option forwardfor
    bind 127.0.0.1:{added} ssl crt {folder}/server.pem
    default_backend ended
"""

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
        listen 127.0.0.1:{appended} ssl;
        ssl_certificate {folder}/server.crt;
        ssl_certificate_key {folder}/server.key;
        location / {{
            proxy_pass https://127.0.0.1:{proxied};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_ssl_trusted_certificate {ca};
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
        }}
    }}
}}
"""

PORTS = ("balanced", "proxied", "passed_on", "reencrypted", "ended", "added", "appended")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Source(GateTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ports = dict(zip(PORTS, free_ports(len(PORTS))))
        folder = cls.folder = cls.gate.scratch
        cls.gate.stop()
        settings = cls.gate.data / "portcullis.toml"
        settings.write_text(settings.read_text() + LISTENERS.format(**cls.ports))
        cls.gate.start()
        cls.key = cls.gate.cli("key", "create", "--client", "acme-orders", "--network", OFFICE)["api_key"]
        must_run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
                 "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "server.key", "-out",
                 folder / "server.crt")
        (folder / "server.pem").write_text((folder / "server.crt").read_text() + (folder / "server.key").read_text())
        words = {"folder": folder, "ca": cls.gate.ca} | cls.ports
        for name, template, command in [("haproxy", HAPROXY, ["haproxy", "-db", "-f"]),
                                        ("nginx", NGINX, ["nginx", "-p", str(folder), "-c"])]:
            configuration = folder / f"source-{name}.conf"
            configuration.write_text(template.format(**words))
            cls.serve(name, [*command, str(configuration)])

    @classmethod
    def serve(cls, name, command):
        log = LOGS / f"source-{name}.log"
        with log.open("w") as output:
            server = subprocess.Popen(command, stdout=output, stderr=output, cwd=cls.folder)

        def end():
            server.terminate()
            server.wait(10)
        cls.addClassCleanup(end)
        port = cls.ports["added" if name == "haproxy" else "appended"]
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    return
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"{name} did not start:\n{log.read_text()}") from None
                time.sleep(0.05)

    def connection(self, way, source, ca=None, certificate=None):
        context = ssl.create_default_context(cafile=ca or self.folder / "server.crt")
        if certificate:
            certificate.load_into(context)
        return http.client.HTTPSConnection("127.0.0.1", self.ports[way], context=context, timeout=REQUEST_SECONDS,
                                           source_address=(source, 0))

    def ask(self, way, source, headers=None, key=None, **keywords):
        connection = self.connection(way, source, **keywords)
        try:
            return ask(connection, "GET", self.gate.hello, {"x-api-key": key or self.key} | (headers or {}))
        finally:
            connection.close()

    def judged_from(self, way, **keywords):
        """The office is let in, others are not, and what they say of themselves changes nothing."""
        self.assert_hello(self.ask(way, OFFICE, **keywords))
        for headers in ({}, {"x-forwarded-for": OFFICE}, {"forwarded": f"for={OFFICE}"}, {"x-real-ip": OFFICE}):
            answer = self.ask(way, ELSEWHERE, headers, **keywords)
            self.assertEqual((403, "source_not_allowed"), (answer.status, answer.json["code"]), f"{way} {headers}")
            row = self.gate.cli("audit", "list", "--outcome", "source_not_allowed", "--limit", "1")[0]
            self.assertEqual(ELSEWHERE, row["source"], f"{way} {headers}")

    def test_haproxy_passes_tcp_on_with_the_proxy_protocol(self):
        self.judged_from("passed_on", ca=self.gate.ca)
        # The TLS is the partner's own, so its certificate arrives.
        connection = self.connection("passed_on", ELSEWHERE, ca=self.gate.ca, certificate=self.gate.certificate)
        self.assert_hello(ask(connection, "GET", self.gate.hello))
        connection.close()

    def test_haproxy_ends_tls_and_speaks_the_proxy_protocol_over_its_own(self):
        self.judged_from("reencrypted")

    def test_haproxy_ends_tls_and_names_the_caller_in_a_header(self):
        self.judged_from("ended")

    def test_a_proxy_that_leaves_the_caller_s_line_in_place_is_refused_not_believed(self):
        """`option forwardfor` adds a line of its own beside the caller's."""
        self.assert_hello(self.ask("added", OFFICE))
        for said in (OFFICE, "203.0.113.7"):
            answer = self.ask("added", ELSEWHERE, {"x-forwarded-for": said})
            self.assertEqual((400, "malformed_request"), (answer.status, answer.json["code"]))

    def test_nginx_appends_the_caller(self):
        self.judged_from("appended")
        answer = self.ask("appended", OFFICE, {"x-forwarded-for": "unknown"})
        self.assertEqual((400, "malformed_request"), (answer.status, answer.json["code"]), "a way that cannot be read")

    def test_health_checks_of_haproxy_pass(self):
        deadline = time.monotonic() + START_SECONDS
        while True:
            with socket.socket(socket.AF_UNIX) as stats:
                stats.connect(str(self.folder / "haproxy.sock"))
                stats.sendall(b"show stat\n")
                lines = b"".join(iter(lambda: stats.recv(65536), b"")).decode().splitlines()
            gate = next(line for line in lines if line.startswith("passed-on,gate,"))
            if ",UP," in gate and ",L4OK," in gate:
                return
            self.assertLess(time.monotonic(), deadline, gate)
            time.sleep(0.05)

    def test_nobody_else_reaches_the_listener_behind_a_load_balancer(self):
        for source in (STRANGER, "127.0.0.1"):
            for header in (b"", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x05\x7f\x00\x00\x01\x12\x34\x20\xfb",
                           b"PROXY TCP4 127.0.0.5 127.0.0.1 4660 8443\r\n"):
                if source == "127.0.0.1" and header[:1] == b"\r":
                    continue                           # that is the load balancer
                with self.subTest(source=source, header=header), self.assertRaises(OSError):
                    with socket.create_connection(("127.0.0.1", self.ports["balanced"]), timeout=REQUEST_SECONDS,
                                                  source_address=(source, 0)) as plain:
                        plain.sendall(header)
                        context = ssl.create_default_context(cafile=self.gate.ca)
                        # A socket that was reset already would be wrapped without a word.
                        context.wrap_socket(plain, server_hostname="127.0.0.1", do_handshake_on_connect=False).do_handshake()

    def test_a_stranger_says_in_vain_who_he_is(self):
        answer = self.ask("proxied", STRANGER, {"x-forwarded-for": OFFICE}, ca=self.gate.ca)
        self.assertEqual((403, "source_not_allowed"), (answer.status, answer.json["code"]))
