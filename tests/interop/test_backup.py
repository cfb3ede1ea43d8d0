"""The disk is lost: an encrypted export comes back, and nothing is issued until what others kept has put it right."""

from gate import BINARY, must_run, run
from installation import InstallationTest


class Backup(InstallationTest):
    def test_lost_restored_and_reconciled(self):
        process = self.serve()
        self.cli("partner", "create", "acme", "--name", "Acme")
        self.cli("client", "create", "acme-orders", "--partner", "acme")
        before = self.sign("before")
        secret = self.folder / "export-passphrase"
        secret.write_text("a passphrase for exports\n")
        secret.chmod(0o600)
        export = self.folder / "portcullis.export"
        exported = self.cli("ca", "export", "--encrypted", export, "--passphrase-file", secret)
        self.assertGreater(exported["files"], 5)
        self.assertEqual(0o600, export.stat().st_mode & 0o777)
        octets = export.read_bytes()
        for plain in (b"SQLite format 3", b"ENCRYPTED PRIVATE KEY", b"acme-orders"):
            self.assertNotIn(plain, octets, "nothing of it is readable")
        again = run(BINARY, "--data", self.data, "ca", "export", "--encrypted", export, "--passphrase-file", secret)
        self.assertEqual(1, again.returncode, "no export is overwritten")

        after = self.sign("after")
        self.cli("certificate", "revoke", before.serial, "--reason", "key-compromise")
        kept = self.crl()
        self.stop(process)

        lost, self.data = self.data, self.folder / "restored"
        wrong = self.folder / "wrong-passphrase"
        wrong.write_text("another passphrase\n")
        wrong.chmod(0o600)
        done = run(BINARY, "--data", self.data, "ca", "restore", export, "--passphrase-file", wrong)
        self.assertEqual(1, done.returncode)
        self.assertFalse(self.data.exists(), "what does not open leaves nothing behind")
        self.assertEqual(exported, self.cli("ca", "restore", export, "--passphrase-file", secret))
        self.assertFalse((self.data / "keys/root.key").exists())
        must_run("cp", "-p", lost / "keys/passphrase", self.data / "keys/")

        process = self.serve()
        request = self.folder / "before.csr"
        refused = run(BINARY, "--data", self.data, "certificate", "sign", request, "--client", "acme-orders", "--output", "json")
        self.assertEqual(1, refused.returncode)
        self.assertIn("not_reconciled", refused.stderr)
        number = next(issuer for issuer in self.cli("ca", "show") if issuer["kind"] == "issuing")["crl_number"]
        self.assertGreater(number, 65_536)
        self.stop(process)

        done = self.cli("ca", "reconcile", "--crl", kept, "--certificate", after.chain)
        self.assertEqual((1, 1), (done["certificates_added"], done["revocations_added"]))
        process = self.serve()
        states = {row["id"]: row["state"] for row in self.cli("certificate", "list", "--client", "acme-orders")}
        self.assertEqual({"revoked", "issued"}, set(states.values()) - {"active"} | {"issued"})
        self.assertTrue(self.verifies(self.sign("new"), self.crl()))
        self.assertFalse(self.verifies(before, self.crl()))
        self.assertTrue(self.verifies(after, self.crl()))
        self.stop(process)
