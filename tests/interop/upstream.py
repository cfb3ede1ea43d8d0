"""The API behind the gate: it answers everything and remembers what reached it."""

import http.server
import threading


class Upstream:
    """`arrived` holds a line for each request line that came in; `served` the requests that came in whole."""

    def __init__(self):
        upstream = self
        self.arrived, self.served = [], []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def parse_request(self):
                upstream.arrived.append(self.raw_requestline)
                return super().parse_request()

            def answer(self):
                body = self.read_body()
                upstream.served.append({"method": self.command, "path": self.path, "headers": self.headers.items(), "body": body})
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def read_body(self):
                if self.headers.get("transfer-encoding", "").lower() != "chunked":
                    return self.read_exactly(int(self.headers.get("content-length", 0)))
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.read_exactly(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def read_exactly(self, size):
                body = self.rfile.read(size)
                if len(body) != size:
                    raise ConnectionError("the request was cut off")
                return body

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

            def log_message(self, *arguments):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                pass                                   # a request that was cut off is what these tests are about

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
