"""Policy as a file: checked whole, shown before it is stored, stored as a version, taken back."""

import json

from gate import GateTest

# line -> what is wrong there. Everything else in the document is right.
FAULTY = """\
[[resource_server]]
identifier = "https://faulty.example/api"
scopes = [{ name = "read" }]

[[network]]
name = "office"
cidrs = ["203.0.113.0/33"]

[[client]]
id = "faulty-client"
partner = "faulty"
scopes = ["https://faulty.example/api/wirte"]
networks = ["offcie"]
usage_plan = "gold"

[[partner]]
id = "faulty"
name = "Faulty"

[[route]]
methods = ["GET"]
path = "/faulty"
accept = [["carrier_pigeon"]]
scopes = { any = ["https://faulty.example/api/read"] }
action = { mock = { status = 200, body = "{}" } }
"""
FAULTS = {
    7: "203.0.113.0/33",
    12: "https://faulty.example/api/wirte",
    13: "offcie",
    14: "gold",
    23: "carrier_pigeon",
}

SECOND_ROUTE = """
[[route]]
methods = ["GET"]
path = "/test/second"
accept = [["api_key"]]
scopes = {{ any = ["{scope}"] }}
action = {{ mock = {{ status = 200, body = '{{"message": "second"}}' }} }}
"""


class Policy(GateTest):
    def get(self, path):
        return self.gate.request("GET", path, self.gate.key_header())

    def test_five_faults_are_five_faults(self):
        file = self.gate.scratch / "faulty.toml"
        file.write_text(FAULTY)
        done = self.gate.command("policy", "check", file, output="table")
        self.assertEqual(1, done.returncode, done.stdout + done.stderr)
        said = (done.stdout + done.stderr).splitlines()
        for line, culprit in FAULTS.items():
            self.assertEqual(culprit in FAULTY.splitlines()[line - 1], True, "the example itself is right")
            matching = [words for words in said if culprit in words]
            self.assertTrue(matching, f"nothing is said of {culprit}:\n" + "\n".join(said))
            self.assertRegex("\n".join(matching), rf"(?<!\d){line}(?!\d)", "the line is named")

    def test_what_is_in_force_is_right(self):
        self.assertEqual(0, self.gate.command("policy", "check", self.gate.data / "policies").returncode)

    def test_a_faulty_document_is_never_stored(self):
        before = self.gate.cli("policy", "history")
        folder = self.gate.scratch / "faulty"
        folder.mkdir()
        (folder / "faulty.toml").write_text(FAULTY)
        self.assertEqual(1, self.gate.command("policy", "apply", folder).returncode)
        self.assertEqual(before, self.gate.cli("policy", "history"))
        self.assert_hello(self.get(self.gate.hello))

    def test_plan_apply_history_rollback(self):
        policies = self.gate.data / "policies"
        versions = [entry["id"] for entry in self.gate.cli("policy", "history")]
        self.assertNotEqual(200, self.get("/test/second").status)

        (policies / "second.toml").write_text(SECOND_ROUTE.format(scope=self.gate.demo["scope"]))
        planned = self.gate.command("policy", "plan", policies)
        self.assertEqual(0, planned.returncode, planned.stderr)
        self.assertIn("/test/second", planned.stdout, "the difference is shown")
        self.assertNotEqual(200, self.get("/test/second").status, "a plan changes nothing")

        self.gate.cli("policy", "apply", policies)
        answer = self.get("/test/second")
        self.assertEqual((200, {"message": "second"}), (answer.status, answer.json), "in force when the command returns")
        history = self.gate.cli("policy", "history")
        self.assertEqual(len(versions) + 1, len(history))

        self.gate.cli("policy", "rollback", max(versions))
        self.assertNotEqual(200, self.get("/test/second").status, "out of force when the command returns")
        self.assert_hello(self.get(self.gate.hello))
        restored = self.gate.cli("policy", "history")
        self.assertEqual(len(history) + 1, len(restored), "a rollback is a new version; nothing is forgotten")
        (policies / "second.toml").unlink()

    def test_explain(self):
        """What would happen, and why, without a request: the same judgement, and nothing is spent."""
        allowed = self.gate.command("policy", "explain", "GET", self.gate.hello, "--client", "acme-orders")
        self.assertEqual(0, allowed.returncode, allowed.stderr)
        self.assertEqual("allow", json.loads(allowed.stdout)["decision"])
        refused = self.gate.command("policy", "explain", "GET", "/test/nowhere", "--client", "acme-orders")
        self.assertEqual("route_not_found", json.loads(refused.stdout)["code"])
