"""Enrolment over Secure Transport (RFC 7030, RFC 8951) as judged by curl with openssl, and by strongSwan's EST client, whose TLS,
HTTP and CMS are all its own."""

import base64
import re
import unittest

from gate import CLIENT, Certificate, GateTest, must_run, run

EST = "/.well-known/est"


class Est(GateTest):
    """What every judge does alike: requests, and what comes of them."""

    def url(self, operation=""):
        return self.gate.demo["gateway"] + EST + operation

    def request(self, name, subject=None, identity=None):
        """A new key and a PKCS#10 request, PEM; with subject and URI of a certificate when it is a renewal."""
        key, request = self.gate.scratch / f"{name}.key", self.gate.scratch / f"{name}.csr"
        names = ("-addext", f"subjectAltName=URI:{identity}") if identity else ()
        must_run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                 subject or f"/CN={name}", *names, "-keyout", key, "-out", request)
        return key, request

    def renewal_request(self, name, certificate):
        subject = must_run("openssl", "x509", "-in", certificate.chain, "-noout", "-subject", "-nameopt", "compat")
        names = must_run("openssl", "x509", "-in", certificate.chain, "-noout", "-ext", "subjectAltName")
        return self.request(name, subject.strip().removeprefix("subject="), re.search(r"URI:(\S+)", names)[1])

    def der(self, request):
        der = request.with_suffix(".der")
        must_run("openssl", "req", "-in", request, "-outform", "DER", "-out", der)
        return der

    def token(self, *options):
        """What the operator sends to the partner."""
        return self.gate.cli("enrollment", "create", "--client", CLIENT, "--ttl", "1h", *options)["token"]

    def opens_the_gate(self, chain, key):
        """The leaf alone is enough: the gate knows its own authorities."""
        self.assert_hello(self.gate.request("GET", self.gate.hello, certificate=Certificate(chain, key)))


class Curl(Est):
    def curl(self, *arguments):
        return run("curl", "--silent", "--show-error", "--cacert", self.gate.ca, "--max-time", 20, *arguments)

    def post(self, operation, request, *arguments):
        """Status and body of an enrolment, the request in base64 as openssl writes it: with line breaks."""
        body = self.gate.scratch / "body.b64"
        body.write_text(base64.encodebytes(self.der(request).read_bytes()).decode())
        done = self.curl("--header", "Content-Type: application/pkcs10", "--data-binary", f"@{body}", "--write-out", "\n%{http_code}",
                         *arguments, self.url(operation))
        text, _, status = done.stdout.rpartition("\n")
        return int(status), text

    def certificates(self, text):
        """What openssl finds in the base64 of a certs-only CMS."""
        self.assertNotIn("\n", text, "one line of base64 (RFC 8951 §3.1 allows it, and some clients need it)")
        der = self.gate.scratch / "answer.p7"
        der.write_bytes(base64.b64decode(text, validate=True))
        return must_run("openssl", "pkcs7", "-inform", "DER", "-in", der, "-print_certs")

    def test_cacerts_are_the_authorities_of_the_chain(self):
        done = self.curl("--include", self.url("/cacerts"))
        head, _, body = done.stdout.replace("\r", "").partition("\n\n")
        self.assertRegex(head, r"(?i)content-type: application/pkcs7-mime; smime-type=certs-only")
        found = self.certificates(body)
        bundle = self.gate.scratch / "bundle.pem"
        bundle.write_text(found)
        done = run("openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", bundle, self.gate.certificate.chain)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(found, self.certificates(self.curl(self.url("/client/cacerts")).stdout), "the same under the label")

    def test_csrattrs_are_read_by_openssl(self):
        body = self.curl(*self.gate.certificate.curl(), self.url("/csrattrs")).stdout
        der = self.gate.scratch / "csrattrs.der"
        der.write_bytes(base64.b64decode(body, validate=True))
        parsed = must_run("openssl", "asn1parse", "-inform", "DER", "-in", der)
        for wish in ("id-ecPublicKey", "prime256v1", "ecdsa-with-SHA256", "Extension Request", "X509v3 Subject Alternative Name"):
            self.assertIn(wish, parsed)

    def test_a_certificate_reenrols_itself(self):
        current = self.gate.sign("curl-current")
        key, request = self.renewal_request("curl-next", current)
        status, text = self.post("/simplereenroll", request, *current.curl())
        self.assertEqual(200, status, text)
        chain = self.gate.scratch / "curl-next.crt"
        chain.write_text(self.certificates(text))
        self.assertEqual(1, chain.read_text().count("BEGIN CERTIFICATE"), "the certificate alone")
        self.opens_the_gate(chain, key)
        self.assert_hello(self.gate.request("GET", self.gate.hello, certificate=current))

        # Other names than the certificate's own.
        _, other = self.request("curl-other", "/CN=curl-other")
        status, text = self.post("/simplereenroll", other, *current.curl())
        self.assertEqual(422, status, text)
        # Cut off is cut off.
        self.gate.revoke(current)
        _, late = self.renewal_request("curl-late", current)
        status, text = self.post("/simplereenroll", late, *current.curl())
        self.assertEqual(401, status, text)

    def test_a_plain_renewal_gives_the_chain(self):
        current = self.gate.sign("plain-current")
        key, request = self.request("plain-next")
        for listener in ("gateway", "mtls", "admin"):
            url = f"{self.gate.demo[listener]}/v1/certificates/{current.serial}/renew"
            done = self.curl("--fail-with-body", *current.curl(), "--data-binary", f"@{request}", url)
            self.assertEqual(0, done.returncode, done.stdout + done.stderr)
            chain = self.gate.scratch / f"plain-{listener}.crt"
            chain.write_text(done.stdout)
            self.assertEqual(2, done.stdout.count("BEGIN CERTIFICATE"), "leaf and issuing authority")
            self.opens_the_gate(chain, key)

    def test_a_token_enrols(self):
        """The one-time token travels as Bearer, or as the password of Basic with any user name."""
        for name, credential in (("bearer", lambda token: ("--header", f"Authorization: Bearer {token}")),
                                 ("basic", lambda token: ("--user", f"anybody:{token}"))):
            with self.subTest(name):
                token = self.token()
                key, request = self.request(f"curl-{name}")
                status, text = self.post("/simpleenroll", request, *credential(token))
                self.assertEqual(200, status, text)
                chain = self.gate.scratch / f"curl-{name}.crt"
                chain.write_text(self.certificates(text))
                self.opens_the_gate(chain, key)
                _, other = self.request(f"curl-{name}-other")
                status, text = self.post("/simpleenroll", other, *credential(token))
                self.assertGreaterEqual(status, 400, "a token that was used, with another key")

    def test_who_must_wait_is_told_so(self):
        token = self.token("--approve")
        _, request = self.request("curl-waiting")
        done = self.curl("--include", "--user", f"any:{token}", "--header", "Content-Type: application/pkcs10", "--data-binary",
                         f"@{self.der(request)}", self.url("/simpleenroll"))
        self.assertRegex(done.stdout, r"^HTTP/\S+ 202")
        self.assertRegex(done.stdout, r"(?im)^retry-after: \d+")

    def test_what_is_not_offered_says_so(self):
        for operation, status in (("/serverkeygen", "501"), ("/fullcmc", "501"), ("/nothing", "404"), ("/other/cacerts", "404")):
            done = self.curl("--output", "/dev/null", "--write-out", "%{http_code}", "--request", "POST", self.url(operation))
            self.assertEqual(status, done.stdout, operation)


class StrongSwan(Est):
    """`pki --est` and `pki --estca`. They judge TLS with their own stack and check the new certificate against the CAs given."""

    def test_it_fetches_the_authorities(self):
        out = self.gate.scratch / "swan-ca.pem"
        done = run("pki", "--estca", "--url", self.gate.demo["gateway"], "--cacert", self.gate.ca, "--caout", out, "--outform", "pem",
                   "--force")
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertTrue(list(self.gate.scratch.glob("swan-ca*.pem")), done.stdout + done.stderr)

    def enrol(self, request, *arguments):
        issuing = self.gate.scratch / "issuing.pem"
        parts = self.gate.certificate.chain.read_text().split("-----END CERTIFICATE-----\n")
        issuing.write_text(parts[1] + "-----END CERTIFICATE-----\n")
        return run("pki", "--est", "--url", self.gate.demo["gateway"], "--in", self.der(request), "--cacert", self.gate.ca, "--cacert",
                   issuing, "--outform", "pem", *arguments)

    def leaf(self, certificate):
        """It reads one certificate from a file, not a chain."""
        leaf = self.gate.scratch / "leaf.pem"
        must_run("openssl", "x509", "-in", certificate.chain, "-out", leaf)
        return leaf

    def test_it_enrols_with_a_token(self):
        key, request = self.request("swan-first")
        done = self.enrol(request, "--userpass", f"anybody:{self.token()}")
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        chain = self.gate.scratch / "swan-first.crt"
        chain.write_text(done.stdout)
        self.opens_the_gate(chain, key)

    def test_it_reenrols_with_a_certificate(self):
        current = self.gate.sign("swan-current")
        key, request = self.renewal_request("swan-next", current)
        done = self.enrol(request, "--cert", self.leaf(current), "--key", current.key)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        chain = self.gate.scratch / "swan-next.crt"
        chain.write_text(done.stdout)
        self.opens_the_gate(chain, key)


class CommandLine(Est):
    """`certificate renew`, as an operator and as a partner run it."""

    def test_the_administrator_s_certificate_is_renewed_in_place(self):
        before = self.gate.admin_certificate.serial
        done = self.gate.command("certificate", "renew", "--in-place", "--if-due", output="table")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("is not due", done.stderr + done.stdout)
        self.assertEqual(before, self.gate.admin_certificate.serial)
        answer = self.gate.cli("certificate", "renew", "--in-place")
        self.assertEqual(answer["id"].lstrip("0").upper(), self.gate.admin_certificate.serial.lstrip("0"))
        self.assertNotEqual(before, self.gate.admin_certificate.serial)
        self.assertEqual("portcullis-admin", self.gate.cli("certificate", "show", self.gate.admin_certificate.serial)["client"])

    def test_a_partner_renews_at_the_gateway(self):
        current, out = self.gate.sign("cli-current"), self.gate.scratch / "cli-next"
        partner = ("--admin", self.gate.demo["mtls"], "--ca", self.gate.ca, "--certificate", current.chain, "--key", current.key)
        self.gate.cli("certificate", "renew", *partner, "--out", out)
        self.opens_the_gate(out / "client.crt", out / "client.key")
        again = self.gate.command("certificate", "renew", *partner, "--out", out)
        self.assertEqual(1, again.returncode)
        self.assertIn("--force", again.stderr)

    def test_terms_are_set_and_shown(self):
        terms = self.gate.cli("client", "renewal", self.gate.demo["client_id"], "--overlap", "1h")
        self.assertEqual((3600, 0), (terms["overlap_seconds"], terms["grace_seconds"]))
        terms = self.gate.cli("client", "renewal", self.gate.demo["client_id"], "--grace", "7d")
        self.assertEqual((3600, 604800), (terms["overlap_seconds"], terms["grace_seconds"]))
        terms = self.gate.cli("client", "renewal", self.gate.demo["client_id"], "--until-end", "--grace", "0s")
        self.assertEqual((None, 0), (terms["overlap_seconds"], terms["grace_seconds"]))


if __name__ == "__main__":
    unittest.main()
