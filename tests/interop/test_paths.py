"""Several hundred ways to write a path, over HTTP/1.1 and HTTP/2, in front of three servers that each read paths in their own way:
none leads to a route that the caller may not use. Corpus: paths.txt.

The client may use everything but /admin and what lies below it, which is the hardest case: whatever the gate does not take for
/admin, it passes on."""

import http.server
import json
import posixpath
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

from gate import LOGS, GateTest, must_run

HERE = Path(__file__).parent
START_SECONDS = 10
# How many spellings lead to the secret when nobody stands before the server. Fewer: the corpus would prove nothing.
BITES_MIN = 60

POLICY = """
[[resource_server]]
identifier = "https://paths.example"
name = "Paths"
scopes = [{{ name = "use", description = "Use" }}, {{ name = "administer", description = "Administer" }}]

[[client]]
id = "paths-user"
partner = "acme"
scopes = ["https://paths.example/use"]

[[client]]
id = "paths-administrator"
partner = "acme"
scopes = ["https://paths.example/administer"]

[[route]]
methods = ["GET", "POST"]
path = "/{{*rest}}"
accept = [["api_key"]]
scopes = {{ any = ["https://paths.example/use"] }}
action = {{ proxy = {{ upstream = "{upstream}" }} }}

[[route]]
methods = ["DELETE"]
path = "/open/{{*rest}}"
accept = [["api_key"]]
scopes = {{ any = ["https://paths.example/administer"] }}
action = {{ proxy = {{ upstream = "{upstream}" }} }}

[[route]]
methods = ["GET"]
path = "/open/{{*rest}}"
accept = [["api_key"]]
scopes = {{ any = ["https://paths.example/use"] }}
action = {{ proxy = {{ upstream = "{upstream}" }} }}

[[route]]
methods = ["GET"]
path = "/admin"
accept = [["api_key"]]
scopes = {{ any = ["https://paths.example/administer"] }}
action = {{ proxy = {{ upstream = "{upstream}" }} }}

[[route]]
methods = ["GET"]
path = "/admin/{{*rest}}"
accept = [["api_key"]]
scopes = {{ any = ["https://paths.example/administer"] }}
action = {{ proxy = {{ upstream = "{upstream}" }} }}
"""

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        default_type text/plain;
        large_client_header_buffers 4 32k;
        add_header x-saw-raw $request_uri;
        if ($request_method = DELETE) {{ return 200 "secret"; }}
        location = /admin {{ return 200 "secret"; }}
        location /admin/ {{ return 200 "secret"; }}
        location / {{ return 200 "open"; }}
    }}
}}
"""

# What only octets can say: longer than any line of a file should be.
LONG = [
    "/open/" + "a/" * 300 + "../" * 301 + "admin/users",
    "/open/" + "../" * 50 + "admin",
    "/" + "./" * 200 + "admin/users",
    "/" * 300 + "admin",
    "/open/" + "x" * 4090,
    "/admin/" + "x" * 4090,
    "/" + "x/../" * 800 + "admin",
    "/open/" + "%2e%2e%2f" * 40 + "admin/users",
    "/" + "%61" * 1400,
]
OVERRIDES = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "x_http_method_override", "X-Http_Method.Override"]
PATH_OVERRIDES = ["X-Original-URL", "X-Rewrite-URL", "x_original_url"]
# What has no route of its own, or none at all.
METHODS = ["DELETE", "delete", "Delete", "dELETE", "PUT", "PATCH", "OPTIONS", "PROPFIND", "MKCOL", "MOVE", "LINK", "PURGE", "LOCK", "SEARCH",
           "M-SEARCH", "BREW", "GETX", "get", "Get", "DELETE_", "X-DELETE", "PRI", "TRACE", "CONNECT", "TRACK", "DEBUG"]


def targets(host):
    """The corpus, as octets."""
    found = []
    for line in (HERE / "paths.txt").read_text().splitlines():
        if not line or line.startswith("# "):
            continue
        if line == "\\":
            line = ""
        octets = re.sub(rb"\\(\\|x[0-9a-f]{2})", lambda match: b"\\" if match[1] == b"\\" else bytes([int(match[1][1:], 16)]), line.encode())
        found.append(octets.replace(b"{host}", host.encode()))
    return found + [target.encode() for target in LONG]


def python_place(target):
    """As http.server finds files, and after decoding twice, as chains of programs do; backslashes are slashes, as on Windows."""
    path = target.split("?")[0].split("#")[0]
    for _ in range(2):
        path = urllib.parse.unquote(path)
    path = posixpath.normpath(re.sub(r";[^/]*", "", path.replace("\\", "/"))).replace("//", "/")
    return "secret" if path == "/admin" or path.startswith("/admin/") else "open"


class PythonHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        place = "secret" if self.command == "DELETE" else python_place(self.path)
        self.send_response(200)
        self.send_header("x-saw", self.path.encode("latin-1").hex())
        self.send_header("content-length", str(len(place)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(place.encode())

    do_GET = do_POST = do_HEAD = do_DELETE = do_PUT = do_PATCH = do_OPTIONS = answer

    def log_message(self, *arguments):
        pass


class Paths(GateTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstreams = {"python": cls.start_python(), "node": cls.start_node(), "nginx": cls.start_nginx()}
        cls.policies = cls.gate.data / "policies"
        cls.point_to("python")
        cls.user, cls.administrator = (cls.gate.cli("key", "create", "--client", f"paths-{name}")["api_key"] for name in ("user", "administrator"))

    @classmethod
    def start_python(cls):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), PythonHandler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        return server.server_port

    @classmethod
    def start_node(cls):
        node = subprocess.Popen(["node", HERE / "paths_upstream.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for clean_up in (node.stdout.close, node.wait, node.kill, node.stdin.close):
            cls.addClassCleanup(clean_up)
        return int(node.stdout.readline())

    @classmethod
    def start_nginx(cls):
        folder = cls.gate.scratch / "nginx"
        folder.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
        log = (LOGS / "nginx-paths.log").open("w")
        cls.addClassCleanup(log.close)
        nginx = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        cls.addClassCleanup(nginx.wait)
        cls.addClassCleanup(nginx.kill)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return port
            except OSError:
                if nginx.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"nginx did not start: {(LOGS / 'nginx-paths.log').read_text()}") from None
                time.sleep(0.05)

    @classmethod
    def point_to(cls, name):
        (cls.policies / "paths.toml").write_text(POLICY.format(upstream=f"http://127.0.0.1:{cls.upstreams[name]}"))
        cls.gate.cli("policy", "apply", cls.policies)

    # ---- one request, as octets ---------------------------------------------------------------------------------------

    def head(self, method, target, key, more=()):
        lines = [f"{method} ".encode() + target + b" HTTP/1.1", f"Host: {self.host}".encode(), b"Connection: close"]
        lines += [f"x-api-key: {key}".encode()] if key else []
        return b"\r\n".join(lines + list(more)) + b"\r\n\r\n"

    @property
    def host(self):
        host, port = self.gate.address()
        return f"{host}:{port}"

    def through(self, method, target, key=None, more=()):
        """Status, what the upstream says it saw, body; all that came back, if it was not HTTP."""
        with self.gate.socket() as wire:
            return self.exchange(wire, self.head(method, target, key or self.user, more))

    def directly(self, name, target):
        with socket.create_connection(("127.0.0.1", self.upstreams[name]), timeout=10) as wire:
            return self.exchange(wire, self.head("GET", target, None))

    @staticmethod
    def exchange(wire, octets):
        wire.settimeout(10)
        answer = b""
        try:
            wire.sendall(octets)
            while more := wire.recv(65536):
                answer += more
        except OSError:
            pass                                       # closed without a goodbye: a refusal as well
        head, _, body = answer.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.[01] (\d{3})", head)
        saw = re.search(rb"(?im)^x-saw: ([0-9a-f]*)", head)
        raw = re.search(rb"(?im)^x-saw-raw: ([^\r\n]*)", head)
        seen = bytes.fromhex(saw[1].decode()) if saw else raw[1] if raw else None
        return int(status[1]) if status else 0, seen, body

    # ---- the tests ----------------------------------------------------------------------------------------------------

    def test_every_spelling_before_every_server(self):
        corpus = targets(self.host)
        self.assertGreater(len(corpus), 400)
        for name in self.upstreams:
            self.point_to(name)
            bites = sum(b"secret" in self.directly(name, target)[2] for target in corpus)
            self.assertGreater(bites, BITES_MIN, f"{name}: the corpus leads nowhere even without a gate")
            status, _, body = self.through("GET", b"/admin/users", self.administrator)
            self.assertEqual((200, b"secret"), (status, body), "who may, gets there")
            passed = 0
            for target in corpus:
                with self.subTest(upstream=name, target=target):
                    status, saw, body = self.through("GET", target)
                    self.assertNotIn(b"secret", body)
                    self.assertIn(status, (0, 200, 400, 403, 404, 405, 421, 431))
                    if status == 200:
                        passed += 1
                        self.assertEqual(b"open", body)
                        self.assertEqual(self.path_of(target), saw, "what was judged is what was passed on")
            self.assertGreater(passed, 20, "what is open is open")

    @staticmethod
    def path_of(target):
        """The target in origin form."""
        return re.sub(rb"(?i)^https?://[^/?#]*", b"", target)

    def test_every_spelling_over_http2(self):
        corpus = [target.decode("latin-1") for target in targets(self.host)]
        question = {"url": self.gate.demo["gateway"], "ca": str(self.gate.ca), "key": self.user,
                    "targets": [["GET", target] for target in corpus] + [[method, "/open/x"] for method in METHODS]}
        for name in self.upstreams:
            self.point_to(name)
            answers = json.loads(must_run("node", HERE / "paths_h2.mjs", stdin=json.dumps(question), seconds=300))
            self.assertEqual(len(question["targets"]), len(answers))
            for (method, target), answer in zip(question["targets"], answers):
                with self.subTest(upstream=name, method=method, target=target):
                    self.assertNotIn("secret", answer.get("body", ""))
                    if method != "GET":
                        self.assertNotEqual(200, answer.get("status"))
            self.assertGreater(sum(answer.get("status") == 200 for answer in answers), 20)

    def test_methods(self):
        for name in self.upstreams:
            self.point_to(name)
            self.assertEqual((200, b"open"), self.through("GET", b"/open/x")[::2])
            self.assertEqual((200, b""), self.through("HEAD", b"/open/x")[::2], "HEAD has the route of GET")
            self.assertEqual((200, b"secret"), self.through("DELETE", b"/open/x", self.administrator)[::2], "who may, does")
            self.assertEqual(403, self.through("HEAD", b"/admin", self.user)[0], "and its scopes")
            for method in METHODS:
                with self.subTest(upstream=name, method=method):
                    status, _, body = self.through(method, b"/open/x")
                    self.assertNotIn(b"secret", body)
                    expected = {"TRACE": 405, "CONNECT": 405, "DELETE": 403}.get(method, 404)
                    self.assertIn(status, (expected, 400) if method in ("PRI", "CONNECT") else (expected,))

    def test_headers_that_override(self):
        for name in self.upstreams:
            self.point_to(name)
            for header in OVERRIDES:
                for method in ("GET", "POST"):
                    with self.subTest(upstream=name, header=header, method=method):
                        path = b"/open/x" if method == "GET" else b"/elsewhere"
                        status, _, body = self.through(method, path, more=[f"{header}: DELETE".encode(), b"Content-Length: 0"])
                        self.assertIn((status, body), ((200, b"open"), (400, body)))
                        self.assertNotIn(b"secret", body)
            for header in PATH_OVERRIDES:
                with self.subTest(upstream=name, header=header):
                    status, _, body = self.through("GET", b"/open/x", more=[f"{header}: /admin/users".encode()])
                    self.assertNotIn(b"secret", body)

    def test_options_opens_nothing(self):
        for headers in ([], [b"Origin: https://a.example", b"Access-Control-Request-Method: DELETE"]):
            with self.subTest(headers=headers):
                status, _, body = self.through("OPTIONS", b"/admin/users", more=headers)
                self.assertIn(status, (403, 404))
                with self.gate.socket() as wire:
                    status, _, body = self.exchange(wire, self.head("OPTIONS", b"/open/x", None, headers))
                self.assertIn(status, (401, 404))
                self.assertNotIn(b"open", body)
