"""The documents for partners: every command and program in them that we can run does what the text says."""

import re
import sys

from gate import ROOT, GateTest, must_run, run

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HELLO_TEXT = '{"message": "hello world!"}'


class Partners(GateTest):
    """docs/partners.md, from top to bottom. Blocks tagged `js`, `java` and `csharp` need what the tests do not install."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # As the document says: the folder that holds `portcullis-demo`.
        cls.folder = cls.gate.folder
        (cls.folder / "portcullis-demo").symlink_to(cls.gate.data)
        cls.blocks = BLOCK.findall((ROOT / "docs/partners.md").read_text())
        settings = cls.blocks[0][1]
        told = must_run("bash", "-e", "-c", f"{settings}\nenv -0", cwd=cls.folder)
        cls.environment = dict(entry.split("=", 1) for entry in told.split("\0") if entry.startswith("GATE_"))
        cls.environment["NODE_EXTRA_CA_CERTS"] = cls.environment["GATE_CA"]

    def programs(self, tag):
        return [text for found, text in self.blocks if found == tag]

    def assert_greeted(self, done):
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertEqual(HELLO_TEXT, done.stdout.strip(), done.stderr)

    def test_the_settings_are_whole(self):
        self.assertEqual(11, sum(name.startswith("GATE_") for name in self.environment), self.environment.keys())
        self.assertNotIn("", self.environment.values())

    def test_curl(self):
        calls = [text for text in self.programs("bash") if re.search(r"^curl .*\$GATE_URL$", text, re.MULTILINE)]
        self.assertEqual(3, len(calls))
        for text in calls:
            with self.subTest(text):
                self.assert_greeted(run("bash", "-e", "-c", text, cwd=self.folder, environment=self.environment))

    def test_python(self):
        programs = self.programs("python")
        self.assertEqual(3, len(programs))
        for text in programs:
            with self.subTest(text):
                self.assert_greeted(run(sys.executable, "-c", text, cwd=self.folder, environment=self.environment))

    def test_node(self):
        programs = self.programs("javascript")
        self.assertEqual(3, len(programs))
        for text in programs:
            with self.subTest(text):
                done = run("node", "--input-type=module", "-", stdin=text, cwd=self.folder, environment=self.environment)
                self.assert_greeted(done)

    def test_the_request_that_a_partner_makes_is_signed(self):
        request = next(text for text in self.programs("bash") if text.startswith("openssl req "))
        must_run("bash", "-e", "-c", request, cwd=self.folder)
        answer = self.gate.cli("certificate", "sign", self.folder / "acme.csr", "--client", self.gate.demo["client_id"])
        (self.folder / "acme.crt").write_text(answer["certificate_pem"] + answer["chain_pem"])
        done = run("curl", "-s", "--cacert", self.gate.ca, "--cert", "acme.crt", "--key", "acme.key",
                   self.environment["GATE_URL"], cwd=self.folder)
        self.assert_greeted(done)
