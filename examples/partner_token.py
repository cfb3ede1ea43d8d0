#!/usr/bin/env python3
"""A partner's program that proves itself with an access token (OAuth 2.0 client credentials). Python's standard library is enough.

    python3 examples/partner_token.py portcullis-demo/demo.json

The argument is the demo.json that `portcullis demo` writes; a real program has the same few things in its own configuration, and the
secret in its secret store. Exit code 0 when the gate let the calls through, 1 when it did not."""

import base64
import json
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

EARLY_SECONDS = 60                                     # a token that ends while it travels is refused


class TokenSource:
    """One token for many calls: asking for a new one each time costs both sides, and is what a rate limit hits first."""

    def __init__(self, token_url, client_id, client_secret, scope, context):
        pair = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
        self.request = urllib.request.Request(
            token_url, method="POST", headers={"authorization": f"Basic {pair}"},
            data=urllib.parse.urlencode({"grant_type": "client_credentials", "scope": scope}).encode())
        self.context = context
        self.token, self.good_until = None, 0.0

    def get(self):
        if time.monotonic() >= self.good_until:
            with urllib.request.urlopen(self.request, context=self.context, timeout=10) as answer:
                granted = json.load(answer)
            self.token, self.good_until = granted["access_token"], time.monotonic() + granted["expires_in"] - EARLY_SECONDS
        return self.token

    def forget(self):
        self.good_until = 0.0


def call(url, tokens, context):
    """One call; a token that was revoked before its time is replaced once."""
    for last in (False, True):
        request = urllib.request.Request(url, headers={"authorization": f"Bearer {tokens.get()}"})
        try:
            with urllib.request.urlopen(request, context=context, timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as refusal:
            if last or refusal.code != 401:
                raise
            tokens.forget()


def main(demo_file):
    folder = Path(demo_file).parent                    # paths in demo.json are relative to it
    demo = json.loads(Path(demo_file).read_text())
    context = ssl.create_default_context(cafile=folder / demo["ca"])
    tokens = TokenSource(demo["token_url"], demo["client_id"], demo["client_secret"], demo["scope"], context)
    try:
        for _ in range(2):                             # the second call goes with the first one's token
            print(call(demo["gateway"] + demo["path"], tokens, context))
        return 0
    except urllib.error.HTTPError as refusal:
        problem = json.load(refusal)
        # The token endpoint speaks RFC 6749 (`error`), the routes speak RFC 9457 (`code`).
        print(f"{refusal.code} {problem.get('code') or problem.get('error')}: "
              f"{problem.get('detail') or problem.get('error_description')}", file=sys.stderr)
        # With this id the gate's operator finds the reason, which the answer does not tell to strangers.
        print(f"decision id: {refusal.headers['x-portcullis-decision-id']}", file=sys.stderr)
    except urllib.error.URLError as failure:
        print(f"no answer: {failure}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
