"""The documents: links lead somewhere, nothing that the source knows is left out, and what a partner is told to type works."""

import re
import sys
import unittest

from gate import ROOT, GateTest, must_run, run

DOCUMENTS = [path for folder in (".", "docs", "deploy") for path in sorted((ROOT / folder).glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HELLO_TEXT = '{"message": "hello world!"}'


def text_of(*places):
    return "\n".join((ROOT / place).read_text() for place in places)


def anchors_of(path):
    """As GitHub makes them out of headings."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


class Whole(unittest.TestCase):
    def test_every_link_leads_somewhere(self):
        for path in DOCUMENTS:
            for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
                if link.startswith(("http:", "https:")):
                    continue
                with self.subTest(document=path.name, link=link):
                    file, _, anchor = link.partition("#")
                    target = (path.parent / file).resolve() if file else path
                    self.assertTrue(target.exists())
                    if anchor:
                        self.assertIn(anchor, anchors_of(target))

    def assert_documented(self, names, document):
        text = text_of(document)
        self.assertGreater(len(names), 5, "the pattern still finds what it should")
        self.assertEqual(set(), {name for name in names if f"`{name}`" not in text}, f"missing from {document}")

    def test_every_setting_is_documented(self):
        fields = re.findall(r"^    pub (\w+): ", text_of("src/config/file.rs"), re.MULTILINE)
        listener = text_of("src/config/listener.rs").partition("pub struct ListenerFile {")[2].partition("}")[0]
        fields += re.findall(r"pub (\w+): ", listener)
        fields += re.findall(r"^    pub (\w+): Option", text_of("src/config/expiry.rs"), re.MULTILINE)
        fields += re.findall(r"^    pub (\w+): Option", text_of("src/config/usage.rs"), re.MULTILINE)
        fields += re.findall(r"^    pub (\w+): (?:Option|String)", text_of("src/config/keys.rs").partition("Settings")[0], re.MULTILINE)
        tables = {"listener", "oauth", "keys", "pki", "limits", "audit", "expiry", "usage", "log", "pkcs11", "rate", "burst"}
        self.assert_documented(set(fields) - tables, "docs/configuration.md")

    def test_every_code_is_documented(self):
        codes = set(re.findall(r'=> "([a-z_]+)"', text_of("policies/src/denial.rs", "src/gateway/stop.rs")))
        self.assert_documented(codes, "docs/errors.md")

    def test_every_metric_is_documented_and_every_alert_has_one(self):
        source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.rs"))
        metrics = set(re.findall(r'(?:counter|gauge|histogram)!\(\s*"(portcullis_\w+)"', source))
        self.assert_documented(metrics, "docs/operations.md")
        alerts = set(re.findall(r"portcullis_\w+", text_of("deploy/prometheus-rules.yml")))
        self.assertEqual(set(), {name for name in alerts if name.removesuffix("_bucket") not in metrics})


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

    def test_a_certificate_is_renewed(self):
        renewal = next(text for text in self.programs("bash") if "/renew" in text)
        must_run("bash", "-e", "-c", renewal, cwd=self.folder, environment=self.environment)
        done = run("curl", "-s", "--cacert", self.gate.ca, "--cert", "next.crt", "--key", "next.key", self.environment["GATE_URL"],
                   cwd=self.folder)
        self.assert_greeted(done)

    def test_the_request_that_a_partner_makes_is_signed(self):
        request = next(text for text in self.programs("bash") if text.startswith("openssl req "))
        must_run("bash", "-e", "-c", request, cwd=self.folder)
        answer = self.gate.cli("certificate", "sign", self.folder / "acme.csr", "--client", self.gate.demo["client_id"])
        (self.folder / "acme.crt").write_text(answer["certificate_pem"] + answer["chain_pem"])
        done = run("curl", "-s", "--cacert", self.gate.ca, "--cert", "acme.crt", "--key", "acme.key",
                   self.environment["GATE_URL"], cwd=self.folder)
        self.assert_greeted(done)
