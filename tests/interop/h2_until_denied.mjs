// One HTTP/2 connection with a client certificate, request after request until one is not served.
//
// Arguments: URL, CA, chain, key (PEM files). Writes "open" when the first request was served and, in the end, a line of JSON:
// when each served request began, when the end was seen, and what it was. Times are the machine's monotonic clock, nanoseconds.
import fs from "node:fs";
import http2 from "node:http2";

const [url, ca, chain, key] = process.argv.slice(2);
const { origin, pathname } = new URL(url);
const now = () => Number(process.hrtime.bigint());
const served = [];

const session = http2.connect(origin, {
  ca: fs.readFileSync(ca), cert: fs.readFileSync(chain), key: fs.readFileSync(key),
  ...(process.env.INSECURE ? { rejectUnauthorized: false } : {}),
});

function end(by) {
  console.log(JSON.stringify({ served, at: now(), by: String(by) }));
  process.exit(0);
}
session.on("error", () => end("closed"));
session.on("close", () => end("closed"));
session.on("goaway", () => end("closed"));

function ask() {
  const began = now();
  const request = session.request({ ":path": pathname });
  let status;
  request.on("response", (headers) => { status = headers[":status"]; });
  request.on("error", () => end("closed"));
  request.on("end", () => {
    if (status !== 200) return end(status ?? "closed");
    served.push(began);
    if (served.length === 1) console.log("open");
    setTimeout(ask, 1);
  });
  request.resume();
}
ask();
setTimeout(() => end("never"), 30_000).unref();
