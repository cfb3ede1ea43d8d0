"""curl: three credentials, one answer; none, no answer; and what is revoked is refused on the connection that is already open."""

import json

from curl import Hook, curl, curl_in_turn
from gate import HELLO, Gate, GateTest, must_run


class ThreeCredentials(GateTest):
    def url(self, listener="gateway"):
        return self.gate.demo[listener] + self.gate.hello

    def credentials(self):
        """What to add to a curl command, for each of the three methods."""
        return {
            "certificate": self.gate.certificate.curl(),
            "API key": ["--header", f"x-api-key: {self.gate.demo['api_key']}"],
            "token": ["--header", "authorization: " + self.gate.bearer_header()["authorization"]],
        }

    def test_each_credential_opens_the_gate(self):
        for protocol, version in (("--http1.1", "1.1"), ("--http2", "2")):
            for name, credential in self.credentials().items():
                with self.subTest(credential=name, protocol=protocol):
                    transfer = curl(self.gate, protocol, *credential, self.url())
                    self.assertEqual((200, version, json.dumps(HELLO)), (transfer.status, transfer.version, transfer.body))

    def test_the_token_comes_from_curl_too(self):
        transfer = curl(self.gate, "--user", f"{self.gate.demo['client_id']}:{self.gate.demo['client_secret']}", "--data",
                        "grant_type=client_credentials", "--data-urlencode", f"scope={self.gate.demo['scope']}",
                        self.gate.demo["token_url"])
        self.assertEqual(200, transfer.status, transfer)
        transfer = curl(self.gate, "--header", f"authorization: Bearer {json.loads(transfer.body)['access_token']}", self.url())
        self.assertEqual(200, transfer.status, transfer)

    def test_all_three_together_open_it_as_well(self):
        together = [word for credential in self.credentials().values() for word in credential]
        self.assertEqual(200, curl(self.gate, *together, self.url()).status)

    def test_none_is_unauthorized(self):
        for protocol in ("--http1.1", "--http2"):
            with self.subTest(protocol=protocol):
                transfer = curl(self.gate, protocol, self.url())
                self.assertEqual((401, 0), (transfer.status, transfer.exit_code))
                self.assertEqual("Unauthorized", json.loads(transfer.body)["message"])
        answer = self.gate.request("GET", self.gate.hello)
        self.assertEqual("application/problem+json", answer.headers["content-type"].partition(";")[0])
        self.assertIn("www-authenticate", answer.headers)

    def test_a_bad_credential_fails_beside_a_good_one(self):
        good = self.gate.certificate.curl()
        bad_key = self.gate.demo["api_key"][:-1] + ("0" if self.gate.demo["api_key"][-1] != "0" else "1")
        for header in (f"x-api-key: {bad_key}", "authorization: Bearer nonsense", "authorization: Basic bm86bm8="):
            with self.subTest(header=header.partition(" ")[0]):
                transfer = curl(self.gate, *good, "--header", header, self.url())
                self.assertIn(transfer.status, (400, 401), transfer)

    def test_a_key_in_the_url_opens_nothing(self):
        for name in ("api_key", "apikey", "x-api-key", "key", "access_token"):
            with self.subTest(name=name):
                transfer = curl(self.gate, f"{self.url()}?{name}={self.gate.demo['api_key']}")
                self.assertIn(transfer.status, (400, 401), transfer)

    def test_the_mtls_listener_wants_the_certificate_in_the_handshake(self):
        credentials = self.credentials()
        self.assertEqual(200, curl(self.gate, *credentials["certificate"], self.url("mtls")).status)
        for name in ("API key", "token"):
            with self.subTest(credential=name):
                transfer = curl(self.gate, *credentials[name], self.url("mtls"))
                self.assertEqual(0, transfer.status, "no answer: the handshake fails")
                self.assertNotEqual(0, transfer.exit_code)

    def test_a_certificate_of_another_ca_opens_nothing(self):
        folder = self.gate.scratch
        must_run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                 "-subj", "/CN=acme-orders", "-addext", "extendedKeyUsage=clientAuth",
                 "-addext", "subjectAltName=URI:spiffe://portcullis.demo/partner/acme/client/acme-orders",
                 "-keyout", folder / "stranger.key", "-out", folder / "stranger.crt")
        for listener in ("gateway", "mtls"):
            with self.subTest(listener=listener):
                transfer = curl(self.gate, "--cert", folder / "stranger.crt", "--key", folder / "stranger.key", self.url(listener))
                self.assertIn(transfer.status, (0, 401), transfer)

    def test_another_demo_is_another_ca(self):
        other = Gate("AnotherDemo")
        self.addCleanup(other.discard)
        other.start()
        transfer = curl(self.gate, *other.certificate.curl(), self.url())
        self.assertIn(transfer.status, (0, 401), transfer)
        self.assertEqual(0, other.stop())

    def test_a_route_that_nobody_wrote_is_not_there(self):
        transfer = curl(self.gate, *self.gate.certificate.curl(), self.gate.demo["gateway"] + "/test/other")
        self.assertIn(transfer.status, (403, 404), transfer)


class Revocation(GateTest):
    """One process of curl: a request, the revocation, the same request over the connection that was kept."""

    def refused_after(self, revoke, *credential, protocol="--http1.1"):
        url = self.gate.demo["gateway"] + self.gate.hello
        with Hook(revoke) as hook:
            before, between, after = curl_in_turn(
                self.gate, [protocol, *credential, url], [hook], [protocol, *credential, url])
        version = "2" if protocol == "--http2" else "1.1"
        self.assertEqual((200, 1, version), (before.status, before.connects, before.version), before)
        self.assertEqual(204, between.status, "the revocation itself failed")
        self.assertIn(after.status, (0, 401), after)
        return after

    def test_certificate(self):
        for protocol in ("--http1.1", "--http2"):
            with self.subTest(protocol=protocol):
                certificate = self.gate.sign("revoked" + protocol.strip("-").replace(".", ""))
                self.refused_after(lambda: self.gate.revoke(certificate), *certificate.curl(), protocol=protocol)

    def test_certificate_on_a_connection_of_another_program(self):
        certificate = self.gate.sign("revoked-kept")
        idle, busy = (self.gate.connection(certificate=certificate) for _ in range(2))
        for connection in (idle, busy):
            connection.request("GET", self.gate.hello)
            response = connection.getresponse()
            self.assertEqual((200, HELLO), (response.status, json.loads(response.read())))
            self.assertIsNotNone(connection.sock, "the gate keeps connections open")
        self.gate.revoke(certificate)
        for connection in (idle, busy):
            self.assert_cut_off(connection, self.gate.hello)

    def test_others_are_not_disturbed(self):
        unlucky, other = self.gate.sign("unlucky"), self.gate.sign("other")
        connection = self.gate.connection(certificate=other)
        connection.request("GET", self.gate.hello)
        connection.getresponse().read()
        kept = connection.sock
        self.gate.revoke(unlucky)
        connection.request("GET", self.gate.hello)
        self.assertEqual(200, connection.getresponse().status)
        self.assertIs(kept, connection.sock, "the connection of another certificate is the same one as before")

    def test_api_key(self):
        key = self.gate.demo["api_key"]
        identifier = key.split("_")[2]
        after = self.refused_after(lambda: self.gate.cli("key", "revoke", identifier), "--header", f"x-api-key: {key}")
        self.assertEqual((401, 0), (after.status, after.connects), "answered in words, on the connection that was kept")

    def test_token(self):
        authorization = self.gate.bearer_header()["authorization"]

        def revoke():
            answer = self.gate.request("POST", "/oauth2/revoke", self.gate.basic_header()
                                       | {"content-type": "application/x-www-form-urlencoded"},
                                       "token=" + authorization.removeprefix("Bearer "))
            self.assertEqual(200, answer.status, answer)

        after = self.refused_after(revoke, "--header", f"authorization: {authorization}")
        self.assertEqual((401, 0), (after.status, after.connects), after)
