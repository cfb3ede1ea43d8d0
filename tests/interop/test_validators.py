"""Path validation by the libraries that relying parties have: Java's PKIX, Node's TLS, Python's cryptography, GnuTLS. They accept what we
issue, and refuse it by what we publish once it is revoked: by the lists, and by the responder."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification

from gate import GateTest, must_run, run
from test_openssl import distribution_point, fetch_crl, split_chain

HERE = Path(__file__).resolve().parent
KEYS = ("ecdsa-p256", "ecdsa-p384", "rsa-2048")


class Validators(GateTest):
    def lists(self, certificate):
        """The newest list of each link, in one PEM file."""
        files = [fetch_crl(distribution_point(file), self.gate.scratch, f"list-{number}")
                 for number, file in enumerate(split_chain(certificate, self.gate.scratch))]
        together = self.gate.scratch / "lists.pem"
        together.write_text("".join(file.read_text() for file in files))
        return together

    def accepts_then_refuses(self, judge, why):
        """`why`: what the refusal must say, so that nothing else is refused."""
        certificate = self.gate.sign(f"judged-by-{judge.__name__}")
        self.assertEqual("accepted", judge(certificate))
        self.gate.revoke(certificate, "superseded")
        self.assertRegex(judge(certificate), f"^rejected: .*{why}")
        self.assertEqual("accepted", judge(self.gate.certificate), "another certificate is still good")

    # ---- the judges ---------------------------------------------------------------------------------------------------

    def java_by_lists(self, certificate):
        return must_run("java", HERE / "Pkix.java", "crl", self.gate.ca, certificate.chain, self.lists(certificate)).strip()

    def java_by_responder(self, certificate):
        return must_run("java", HERE / "Pkix.java", "ocsp", self.gate.ca, certificate.chain).strip()

    def node(self, certificate):
        server = [self.gate.scratch / f"relying-party.{suffix}" for suffix in ("crt", "key")]
        if not server[0].exists():
            must_run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
                     "/CN=127.0.0.1", "-keyout", server[1], "-out", server[0])
        return must_run("node", HERE / "relying_party.mjs", self.gate.ca, self.lists(certificate), certificate.chain, certificate.key,
                        *server).strip()

    def cryptography(self, certificate):
        leaf, *rest = x509.load_pem_x509_certificates(certificate.chain.read_bytes())
        root = x509.load_pem_x509_certificate(self.gate.ca.read_bytes())
        verifier = verification.PolicyBuilder().store(verification.Store([root])).build_client_verifier()
        try:
            chain = verifier.verify(leaf, rest).chain
        except verification.VerificationError as error:
            return f"rejected: {error}"
        now = datetime.datetime.now(datetime.timezone.utc)
        for number, (subject, issuer) in enumerate(zip(chain, chain[1:])):
            file = self.gate.scratch / f"link-{number}.pem"
            file.write_bytes(subject.public_bytes(Encoding.PEM))
            crl = x509.load_pem_x509_crl(fetch_crl(distribution_point(file), self.gate.scratch, f"link-{number}").read_bytes())
            self.assertTrue(crl.is_signature_valid(issuer.public_key()), issuer.subject)
            self.assertEqual(issuer.subject, crl.issuer)
            self.assertTrue(crl.last_update_utc <= now < crl.next_update_utc)
            if entry := crl.get_revoked_certificate_by_serial_number(subject.serial_number):
                return f"rejected: {entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.name}"
        return "accepted"

    def gnutls(self, certificate):
        done = run("certtool", "--verify", "--verify-profile", "medium", "--verify-purpose", "1.3.6.1.5.5.7.3.2",
                   "--load-ca-certificate", self.gate.ca, "--load-crl", self.lists(certificate), "--infile", certificate.chain)
        return "accepted" if done.returncode == 0 else f"rejected: {done.stdout}{done.stderr}".replace("\n", " ")

    # ---- what they say ------------------------------------------------------------------------------------------------

    def test_java_by_lists(self):
        self.accepts_then_refuses(self.java_by_lists, "REVOKED")

    def test_java_by_responder(self):
        self.accepts_then_refuses(self.java_by_responder, "REVOKED")

    def test_node(self):
        self.accepts_then_refuses(self.node, "CERT_REVOKED")

    def test_cryptography(self):
        self.accepts_then_refuses(self.cryptography, "superseded")

    def test_gnutls(self):
        self.accepts_then_refuses(self.gnutls, "revoked")

    def test_every_key(self):
        """Java and Node take certificates of each kind of key."""
        for algorithm in KEYS:
            folder = self.gate.scratch / f"key-{algorithm}"
            self.gate.cli("certificate", "issue", "--client", "acme-orders", "--key-algorithm", algorithm, "--out", folder)
            certificate = type(self.gate.certificate)(folder / "client.crt", folder / "client.key")
            for judge in (self.java_by_lists, self.node, self.cryptography):
                with self.subTest(algorithm=algorithm, judge=judge.__name__):
                    self.assertEqual("accepted", judge(certificate))

    def test_a_server_certificate_is_no_client(self):
        """The gate's own certificate chains to the same root; as a client nobody takes it."""
        host, port = self.gate.address()
        shown = must_run("openssl", "s_client", "-connect", f"{host}:{port}", "-showcerts", stdin="")
        chain = self.gate.scratch / "server-chain.pem"
        chain.write_text(shown)
        blocks = split_chain(type(self.gate.certificate)(chain, self.gate.certificate.key), self.gate.scratch)
        chain.write_text("".join(block.read_text() for block in blocks))
        server = type(self.gate.certificate)(chain, self.gate.certificate.key)
        for judge, why in ((self.java_by_lists, "target certificate constraints|[Ee]xtended key usage"), (self.cryptography, "EKU"),
                           (self.gnutls, "purpose")):
            with self.subTest(judge=judge.__name__):
                self.assertRegex(judge(server), f"^rejected: .*({why})")
