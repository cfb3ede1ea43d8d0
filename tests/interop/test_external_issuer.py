"""Tokens of somebody else's authorization server: taken when the policy says so, for the client it says, and for us only."""

import json
import subprocess
from pathlib import Path

import requests

from gate import CLIENT, LOGS, GateTest

HERE = Path(__file__).parent
CLIENTS = {"foreign-orders": "a-secret-of-theirs-1", "foreign-stranger": "a-secret-of-theirs-2"}

ISSUER = """
[[token_issuer]]
issuer = "{issuer}"
jwks_uri = "{issuer}/jwks"
profile = "rfc9068"
audiences = ["{audience}"]
algorithms = ["ES256"]
clients = {{ "foreign-orders" = "{client}" }}
"""


class ExternalIssuer(GateTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.audience = cls.gate.demo["scope"].rpartition("/")[0]
        settings = {"audience": cls.audience, "scope": cls.gate.demo["scope"], "clients": CLIENTS}
        with (LOGS / "issuer.log").open("w") as log:
            cls.server = subprocess.Popen(["node", HERE / "issuer.mjs", json.dumps(settings)], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, stderr=log, text=True)
        cls.addClassCleanup(cls.end)
        cls.issuer = cls.server.stdout.readline().strip()
        if not cls.issuer.startswith("http"):
            raise AssertionError("the foreign server did not start:\n" + (LOGS / "issuer.log").read_text())

    @classmethod
    def end(cls):
        cls.server.stdin.close()
        cls.server.stdout.close()
        cls.server.wait(10)

    def token(self, client="foreign-orders", **form):
        answer = requests.post(self.issuer + "/token", auth=(client, CLIENTS[client]), timeout=20,
                               data={"grant_type": "client_credentials", "scope": self.gate.demo["scope"]} | form)
        self.assertEqual(200, answer.status_code, answer.text)
        return answer.json()["access_token"]

    def present(self, token):
        return self.gate.request("GET", self.gate.hello, {"authorization": f"Bearer {token}"})

    def trust(self, **changes):
        words = {"issuer": self.issuer, "audience": self.audience, "client": CLIENT} | changes
        (self.gate.data / "policies/issuer.toml").write_text(ISSUER.format(**words))
        self.gate.cli("policy", "apply", self.gate.data / "policies")

    def setUp(self):
        self.addCleanup(self.distrust)

    def distrust(self):
        (self.gate.data / "policies/issuer.toml").unlink(missing_ok=True)
        self.gate.cli("policy", "apply", self.gate.data / "policies")

    def test_the_policy_decides(self):
        token = self.token()
        self.assert_unauthorized(self.present(token))
        self.trust()
        self.assert_hello(self.present(token))
        self.assert_unauthorized(self.present(self.token("foreign-stranger")))
        with self.subTest("a token that was made for another service"):
            self.assert_unauthorized(self.present(self.token(resource="https://elsewhere.example/")))
        with self.subTest("their signature does not make it ours: their client secret is nothing to our token endpoint"):
            answer = self.gate.token_answer(self.gate.basic_header("foreign-orders", CLIENTS["foreign-orders"]))
            self.assertEqual(401, answer.status)
        self.distrust()
        self.assert_unauthorized(self.present(token))

    def test_another_audience_is_another_door(self):
        self.trust(audience="https://elsewhere.example/")
        self.assert_unauthorized(self.present(self.token()))

    def test_the_issuer_is_compared_whole(self):
        for issuer in (self.issuer + "/", self.issuer.replace("http://", "https://"), self.issuer.upper()):
            with self.subTest(issuer=issuer):
                (self.gate.data / "policies/issuer.toml").write_text(
                    ISSUER.format(issuer=issuer, audience=self.audience, client=CLIENT).replace(
                        f'jwks_uri = "{issuer}/jwks"', f'jwks_uri = "{self.issuer}/jwks"'))
                self.gate.cli("policy", "apply", self.gate.data / "policies")
                self.assert_unauthorized(self.present(self.token()))
