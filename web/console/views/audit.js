// Who did what: decisions of the gate, and changes of administrators.

import { get, post } from "../api.js";
import { field, show as showDialog, values } from "../dialog.js";
import { button, facts, fill, h, heading, table } from "../dom.js";
import * as format from "../format.js";
import { stepList, steps } from "./explain.js";

export async function show({ query, reload }) {
  const changes = query.get("kind") === "change";
  const asked = {
    kind: changes ? "change" : null,
    client: query.get("client"),
    partner: query.get("partner"),
    outcome: changes ? null : query.get("outcome"),
    denied: changes ? null : query.get("denied"),
    shadow: changes ? null : query.get("shadow"),
    actor: changes ? query.get("actor") : null,
    action: changes ? query.get("action") : null,
    since: millis(query.get("since")),
    until: millis(query.get("until")),
    id: query.get("id"),
    after: query.get("after"),
    limit: 50,
  };
  const list = await get("/v1/audit", asked);
  return [
    heading(1, "Audit",
      h("a", { class: "button", href: changes ? "#/audit" : "#/audit?kind=change" }, changes ? "Decisions" : "Changes"),
      button("Refresh", reload)),
    filterForm("#/audit", changes ? [
      { name: "kind", type: "hidden", value: "change" },
      { name: "actor", label: "By", value: query.get("actor") },
      { name: "action", label: "Action", value: query.get("action") },
      { name: "client", label: "Client", value: query.get("client") },
      { name: "since", label: "Since", type: "datetime-local", value: query.get("since") },
      { name: "until", label: "Until", type: "datetime-local", value: query.get("until") },
    ] : [
      { name: "client", label: "Client", value: query.get("client") },
      { name: "partner", label: "Partner", value: query.get("partner") },
      { name: "denied", label: "Outcome", type: "select", options: [["", "All"], ["true", "Denied"]], value: query.get("denied") },
      { name: "shadow", label: "Shadow", type: "select", options: [["", "All"], ["true", "Would be denied"]], value: query.get("shadow") },
      { name: "outcome", label: "Code", value: query.get("outcome") },
      { name: "since", label: "Since", type: "datetime-local", value: query.get("since") },
      { name: "until", label: "Until", type: "datetime-local", value: query.get("until") },
      { name: "id", label: "Decision id", value: query.get("id") },
    ]),
    h("section", { class: "card" },
      table(changes ? "Changes" : "Decisions", changes ? changeColumns : decisionColumns(), list.items, "Nothing fits."),
      list.next ? h("p", {}, h("a", { class: "button", href: next(query, list.next) }, "Older")) : null),
  ];
}

export function decisionColumns() {
  return [
    { title: "Time", cell: (row) => format.timeMillis(row.at) },
    { title: "Client", cell: (row) => row.client ? h("a", { href: `#/clients/${encodeURIComponent(row.client)}` }, row.client) : "–" },
    { title: "Request", cell: (row) => h("code", {}, `${row.http_method} ${row.path}`) },
    { title: "From", cell: (row) => h("code", {}, row.source) },
    { title: "Outcome", cell: format.outcome },
    { title: "Status", class: "number", cell: (row) => row.status },
    { title: "", class: "actions", cell: (row) => button("Detail", () => decision(row)) },
  ];
}

const changeColumns = [
  { title: "Time", cell: (row) => format.timeMillis(row.at) },
  { title: "By", cell: (row) => row.actor },
  { title: "From", cell: (row) => row.source ? h("code", {}, row.source) : "–" },
  { title: "Action", cell: (row) => h("code", {}, row.action) },
  { title: "Target", cell: (row) => format.id(row.target) },
  { title: "", class: "actions", cell: (row) => button("Detail", () => change(row)) },
];

function change(row) {
  return showDialog(row.action, facts([
    ["Time", format.timeMillis(row.at)],
    ["By", row.actor],
    ["From", row.source],
    ["Target", h("code", {}, row.target)],
    ["Id", h("code", {}, row.id)],
  ]), h("pre", { tabindex: "0" }, JSON.stringify(row.detail, null, 2)));
}

/** A decision with the steps that were kept of it, and what the gate would say to the same request now. */
async function decision(row) {
  const kept = await get(`/v1/audit/${encodeURIComponent(row.id)}`).catch(() => null);
  const again = await post("/v1/explain", {
    method: row.http_method,
    path: row.path,
    source: row.source,
    listener: row.listener,
    ...(row.client ? { client: row.client, presents: row.auth_methods?.split("+") ?? [] } : {}),
  }).catch(() => null);
  await showDialog(`${row.http_method} ${row.path}`,
    facts([
      ["Outcome", format.outcome(row)],
      ["Reason", row.detail],
      ["In shadow", row.shadow],
      ["Status", row.status],
      ["Time", format.timeMillis(row.at)],
      ["Client", row.client],
      ["Partner", row.partner],
      ["Presented", row.auth_methods],
      ["Credentials", row.credentials],
      ["Route", row.route],
      ["Listener", row.listener],
      ["From", h("code", {}, row.source)],
      ["Took", `${format.count(row.micros)} µs`],
      ["Decision id", h("a", { href: `#/audit?id=${encodeURIComponent(row.id)}` }, h("code", {}, row.id))],
    ]),
    kept?.steps ? [h("h3", {}, "How it was decided"), stepList(kept.steps)] : null,
    again
      ? [
        h("h3", {}, "Judged again, with what is in force now"),
        h("p", { class: "quiet" }, "The credentials are taken as good: only the secret itself could tell, and it is not kept."),
        steps(again),
      ]
      : null);
}

/** A form whose fields become the address: what is shown can be linked to. */
export function filterForm(address, fields) {
  const form = h("form", {
    class: "filters",
    onsubmit(event) {
      event.preventDefault();
      const search = new URLSearchParams(values(form, fields)).toString();
      const wanted = search === "" ? address : `${address}?${search}`;
      if (location.hash === wanted) window.dispatchEvent(new HashChangeEvent("hashchange"));
      else location.hash = wanted;
    },
  });
  return fill(form,
    fields.map((spec) => spec.type === "hidden" ? h("input", { type: "hidden", name: spec.name, value: spec.value }) : field(spec)),
    h("button", { type: "submit", class: "primary" }, "Filter"));
}

function millis(local) {
  if (!local) return null;
  const instant = new Date(local).getTime();
  return Number.isNaN(instant) ? null : instant;
}

function next(query, after) {
  const search = new URLSearchParams(query);
  search.set("after", after);
  return `#/audit?${search}`;
}
