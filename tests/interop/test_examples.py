"""The examples for partners do what the documents say of them: they get in, and say why when they do not."""

import json
import sys

from gate import HELLO, ROOT, GateTest, run

EXAMPLES = ROOT / "examples"


class Examples(GateTest):
    def example(self, name, demo_file=None):
        """Runs one as its first lines say."""
        return run(sys.executable, EXAMPLES / f"{name}.py", demo_file or self.gate.data / "demo.json")

    def demo_with(self, **changes):
        """A copy of demo.json with other values in it; its paths are absolute, since it lies elsewhere."""
        paths = ("ca", "client_certificate", "client_key")
        demo = self.gate.demo | {name: str(self.gate.path(name)) for name in paths} | changes
        file = self.gate.scratch / "demo.json"
        file.write_text(json.dumps(demo))
        return file

    def test_each_gets_in(self):
        for name, calls in (("partner_certificate", 1), ("partner_api_key", 1), ("partner_token", 2)):
            with self.subTest(example=name):
                done = self.example(name)
                self.assertEqual((0, ""), (done.returncode, done.stderr), done.stdout)
                self.assertEqual([HELLO] * calls, [json.loads(line) for line in done.stdout.splitlines()])

    def assert_refused(self, done, words):
        self.assertEqual(1, done.returncode, done.stdout + done.stderr)
        self.assertEqual("", done.stdout)
        self.assertTrue(done.stderr.startswith(words), done.stderr)
        self.assertRegex(done.stderr, r"(?m)^decision id: [0-9a-f-]{36}$")

    def test_a_key_that_was_mistyped(self):
        wrong = self.demo_with(api_key=self.gate.demo["api_key"][:-1])
        self.assert_refused(self.example("partner_api_key", wrong), "401 credential_unknown: ")

    def test_a_secret_that_is_wrong(self):
        wrong = self.demo_with(client_secret="x" * 48)
        self.assert_refused(self.example("partner_token", wrong), "401 invalid_client: ")

    def test_a_certificate_that_was_revoked(self):
        certificate = self.gate.sign("example-revoked")
        self.gate.revoke(certificate)
        revoked = self.demo_with(client_certificate=str(certificate.chain), client_key=str(certificate.key))
        self.assert_refused(self.example("partner_certificate", revoked), "401 credential_unknown: ")

    def test_a_path_that_is_not_there(self):
        nowhere = self.demo_with(path="/nowhere")
        for name in ("partner_certificate", "partner_api_key", "partner_token"):
            with self.subTest(example=name):
                self.assert_refused(self.example(name, nowhere), "404 route_not_found: ")

    def test_a_ca_that_is_another(self):
        stranger = self.demo_with(ca=str(self.gate.certificate.chain))
        for name in ("partner_certificate", "partner_api_key", "partner_token"):
            with self.subTest(example=name):
                done = self.example(name, stranger)
                self.assertEqual((1, ""), (done.returncode, done.stdout))
                self.assertIn("CERTIFICATE_VERIFY_FAILED", done.stderr)
