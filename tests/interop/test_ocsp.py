"""openssl, GnuTLS and Python's cryptography ask the OCSP responder that our certificates name, and judge what it answers."""

import base64
import datetime
import http.client
import os
import re
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from gate import GateTest, must_run, run
from test_openssl import split_chain

ANSWER_TYPE = "application/ocsp-response"


class Ocsp(GateTest):
    def setUp(self):
        self.folder = self.gate.scratch

    def files(self, certificate):
        """The leaf and its issuer, each in a file, and the address of the responder that the leaf names."""
        leaf, issuer = split_chain(certificate, self.folder)[:2]
        url = must_run("openssl", "x509", "-in", leaf, "-noout", "-ocsp_uri").strip()
        self.assertEqual(self.gate.demo["pki"] + "/ocsp", url)
        return leaf, issuer, url

    # ---- openssl ------------------------------------------------------------------------------------------------------

    def openssl(self, certificate, *options):
        leaf, issuer, url = self.files(certificate)
        done = run("openssl", "ocsp", *options, "-issuer", issuer, "-cert", leaf, "-url", url, "-CAfile", self.gate.ca, "-verify_other", issuer,
                   "-header", f"host={urllib.parse.urlsplit(url).netloc}", "-text")
        said = done.stdout + done.stderr
        self.assertEqual(0, done.returncode, said)
        self.assertIn("Response verify OK", said)
        self.assertNotIn("WARNING", said)
        self.assertNotIn("Nonce Verify error", said)
        return re.search(rf"{leaf}: (\w+)", said)[1], said

    def test_openssl_hears_of_a_revocation_at_once(self):
        """With a nonce and without, by SHA-1 and by SHA-256."""
        for number, options in enumerate((("-nonce",), ("-no_nonce",), ("-no_nonce", "-sha256"), ("-nonce", "-sha256"))):
            with self.subTest(options=options):
                certificate = self.gate.sign(f"openssl-{number}")
                self.assertEqual("good", self.openssl(certificate, *options)[0])
                self.gate.revoke(certificate, "key-compromise")
                status, said = self.openssl(certificate, *options)
                self.assertEqual("revoked", status)
                self.assertIn("Reason: keyCompromise", said)
                self.assertEqual("-nonce" in options, "OCSP Nonce" in said.split("OCSP Response Data")[1])

    def test_a_serial_that_was_never_issued_is_not_good(self):
        _, issuer, url = self.files(self.gate.certificate)
        done = run("openssl", "ocsp", "-issuer", issuer, "-serial", "0x4a4b4c4d4e4f505152535455565758", "-url", url, "-CAfile", self.gate.ca,
                   "-verify_other", issuer, "-text")
        said = done.stdout + done.stderr
        self.assertIn("Response verify OK", said)
        self.assertIn("Cert Status: revoked", said)
        self.assertIn("Jan  1 00:00:00 1970 GMT", said)
        self.assertNotIn("Cert Status: good", said)

    def test_a_certificate_of_another_authority_is_not_ours_to_judge(self):
        must_run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=other",
                 "-keyout", self.folder / "other.key", "-out", self.folder / "other.crt")
        _, _, url = self.files(self.gate.certificate)
        done = run("openssl", "ocsp", "-issuer", self.folder / "other.crt", "-serial", "0x4a4b", "-url", url)
        self.assertIn("unauthorized", done.stdout + done.stderr)

    def test_the_server_certificate_too(self):
        host, port = self.gate.address()
        shown = must_run("openssl", "s_client", "-connect", f"{host}:{port}", "-showcerts", stdin="")
        blocks = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", shown, re.DOTALL)
        leaf, issuer = self.folder / "server.pem", self.folder / "server-issuer.pem"
        leaf.write_text(blocks[0])
        issuer.write_text(blocks[1])
        url = must_run("openssl", "x509", "-in", leaf, "-noout", "-ocsp_uri").strip()
        done = run("openssl", "ocsp", "-issuer", issuer, "-cert", leaf, "-url", url, "-CAfile", self.gate.ca, "-verify_other", issuer)
        self.assertIn("Response verify OK", done.stdout + done.stderr)
        self.assertIn(f"{leaf}: good", done.stdout + done.stderr)

    # ---- GnuTLS -------------------------------------------------------------------------------------------------------

    def gnutls(self, certificate, *options):
        leaf, issuer, url = self.files(certificate)
        done = run("ocsptool", f"--ask={url}", *options, "--load-cert", leaf, "--load-issuer", issuer, "--load-trust", issuer)
        said = done.stdout + done.stderr
        self.assertIn("Verifying OCSP Response: Success", said)
        return re.search(r"Certificate Status: (\w+)", said)[1]

    def test_gnutls_hears_of_a_revocation_at_once(self):
        for number, options in enumerate((("--nonce",), ("--no-nonce",))):
            with self.subTest(options=options):
                certificate = self.gate.sign(f"gnutls-{number}")
                self.assertEqual("good", self.gnutls(certificate, *options))
                self.gate.revoke(certificate)
                self.assertEqual("revoked", self.gnutls(certificate, *options))

    def test_gnutls_finds_the_signer_in_order(self):
        """certtool reads the certificate that signs the answers: for that alone, and not to be asked about itself."""
        answer, _ = self.ask(self.request(self.gate.certificate, hashes.SHA256()))
        signer = self.folder / "signer.der"
        signer.write_bytes(answer.certificates[0].public_bytes(Encoding.DER))
        said = must_run("certtool", "--certificate-info", "--inder", "--infile", signer)
        self.assertIn("OCSP signing", said)
        self.assertIn("1.3.6.1.5.5.7.48.1.5", said)
        lifetime = answer.certificates[0].not_valid_after_utc - datetime.datetime.now(datetime.timezone.utc)
        self.assertLess(datetime.timedelta(days=7), lifetime)
        self.assertLess(lifetime, datetime.timedelta(days=30))

    # ---- Python's cryptography ----------------------------------------------------------------------------------------

    def pair(self, certificate):
        return [x509.load_pem_x509_certificate(file.read_bytes()) for file in self.files(certificate)[:2]]

    def request(self, certificate, algorithm, nonce=None):
        builder = ocsp.OCSPRequestBuilder().add_certificate(*self.pair(certificate), algorithm)
        if nonce:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return builder.build()

    def ask(self, request, method="POST"):
        """The answer, and its headers."""
        host, port = self.gate.address("pki")
        connection = http.client.HTTPConnection(host, port, timeout=10)
        der = request.public_bytes(Encoding.DER)
        if method == "GET":
            connection.request("GET", "/ocsp/" + urllib.parse.quote(base64.b64encode(der), safe=""))
        else:
            connection.request("POST", "/ocsp", der, {"content-type": "application/ocsp-request"})
        answer = connection.getresponse()
        self.assertEqual((200, ANSWER_TYPE), (answer.status, answer.headers["content-type"]))
        return ocsp.load_der_ocsp_response(answer.read()), answer.headers

    def believe(self, answer, certificate):
        """All that RFC 6960 §3.2 asks of one who is answered."""
        leaf, issuer = self.pair(certificate)
        self.assertEqual(ocsp.OCSPResponseStatus.SUCCESSFUL, answer.response_status)
        signer = answer.certificates[0]
        signer.verify_directly_issued_by(issuer)
        self.assertIn(x509.OID_OCSP_SIGNING, signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        signer.extensions.get_extension_for_class(x509.OCSPNoCheck)
        signer.public_key().verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(answer.signature_hash_algorithm))
        self.assertEqual(20, len(answer.responder_key_hash))
        self.assertEqual(leaf.serial_number, answer.serial_number)
        now = datetime.datetime.now(datetime.timezone.utc)
        self.assertLessEqual(answer.this_update_utc, now)
        self.assertGreater(answer.next_update_utc, now)
        self.assertLessEqual(answer.produced_at_utc, now)
        return answer

    def test_cryptography_believes_it(self):
        for number, (method, algorithm, nonce) in enumerate((("POST", hashes.SHA1(), None), ("GET", hashes.SHA1(), None),
                                                             ("GET", hashes.SHA256(), None), ("POST", hashes.SHA256(), os.urandom(32)))):
            with self.subTest(method=method, algorithm=algorithm.name, nonce=bool(nonce)):
                certificate = self.gate.sign(f"cryptography-{number}")
                request = self.request(certificate, algorithm, nonce)
                answer, headers = self.ask(request, method)
                self.believe(answer, certificate)
                self.assertEqual(ocsp.OCSPCertStatus.GOOD, answer.certificate_status)
                self.assertEqual((request.issuer_name_hash, request.issuer_key_hash), (answer.issuer_name_hash, answer.issuer_key_hash))
                if nonce:
                    self.assertEqual(nonce, answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce)
                    self.assertEqual("no-store", headers["cache-control"])
                else:
                    self.assertRegex(headers["cache-control"], r"max-age=\d+, public, no-transform, must-revalidate")
                    for name in ("etag", "expires", "last-modified"):
                        self.assertTrue(headers[name], name)
                    self.assertEqual(headers["etag"], self.ask(request, method)[1]["etag"], "it is kept")
                self.gate.revoke(certificate, "superseded")
                answer, _ = self.ask(request, method)
                self.believe(answer, certificate)
                self.assertEqual(ocsp.OCSPCertStatus.REVOKED, answer.certificate_status)
                self.assertEqual(x509.ReasonFlags.superseded, answer.revocation_reason)

    def test_doctor_and_ca_show_know_the_signers(self):
        issuers = self.gate.cli("ca", "show")
        self.assertEqual([False, True, True], sorted(bool(issuer["ocsp_signer"]) for issuer in issuers))
        findings = [finding for finding in self.gate.cli("doctor") if finding["id"] == "ocsp"]
        self.assertTrue(findings)
        self.assertEqual({"ok"}, {finding["level"] for finding in findings}, findings)
