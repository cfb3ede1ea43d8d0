// An upstream as many are written for Node: it resolves the target as a URL, decodes it, drops parameters, does not mind the case of
// letters or a last slash, and believes the headers by which a method or a path is overridden. Prints its port.

import { createServer } from "node:http";
import { posix } from "node:path";

function place(request) {
  const target = request.headers["x-original-url"] ?? request.headers["x-rewrite-url"] ?? request.url;
  const { pathname } = new URL(target, "http://upstream");
  const path = posix.normalize(decodeURIComponent(pathname).replace(/;[^/]*/g, "")).toLowerCase().replace(/\/+$/, "");
  return path === "/admin" || path.startsWith("/admin/") ? "secret" : "open";
}

function method(request) {
  const names = ["x-http-method-override", "x-http-method", "x-method-override"];
  return (names.map((name) => request.headers[name]).find(Boolean) ?? request.method).toUpperCase();
}

const server = createServer((request, response) => {
  let found;
  try {
    found = method(request) === "DELETE" ? "secret" : place(request);
  } catch {
    response.statusCode = 400;
    found = "unreadable";
  }
  request.resume();
  response.setHeader("x-saw", Buffer.from(request.url, "latin1").toString("hex"));
  response.end(found);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit());
