"""An administrator with a browser that holds the certificate, and a stranger without one."""

import shutil
from pathlib import Path

from gate import ROOT, GateTest, run

HERE = Path(__file__).parent


class Console(GateTest):
    def test_every_page_opens_and_a_stranger_is_told_what_to_do(self):
        prefix = ROOT / "target/interop/console"
        prefix.parent.mkdir(parents=True, exist_ok=True)
        for old in prefix.parent.glob("console-*.png"):
            old.unlink()
        done = run("node", HERE / "console.mjs", self.gate.data, shutil.which("chromium"), prefix, seconds=180)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn("stranger told", done.stdout)
        self.assertGreater(len(list(prefix.parent.glob("console-wide-*.png"))), 3)
