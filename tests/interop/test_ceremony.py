"""An installation whose root key is on another machine, judged by openssl: the ceremony, the yearly list, and a change of roots."""

import json
import re
import shutil
import tempfile
import unittest
from pathlib import Path

from gate import BINARY, must_run, run


class Ceremony(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ceremony-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.data, self.stick = self.folder / "data", self.folder / "stick"
        self.stick.mkdir()
        self.passphrase = self.folder / "root.passphrase"
        self.passphrase.write_text("correct horse battery staple\n")
        self.passphrase.chmod(0o600)

    def portcullis(self, *arguments, code=0):
        done = run(BINARY, *arguments)
        self.assertEqual(code, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def ceremony(self, step, *arguments, root="root", code=0):
        done = run(BINARY, "ca", "ceremony", step, "--root", self.folder / root, "--passphrase-file", self.passphrase,
                   "--witness", "A. Auditor", *arguments, "--output", "json")
        self.assertEqual(code, done.returncode, done.stdout + done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def init(self, code=0):
        return self.portcullis("--data", self.data, "init", "--hostname", "api.example.com", "--pki-url", "http://pki.example.com",
                               "--ceremony", self.stick, code=code)

    def carry(self, *names, root="root"):
        for name in names:
            shutil.copy(self.folder / root / name, self.stick / name)

    def installed(self):
        self.ceremony("init-root", "--name", "Example Root CA")
        said = self.init()
        for kind in ("issuing", "server-issuing"):
            signed = self.ceremony("sign-issuing", "--kind", kind, "--request", self.stick / f"{kind}.csr",
                                   "--out", self.stick / f"{kind}.pem", "--pki-url", "http://pki.example.com")
            self.assertIn(signed["spki_sha256"], said, "both machines show the same hash of the key")
        self.carry("root.pem", "root.crl")
        return self.init()

    def verify(self, *options):
        return run("openssl", "verify", "-x509_strict", *options)

    def test_an_installation_without_its_roots_key(self):
        self.installed()
        self.assertFalse((self.data / "keys/root.key").exists())
        self.assertEqual((self.folder / "root/root.pem").read_text(), (self.data / "ca.pem").read_text())
        admin = self.data / "admin/admin.crt"
        for options in (("-purpose", "sslclient"), ("-crl_check", "-CRLfile", self.stick / "root.crl")):
            target = self.stick / "issuing.pem" if "-crl_check" in options else admin
            done = self.verify("-CAfile", self.data / "ca.pem", "-untrusted", admin, *options, target)
            self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        text = must_run("openssl", "x509", "-in", self.stick / "issuing.pem", "-noout", "-text")
        self.assertIn("CA:TRUE, pathlen:0", text)
        self.assertRegex(text, r"URI:http://pki.example.com/crl/[0-9a-f]{40}.crl")

    def portcullis_refused(self, *arguments):
        done = run(BINARY, *arguments)
        self.assertEqual(1, done.returncode, done.stdout + done.stderr)
        return done.stderr

    def test_nothing_goes_on_before_the_ceremony(self):
        self.ceremony("init-root")
        self.init()
        self.assertIn("offline root", self.portcullis_refused("--data", self.data, "init"))
        self.assertEqual(1, run(BINARY, "ca", "ceremony", "init-root", "--root", self.folder / "root",
                                "--passphrase-file", self.passphrase).returncode, "a root is never made twice")

    def test_the_transcript_names_every_file(self):
        self.installed()
        self.ceremony("sign-crl")
        report = json.loads(self.portcullis("ca", "ceremony", "verify", "--root", self.folder / "root", "--output", "json"))
        self.assertEqual((4, []), (report["steps"], report["faults"]))
        for file in report["files"]:
            path = self.folder / "root" / file["file"]
            self.assertEqual(file["sha256"], must_run("sha256sum", path).split()[0])
        lines = (self.folder / "root/transcript.jsonl").read_text().splitlines()
        for before, line in zip(lines, lines[1:]):
            (self.folder / "line").write_text(before)
            self.assertEqual(json.loads(line)["previous"], must_run("sha256sum", self.folder / "line").split()[0])
        (self.folder / "root/transcript.jsonl").write_text("\n".join(lines[:1] + lines[2:]) + "\n")
        self.portcullis("ca", "ceremony", "verify", "--root", self.folder / "root", code=1)

    def test_the_yearly_list_revokes_an_authority_for_openssl(self):
        self.installed()
        self.ceremony("sign-crl", "--revoke", self.stick / "issuing.pem", "--reason", "ca-compromise")
        done = self.verify("-CAfile", self.data / "ca.pem", "-crl_check", "-CRLfile", self.folder / "root/root.crl",
                           self.stick / "issuing.pem")
        self.assertIn("certificate revoked", done.stdout + done.stderr)
        text = must_run("openssl", "crl", "-in", self.folder / "root/root.crl", "-noout", "-text")
        self.assertRegex(text, r"(?s)CRL Number:\s*\n?\s*2\b.*CA Compromise")

    def test_one_root_certifies_the_next(self):
        self.ceremony("init-root", "--name", "Old Root CA")
        self.ceremony("init-root", "--name", "New Root CA", root="next")
        for by, other, out in (("root", "next", "new-with-old.pem"), ("next", "root", "old-with-new.pem")):
            self.ceremony("cross-sign", "--other", self.folder / other / "root.pem", "--out", self.stick / out, root=by)
        self.init()
        self.ceremony("sign-issuing", "--kind", "issuing", "--request", self.stick / "issuing.csr", "--out",
                      self.folder / "issuing.pem", root="next")
        line = self.folder / "line.pem"
        line.write_text((self.stick / "new-with-old.pem").read_text())
        for root in ("root", "next"):
            done = self.verify("-CAfile", self.folder / root / "root.pem", "-untrusted", line, self.folder / "issuing.pem")
            self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        names = {re.search(r"CN ?= ?(.+)", must_run("openssl", "x509", "-in", self.folder / root / "root.pem", "-noout", "-subject"))[1]
                 for root in ("root", "next")}
        self.assertEqual(2, len(names))
