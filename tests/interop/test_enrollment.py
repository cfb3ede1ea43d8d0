"""Enrolment as a partner lives it: the text that `enrollment create` prints, pasted into a shell. The tools are those that the text
names; the key never leaves the folder it was made in."""

import json
import os
import re
import subprocess
from pathlib import Path

from gate import HELLO, Certificate, GateTest, must_run, run

KINDS = {"ecdsa-p256": "id-ecPublicKey", "ecdsa-p384": "id-ecPublicKey", "ed25519": "ED25519", "rsa-3072": "rsaEncryption"}


class Invited(GateTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Two people: what the demo's administrator makes, the other one approves.
        cls.gate.cli("partner", "create", "operations")
        cls.gate.cli("client", "create", "second-admin", "--partner", "operations",
                     "--scope", "portcullis/admin.read", "--scope", "portcullis/admin.write")
        cls.second = cls.gate.sign("second", client="second-admin")

    def invite(self, tool, *options):
        """What the operator sends, as it comes out of the command line."""
        done = self.gate.command("enrollment", "create", "--client", "acme-orders", "--for", tool, *options, output="table")
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def folder(self, name):
        folder = self.gate.folder / f"partner-{name}"
        folder.mkdir()
        return folder

    def paste(self, text, folder, shell="bash", environment=None):
        return run(shell, "-c", text, cwd=folder, environment=environment)

    def by_second(self, *arguments):
        """A command of the second administrator."""
        done = run(os.environ.get("PORTCULLIS_BIN", Path(__file__).resolve().parents[2] / "target/debug/portcullis"),
                   "--admin", self.gate.demo["admin"], "--ca", self.gate.ca, "--certificate", self.second.chain,
                   "--key", self.second.key, *arguments, "--output", "json")
        return done

    def assert_opens_the_gate(self, certificate):
        self.assert_hello(self.gate.request("GET", self.gate.hello, certificate=certificate))


class OpenSsl(Invited):
    def test_the_text_works_when_pasted(self):
        for shell in ("bash", "sh"):
            for kind, algorithm in KINDS.items():
                with self.subTest(shell=shell, kind=kind):
                    folder = self.folder(f"{shell}-{kind}")
                    done = self.paste(self.invite("openssl", "--key-algorithm", kind), folder, shell)
                    self.assertEqual(0, done.returncode, done.stdout + done.stderr)
                    key, chain = folder / "acme-orders.key", folder / "acme-orders.crt"
                    self.assertEqual(0o600, key.stat().st_mode & 0o777, "nobody else reads the key")
                    self.assertEqual(2, chain.read_text().count("BEGIN CERTIFICATE"))
                    self.assertIn(algorithm, must_run("openssl", "x509", "-in", chain, "-noout", "-text"))
                    must_run("openssl", "verify", "-CAfile", self.gate.ca, "-untrusted", chain, "-purpose", "sslclient", chain)
                    if kind != "ed25519":
                        self.assert_opens_the_gate(Certificate(chain, key))

    def test_pasted_twice_it_goes_on_with_the_same_key(self):
        folder, text = self.folder("twice"), self.invite("openssl")
        first = self.paste(text, folder)
        key, chain = (folder / "acme-orders.key").read_bytes(), (folder / "acme-orders.crt").read_bytes()
        again = self.paste(text, folder)
        self.assertEqual((0, 0), (first.returncode, again.returncode), again.stderr)
        self.assertEqual((key, chain), ((folder / "acme-orders.key").read_bytes(), (folder / "acme-orders.crt").read_bytes()))

    def test_whoever_finds_the_text_later_gets_nothing(self):
        text = self.invite("openssl")
        self.assertEqual(0, self.paste(text, self.folder("owner")).returncode)
        late = self.paste(text, self.folder("late"))
        self.assertEqual(1, late.returncode)
        self.assertIn("enrollment_used", late.stderr)
        found = [item for item in self.gate.cli("enrollment", "list", "--client", "acme-orders") if item["misused_at"]]
        self.assertEqual(1, len(found), "the operator sees it")

    def test_it_waits_for_a_second_person(self):
        folder, text = self.folder("waiting"), self.invite("openssl", "--approve")
        # The minute between two questions, as a moment in which the second administrator acts.
        tools, mark = folder / "tools", folder / "asked"
        tools.mkdir()
        (tools / "sleep").write_text(f"#!/bin/sh\n[ \"$1\" = 60 ] || exit 1\ntouch {mark}\nwhile [ -e {mark} ]; do /bin/sleep 0.1; done\n")
        (tools / "sleep").chmod(0o755)
        environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
        partner = subprocess.Popen(["bash", "-c", text], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(partner.kill)
        deadline = 30
        while not mark.exists() and partner.poll() is None and deadline > 0:
            subprocess.run(["sleep", "0.1"], check=True)
            deadline -= 0.1
        [waiting] = self.gate.cli("enrollment", "list", "--state", "pending")
        own = self.gate.command("enrollment", "approve", waiting["id"])
        self.assertEqual(1, own.returncode)
        self.assertIn("approver_is_creator", own.stderr)
        fingerprint = must_run("bash", "-c", "openssl req -in acme-orders.csr -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum",
                               cwd=folder).split()[0]
        self.assertEqual(fingerprint, waiting["spki_fingerprint"], "what the partner reads out over the telephone")
        approved = self.by_second("enrollment", "approve", waiting["id"], "--remark", "read back by phone")
        self.assertEqual(0, approved.returncode, approved.stderr)
        self.assertEqual("issued", json.loads(approved.stdout)["status"])
        mark.unlink()
        output, _ = partner.communicate(timeout=30)
        self.assertEqual(0, partner.returncode, output)
        self.assertIn("A second person must approve this", output)
        self.assert_opens_the_gate(Certificate(folder / "acme-orders.crt", folder / "acme-orders.key"))

    def test_a_denied_request_says_why(self):
        created = self.gate.cli("enrollment", "create", "--client", "acme-orders", "--approve")
        request = self.folder("denied") / "x.csr"
        must_run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
                 "-keyout", request.with_suffix(".key"), "-out", request)
        headers = {"authorization": f"Bearer {created['token']}", "content-type": "application/pkcs10"}
        answer = self.gate.request("POST", "/v1/enroll", headers, request.read_text())
        self.assertEqual((202, "60"), (answer.status, answer.headers["retry-after"]), answer)
        self.gate.cli("enrollment", "deny", created["id"], "--reason", "not the key that was read to us")
        answer = self.gate.request("POST", "/v1/enroll", headers, request.read_text())
        self.assertEqual((403, "enrollment_denied"), (answer.status, answer.json["code"]))
        self.assertIn("not the key that was read to us", answer.json["detail"])

    def test_a_token_that_was_taken_back_is_worth_nothing(self):
        text = self.invite("openssl")
        [token] = re.findall(r"Bearer (pe_\S+?)\"", text)
        self.gate.cli("enrollment", "cancel", token.split("_")[2])
        done = self.paste(text, self.folder("cancelled"))
        self.assertEqual(1, done.returncode)
        self.assertIn("enrollment_cancelled", done.stderr)


class Keytool(Invited):
    def test_the_text_works_when_pasted(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                folder = self.folder(f"java-{kind}")
                text = self.invite("keytool", "--key-algorithm", kind)
                for _ in ("once", "and by mistake again"):
                    done = self.paste(text, folder)
                    self.assertEqual(0, done.returncode, done.stdout + done.stderr)
                store = folder / "acme-orders.p12"
                listed = must_run("keytool", "-list", "-v", "-keystore", store, "-storepass:file", "acme-orders.p12.password", cwd=folder)
                self.assertIn("PrivateKeyEntry", listed)
                self.assertIn("Certificate chain length: 3", listed)
                if kind == "ed25519":
                    continue
                # The store as another program reads it, on the wire.
                pem = folder / "all.pem"
                must_run("openssl", "pkcs12", "-in", store, "-passin", "file:acme-orders.p12.password", "-nodes", "-out", pem, cwd=folder)
                done = run("curl", "--silent", "--cacert", self.gate.ca, "--cert", f"{store}:{(folder / 'acme-orders.p12.password').read_text()}",
                           "--cert-type", "P12", self.gate.demo["gateway"] + self.gate.hello)
                self.assertEqual(HELLO, json.loads(done.stdout or "null"), done.stderr)


class PowerShell(Invited):
    def test_the_text_is_whole(self):
        """No PowerShell can be installed where the tests run: what is checked is that nothing in the text is left open."""
        text = self.invite("powershell")
        self.assertNotIn("{{", text)
        self.assertEqual(1, text.count("Authorization = 'Bearer pe_"))
        self.assertIn(self.gate.demo["gateway"] + "/v1/enroll", text)
        done = self.gate.command("enrollment", "create", "--client", "acme-orders", "--for", "powershell", "--key-algorithm", "ed25519",
                                 output="table")
        self.assertEqual(1, done.returncode, "a text that could not work is not printed")
