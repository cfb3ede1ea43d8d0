// The policy in force, and what was in force before.

import { get, post } from "../api.js";
import { ask, show as showDialog } from "../dialog.js";
import { button, facts, h, heading, table } from "../dom.js";
import * as format from "../format.js";

export async function show({ reload, say }) {
  const [current, history] = await Promise.all([
    get("/v1/policies/current").catch((problem) => {
      if (problem.status === 404) return null;
      throw problem;
    }),
    get("/v1/policies", { limit: 50 }),
  ]);
  return [
    heading(1, "Policy"),
    current === null
      ? h("p", { class: "warning" }, "No policy was ever applied: every request is denied. Apply one with portcullis policy apply.")
      : h("section", { class: "card" },
        heading(2, `Version ${current.id}, in force`),
        facts(facts_of(current)),
        current.documents.map(document)),
    h("section", { class: "card" },
      heading(2, "History"),
      table("Versions", [
        { title: "Version", cell: (item) => item.id },
        { title: "Applied", cell: (item) => format.time(item.applied_at) },
        { title: "By", cell: (item) => item.applied_by },
        { title: "Comment", cell: (item) => item.comment ?? "–" },
        { title: "", class: "actions", cell: (item) => [
          button("Show", () => version(item.id)),
          current && item.id !== current.id ? button("Bring back", () => rollback(item, current, reload, say)) : null,
        ] },
      ], history.items, "None."),
      history.next ? h("p", { class: "quiet" }, "Older ones: portcullis policy history.") : null),
  ];
}

function facts_of(version) {
  return [
    ["Applied", format.time(version.applied_at)],
    ["By", version.applied_by],
    ["Comment", version.comment],
    ["Brought back", version.restored ? `version ${version.restored}` : null],
  ];
}

function document(item) {
  return h("details", { open: true }, h("summary", {}, item.name), h("pre", { tabindex: "0" }, item.text));
}

async function version(id) {
  const found = await get(`/v1/policies/${id}`);
  await showDialog(`Policy version ${found.id}`, facts(facts_of(found)), found.documents.map(document));
}

async function rollback(item, current, reload, say) {
  const found = await get(`/v1/policies/${item.id}`);
  const plan = await post("/v1/policies/plan", { documents: found.documents });
  const changes = plan.changes.map((change) => `${signs[change.kind] ?? "~"} ${change.what} ${change.id}`);
  const done = await ask({
    title: `Bring version ${item.id} back?`,
    text: changes.length === 0 ? "Nothing would change." : `As version ${current.id + 1}. What changes: ${changes.join("; ")}`,
    submit: "Bring back",
    danger: true,
    send: () => post("/v1/policies/rollback", { version: item.id }),
  });
  if (!done) return;
  say(`Version ${done.id} is in force.`);
  await reload();
}

const signs = { added: "+", removed: "−", changed: "~" };
