"""A person with a browser: open /docs, authorize with client id and secret, try the route out, read `hello world!`."""

import shutil
from pathlib import Path

from gate import ROOT, GateTest, run

HERE = Path(__file__).parent


class SwaggerUi(GateTest):
    def test_authorize_and_try_it_out(self):
        screenshot = ROOT / "target/interop/swagger.png"
        screenshot.unlink(missing_ok=True)
        done = run("node", HERE / "swagger.mjs", self.gate.data / "demo.json", shutil.which("chromium"), screenshot, seconds=180)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn("200", done.stdout)
        self.assertGreater(screenshot.stat().st_size, 10_000)

    def test_the_document_describes_the_route_and_its_three_doors(self):
        document = self.gate.request("GET", "/openapi.json").json
        self.assertTrue(document["openapi"].startswith("3."))
        operation = document["paths"][self.gate.hello]["get"]
        schemes = document["components"]["securitySchemes"]
        kinds = {name: scheme["type"] for name, scheme in schemes.items()}
        self.assertLessEqual({"mutualTLS", "apiKey", "oauth2"}, set(kinds.values()))
        alternatives = [kinds[name] for requirement in operation["security"] for name in requirement]
        self.assertEqual(["apiKey", "mutualTLS", "oauth2"], sorted(alternatives), "any one of the three")
        flow = next(scheme for scheme in schemes.values() if scheme["type"] == "oauth2")["flows"]["clientCredentials"]
        self.assertTrue(self.gate.demo["token_url"].endswith(flow["tokenUrl"]))
        self.assertIn(self.gate.demo["scope"], flow["scopes"])

    def test_the_page_needs_nothing_from_elsewhere(self):
        page = self.gate.request("GET", "/docs")
        if "location" in page.headers:
            page = self.gate.request("GET", "/docs/")
        self.assertEqual(200, page.status, page)
        self.assertNotRegex(page.body, r"""(?:src|href)=["'](?:https?:)?//""")
