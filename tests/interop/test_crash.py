"""The power goes while a certificate is being issued. Whatever a client holds afterwards is on record, and nothing hangs between."""

import random
import subprocess
import threading
import time

from gate import CLIENT, Gate, GateTest, must_run

SEED = 20261123
ROUNDS = 8
CLIENTS = 2
# The step of an issuance after which the process dies -> what the row says when it is up again.
CRASH_POINTS = {
    "after-reserve": "orphaned",
    "after-sign": "orphaned",
    "after-store": "issued",
    "before-answer": "issued",
}


def canonical(serial):
    return serial.replace(":", "").lower().lstrip("0")


class Crash(GateTest):
    def rows(self):
        """serial -> state, of every client certificate on record."""
        return {canonical(row["id"]): row["state"] for row in self.gate.cli("certificate", "list") if row["kind"] == "client"}

    def request(self, name):
        """A key and a signing request."""
        key, request = self.gate.scratch / f"{name}.key", self.gate.scratch / f"{name}.csr"
        must_run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                 "-keyout", key, "-out", request)
        return request

    def test_each_step(self):
        request = self.request("crash")
        for point, expected in CRASH_POINTS.items():
            with self.subTest(point=point):
                before = self.rows()
                self.assertEqual(0, self.gate.stop())
                self.gate.start({"PORTCULLIS_CRASH_AT": point})
                done = self.gate.command("certificate", "sign", request, "--client", CLIENT)
                self.assertEqual(1, done.returncode, "no answer comes out of a crash")
                self.assertNotIn("BEGIN CERTIFICATE", done.stdout)
                self.assertNotEqual(0, self.gate.process.wait(20), "the process died")

                self.gate.start()
                after = self.rows()
                self.assertEqual(before, {serial: after[serial] for serial in before}, "what stood before still stands")
                new = [state for serial, state in after.items() if serial not in before]
                self.assertEqual([expected], new)
                self.assert_hello(self.gate.request("GET", self.gate.hello, certificate=self.gate.certificate))

    def test_a_revocation_that_nobody_heard_of_holds(self):
        certificate = self.gate.sign("revoked-in-a-crash")
        self.assert_hello(self.gate.request("GET", self.gate.hello, certificate=certificate))
        self.assertEqual(0, self.gate.stop())
        self.gate.start({"PORTCULLIS_CRASH_AT": "after-revoke"})
        done = self.gate.command("certificate", "revoke", certificate.serial, "--reason", "key-compromise")
        self.assertEqual(1, done.returncode, "no answer comes out of a crash")
        self.assertNotEqual(0, self.gate.process.wait(20), "the process died")

        self.gate.start()
        self.assertEqual("revoked", self.rows()[canonical(certificate.serial)])
        self.assert_unauthorized(self.gate.request("GET", self.gate.hello, certificate=certificate))
        self.gate.revoke(certificate)                  # once more is no error

    def test_a_first_start_that_was_cut_short_can_be_repeated(self):
        gate = Gate("CutShort")
        self.addCleanup(gate.discard)
        with self.assertRaisesRegex(AssertionError, "the server ended"):
            gate.start({"PORTCULLIS_CRASH_AT": "after-key-files"})
        gate.start()
        self.assert_hello(gate.request("GET", gate.hello, certificate=gate.certificate))
        self.assertEqual(0, gate.stop())

    def test_any_moment(self):
        chance = random.Random(SEED)
        request = self.request("any-moment")
        obtained = []
        for number in range(ROUNDS):
            with self.subTest(round=number):
                killed = threading.Event()
                workers = [threading.Thread(target=self.issue_until, args=(killed, request, obtained)) for _ in range(CLIENTS)]
                for worker in workers:
                    worker.start()
                time.sleep(chance.uniform(0.2, 1.5))
                self.gate.kill()
                killed.set()
                for worker in workers:
                    worker.join()
                self.gate.start()

                rows = self.rows()
                self.assertNotIn("reserved", rows.values(), "what was begun and not finished is marked as such")
                lost = [serial for serial in obtained if rows.get(serial) != "issued"]
                self.assertEqual([], lost, "a client holds a certificate that is not on record")
        self.assertGreater(len(obtained), ROUNDS, "the rounds were long enough to issue something")
        print(f"\n{len(obtained)} certificates obtained over {ROUNDS} crashes (seed {SEED})")

    def issue_until(self, killed, request, obtained):
        while not killed.is_set():
            try:
                done = self.gate.command("certificate", "sign", request, "--client", CLIENT)
            except subprocess.TimeoutExpired:
                return
            if "BEGIN CERTIFICATE" in done.stdout:
                serial = must_run("openssl", "x509", "-noout", "-serial", stdin=first_certificate(done.stdout))
                obtained.append(canonical(serial.strip().removeprefix("serial=")))


def first_certificate(text):
    """The first PEM certificate in the JSON of the CLI, or in what a table shows."""
    text = text.replace("\\n", "\n")
    begin = text.index("-----BEGIN CERTIFICATE-----")
    end = text.index("-----END CERTIFICATE-----", begin)
    return text[begin:end] + "-----END CERTIFICATE-----\n"
