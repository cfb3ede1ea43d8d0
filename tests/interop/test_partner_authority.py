"""A partner that brings its own authority, made by openssl: it speaks for its own clients and for nobody else, and what it revokes is
refused, from a file or from its web server."""

import http.server
import threading

from gate import Certificate, GateTest, ask, must_run, run

URI = "spiffe://acme.example/m2m/orders"
NAMES = ["--name", "uri:spiffe://acme.example/m2m/", "--name", "dns:.m2m.acme.example"]
MAPPINGS = ["--map", "uri:spiffe://acme.example/m2m/{name}=acme-{name}", "--map", "dns:{name}.m2m.acme.example=acme-{name}"]

CONFIG = """
[ca]
default_ca = own
[own]
database = {folder}/{name}.index
crlnumber = {folder}/{name}.number
serial = {folder}/{name}.serial
new_certs_dir = {folder}
default_md = sha256
default_crl_days = 1
default_days = 30
policy = any
unique_subject = no
crl_extensions = crl
[any]
commonName = supplied
[crl]
authorityKeyIdentifier = keyid
"""


class Authority:
    """A certificate authority as people run one: `openssl ca` over a folder."""

    def __init__(self, folder, name, parent=None, subject=None, key_id="hash"):
        self.folder, self.name, self.parent = folder, name, parent
        self.certificate, self.key, self.config = (folder / f"{name}.{suffix}" for suffix in ("pem", "key", "cnf"))
        self.config.write_text(CONFIG.format(folder=folder, name=name))
        (folder / f"{name}.index").write_text("")
        (folder / f"{name}.number").write_text("1000\n")
        (folder / f"{name}.serial").write_text("2001\n")
        extensions = folder / f"{name}.ext"
        extensions.write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
                              f"subjectKeyIdentifier={key_id}\nauthorityKeyIdentifier=keyid\n")
        request = folder / f"{name}.csr"
        must_run("openssl", "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj",
                 subject or f"/CN=Acme {name}", "-keyout", self.key, "-out", request)
        if parent:
            must_run("openssl", "ca", "-batch", "-notext", "-config", parent.config, "-cert", parent.certificate, "-keyfile", parent.key,
                     "-extfile", extensions, "-in", request, "-out", self.certificate)
        else:
            must_run("openssl", "x509", "-req", "-in", request, "-key", self.key, "-days", "365", "-extfile", extensions, "-out",
                     self.certificate)

    def issue(self, name, alternative=f"URI:{URI}", usage="clientAuth", chain=True):
        """A leaf with its chain."""
        key, request, certificate, extensions = (self.folder / f"{name}.{suffix}" for suffix in ("key", "csr", "crt", "ext"))
        extensions.write_text(f"subjectAltName={alternative}\nextendedKeyUsage={usage}\nauthorityKeyIdentifier=keyid\n")
        must_run("openssl", "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", f"/CN={name}",
                 "-keyout", key, "-out", request)
        must_run("openssl", "ca", "-batch", "-notext", "-config", self.config, "-cert", self.certificate, "-keyfile", self.key,
                 "-extfile", extensions, "-in", request, "-out", certificate)
        if chain and self.parent:
            certificate.write_text(certificate.read_text() + self.certificate.read_text())
        return Certificate(certificate, key)

    def revoke(self, certificate):
        must_run("openssl", "ca", "-config", self.config, "-cert", self.certificate, "-keyfile", self.key, "-revoke", certificate.chain)

    def crl(self, form="PEM"):
        """Its list of this moment."""
        pem, der = self.folder / f"{self.name}.crl.pem", self.folder / f"{self.name}.crl"
        must_run("openssl", "ca", "-gencrl", "-config", self.config, "-cert", self.certificate, "-keyfile", self.key, "-out", pem)
        must_run("openssl", "crl", "-in", pem, "-outform", "DER", "-out", der)
        return pem if form == "PEM" else der


class PartnerAuthority(GateTest):
    def setUp(self):
        self.folder = self.gate.scratch / self.id().rsplit(".", 1)[1]
        self.folder.mkdir()
        self.root = Authority(self.folder, "root")
        self.issuing = Authority(self.folder, "issuing", self.root)

    def tearDown(self):
        if any(anchor["id"] == "acme-ca" for anchor in self.gate.cli("anchor", "list")):
            self.gate.cli("anchor", "remove", "acme-ca")

    def import_anchor(self, *more):
        return self.gate.cli("anchor", "import", "acme-ca", "--partner", "acme", "--authority", self.root.certificate,
                             "--intermediate", self.issuing.certificate, *NAMES, *MAPPINGS, *more)

    def with_lists(self):
        return self.import_anchor("--crl", self.root.crl(), "--crl", self.issuing.crl("DER"))

    def ask(self, certificate, listener="gateway"):
        """By curl, as the partner would: the status, or 0 without a handshake."""
        host, port = self.gate.address(listener)
        done = run("curl", "--silent", "--max-time", "20", "--cacert", self.gate.ca, *certificate.curl(), "--output", "/dev/null",
                   "--write-out", "%{http_code}", f"https://{host}:{port}{self.gate.hello}")
        return int(done.stdout)

    def test_its_clients_come_in_on_both_listeners(self):
        self.with_lists()
        certificate = self.issuing.issue("orders")
        for listener in ("gateway", "mtls"):
            self.assert_hello(self.gate.request("GET", self.gate.hello, listener=listener, certificate=certificate))
            self.assertEqual(200, self.ask(certificate, listener))
        self.assertEqual(200, self.ask(self.issuing.issue("by-dns", "DNS:orders.m2m.acme.example")))
        self.assertEqual(200, self.ask(self.issuing.issue("alone", chain=False)), "the authority between was imported")
        line = self.gate.cli("audit", "list", "--limit", "1")[0]
        self.assertEqual("acme-orders", line["client"])
        self.assertIn("acme-ca/", str(line))

    def test_it_speaks_for_nobody_else(self):
        self.with_lists()
        ours = f"spiffe://{self.trust_domain()}/partner/acme/client/acme-orders"
        for number, alternative in enumerate([
                f"URI:{ours}", f"URI:{URI},URI:{ours}", f"URI:{URI},DNS:globex.example", "DNS:*.m2m.acme.example", "DNS:evilm2m.acme.example",
                "URI:spiffe://globex.example/m2m/orders", "URI:spiffe://acme.example/m2m/nobody", "email:orders@acme.example",
                f"URI:{URI},IP:192.0.2.1", "URI:spiffe://acme.example/m2m/%6frders"]):
            certificate = self.issuing.issue(f"foreign-{number}", alternative)
            self.assertEqual(401, self.ask(certificate), alternative)
        self.assertEqual(0, self.ask(self.issuing.issue("server", usage="serverAuth")))

    def trust_domain(self):
        text = must_run("openssl", "x509", "-in", self.gate.certificate.chain, "-noout", "-ext", "subjectAltName")
        return text.split("spiffe://")[1].split("/")[0]

    def test_it_cannot_wear_our_name(self):
        self.with_lists()
        ca = next(issuer for issuer in self.gate.cli("ca", "show") if issuer["kind"] == "issuing")
        pem = self.folder / "ours.pem"
        pem.write_text(ca["certificate_pem"])
        subject = must_run("openssl", "x509", "-in", pem, "-noout", "-subject", "-nameopt", "compat").strip().removeprefix("subject=").strip()
        key_id = ":".join(ca["id"][place:place + 2] for place in range(0, len(ca["id"]), 2))
        # The policy of its root asks for a common name alone; the rest of our name goes with it.
        must_run("sed", "-i", "s/^commonName = supplied/commonName = supplied\\norganizationName = optional/", self.root.config)
        liar = Authority(self.folder, "liar", self.root, subject=subject, key_id=key_id)
        (self.folder / "liar.serial").write_text(self.gate.certificate.serial + "\n")
        copy = liar.issue("copy", f"URI:spiffe://{self.trust_domain()}/partner/acme/client/acme-orders")
        self.assertEqual(self.gate.certificate.serial, copy.serial)
        self.assertIn(self.ask(copy), (0, 401))
        self.assert_hello(self.gate.request("GET", self.gate.hello, certificate=self.gate.certificate))
        refused = self.gate.command("anchor", "import", "liar", "--partner", "acme", "--authority", liar.certificate, *NAMES, *MAPPINGS)
        self.assertEqual(1, refused.returncode, refused.stdout)
        self.assertIn("own authority", refused.stdout + refused.stderr)

    def test_what_it_revokes_is_refused_on_open_connections(self):
        self.with_lists()
        certificate, other = self.issuing.issue("stolen"), self.issuing.issue("kept")
        connection = self.gate.connection(certificate=certificate)
        self.assert_hello(ask(connection, "GET", self.gate.hello))
        self.issuing.revoke(certificate)
        self.gate.cli("anchor", "refresh", "acme-ca", "--crl", self.issuing.crl())
        self.assert_cut_off(connection, self.gate.hello)
        self.assertEqual(401, self.ask(certificate))
        self.assertEqual(200, self.ask(other))

    def test_without_lists_nobody_comes_in(self):
        certificate = self.issuing.issue("early")
        self.import_anchor()
        self.assertEqual(401, self.ask(certificate))
        self.gate.cli("anchor", "refresh", "acme-ca", "--crl", self.issuing.crl())
        self.assertEqual(401, self.ask(certificate), "the root's list is missing")
        self.gate.cli("anchor", "refresh", "acme-ca", "--crl", self.root.crl())
        self.assertEqual(200, self.ask(certificate))
        self.import_anchor("--replace", "--revocation", "best-effort")
        self.assertEqual(200, self.ask(certificate))

    def test_its_lists_are_fetched(self):
        certificate = self.issuing.issue("fetched")
        self.root.crl()
        self.issuing.crl()
        folder = str(self.folder)

        class Files(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=folder)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        base = f"http://127.0.0.1:{server.server_port}"
        urls = ["--crl-url", f"{base}/root.crl", "--crl-url", f"{base}/issuing.crl.pem"]
        refused = self.gate.command("anchor", "import", "acme-ca", "--partner", "acme", "--authority", self.root.certificate, *NAMES,
                                    *MAPPINGS, *urls)
        self.assertEqual(1, refused.returncode, "this machine is not asked unless that is said")
        view = self.import_anchor(*urls, "--allow-private-address")
        self.assertEqual([None, None], [source["error"] for source in view["sources"]])
        self.assertEqual({"current"}, {authority["revocation_list"] for authority in view["authorities"]})
        self.assertEqual(200, self.ask(certificate))
        self.issuing.revoke(certificate)
        self.issuing.crl()
        self.gate.cli("anchor", "refresh", "acme-ca")
        self.assertEqual(401, self.ask(certificate))

    def test_the_removed_anchor_opens_nothing(self):
        self.with_lists()
        certificate = self.issuing.issue("late")
        self.assertEqual(200, self.ask(certificate))
        self.gate.cli("anchor", "remove", "acme-ca")
        self.assertIn(self.ask(certificate), (0, 401))
        self.assertEqual(200, self.ask(self.gate.certificate))
