// A Node server that asks for client certificates and holds each link of their chains against revocation lists; and one client.
//
//   node relying_party.mjs ROOT LISTS CHAIN KEY SERVER_CHAIN SERVER_KEY
//
// Prints "accepted" or "rejected: REASON".

import { readFileSync } from "node:fs";
import tls from "node:tls";

const [root, lists, chain, key, serverChain, serverKey] = process.argv.slice(2).map((file) => readFileSync(file, "utf8"));
// One list each: OpenSSL reads the first block of each string alone.
const crl = lists.match(/-----BEGIN X509 CRL-----[^]*?-----END X509 CRL-----\n?/g);

const server = tls.createServer({ cert: serverChain, key: serverKey, ca: root, crl, requestCert: true, rejectUnauthorized: false }, (socket) => {
  const verdict = socket.authorized ? "accepted" : `rejected: ${socket.authorizationError?.code ?? socket.authorizationError}`;
  socket.end(verdict);
});
server.listen(0, "127.0.0.1", () => {
  const client = tls.connect({ port: server.address().port, host: "127.0.0.1", cert: chain, key, rejectUnauthorized: false });
  client.on("data", (verdict) => process.stdout.write(verdict));
  client.on("error", (error) => process.stdout.write(`rejected: ${error.code}`));
  client.on("close", () => server.close());
});
