#!/usr/bin/env python3
"""A partner's program that proves itself with an API key. Python's standard library is enough.

    python3 examples/partner_api_key.py portcullis-demo/demo.json

The argument is the demo.json that `portcullis demo` writes; a real program has the same few things in its own configuration, and the
key in its secret store. Exit code 0 when the gate let the call through, 1 when it did not."""

import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ATTEMPTS_MAX = 3
WAIT_SECONDS_MAX = 30                                  # a spent quota ends with the calendar period: that is not worth waiting for


def main(demo_file):
    folder = Path(demo_file).parent                    # paths in demo.json are relative to it
    demo = json.loads(Path(demo_file).read_text())
    context = ssl.create_default_context(cafile=folder / demo["ca"])

    # In a header, never in the URL: URLs end up in logs, and the gate refuses them.
    request = urllib.request.Request(demo["gateway"] + demo["path"], headers={"x-api-key": demo["api_key"]})
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            with urllib.request.urlopen(request, context=context, timeout=10) as answer:
                print(answer.read().decode())
                return 0
        except urllib.error.HTTPError as refusal:
            wait = int(refusal.headers.get("retry-after", 0))
            if refusal.code == 429 and attempt < ATTEMPTS_MAX and wait <= WAIT_SECONDS_MAX:
                time.sleep(wait)
                continue
            problem = json.load(refusal)
            print(f"{refusal.code} {problem.get('code')}: {problem.get('detail')}", file=sys.stderr)
            # With this id the gate's operator finds the reason, which the answer does not tell to strangers.
            print(f"decision id: {refusal.headers['x-portcullis-decision-id']}", file=sys.stderr)
            return 1
        except urllib.error.URLError as failure:
            print(f"no answer: {failure}", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
