// Client certificates, and their end.

import { get, part, post } from "../api.js";
import { ask, show as showDialog } from "../dialog.js";
import { button, facts, h, heading, table } from "../dom.js";
import * as format from "../format.js";
import { filterForm } from "./audit.js";

/** RFC 5280 §5.3.1, those that are for good. */
const reasons = [
  ["unspecified", "Unspecified"],
  ["key-compromise", "The key is compromised"],
  ["affiliation-changed", "The affiliation changed"],
  ["superseded", "Superseded by another"],
  ["cessation-of-operation", "No longer in use"],
  ["privilege-withdrawn", "Privilege withdrawn"],
];

const states = [["", "All"], ["issued", "Good"], ["revoked", "Revoked"], ["expired", "Expired"], ["orphaned", "Orphaned"]];

export async function show({ query, reload, say }) {
  if (query.get("id")) return one(query.get("id"), { reload, say });
  const asked = {
    client: query.get("client"),
    partner: query.get("partner"),
    state: query.get("state"),
    after: query.get("after"),
    limit: 50,
  };
  const [list, issuers] = await Promise.all([get("/v1/certificates", asked), get("/v1/issuers")]);
  return [
    heading(1, "Certificates", h("a", { class: "button", href: "#/partners" }, "Issue one for a client")),
    filterForm("#/certificates", [
      { name: "client", label: "Client", value: query.get("client") },
      { name: "partner", label: "Partner", value: query.get("partner") },
      { name: "state", label: "State", type: "select", options: states, value: query.get("state") },
    ]),
    h("section", { class: "card" },
      table("Certificates", certificateColumns(reload, say), list.items, "None."),
      list.next ? h("p", {}, h("a", { class: "button", href: next(query, list.next) }, "Older")) : null),
    h("section", { class: "card" },
      heading(2, "Authorities"),
      table("Authorities", [
        { title: "Subject", cell: (item) => item.subject },
        { title: "Kind", cell: (item) => item.kind },
        { title: "State", cell: (item) => item.state },
        { title: "Ends", cell: (item) => format.end(item.not_after) },
        { title: "CRL", cell: (item) => item.crl_number === null ? "–" : `number ${item.crl_number}` },
        { title: "CRL renewed by", cell: (item) => format.time(item.crl_next_update) },
        { title: "OCSP signer ends", cell: (item) => item.ocsp_signer_not_after === null ? "–" : format.time(item.ocsp_signer_not_after) },
      ], issuers.items, "None.")),
  ];
}

export function certificateColumns(reload, say) {
  return [
    { title: "Serial", cell: (item) => h("a", { href: `#/certificates?id=${encodeURIComponent(item.id)}` }, format.id(item.id)) },
    { title: "Client", cell: (item) => item.client ? h("a", { href: `#/clients/${encodeURIComponent(item.client)}` }, item.client) : "this gate" },
    { title: "State", cell: format.status },
    { title: "Ends", cell: (item) => item.state === "issued" ? format.end(item.not_after) : format.time(item.not_after) },
    { title: "Narrowed to", cell: (item) => format.list([...(item.scopes ?? []), ...(item.networks ?? [])], "–") },
    { title: "", class: "actions", cell: (item) => item.state === "issued" ? button("Revoke", () => revoke(item, reload, say), "danger") : null },
  ];
}

async function one(id, { reload, say }) {
  const item = await get(`/v1/certificates/${part(id)}`);
  return [
    h("p", { class: "crumbs" }, h("a", { href: "#/certificates" }, "Certificates")),
    heading(1, "Certificate",
      item.pem ? button("PEM", () => showDialog("PEM", h("pre", {}, item.pem))) : null,
      item.state === "issued" ? button("Revoke", () => revoke(item, reload, say), "danger") : null),
    h("section", { class: "card" }, facts([
      ["Serial", h("code", {}, item.id)],
      ["State", format.status(item)],
      ["Client", item.client ? h("a", { href: `#/clients/${encodeURIComponent(item.client)}` }, item.client) : "this gate"],
      ["Partner", item.partner],
      ["Subject", item.subject],
      ["Valid from", format.time(item.not_before)],
      ["Valid to", format.time(item.not_after)],
      ["Issued by", h("code", {}, item.issuer)],
      ["Thumbprint", item.thumbprint ? h("code", {}, item.thumbprint) : null],
      ["Scopes", format.list(item.scopes, "all of the client's")],
      ["Networks", format.list(item.networks, "wherever the client may be")],
      ["Revoked", item.revoked_at ? format.time(item.revoked_at) : null],
      ["Reason", item.reason],
    ])),
  ];
}

async function revoke(item, reload, say) {
  const answer = await ask({
    title: `Revoke the certificate of ${item.client ?? "this gate"}?`,
    text: `Serial ${item.id}. For good: at once it is refused, and connections made with it are closed.`,
    fields: [{ name: "reason", label: "Reason", type: "select", options: reasons }],
    submit: "Revoke",
    danger: true,
    send: (values) => post("/v1/certificates/revoke", { ...values, serial: `${item.issuer}/${item.id}` }),
  });
  if (!answer) return;
  say(`Revoked in ${answer.effective_after_ms.toFixed(1)} ms; ${answer.connections_closed} connections closed.`);
  await reload();
}

function next(query, after) {
  const search = new URLSearchParams(query);
  search.set("after", after);
  return `#/certificates?${search}`;
}
