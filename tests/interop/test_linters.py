"""pkilint as judge: every kind of certificate that we make, our revocation lists and our OCSP answers, against the standards."""

import json
import re
import ssl
from pathlib import Path

from gate import ROOT, GateTest, must_run, run
from test_openssl import distribution_point, fetch_crl, split_chain

TOOLS = ROOT / "target/interop/venv/bin"
KEYS = ("ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096")

# pkilint takes a URI's scheme from a closed list of nine (http, ssh, telnet, ...) and wants a dot in a host name, so it cannot read any
# SPIFFE-ID, nor `localhost`. RFC 5280 §4.2.1.6 asks for RFC 3986 and for a host name; `test_the_exceptions` proves that this is why.
UNREADABLE = {("pkix.invalid_uri_syntax", "uniformResourceIdentifier", "spiffe://"),
              ("pkix.invalid_domain_name_syntax", "dNSName", "localhost\"")}


class Linted(GateTest):
    def findings(self, tool, *arguments):
        """What pkilint holds against a file, from a notice upwards, but for what it cannot read."""
        done = run(TOOLS / tool, "lint", "--severity", "NOTICE", "--format", "JSON", *arguments)
        try:
            results = json.loads(done.stdout)["results"]
        except (json.JSONDecodeError, KeyError):
            raise AssertionError(f"{tool} {arguments}: {done.stdout}{done.stderr}") from None
        found = []
        for result in results:
            for finding in result["finding_descriptions"]:
                found.append({"node": result["node_path"], **finding})
        return found

    def clean(self, tool, *arguments):
        found = [finding for finding in self.findings(tool, *arguments) if not is_unreadable(finding)]
        self.assertEqual([], found, f"{tool} {' '.join(map(str, arguments))}")

    def clean_chain(self, issuer, subject):
        self.clean("lint_pkix_signer_signee_cert_chain", issuer, subject)

    # A name for each file, so that a failure says what was linted.
    def keep(self, name, pem):
        file = self.gate.scratch / name
        file.write_text(pem)
        return file

    def authorities(self):
        return {view["kind"]: self.keep(f"{view['kind']}.pem", view["certificate_pem"]) for view in self.gate.cli("ca", "show")}


class Certificates(Linted):
    def test_authorities(self):
        authorities = self.authorities()
        self.assertEqual({"root", "issuing", "server-issuing"}, set(authorities))
        for kind, file in authorities.items():
            with self.subTest(kind=kind):
                self.clean("lint_pkix_cert", file)
                self.clean_chain(authorities["root"], file)

    def test_clients_of_every_key(self):
        issuing = self.authorities()["issuing"]
        for algorithm in KEYS:
            with self.subTest(algorithm=algorithm):
                folder = self.gate.scratch / algorithm
                self.gate.cli("certificate", "issue", "--client", "acme-orders", "--key-algorithm", algorithm, "--out", folder)
                leaf = self.keep(f"{algorithm}.pem", first_block(folder / "client.crt"))
                self.clean("lint_pkix_cert", leaf)
                self.clean_chain(issuing, leaf)

    def test_lifetimes(self):
        """Hours, and the longest there is."""
        for lifetime in ("1h", "398d"):
            with self.subTest(lifetime=lifetime):
                folder = self.gate.scratch / f"for-{lifetime}"
                self.gate.cli("certificate", "issue", "--client", "acme-orders", "--lifetime", lifetime, "--out", folder)
                self.clean("lint_pkix_cert", self.keep(f"{lifetime}.pem", first_block(folder / "client.crt")))

    def test_the_server(self):
        leaf = self.keep("server.pem", ssl.get_server_certificate(self.gate.address()))
        self.clean("lint_pkix_cert", leaf)
        self.clean_chain(self.authorities()["server-issuing"], leaf)

    def test_the_exceptions(self):
        """The linter calls any SPIFFE-ID malformed, one from the SPIFFE documents too, and `localhost`; so that says nothing of ours."""
        file = self.gate.scratch / "unreadable.pem"
        must_run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
                 "/CN=x", "-addext", "subjectAltName=URI:spiffe://example.org/ns/prod/sa/api,DNS:localhost", "-keyout",
                 self.gate.scratch / "unreadable.key", "-out", file)
        found = sum(map(is_unreadable, self.findings("lint_pkix_cert", file)))
        self.assertEqual(2, found, "take an exception out: it is not needed")


class RevocationLists(Linted):
    def test_lists(self):
        """Without and with entries, for clients and for the root's authorities."""
        certificate = self.gate.sign("listed")
        chain = split_chain(certificate, self.gate.scratch)
        for number, file in enumerate(chain):
            crl = fetch_crl(distribution_point(file), self.gate.scratch, f"empty-{number}")
            self.clean("lint_crl", "--type", "CRL" if number == 0 else "ARL", "--profile", "PKIX", crl)
        for reason in ("key-compromise", "superseded", "unspecified"):
            revoked = self.gate.sign(f"revoked-{reason}")
            self.gate.revoke(revoked, reason)
        crl = fetch_crl(distribution_point(chain[0]), self.gate.scratch, "filled")
        self.assertEqual(3, must_run("openssl", "crl", "-in", crl, "-noout", "-text").count("Serial Number:"))
        self.clean("lint_crl", "--type", "CRL", "--profile", "PKIX", crl)


class OcspAnswers(Linted):
    def test_answers_and_their_signer(self):
        """Good, revoked and unknown answers, and the certificate of who signs them."""
        certificate = self.gate.sign("asked-about")
        leaf, issuer = split_chain(certificate, self.gate.scratch)[:2]
        url = must_run("openssl", "x509", "-in", leaf, "-noout", "-ocsp_uri").strip()
        self.assertTrue(url.endswith("/ocsp"), url)
        answers = {"good": self.ask(url, issuer, leaf, "good")}
        self.gate.revoke(certificate)
        answers["revoked"] = self.ask(url, issuer, leaf, "revoked")
        for name, answer in answers.items():
            with self.subTest(answer=name):
                self.clean("lint_ocsp_response", answer)
        text = must_run("openssl", "ocsp", "-respin", answers["good"], "-noverify", "-resp_text")
        signer = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", text, re.DOTALL)[0]
        signer = self.keep("signer.pem", signer)
        self.clean("lint_pkix_cert", signer)
        self.clean_chain(issuer, signer)

    def ask(self, url, issuer, leaf, name):
        answer = self.gate.scratch / f"{name}.ors"
        must_run("openssl", "ocsp", "-issuer", issuer, "-cert", leaf, "-url", url, "-CAfile", self.gate.ca, "-respout", answer, "-no_nonce")
        return answer


def is_unreadable(finding):
    message = finding.get("message") or ""
    return any(finding["code"] == code and finding["node"].endswith(node) and f'"{value}' in message for code, node, value in UNREADABLE)


def first_block(file):
    return re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", Path(file).read_text(), re.DOTALL)[0]
