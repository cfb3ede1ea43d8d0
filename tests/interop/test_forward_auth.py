"""Other proxies ask the gate: nginx, Caddy, Traefik and Envoy with the files in deploy/, from the outside as their clients see them."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
import textwrap
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPSConnection

from gate import LOGS, REQUEST_SECONDS, ROOT, Certificate, GateTest, ask, must_run
from proxies import CADDY, ENVOY, NGINX, POLICY, SETTINGS, TRAEFIK, TRAEFIK_ROUTER
from upstream import Upstream

START_SECONDS = 15

AMBIGUOUS = ("/orders/../orders/1", "/orders//1", "/orders/%2e%2e/1", "/orders/a%2fb", "/orders/1;x=y", "/orders/%61", "//orders/1")
IDENTITY = ("x-portcullis-client", "x-portcullis-partner", "x-portcullis-method", "x-portcullis-scopes")


class Reached(HTTPSConnection):
    """A connection to this machine under the name that the proxy serves: Caddy asks for one spelling of it in SNI and Host."""

    def connect(self):
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=REQUEST_SECONDS)
        self.sock = self._context.wrap_socket(plain, server_hostname=self.host)


class Proxy:
    """The tests that every proxy passes; NAME, CERTIFICATE and start_proxy differ."""

    # The question's path where it is not only the dialect's name, and whether the proxy makes ids for requests.
    QUESTION = ""
    REQUEST_IDS = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        gate = cls.gate
        # Settings are read at the start.
        gate.stop()
        with (gate.data / "portcullis.toml").open("a") as settings:
            settings.write(SETTINGS.format(dialect=cls.NAME, certificate=cls.CERTIFICATE,
                                           request_ids=str(cls.REQUEST_IDS).lower()))
        gate.start()
        gate.cli("client", "create", "edge", "--partner", "portcullis")
        policy = next((gate.data / "policies").glob("*.toml"))
        policy.write_text(policy.read_text() + POLICY.format(scope=gate.demo["scope"]))
        gate.cli("policy", "apply", gate.data / "policies")
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.close)
        cls.folder = gate.scratch / cls.NAME
        cls.folder.mkdir()
        must_run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
                 "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:api.example.com", "-keyout", cls.folder / "server.key",
                 "-out", cls.folder / "server.crt")
        proof = gate.sign("edge", client="edge")
        cls.place = cls.folder / "portcullis"
        cls.place.mkdir()
        shutil.copy(proof.chain, cls.place / "client.crt")
        shutil.copy(proof.key, cls.place / "client.key")
        shutil.copy(gate.ca, cls.place / "ca.pem")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            cls.port = free.getsockname()[1]
        cls.log = LOGS / f"forward-auth-{cls.NAME}.log"
        with cls.log.open("w") as output:
            cls.process = subprocess.Popen(cls.start_proxy(), stdout=output, stderr=output, cwd=cls.folder)
        cls.addClassCleanup(cls.process.wait)
        cls.addClassCleanup(cls.process.kill)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                cls.reach()
                break
            except OSError:
                if cls.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"{cls.NAME} did not start:\n{cls.log.read_text()}") from None
                time.sleep(0.05)

    @classmethod
    def reach(cls):
        """Raises OSError while it does not serve."""
        socket.create_connection(("127.0.0.1", cls.port), timeout=1).close()

    def setUp(self):
        self.upstream.served.clear()

    def connection(self, certificate=None):
        context = ssl.create_default_context(cafile=self.folder / "server.crt")
        if certificate:
            certificate.load_into(context)
        return Reached("api.example.com", self.port, context=context)

    def request(self, method="GET", path="/orders/1", headers=None, body=None, certificate=None):
        connection = self.connection(certificate)
        try:
            return ask(connection, method, path, headers, body)
        finally:
            connection.close()

    def key_of(self, client):
        return {"x-api-key": self.gate.cli("key", "create", "--client", client)["api_key"]}

    def assert_let_through(self, answer, method):
        self.assertEqual(200, answer.status, answer)
        [served] = self.upstream.served
        headers = {name.lower(): value for name, value in served["headers"]}
        self.assertEqual("acme-orders", headers["x-portcullis-client"])
        self.assertEqual("acme", headers["x-portcullis-partner"])
        self.assertEqual(method, headers["x-portcullis-method"])
        self.assertEqual(self.gate.demo["scope"], headers["x-portcullis-scopes"])
        for secret in ("x-api-key", "authorization", "x-portcullis-caller-secret", "x-forwarded-client-cert"):
            self.assertNotIn(secret, headers)
        return headers

    def assert_denied(self, answer, status, code):
        self.assertEqual((status, code), (answer.status, answer.json["code"]), answer)
        self.assertEqual("application/problem+json", answer.headers["content-type"])
        self.assertEqual(answer.json["decision_id"], answer.headers["x-portcullis-decision-id"])
        self.assertEqual([], self.upstream.served)

    def decision(self, headers):
        [row] = [row for row in self.gate.cli("audit", "list") if row["id"] == headers["x-portcullis-decision-id"]]
        return row

    def test_each_method_is_let_through(self):
        methods = {"api_key": {"headers": self.gate.key_header()}, "bearer": {"headers": self.gate.bearer_header()}}
        if self.CERTIFICATE != "none":
            methods["mutual_tls"] = {"certificate": self.gate.certificate}
        for method, keywords in methods.items():
            with self.subTest(method):
                self.upstream.served.clear()
                self.assert_let_through(self.request(**keywords), method)

    def test_a_body_arrives_whole(self):
        answer = self.request("POST", "/orders/1?a=b", self.gate.key_header(), "x" * 100_000)
        self.assert_let_through(answer, "api_key")
        [served] = self.upstream.served
        self.assertEqual(("POST", "/orders/1?a=b", b"x" * 100_000), (served["method"], served["path"], served["body"]))

    def test_nobody_speaks_for_the_gate(self):
        forged = {name: "forged" for name in (*IDENTITY, "client-cert", "x-forwarded-client-cert", "x-portcullis-status", "x-real-ip",
                                              "x-original-uri", "x-original-method", "x-original-host", "x-forwarded-uri",
                                              "x-forwarded-method", "x-portcullis-caller-secret", "x-portcullis-request-id")}
        headers = self.assert_let_through(self.request(headers=forged | self.gate.key_header()), "api_key")
        self.assertNotEqual("forged", headers.get("client-cert"))
        self.upstream.served.clear()
        self.assert_denied(self.request(headers=forged), 401, "no_credential")
        answer = self.request(path="/open", headers=forged)
        self.assertEqual(200, answer.status, answer)
        [served] = self.upstream.served
        told = {value for name, value in served["headers"] if name.lower() in (*IDENTITY, "client-cert")}
        self.assertLessEqual(told, {""}, "of a public route nobody is named")

    def test_a_forged_certificate_header_is_nobody(self):
        pem = urllib.parse.quote(self.gate.certificate.chain.read_text().split("-----END")[0] + "-----END CERTIFICATE-----\n", safe="")
        der = ssl.PEM_cert_to_DER_cert(self.gate.certificate.chain.read_text().split("-----END")[0] + "-----END CERTIFICATE-----\n")
        import base64
        forged = {"client-cert": f":{base64.b64encode(der).decode()}:", "x-forwarded-client-cert": f'Cert="{pem}"'}
        self.assert_denied(self.request(headers=forged), 401, "no_credential")

    def test_denials_keep_their_status_their_body_and_their_headers(self):
        answer = self.request()
        self.assert_denied(answer, 401, "no_credential")
        self.assertIn("realm=", answer.headers["www-authenticate"])
        self.assert_denied(self.request(headers={"x-api-key": "pc_demo_nothing"}), 401, "credential_unknown")
        self.assert_denied(self.request(path="/nowhere", headers=self.gate.key_header()), 404, "route_not_found")
        self.assert_denied(self.request("DELETE", headers=self.gate.key_header()), 404, "route_not_found")
        self.assert_denied(self.request(headers=self.key_of("elsewhere")), 403, "source_not_allowed")
        self.assert_denied(self.request(path="/orders/1?api_key=x"), 400, "credential_in_url")
        if self.CERTIFICATE != "none":
            answer = self.request(certificate=self.gate.certificate, headers=self.key_of("narrow"))
            self.assert_denied(answer, 403, "credential_mismatch")

    def test_what_two_programs_may_read_differently_is_refused(self):
        for path in AMBIGUOUS:
            with self.subTest(path):
                answer = self.request(path=path, headers=self.gate.key_header())
                self.assertEqual(400, answer.status, answer)
                self.assertEqual([], self.upstream.served)

    def test_the_bodies_of_the_aws_preset(self):
        answer = self.request(path="/aws/1")
        self.assertEqual((401, {"message": "Unauthorized"}), (answer.status, answer.json), answer)
        self.assertEqual("application/json", answer.headers["content-type"])
        self.assertEqual("UnauthorizedException", answer.headers["x-amzn-errortype"])
        self.assertEqual([], self.upstream.served)

    def test_a_throttle_lets_its_burst_through_and_answers_429(self):
        key = self.key_of("narrow")
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.request(headers=key), range(20)))
        self.assertEqual({200: 5, 429: 15}, {status: sum(answer.status == status for answer in answers) for status in (200, 429)}, answers)
        self.assertEqual(5, len(self.upstream.served), "one request is paid for once")
        denied = next(answer for answer in answers if answer.status == 429)
        self.assertEqual("throttled", denied.json["code"])
        self.assertGreater(int(denied.headers["retry-after"]), 0)

    def test_a_revocation_ends_an_open_connection_to_the_proxy(self):
        certificate, headers = (self.gate.sign("to-revoke"), None) if self.CERTIFICATE != "none" else (None, self.key_of("acme-orders"))
        connection = self.connection(certificate)
        self.assertEqual(200, ask(connection, "GET", "/orders/1", headers).status)
        if certificate:
            self.gate.revoke(certificate)
        else:
            self.gate.cli("key", "revoke", headers["x-api-key"].split("_")[2])
        self.upstream.served.clear()
        answer = ask(connection, "GET", "/orders/1", headers)
        self.assertEqual(401, answer.status, answer)
        self.assertEqual([], self.upstream.served)
        connection.close()

    def test_the_audit_names_the_client_and_its_address(self):
        connection = self.connection()
        answer = ask(connection, "GET", "/orders/1", {"host": "other.example"} | self.gate.key_header())
        self.assertNotEqual(200, answer.status, "a host that the settings do not name")
        answer = ask(connection, "GET", "/orders/7")
        connection.close()
        row = self.decision(answer.headers)
        self.assertEqual(("127.0.0.1", "GET", "/orders/7", "no_credential"),
                         (row["source"], row["http_method"], row["path"], row["outcome"]))

    def test_strangers_are_told_nothing(self):
        told = {"x-original-method": "GET", "x-original-uri": "/orders/1", "x-original-host": "api.example.com", "x-real-ip": "127.0.0.1",
                "x-forwarded-method": "GET", "x-forwarded-uri": "/orders/1", "x-forwarded-host": "api.example.com",
                "x-forwarded-for": "127.0.0.1", "x-portcullis-request-id": "12345678"} | self.gate.key_header()
        for certificate in (None, self.gate.certificate):
            answer = self.gate.request("GET", f"/forward-auth/{self.NAME}{self.QUESTION}", told, certificate=certificate)
            self.assertEqual(403, answer.status, answer)
            self.assertNotIn("x-portcullis-client", answer.headers)
        for missing in told.keys() - {"x-api-key"}:
            proof = Certificate(self.place / "client.crt", self.place / "client.key")
            headers = {name: value for name, value in told.items() if name != missing}
            answer = self.gate.request("GET", f"/forward-auth/{self.NAME}{self.QUESTION}", headers, certificate=proof)
            whole = answer.status == 200
            self.assertEqual(missing not in self.NEEDED, whole, f"{missing}: {answer}")


class Nginx(Proxy, GateTest):
    NAME, CERTIFICATE = "nginx", "xfcc"
    NEEDED = ("x-original-method", "x-original-uri", "x-original-host", "x-real-ip", "x-portcullis-request-id")

    @classmethod
    def start_proxy(cls):
        for file in ("http", "server", "guard", "denied"):
            shutil.copy(ROOT / f"deploy/nginx/{file}.conf", cls.place)
        (cls.place / "name.conf").write_text("proxy_ssl_name localhost;\n")
        gate = cls.gate.addresses["gateway"]
        (cls.folder / "nginx.conf").write_text(NGINX.format(port=cls.port, gate=gate, upstream=cls.upstream.url))
        return ["nginx", "-p", cls.folder, "-c", cls.folder / "nginx.conf"]


class NginxWithoutGate(GateTest):
    """What nginx makes of a gate that is not there."""

    def test_it_denies(self):
        folder = self.gate.scratch / "nginx"
        place = folder / "portcullis"
        place.mkdir(parents=True)
        must_run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
                 "/CN=127.0.0.1", "-keyout", folder / "server.key", "-out", folder / "server.crt")
        for file in ("http", "server", "guard", "denied"):
            shutil.copy(ROOT / f"deploy/nginx/{file}.conf", place)
        shutil.copy(self.gate.certificate.chain, place / "client.crt")
        shutil.copy(self.gate.certificate.key, place / "client.key")
        shutil.copy(self.gate.ca, place / "ca.pem")
        (place / "name.conf").write_text("proxy_ssl_name localhost;\n")
        with socket.socket() as free, socket.socket() as closed:
            for taken in (free, closed):
                taken.bind(("127.0.0.1", 0))
            port, nobody = free.getsockname()[1], closed.getsockname()[1]
        text = NGINX.format(port=port, gate=f"127.0.0.1:{nobody}", upstream="http://127.0.0.1:9").replace(f"{port} ssl", str(port))
        (folder / "nginx.conf").write_text(text)
        with (LOGS / "forward-auth-without-gate.log").open("w") as output:
            process = subprocess.Popen(["nginx", "-p", folder, "-c", folder / "nginx.conf"], stdout=output, stderr=output, cwd=folder)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        deadline = time.monotonic() + START_SECONDS
        while True:
            connection = HTTPConnection("127.0.0.1", port, timeout=REQUEST_SECONDS)
            try:
                answer = ask(connection, "GET", "/orders/1", self.gate.key_header())
                break
            except OSError:
                self.assertLess(time.monotonic(), deadline, "nginx did not start")
                time.sleep(0.05)
            finally:
                connection.close()
        self.assertEqual(500, answer.status, answer)


class Caddy(Proxy, GateTest):
    NAME, CERTIFICATE = "caddy", "client-cert"
    NEEDED = ("x-forwarded-method", "x-forwarded-uri", "x-forwarded-host", "x-forwarded-for", "x-portcullis-request-id")

    @classmethod
    def start_proxy(cls):
        shutil.copy(ROOT / "deploy/caddy/portcullis.caddy", cls.folder)
        gate = cls.gate.addresses["gateway"]
        (cls.folder / "Caddyfile").write_text(CADDY.format(port=cls.port, gate=gate, upstream=cls.upstream.url, folder=cls.folder))
        return ["caddy", "run", "--config", cls.folder / "Caddyfile", "--adapter", "caddyfile"]


class Traefik(Proxy, GateTest):
    NAME, CERTIFICATE, REQUEST_IDS = "traefik", "none", False
    NEEDED = ("x-forwarded-method", "x-forwarded-uri", "x-forwarded-host", "x-forwarded-for")

    @classmethod
    def start_proxy(cls):
        dynamic = cls.folder / "dynamic"
        dynamic.mkdir()
        _, port = cls.gate.address()
        shipped = (ROOT / "deploy/traefik/portcullis.yml").read_text()
        own = {"gate.internal:8443": f"localhost:{port}", "/etc/traefik/portcullis": str(cls.place)}
        (dynamic / "portcullis.yml").write_text(adapted(shipped, own))
        (dynamic / "api.yml").write_text(TRAEFIK_ROUTER.format(upstream=cls.upstream.url, folder=cls.folder))
        (cls.folder / "traefik.yml").write_text(TRAEFIK.format(port=cls.port, folder=cls.folder))
        return [os.path.join(os.path.dirname(sys.executable), "traefik"), f"--configFile={cls.folder}/traefik.yml"]

    @classmethod
    def reach(cls):
        """It listens before it has read its routes."""
        context = ssl.create_default_context(cafile=cls.folder / "server.crt")
        connection = Reached("api.example.com", cls.port, context=context)
        try:
            if ask(connection, "GET", "/orders/1").status == 404:
                raise OSError("no routes yet")
        finally:
            connection.close()

    def test_what_two_programs_may_read_differently_is_refused(self):
        """Traefik writes paths anew before it asks: what it asks about is then what the upstream gets, byte for byte."""
        for path in AMBIGUOUS:
            with self.subTest(path):
                self.upstream.served.clear()
                answer = self.request(path=path, headers=self.gate.key_header())
                if answer.status == 200:
                    asked = self.decision({"x-portcullis-decision-id": dict(self.upstream.served[0]["headers"])["X-Portcullis-Decision-Id"]})
                    self.assertEqual([asked["path"]], [served["path"] for served in self.upstream.served])
                else:
                    self.assertIn(answer.status, (400, 404), answer)
                    self.assertEqual([], self.upstream.served)


class Envoy(Proxy, GateTest):
    NAME, CERTIFICATE, REQUEST_IDS, QUESTION = "envoy", "xfcc", False, "/orders/1"
    NEEDED = ("x-real-ip",)
    FILTERS = "portcullis-http.yaml"

    @classmethod
    def start_proxy(cls):
        _, port = cls.gate.address()
        own = {"address: gate.internal, port_value: 8443": f"address: 127.0.0.1, port_value: {port}", "gate.internal": "localhost",
               "/etc/envoy/portcullis": str(cls.place)}
        clusters = adapted((ROOT / "deploy/envoy/portcullis-cluster.yaml").read_text(), own)
        filters = (ROOT / "deploy/envoy" / cls.FILTERS).read_text().replace("gate.internal", "localhost")
        _, upstream = cls.upstream.url.rsplit(":", 1)
        (cls.folder / "envoy.yaml").write_text(ENVOY.format(port=cls.port, upstream=upstream, filters=textwrap.indent(filters, " " * 18),
                                                            clusters=textwrap.indent(clusters, " " * 4)))
        return [os.path.join(os.path.dirname(sys.executable), "envoy"), "-c", cls.folder / "envoy.yaml", "--concurrency", "1",
                "--disable-hot-restart", "--log-level", "warning"]


class EnvoyGrpc(Envoy):
    NAME, FILTERS = "envoy-grpc", "portcullis-grpc.yaml"

    def test_the_client_is_told_of_its_limits(self):
        answer = self.request(headers=self.key_of("roomy"))
        self.assertEqual(200, answer.status, answer)
        self.assertEqual('"burst";q=100;w=1', answer.headers["ratelimit-policy"])
        self.assertEqual("allowed", self.decision(answer.headers)["outcome"])

    def test_strangers_are_told_nothing(self):
        """As google's own gRPC asks, with the messages from Envoy's repository."""
        import grpc
        from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc

        def check(certificate, change=None):
            request = external_auth_pb2.CheckRequest()
            request.attributes.source.address.socket_address.address = "127.0.0.1"
            http = request.attributes.request.http
            http.method, http.path, http.host = "GET", "/orders/1", "api.example.com"
            http.headers["x-api-key"] = self.gate.demo["api_key"]
            if change:
                change(request)
            proof = (certificate.key.read_bytes(), certificate.chain.read_bytes()) if certificate else (None, None)
            credentials = grpc.ssl_channel_credentials(self.gate.ca.read_bytes(), *proof)
            _, port = self.gate.address()
            with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
                return external_auth_pb2_grpc.AuthorizationStub(channel).Check(request, timeout=REQUEST_SECONDS)

        proof = Certificate(self.place / "client.crt", self.place / "client.key")
        told = check(proof)
        self.assertEqual((0, "acme-orders"), (told.status.code, {option.header.key: option.header.value for option in
                                                                told.ok_response.headers}["x-portcullis-client"]))
        for certificate in (None, self.gate.certificate):
            told = check(certificate)
            self.assertEqual((7, 403), (told.status.code, told.denied_response.status.code))
            self.assertIn("forward_auth_caller", told.denied_response.body)
        for missing in ("method", "path", "host"):
            told = check(proof, lambda request: request.attributes.request.http.ClearField(missing))
            self.assertEqual((7, 403), (told.status.code, told.denied_response.status.code))
            self.assertIn("malformed_forward_auth", told.denied_response.body)
        told = check(proof, lambda request: request.attributes.ClearField("source"))
        self.assertIn("malformed_forward_auth", told.denied_response.body)


def adapted(shipped, own):
    """A shipped file with the names of this test; each must be there."""
    for name, value in own.items():
        if name not in shipped:
            raise AssertionError(f"{name} is not in the file")
        shipped = shipped.replace(name, value)
    return shipped
