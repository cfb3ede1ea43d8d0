// Asks for many paths over one HTTP/2 connection, where no request line keeps odd octets out. The question comes as JSON on standard
// input: {url, ca, key, targets: [[method, path]]}, paths in latin1; the answer is a list of {status, saw, body} or {error}.

import { connect } from "node:http2";
import { readFileSync } from "node:fs";

const question = JSON.parse(readFileSync(0, "utf8"));
let session;

function open() {
  session = connect(question.url, { ca: readFileSync(question.ca) });
  session.on("error", () => {});
}

function ask([method, path]) {
  if (!session || session.closed || session.destroyed) open();
  return new Promise((resolve) => {
    let stream;
    try {
      stream = session.request({ ":method": method, ":path": path, "x-api-key": question.key });
    } catch (error) {
      resolve({ error: error.code });
      return;
    }
    let head, body = "";
    stream.setEncoding("latin1").setTimeout(10000, () => stream.close());
    stream.on("response", (headers) => (head = headers)).on("data", (octets) => (body += octets));
    stream.on("error", (error) => resolve({ error: error.code }));
    stream.on("close", () => resolve(head ? { status: head[":status"], saw: head["x-saw"], body } : { error: "no answer" }));
    stream.end();
  });
}

const answers = [];
for (const target of question.targets) answers.push(await ask(target));
// Only when it is written: an exit cuts a pipe off.
process.stdout.write(JSON.stringify(answers), () => process.exit());
