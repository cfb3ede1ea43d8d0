"""openssl and GnuTLS as judges: the certificates, the revocation list, and sessions that try to outlive a revocation."""

import re
import urllib.parse
import urllib.request

from gate import GateTest, must_run, run


def distribution_point(certificate_file):
    """The URL of the revocation list that a certificate names."""
    text = must_run("openssl", "x509", "-in", certificate_file, "-noout", "-ext", "crlDistributionPoints")
    return re.search(r"URI:(\S+)", text)[1]


def fetch_crl(url, folder, name):
    """The list as an outsider gets it, over plain HTTP, turned to PEM by openssl."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        der = answer.read()
        kind = answer.headers["content-type"]
    if kind != "application/pkix-crl":                 # RFC 2585 §4.2; browsers and Windows insist
        raise AssertionError(f"{url} is served as {kind}")
    (folder / f"{name}.crl").write_bytes(der)
    must_run("openssl", "crl", "-inform", "DER", "-in", folder / f"{name}.crl", "-out", folder / f"{name}.pem")
    return folder / f"{name}.pem"


def split_chain(certificate, folder):
    """The certificates of a chain file, leaf first, each in a file of its own."""
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", certificate.chain.read_text(), re.DOTALL)
    files = []
    for number, block in enumerate(blocks):
        files.append(folder / f"{certificate.chain.stem}-{number}.pem")
        files[-1].write_text(block)
    return files


class Certificates(GateTest):
    def verify(self, certificate, *options):
        return run("openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", self.gate.ca, "-untrusted", certificate.chain,
                   *options, certificate.chain)

    def test_the_chain_holds(self):
        done = self.verify(self.gate.certificate)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)

    def test_a_client_certificate_is_nothing_but_that(self):
        text = must_run("openssl", "x509", "-in", self.gate.certificate.chain, "-noout", "-purpose", "-ext",
                        "extendedKeyUsage,keyUsage,basicConstraints,subjectAltName")
        self.assertRegex(text, r"SSL client : Yes")
        self.assertRegex(text, r"SSL server : No")
        self.assertRegex(text, r"SSL client CA : No")
        self.assertRegex(text, r"Extended Key Usage:\s*\n\s*TLS Web Client Authentication\s*\n")
        self.assertRegex(text, r"URI:spiffe://[^/]+/partner/acme/client/acme-orders\b")

    def test_every_certificate_has_a_long_random_serial(self):
        serials = {self.gate.sign(f"serial-{number}").serial for number in range(3)}
        self.assertEqual(3, len(serials))
        for serial in serials:
            self.assertGreaterEqual(len(serial), 30, "at least 120 bits (CA/Browser Forum asks for 64)")

    def test_the_published_list_decides(self):
        """openssl, GnuTLS and our own verifier judge alike, before and after."""
        certificate = self.gate.sign("listed")
        url = distribution_point(certificate.chain)
        self.assertEqual(urllib.parse.urlsplit(self.gate.demo["pki"]).netloc, urllib.parse.urlsplit(url).netloc)

        crl = fetch_crl(url, self.gate.scratch, "before")
        self.assertEqual({"openssl": True, "gnutls": True, "portcullis": True}, self.judgements(certificate, crl))
        first_number = self.crl_number(crl)

        self.gate.revoke(certificate)
        crl = fetch_crl(url, self.gate.scratch, "after")
        self.assertEqual({"openssl": False, "gnutls": False, "portcullis": False}, self.judgements(certificate, crl))
        self.assertGreater(self.crl_number(crl), first_number, "CRL numbers rise (RFC 5280 §5.2.3)")
        self.assertIn("certificate revoked", self.verify(certificate, "-crl_check", "-CRLfile", crl).stderr)
        listed = must_run("openssl", "crl", "-in", crl, "-noout", "-text")
        self.assertRegex(listed, r"(?i)Serial Number: 0*" + certificate.serial.lstrip("0"))
        self.assertIn("Key Compromise", listed)

        other = self.gate.sign("not-listed")
        self.assertEqual({"openssl": True, "gnutls": True, "portcullis": True}, self.judgements(other, crl))

    def judgements(self, certificate, crl):
        openssl = self.verify(certificate, "-crl_check", "-CRLfile", crl)
        gnutls = run("certtool", "--verify", "--verify-profile", "medium", "--load-ca-certificate", self.gate.ca, "--load-crl", crl,
                     "--infile", certificate.chain)
        ours = self.gate.command("certificate", "verify", "--trust", self.gate.ca, "--crl", crl, certificate.chain)
        self.assertIn(ours.returncode, (0, 1), ours.stderr)
        return {"openssl": openssl.returncode == 0, "gnutls": gnutls.returncode == 0, "portcullis": ours.returncode == 0}

    def crl_number(self, crl):
        return int(must_run("openssl", "crl", "-in", crl, "-noout", "-crlnumber").strip().removeprefix("crlNumber="), 16)

    def test_the_list_is_signed_by_the_issuer(self):
        chain = split_chain(self.gate.certificate, self.gate.scratch)
        self.assertGreaterEqual(len(chain), 2, "a partner gets the issuing certificate with the leaf")
        crl = fetch_crl(distribution_point(chain[0]), self.gate.scratch, "signed")
        done = run("openssl", "crl", "-in", crl, "-noout", "-CAfile", chain[1], "-verify")
        self.assertIn("verify OK", done.stdout + done.stderr)

    def test_the_pki_listener_serves_the_root(self):
        with urllib.request.urlopen(self.gate.demo["pki"] + "/ca.pem", timeout=10) as answer:
            self.assertEqual(self.gate.ca.read_bytes().strip(), answer.read().strip())

    def test_gnutls_gets_in(self):
        host, port = self.gate.address()
        done = run("gnutls-cli", "--x509cafile", self.gate.ca, "--x509certfile", self.gate.certificate.chain, "--x509keyfile",
                   self.gate.certificate.key, "--port", port, host, stdin=request_text(self.gate))
        self.assertIn("HTTP/1.1 200", done.stdout, done.stdout + done.stderr)


def request_text(gate):
    host, port = gate.address()
    return f"GET {gate.hello} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"


class Resumption(GateTest):
    """A resumed session presents no certificate again; what it may do is judged on every request all the same."""

    def s_client(self, listener, version, *options):
        host, port = self.gate.address(listener)
        return run("openssl", "s_client", "-connect", f"{host}:{port}", "-CAfile", self.gate.ca, "-verify_return_error", version,
                   "-ign_eof", *options, stdin=request_text(self.gate), seconds=30)

    def credential(self, certificate):
        return ("-cert", certificate.chain, "-cert_chain", certificate.chain, "-key", certificate.key)

    def test_a_session_does_not_outlive_a_revocation(self):
        for listener in ("gateway", "mtls"):
            for version in ("-tls1_3", "-tls1_2"):
                with self.subTest(listener=listener, version=version):
                    name = f"session-{listener}{version}"
                    certificate, session = self.gate.sign(name), self.gate.scratch / f"{name}.session"

                    first = self.s_client(listener, version, *self.credential(certificate), "-sess_out", session)
                    self.assertIn("HTTP/1.1 200", first.stdout, first.stdout + first.stderr)
                    again = self.s_client(listener, version, *self.credential(certificate), "-sess_in", session, "-sess_out", session)
                    self.assertIn("HTTP/1.1 200", again.stdout, again.stdout + again.stderr)

                    self.gate.revoke(certificate)
                    for options in (self.credential(certificate), ()):
                        after = self.s_client(listener, version, *options, "-sess_in", session)
                        self.assertNotIn("HTTP/1.1 200", after.stdout, "served after the revocation")
                        if "HTTP/1.1" in after.stdout:
                            self.assertIn("HTTP/1.1 401", after.stdout)

    def test_a_session_without_a_certificate_does_not_open_the_mtls_listener(self):
        """A session made where certificates are optional must not stand in for one where they are required."""
        for version in ("-tls1_3", "-tls1_2"):
            with self.subTest(version=version):
                session = self.gate.scratch / f"anonymous{version}.session"
                first = self.s_client("gateway", version, "-sess_out", session)
                self.assertIn("HTTP/1.1 401", first.stdout, first.stdout + first.stderr)
                if session.exists():
                    after = self.s_client("mtls", version, "-sess_in", session)
                    self.assertNotIn("HTTP/1.1 200", after.stdout)
