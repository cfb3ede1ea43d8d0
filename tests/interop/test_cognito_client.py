"""A client that was written for Amazon Cognito's token endpoint, pointed at ours; then the OAuth libraries that partners use."""

import base64
import json
import re
import time
import urllib.parse
from pathlib import Path

import joserfc.jwk
import joserfc.jwt
import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

from gate import HELLO, GateTest, run

HERE = Path(__file__).parent


def claims_of(token):
    """The claims, unverified."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


class Transcript(GateTest):
    """Bytes out, bytes in: what a Cognito client writes to the wire and what it must find in the answer."""

    def exchange(self, body, authorization=None, content_type="application/x-www-form-urlencoded"):
        """Sends one POST, as written here, over TLS; (status line, headers, body)."""
        host, port = self.gate.address()
        authorization = self.gate.basic_header()["authorization"] if authorization is None else authorization
        head = [f"POST {urllib.parse.urlsplit(self.gate.demo['token_url']).path} HTTP/1.1", f"Host: {host}:{port}",
                f"Content-Type: {content_type}", f"Content-Length: {len(body)}", "Connection: close"]
        head += [f"Authorization: {authorization}"] if authorization else []
        with self.gate.socket() as wire:
            wire.sendall(("\r\n".join(head) + "\r\n\r\n" + body).encode())
            answer = b"".join(iter(lambda: wire.recv(65536), b""))
        head, _, content = answer.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return status, headers, content.decode()

    def scope(self):
        return urllib.parse.quote(self.gate.demo["scope"], safe="")

    def test_the_literal_request(self):
        self.assertRegex(self.scope(), r"^https%3A%2F%2F127\.0\.0\.1%3A\d+%2Ftest%2Fhello-world$")
        status, headers, content = self.exchange(f"grant_type=client_credentials&scope={self.scope()}")
        self.assertEqual("HTTP/1.1 200 OK", status, content)
        answer = json.loads(content)
        self.assertEqual({"access_token", "expires_in", "token_type"}, set(answer), "exactly the members that Cognito sends")
        self.assertEqual("Bearer", answer["token_type"])
        self.assertIsInstance(answer["expires_in"], int)
        self.assertEqual("application/json", headers["content-type"].partition(";")[0])
        self.assertIn("no-store", headers["cache-control"])
        self.assertEqual("no-cache", headers["pragma"])

    def test_the_claims_that_readers_of_cognito_tokens_look_for(self):
        before = int(time.time())
        answer = json.loads(self.exchange(f"grant_type=client_credentials&scope={self.scope()}")[2])
        claims = claims_of(answer["access_token"])
        self.assertEqual("access", claims["token_use"])
        self.assertEqual(self.gate.demo["client_id"], claims["client_id"])
        self.assertEqual(claims["client_id"], claims["sub"])
        self.assertEqual(self.gate.demo["scope"], claims["scope"])
        self.assertEqual(2, claims["version"])
        self.assertEqual(answer["expires_in"], claims["exp"] - claims["iat"])
        for moment in ("iat", "auth_time"):
            self.assertAlmostEqual(before, claims[moment], delta=30)
        self.assertEqual(self.gate.demo["gateway"], claims["iss"])
        self.assertTrue(claims["jti"])

    def test_every_token_has_an_identity_of_its_own(self):
        tokens = [json.loads(self.exchange("grant_type=client_credentials")[2])["access_token"] for _ in range(5)]
        self.assertEqual(5, len({claims_of(token)["jti"] for token in tokens}))

    def test_no_scope_means_all_of_the_client(self):
        _, _, content = self.exchange("grant_type=client_credentials")
        self.assertIn(self.gate.demo["scope"], claims_of(json.loads(content)["access_token"])["scope"].split())

    def test_the_secret_may_stand_in_the_body(self):
        pair = urllib.parse.urlencode({"client_id": self.gate.demo["client_id"], "client_secret": self.gate.demo["client_secret"]})
        status, _, content = self.exchange(f"grant_type=client_credentials&{pair}&scope={self.scope()}", authorization="")
        self.assertEqual("HTTP/1.1 200 OK", status, content)

    def test_a_repeated_client_id_beside_basic_is_what_aws_shows(self):
        status, _, content = self.exchange(f"grant_type=client_credentials&client_id={self.gate.demo['client_id']}")
        self.assertEqual("HTTP/1.1 200 OK", status, content)

    def test_refusals(self):
        """(body, authorization) -> (status, error); RFC 6749 §5.2."""
        good = None
        wrong = "Basic " + base64.b64encode(f"{self.gate.demo['client_id']}:{'x' * 48}".encode()).decode()
        stranger = "Basic " + base64.b64encode(f"nobody:{'x' * 48}".encode()).decode()
        grant = "grant_type=client_credentials"
        examples = [
            (grant, wrong, 401, "invalid_client"),
            (grant, stranger, 401, "invalid_client"),
            (grant, "", 401, "invalid_client"),
            (grant + "&scope=" + self.scope() + "%2Fnot", good, 400, "invalid_scope"),
            (grant + "&scope=" + self.scope().upper(), good, 400, "invalid_scope"),
            (grant + "&scope=%22quoted%22", good, 400, "invalid_scope"),
            ("grant_type=password&username=a&password=b", good, 400, "unsupported_grant_type"),
            ("scope=" + self.scope(), good, 400, "invalid_request"),
            (grant + "&" + grant, good, 400, "invalid_request"),
            (grant + f"&client_id={self.gate.demo['client_id']}&client_secret={self.gate.demo['client_secret']}", good, 400, "invalid_request"),
            (grant + "&client_id=somebody-else", good, 400, "invalid_request"),
        ]
        for body, authorization, expected_status, error in examples:
            with self.subTest(body=body, authorization=authorization):
                status, headers, content = self.exchange(body, authorization)
                self.assertEqual((expected_status, error), (int(status.split()[1]), json.loads(content)["error"]), content)
                self.assertIn("no-store", headers["cache-control"])
                if expected_status == 401 and authorization:
                    self.assertTrue(headers["www-authenticate"].lower().startswith("basic"), headers)

    def test_an_unknown_client_and_a_wrong_secret_look_alike(self):
        answers = []
        for client in (self.gate.demo["client_id"], "nobody-at-all"):
            pair = base64.b64encode(f"{client}:{'x' * 48}".encode()).decode()
            status, headers, content = self.exchange("grant_type=client_credentials", f"Basic {pair}")
            varying = {"date", "x-portcullis-decision-id"}
            answers.append((status, {name: value for name, value in headers.items() if name not in varying}, content))
        self.assertEqual(*answers)

    def test_json_is_not_a_form(self):
        status, _, content = self.exchange('{"grant_type":"client_credentials"}', content_type="application/json")
        self.assertEqual((400, "invalid_request"), (int(status.split()[1]), json.loads(content)["error"]))


class Libraries(GateTest):
    def opens_the_gate(self, session):
        answer = session.get(self.gate.demo["gateway"] + self.gate.hello, verify=str(self.gate.ca), timeout=20)
        self.assertEqual((200, HELLO), (answer.status_code, answer.json()))

    def test_requests_oauthlib(self):
        demo = self.gate.demo
        for options in ({}, {"include_client_id": True}):
            with self.subTest(options=options):
                session = OAuth2Session(client=BackendApplicationClient(client_id=demo["client_id"], scope=[demo["scope"]]))
                token = session.fetch_token(demo["token_url"], client_id=demo["client_id"], client_secret=demo["client_secret"],
                                            verify=str(self.gate.ca), timeout=20, **options)
                self.assertEqual("Bearer", token["token_type"])
                self.opens_the_gate(session)

    def test_authlib(self):
        demo = self.gate.demo
        for method in ("client_secret_basic", "client_secret_post"):
            with self.subTest(method=method):
                session = AuthlibSession(demo["client_id"], demo["client_secret"], scope=demo["scope"],
                                         token_endpoint_auth_method=method)
                session.verify = str(self.gate.ca)
                session.fetch_token(demo["token_url"], grant_type="client_credentials", timeout=20)
                self.opens_the_gate(session)

    def test_plain_requests_with_a_certificate_and_a_key(self):
        url = self.gate.demo["gateway"] + self.gate.hello
        certificate = self.gate.certificate
        answer = requests.get(url, cert=(str(certificate.chain), str(certificate.key)), verify=str(self.gate.ca), timeout=20)
        self.assertEqual((200, HELLO), (answer.status_code, answer.json()))
        answer = requests.get(url, headers=self.gate.key_header(), verify=str(self.gate.ca), timeout=20)
        self.assertEqual((200, HELLO), (answer.status_code, answer.json()))

    def test_joserfc_verifies_the_token(self):
        keys = requests.get(self.gate.demo["gateway"] + "/.well-known/jwks.json", verify=str(self.gate.ca), timeout=20).json()
        token = self.gate.bearer_header()["authorization"].removeprefix("Bearer ")
        decoded = joserfc.jwt.decode(token, joserfc.jwk.KeySet.import_key_set(keys), algorithms=["ES256", "RS256"])
        self.assertIn(decoded.header["kid"], [key["kid"] for key in keys["keys"]])
        self.assertEqual("at+jwt", decoded.header["typ"], "RFC 9068 §2.1")
        for key in keys["keys"]:
            self.assertFalse({"d", "p", "q", "dp", "dq", "qi", "k"} & set(key), "no private member in what is published")
        head, body, signature = token.split(".")
        forged = ".".join([head, body, re.sub(r"^.", lambda first: "A" if first[0] != "A" else "B", signature)])
        answer = self.gate.request("GET", self.gate.hello, {"authorization": f"Bearer {forged}"})
        self.assert_unauthorized(answer)

    def test_metadata_names_what_is_there(self):
        for name in ("oauth-authorization-server", "openid-configuration"):
            with self.subTest(name=name):
                metadata = self.gate.request("GET", f"/.well-known/{name}").json
                self.assertEqual(self.gate.demo["gateway"], metadata["issuer"])
                self.assertEqual(self.gate.demo["token_url"], metadata["token_endpoint"])
                self.assertEqual(["client_credentials"], metadata["grant_types_supported"])

    def test_node_clients(self):
        """openid-client, simple-oauth2 and jose, each in its own words; clients.mjs says what they do."""
        for client in ("openid-client-basic", "openid-client-post", "simple-oauth2", "jose"):
            with self.subTest(client=client):
                environment = {"NODE_EXTRA_CA_CERTS": str(self.gate.ca), "NO_COLOR": "1"}
                done = run("node", HERE / "clients.mjs", client, self.gate.data / "demo.json", environment=environment)
                self.assertEqual(0, done.returncode, done.stdout + done.stderr)
