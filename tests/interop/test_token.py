"""The authorities' keys in a PKCS#11 token: SoftHSM2 makes them, keeps them, and signs; pkcs11-tool looks at them from outside."""

import os
import re
from pathlib import Path

from gate import BINARY, must_run, run
from installation import InstallationTest

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so")
LABEL, PIN, OFFICER_PIN = "portcullis", "4711-0815", "0815-4711"
KEYS = 3                                               # root, issuing, server-issuing


class Token(InstallationTest):
    """One installation whose keys lie in a token, through its life: each test goes on where the one before it ended."""

    @classmethod
    def prepare(cls):
        cls.module = next((module for module in MODULES if Path(module).exists()), None)
        if cls.module is None:
            raise AssertionError("SoftHSM2 is missing: run scripts/install-test-tools")
        (cls.folder / "tokens").mkdir()
        conf = cls.folder / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {cls.folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(conf)
        cls.pin = cls.folder / "pin"
        cls.pin.write_text(PIN + "\n")
        cls.pin.chmod(0o600)
        must_run("softhsm2-util", "--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", OFFICER_PIN)
        cls.OPTIONS = ("--pkcs11-module", cls.module, "--pkcs11-token", LABEL, "--pin-file", cls.pin)

    def objects(self):
        """What the token says of each of its private keys."""
        text = must_run("pkcs11-tool", "--module", self.module, "--token-label", LABEL, "--login", "--pin", PIN, "--list-objects",
                        "--type", "privkey")
        return [part for part in text.split("Private Key Object") if "label:" in part]

    def test_1_the_keys_are_in_the_token_and_nowhere_else(self):
        keys = self.objects()
        self.assertEqual(KEYS, len(keys), keys)
        for key in keys:
            self.assertRegex(key, r"Access:\s+sensitive, always sensitive, never extractable, local")
            self.assertRegex(key, r"label:\s+portcullis-(root|issuing|server-issuing)")
        files = sorted(file.name for file in (self.data / "keys").iterdir())
        self.assertNotIn("root.key", files)
        self.assertNotIn("issuing.key", files)
        self.assertNotIn("server-issuing.key", files)
        # The token itself refuses to show one.
        identity = re.search(r"ID:\s+([0-9a-f]+)", keys[0])[1]
        stolen = self.folder / "stolen"
        run("pkcs11-tool", "--module", self.module, "--token-label", LABEL, "--login", "--pin", PIN, "--read-object", "--type",
            "privkey", "--id", identity, "--output-file", stolen)
        self.assertFalse(stolen.exists() and stolen.stat().st_size, "a private key left the token")
        self.init()                                    # once more changes nothing
        self.assertEqual(KEYS, len(self.objects()))

    def test_2_it_issues_revokes_and_publishes(self):
        process = self.serve()
        self.cli("partner", "create", "acme", "--name", "Acme")
        self.cli("client", "create", "acme-orders", "--partner", "acme")
        for issuer in self.cli("ca", "show"):
            self.assertRegex(issuer["key_location"], r"^pkcs11:token=portcullis;object=portcullis-[a-z-]+;id=(%[0-9A-F]{2}){16};type=private$")
            self.assertEqual(issuer["kind"] != "root", issuer["signs"])
        first, second = self.sign("first"), self.sign("second")
        self.assertTrue(self.verifies(first) and self.verifies(second))
        self.cli("certificate", "revoke", first.serial, "--reason", "key-compromise")
        self.assertFalse(self.verifies(first, self.crl()))
        self.assertTrue(self.verifies(second, self.crl()))
        self.stop(process)

        process = self.serve()                         # a new process logs in anew
        self.assertTrue(self.verifies(self.sign("third"), self.crl()))
        self.assertFalse(self.verifies(first, self.crl()))
        self.assertEqual(KEYS, len(self.objects()), "a restart makes no key")
        self.stop(process)

    def test_3_the_root_signs_its_list_inside(self):
        self.assertEqual(2, self.cli("ca", "sign-crl")["number"])

    def test_4_without_the_token_or_its_pin_nothing_starts(self):
        wrong = self.folder / "wrong-pin"
        wrong.write_text("1234")
        wrong.chmod(0o600)
        settings = self.data / "portcullis.toml"
        whole = settings.read_text()
        self.addCleanup(settings.write_text, whole)
        for changed, code in [(whole.replace(f'"{self.pin}"', f'"{wrong}"'), "PIN"),
                              (whole.replace(f'token = "{LABEL}"', 'token = "another"'), "no token with the label"),
                              (whole.replace(self.module, "/nowhere.so"), "cannot be used as a PKCS#11 library")]:
            self.assertNotEqual(whole, changed)
            settings.write_text(changed)
            done = run(BINARY, "--data", self.data, "serve")
            self.assertEqual(1, done.returncode, done.stderr)
            self.assertIn(code, done.stderr)
            self.assertNotIn("1234", done.stderr, "a PIN is a secret")

    def test_5_a_key_that_could_leave_is_not_used(self):
        """Somebody puts a key from a file in place of the one that was made inside."""
        listed = self.objects()
        key = next(key for key in listed if re.search(r"label:\s+portcullis-issuing", key))
        identity = re.search(r"ID:\s+([0-9a-f]+)", key)[1]
        tool = ["pkcs11-tool", "--module", self.module, "--token-label", LABEL, "--login", "--pin", PIN]
        outside, der = self.folder / "outside.pem", self.folder / "outside.der"
        must_run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", outside)
        must_run("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", outside, "-outform", "DER", "-out", der)
        for kind in ("privkey", "pubkey"):
            must_run(*tool, "--delete-object", "--type", kind, "--id", identity)
        must_run(*tool, "--write-object", der, "--type", "privkey", "--id", identity, "--label", "portcullis-issuing")
        public = self.folder / "outside.pub"
        must_run("openssl", "pkey", "-in", outside, "-pubout", "-outform", "DER", "-out", public)
        must_run(*tool, "--write-object", public, "--type", "pubkey", "--id", identity, "--label", "portcullis-issuing")
        done = run(BINARY, "--data", self.data, "serve")
        self.assertEqual(1, done.returncode, done.stderr)
        self.assertIn("can leave its token", done.stderr)
