"""What leak scanners are given finds our keys and nothing else, and the checksum can be told by anybody."""

import json
import re
import tomllib
import unittest
import zlib

from gate import BINARY, HELLO, ROOT, GateTest, must_run, run

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
FOLDER = ROOT / "deploy/secret-scanning"


def checksum(body):
    """CRC-32 in six base62 digits, as docs and scanners would compute it."""
    number, text = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        text = DIGITS[digit] + text
    return text


def patterns():
    gitleaks = tomllib.loads((FOLDER / "gitleaks.toml").read_text())["rules"][0]
    github = json.loads((FOLDER / "github-custom-pattern.json").read_text())
    whole = f"(?:{github['before_secret']})({github['secret_format']})(?:{github['after_secret']})"
    # Python spells the end of the text otherwise.
    return {"gitleaks": re.compile(gitleaks["regex"]), "github": re.compile(whole.replace("\\z", "\\Z"))}


class SecretScanning(GateTest):
    def test_the_patterns_find_our_keys_in_text(self):
        key = json.loads((self.gate.data / "demo.json").read_text())["api_key"]
        self.assertEqual(checksum(key[:-6]), key[-6:])
        for name, pattern in patterns().items():
            for text in (key, f'api_key = "{key}"', f"https://x/?k={key}&a=b", f"KEY={key}\n"):
                with self.subTest(pattern=name, text=text):
                    self.assertEqual(pattern.search(text).group(1), key)
            for text in (key[:-1], f"x{key}", f"{key}0", key.replace("pc_", "pk_"), key.upper(), "pc__" + key[3:]):
                with self.subTest(pattern=name, text=text):
                    self.assertIsNone(pattern.search(text))

    def test_the_example_for_github_matches_itself(self):
        github = json.loads((FOLDER / "github-custom-pattern.json").read_text())
        self.assertIsNotNone(re.fullmatch(github["secret_format"], github["test_string"]))
        self.assertEqual(checksum(github["test_string"][:-6]), github["test_string"][-6:])

    def test_inspect_tells_a_key_from_what_looks_like_one(self):
        key = json.loads((self.gate.data / "demo.json").read_text())["api_key"]
        wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
        for text, code, is_key in ((key, 0, True), (wrong, 1, False), ("", 1, False)):
            told = run(BINARY, "key", "inspect", "--output", "json", stdin=text)
            self.assertEqual((told.returncode, json.loads(told.stdout)["is_key"]), (code, is_key))
        self.assertNotIn(key, told.stdout + told.stderr)

    def test_a_scanner_revokes_by_the_lines_of_the_operators_guide(self):
        secret, report = self.gate.data / "leak-reporter.secret", self.gate.scratch / "report.json"
        secret.write_text(must_run("openssl", "rand", "-hex", "32"))
        secret.chmod(0o600)
        self.gate.stop()
        with (self.gate.data / "portcullis.toml").open("a") as settings:
            settings.write('\n[[keys.leak_reporter]]\nname = "gitleaks"\nsecret_file = "leak-reporter.secret"\n')
        self.gate.start()
        key = self.gate.cli("key", "create", "--client", "acme-orders")["api_key"]
        host, port = self.gate.address()
        url = f"https://{host}:{port}"
        hello = ["curl", "-sS", "--cacert", self.gate.ca, "-H", f"X-Api-Key: {key}", url + self.gate.hello]
        self.assertEqual(json.loads(must_run(*hello)), HELLO)
        lines = ("""printf '[{"token":"%s"}]' "$FOUND" >"$REPORT" """
                 """&& signature=$(openssl dgst -sha256 -hmac "$(cat "$SECRET")" -r "$REPORT" | cut -d' ' -f1) """
                 """&& curl -sS --cacert "$CA" -H "X-Portcullis-Signature: sha256=$signature" --data-binary @"$REPORT" "$URL" """)
        names = {"FOUND": key, "REPORT": str(report), "SECRET": str(secret), "CA": str(self.gate.ca), "URL": url + "/v1/leaked-keys"}
        self.assertEqual(json.loads(must_run("sh", "-c", lines, environment=names)), {"revoked": 1, "known": 0, "unknown": 0})
        self.assertEqual(json.loads(must_run(*hello))["code"], "credential_unknown")
        self.assertEqual(json.loads(must_run("sh", "-c", lines, environment=names)), {"revoked": 0, "known": 1, "unknown": 0})


if __name__ == "__main__":
    unittest.main()
