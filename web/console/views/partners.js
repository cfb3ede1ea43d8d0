// Partners, and the clients of one.

import { all, get, part, post } from "../api.js";
import { ask } from "../dialog.js";
import { button, facts, h, heading, table } from "../dom.js";
import * as format from "../format.js";

export function show(page) {
  return page.parts[0] ? partner(page.parts[0], page) : list(page);
}

async function list({ say }) {
  const [partners, clients] = await Promise.all([all("/v1/partners"), all("/v1/clients")]);
  return [
    heading(1, "Partners", button("New partner", () => create(say), "primary")),
    h("section", { class: "card" },
      table("Partners", [
        { title: "Partner", cell: (item) => h("a", { href: link(item.id) }, item.id) },
        { title: "Name", cell: (item) => item.name },
        { title: "Clients", class: "number", cell: (item) => format.count(clients.filter((client) => client.partner === item.id).length) },
        { title: "State", cell: format.enabled },
        { title: "Managed by", cell: (item) => item.managed_by ?? "registry" },
      ], partners, "There are no partners yet. Add one, or declare some in the policy.")),
    h("section", { class: "card" },
      heading(2, "All clients"),
      table("Clients", clientColumns, clients, "There are no clients yet.")),
  ];
}

async function partner(id, { reload, say }) {
  const [item, clients] = await Promise.all([get(`/v1/partners/${part(id)}`), all("/v1/clients", { partner: id })]);
  return [
    h("p", { class: "crumbs" }, h("a", { href: "#/partners" }, "Partners")),
    heading(1, item.id,
      button("New client", () => createClient(item.id, say), "primary"),
      switchButton("partners", item, reload, say)),
    h("section", { class: "card" }, facts([
      ["Name", item.name],
      ["Contact", item.contact],
      ["State", format.enabled(item)],
      ["Managed by", item.managed_by ?? "registry"],
      ["No longer declared since policy", item.withdrawn_by],
      ["Added", format.time(item.created_at)],
    ])),
    h("section", { class: "card" },
      heading(2, "Clients"),
      table("Clients", clientColumns, clients, "It has no clients yet.")),
    h("p", {}, h("a", { href: `#/audit?partner=${encodeURIComponent(item.id)}` }, "Its requests in the audit log")),
  ];
}

const clientColumns = [
  { title: "Client", cell: (item) => h("a", { href: `#/clients/${encodeURIComponent(item.id)}` }, item.id) },
  { title: "Partner", cell: (item) => h("a", { href: link(item.partner) }, item.partner) },
  { title: "Scopes", cell: (item) => format.list(item.scopes, "none") },
  { title: "Networks", cell: (item) => format.list(item.networks, "anywhere") },
  { title: "Usage plan", cell: (item) => item.usage_plan ?? "unlimited" },
  { title: "State", cell: format.enabled },
];

/** Off or on again, after a question. kind: partners or clients. */
export function switchButton(kind, item, reload, say) {
  const [verb, done] = item.enabled ? ["disable", "is off"] : ["enable", "is on again"];
  const off = item.enabled;
  return button(off ? "Switch off" : "Switch on", async () => {
    const answer = await ask({
      title: `${off ? "Switch off" : "Switch on"} ${item.id}?`,
      text: off
        ? "At once nothing of it is let in any more, on open connections as well, and the tokens issued to it are revoked."
        : "Its credentials are let in again; it has to ask for new tokens.",
      submit: off ? "Switch off" : "Switch on",
      danger: off,
      send: () => post(`/v1/${kind}/${part(item.id)}/${verb}`),
    });
    if (!answer) return;
    say(`${item.id} ${done}.`);
    await reload();
  }, off ? "danger" : "");
}

async function create(say) {
  const made = await ask({
    title: "New partner",
    fields: [
      { name: "id", label: "Id", required: true, maxlength: 64, hint: "Short: a-z, 0-9 and -. It cannot be changed." },
      { name: "name", label: "Name", maxlength: 128 },
      { name: "contact", label: "Contact", maxlength: 256, hint: "Whom to call." },
    ],
    submit: "Add",
    send: (values) => post("/v1/partners", values),
  });
  if (!made) return;
  say(`Partner ${made.id} was added.`);
  location.hash = link(made.id);
}

async function createClient(partner, say) {
  const made = await ask({
    title: `New client of ${partner}`,
    fields: [
      { name: "id", label: "Id", required: true, maxlength: 128, hint: "It stands in certificates and tokens and cannot be changed." },
      { name: "description", label: "Description", maxlength: 512 },
      { name: "scopes", label: "Scopes", type: "lines", hint: "One a line. What the client may ever be granted." },
      { name: "networks", label: "Networks", type: "lines", hint: "Names or CIDRs, one a line. Empty: from anywhere." },
      { name: "usage_plan", label: "Usage plan", hint: "Empty: unlimited." },
    ],
    submit: "Add",
    send: (values) => post("/v1/clients", { ...values, partner }),
  });
  if (!made) return;
  say(`Client ${made.id} was added.`);
  location.hash = `#/clients/${encodeURIComponent(made.id)}`;
}

function link(id) {
  return `#/partners/${encodeURIComponent(id)}`;
}
