#!/usr/bin/env python3
"""A partner's program that proves itself with a client certificate. Python's standard library is enough.

    python3 examples/partner_certificate.py portcullis-demo/demo.json

The argument is the demo.json that `portcullis demo` writes; a real program has the same few things in its own configuration.
Exit code 0 when the gate let the call through, 1 when it did not."""

import json
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path


def main(demo_file):
    folder = Path(demo_file).parent                    # paths in demo.json are relative to it
    demo = json.loads(Path(demo_file).read_text())

    # Whom we believe: the gate's own CA, instead of the machine's list of public ones.
    context = ssl.create_default_context(cafile=folder / demo["ca"])
    # Who we are: the certificate with its chain, and the key, which never leaves this machine.
    context.load_cert_chain(folder / demo["client_certificate"], folder / demo["client_key"])

    try:
        with urllib.request.urlopen(demo["gateway"] + demo["path"], context=context, timeout=10) as answer:
            print(answer.read().decode())
            return 0
    except urllib.error.HTTPError as refusal:
        problem = json.load(refusal)
        print(f"{refusal.code} {problem.get('code')}: {problem.get('detail')}", file=sys.stderr)
        # With this id the gate's operator finds the reason, which the answer does not tell to strangers.
        print(f"decision id: {refusal.headers['x-portcullis-decision-id']}", file=sys.stderr)
    except (ssl.SSLError, urllib.error.URLError) as failure:
        # Where a certificate is required, a bad one already ends the handshake: there is no HTTP answer.
        print(f"no answer: {failure}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
