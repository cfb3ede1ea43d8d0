"""curl, as a partner's developer runs it."""

import http.server
import threading
from dataclasses import dataclass

from gate import run


@dataclass
class Transfer:
    """One transfer. `status` is 0 when no answer came (a TLS refusal, say); `connects` is 0 when an open connection was used."""
    status: int
    version: str
    connects: int
    body: str
    exit_code: int


def curl(gate, *arguments):
    """One transfer with the gate's CA as the only trust anchor."""
    return curl_in_turn(gate, arguments)[-1]


def curl_in_turn(gate, *transfers):
    """Several transfers by one process, so that the later ones can use the connections of the earlier ones."""
    command = ["curl", "--silent", "--show-error"]
    for number, arguments in enumerate(transfers):
        command += (["--next"] if number else []) + ["--cacert", gate.ca, "--max-time", "20", *arguments]
        command += ["--write-out", "\n@%{http_code} %{http_version} %{num_connects} %{exitcode}\n"]
    done = run(*command)
    found, body = [], []
    for line in done.stdout.splitlines():
        if line.startswith("@"):
            status, version, connects, exit_code = line[1:].split()
            found.append(Transfer(int(status), version, int(connects), "\n".join(body).rstrip("\n"), int(exit_code)))
            body = []
        else:
            body.append(line)
    if len(found) != len(transfers):
        raise AssertionError(f"curl made {len(found)} of {len(transfers)} transfers:\n{done.stdout}{done.stderr}")
    return found


class Hook:
    """A small HTTP server that runs `action` while curl waits for it: the moment between two transfers of one process."""

    def __init__(self, action):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                try:
                    action()
                    self.send_response(204)
                except AssertionError as error:
                    self.send_response(500)
                    hook.error = error
                self.end_headers()

            def log_message(self, *arguments):
                pass

        hook = self
        self.error = None
        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}/"

    def __exit__(self, *exception):
        self.server.shutdown()
        self.server.server_close()
        if self.error:
            raise self.error
