"""One authority after another while openssl and curl go on, and what happens when one is tainted."""

import json
import re
import subprocess
import time

from gate import BINARY, CLIENT, GateTest, ask, must_run, run

PATIENCE_SECONDS = 20


def hinted(gate):
    """The authorities that the server names in its CertificateRequest, as openssl reads them."""
    host, port = gate.address("mtls")
    done = subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", "-CAfile", gate.ca], input="", capture_output=True,
                          text=True, timeout=PATIENCE_SECONDS)
    names = re.search(r"Acceptable client certificate CA names\n(.*?)\n(?:Requested|Client Certificate|Peer|Server Temp|Shared)",
                      done.stdout, re.DOTALL)
    return set(names[1].splitlines()) if names else set()


def eventually(condition, what):
    """The listeners follow a change within moments of its answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(what)
        time.sleep(0.05)


class Rotation(GateTest):
    def curl(self, certificate):
        url = f"{self.gate.demo['mtls']}{self.gate.hello}"
        done = run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", self.gate.ca, *certificate.curl(), url)
        return done.stdout

    def verify(self, certificate, ca):
        return run("openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", ca, "-untrusted", certificate.chain,
                   certificate.chain)

    def issuers(self, kind):
        return {issuer["id"]: issuer for issuer in self.gate.cli("ca", "show") if issuer["kind"] == kind}

    def rotate(self, *arguments, code=0):
        done = self.gate.command("ca", "rotate", *arguments)
        self.assertEqual(code, done.returncode, done.stdout + done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else done.stderr

    def test_1_old_and_new_chains_side_by_side(self):
        old, root = self.gate.sign("old"), self.gate.scratch / "root-before.pem"
        root.write_text(self.gate.ca.read_text())
        before = hinted(self.gate)
        self.assertEqual(2, len(before), before)
        self.rotate("issuing", "--to", "trusted")
        eventually(lambda: len(hinted(self.gate)) == 3, "the new name is in the hints")
        self.assertLess(before, hinted(self.gate))
        self.rotate("issuing", "--to", "active")
        new = self.gate.sign("new")
        self.assertNotEqual(*(must_run("openssl", "x509", "-in", one.chain, "-noout", "-issuer") for one in (old, new)))
        for certificate in (old, new):
            self.assertEqual("200", self.curl(certificate))
            done = self.verify(certificate, root)
            self.assertEqual(0, done.returncode, done.stderr)

        dry = self.rotate("issuing", "--dry-run", code=1)
        self.assertEqual(["remove"], [step["step"] for step in dry["steps"]])
        named = {client["client"]: client for client in dry["clients"]}
        self.assertTrue(named["portcullis-admin"]["would_break"], "it has no other certificate")
        self.assertGreater(named[CLIENT]["certificates"], 0)
        self.assertIn("would be shut out", self.rotate("issuing", code=1))
        self.assertEqual("200", self.curl(old), "a refusal changes nothing")
        table = self.gate.command("ca", "rotate", "issuing", "--dry-run", output="table").stdout
        self.assertRegex(table, r"portcullis-admin\b.*breaks")

    def test_2_a_new_root_is_reached_from_either(self):
        old_root = self.gate.scratch / "old-root.pem"
        old_root.write_text(self.gate.ca.read_text())
        self.rotate("root", "--to", "active")
        self.rotate("issuing", "--to", "removed", "--force")
        # The administrator's own certificate was the old authority's: the files give him another.
        self.gate.stop()
        must_run(BINARY, "--data", self.gate.data, "init")
        self.gate.start()
        self.rotate("issuing", "--to", "active")
        self.rotate("server-issuing", "--to", "active")
        blocks = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", self.gate.ca.read_text(), re.DOTALL)
        self.assertEqual(2, len(blocks), "both roots are handed out")
        new_root = self.gate.scratch / "new-root.pem"
        new_root.write_text(next(block for block in blocks if block not in old_root.read_text()))
        certificate = self.gate.sign("after")
        self.assertEqual("200", self.curl(certificate))
        url = f"{self.gate.demo['gateway']}/.well-known/jwks.json"
        for root in (old_root, new_root):
            done = self.verify(certificate, root)
            self.assertEqual(0, done.returncode, f"{root.name}: {done.stderr}")
            eventually(lambda: run("curl", "-s", "-f", "--cacert", root, url).returncode == 0, f"{root.name} reaches the gate")
        self.assertIn("below it", self.rotate("root", "--to", "removed", "--force", code=1))

    def test_3_a_tainted_authority_is_denied_at_once(self):
        certificate = self.gate.sign("tainted")
        issuer = next(id for id, issuer in self.issuers("issuing").items() if issuer["state"] == "active")
        kept = self.gate.connection("mtls", certificate)
        self.assert_hello(ask(kept, "GET", self.gate.hello))
        answer = self.gate.cli("ca", "taint", issuer)
        self.assertTrue(answer["newly"])
        self.assertGreaterEqual(answer["connections_closed"], 1)
        self.assert_cut_off(kept, self.gate.hello)
        self.assertNotEqual("200", self.curl(certificate))

        # As docs/operations.md says: with the server stopped.
        self.gate.stop()
        done = run(BINARY, "--data", self.gate.data, "ca", "rotate", "issuing", "--to", "active", "--offline", "--output", "json")
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        must_run(BINARY, "--data", self.gate.data, "init")
        self.gate.start()
        shown = self.issuers("issuing")[issuer]
        self.assertEqual(("retiring", True), (shown["state"], shown["tainted_at"] is not None))
        self.assertNotEqual("200", self.curl(certificate))
        self.assertEqual("200", self.curl(self.gate.sign("healthy")))
        self.assertIn("TAINTED", self.gate.command("ca", "show", output="table").stdout)
        changes = self.gate.cli("audit", "list", "--kind", "change", "--limit", "100")
        self.assertIn("issuer.taint", {change["action"] for change in changes})
