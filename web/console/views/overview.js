// What there is, what ends soon, and who was turned away.

import { get } from "../api.js";
import { badge, h, heading, table } from "../dom.js";
import * as format from "../format.js";
import { decisionColumns } from "./audit.js";

export async function show({ reload }) {
  const [status, ready, expiring, denied] = await Promise.all([
    get("/v1/status"),
    get("/readyz").catch((problem) => ({ ready: false, checks: [{ name: "readiness", ok: false, detail: problem.message }] })),
    get("/v1/expiring", { limit: 20 }),
    get("/v1/audit", { denied: true, limit: 10 }),
  ]);
  const counts = [
    ["Partners", status.counts.partners, "#/partners"],
    ["Clients", status.counts.clients, "#/partners"],
    ["Live certificates", status.counts.certificates, "#/certificates"],
    ["Live API keys", status.counts.api_keys, "#/partners"],
    ["Live client secrets", status.counts.client_secrets, "#/partners"],
    ["Policy version", status.policy_version, "#/policy"],
  ];
  return [
    heading(1, "Overview"),
    h("ul", { class: "tiles" }, counts.map(([name, count, href]) =>
      h("li", {}, h("a", { href }, h("span", { class: "figure" }, format.count(count)), h("span", {}, name))))),
    status.policy_version === 0
      ? h("p", { class: "warning" }, "No policy was ever applied: every request is denied.")
      : null,
    h("section", { class: "card" },
      heading(2, "Ends within 30 days"),
      table("Credentials that end within 30 days", [
        { title: "Credential", cell: (item) => [credentialLink(item), " ", h("span", { class: "quiet" }, item.kind.replaceAll("-", " "))] },
        { title: "Client", cell: (item) => h("a", { href: `#/clients/${encodeURIComponent(item.client)}` }, item.client) },
        { title: "Ends", cell: (item) => format.end(item.expires_at) },
      ], expiring.items, "Nothing does."),
      expiring.next ? h("p", { class: "quiet" }, "And more.") : null),
    h("section", { class: "card" },
      heading(2, "Turned away lately", h("a", { class: "button", href: "#/audit?denied=true" }, "All")),
      table("The last requests that were denied", decisionColumns(reload), denied.items, "Nobody was.")),
    h("section", { class: "card" },
      heading(2, "This server"),
      h("div", { class: "columns" },
        table("Listeners", [
          { title: "Listener", cell: (item) => item.name },
          { title: "Address", cell: (item) => h("code", {}, item.url) },
          { title: "Client certificates", cell: (item) => item.client_certificates },
        ], status.listeners, "No listeners."),
        table("Checks", [
          { title: "Check", cell: (item) => item.name },
          { title: "State", cell: (item) => item.ok ? badge("good", "good") : badge("bad", "bad") },
          { title: "Detail", cell: (item) => item.detail },
        ], ready.checks, "No checks.")),
      h("p", { class: "quiet" }, `Portcullis ${status.version}, trust domain ${status.trust_domain}.`)),
  ];
}

function credentialLink(item) {
  const href = item.kind === "client-certificate"
    ? `#/certificates?id=${encodeURIComponent(item.id)}`
    : `#/clients/${encodeURIComponent(item.client)}`;
  return h("a", { href }, format.id(item.id));
}
