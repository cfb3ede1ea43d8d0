// One client with all its credentials.

import { all, get, part, post } from "../api.js";
import { ask, reveal } from "../dialog.js";
import { button, facts, h, heading, table } from "../dom.js";
import * as format from "../format.js";
import { certificateColumns } from "./certificates.js";
import { switchButton } from "./partners.js";

const DAY = 86400;
const narrowing = [
  { name: "scopes", label: "Only these scopes", type: "lines", hint: "One a line. Empty: all that the client has." },
  { name: "networks", label: "Only from these networks", type: "lines", hint: "Names or CIDRs, one a line. Empty: wherever the client may be." },
];

export async function show({ parts: [id], reload, say }) {
  const [client, certificates, keys, secrets] = await Promise.all([
    get(`/v1/clients/${part(id)}`),
    all("/v1/certificates", { client: id }),
    all("/v1/api-keys", { client: id }),
    all("/v1/client-secrets", { client: id }),
  ]);
  const changed = async (text) => {
    say(text);
    await reload();
  };
  return [
    h("p", { class: "crumbs" },
      h("a", { href: "#/partners" }, "Partners"), " / ",
      h("a", { href: `#/partners/${encodeURIComponent(client.partner)}` }, client.partner)),
    heading(1, client.id, switchButton("clients", client, reload, say)),
    h("section", { class: "card" }, facts([
      ["Description", client.description],
      ["State", [format.enabled(client), client.partner_disabled ? " its partner is off" : null]],
      ["Scopes", format.list(client.scopes, "none")],
      ["Networks", format.list(client.networks, "anywhere")],
      ["Usage plan", client.usage_plan ?? "unlimited"],
      ["Managed by", client.managed_by ?? "registry"],
      ["No longer declared since policy", client.withdrawn_by],
      ["Tokens count from", client.tokens_not_before ? format.time(client.tokens_not_before) : null],
      ["Added", format.time(client.created_at)],
    ])),
    h("section", { class: "card" },
      heading(2, "Certificates", button("Issue", () => issue(client, changed), "primary")),
      table("Certificates", certificateColumns(reload, say).filter((column) => column.title !== "Client"), certificates, "It has none.")),
    h("section", { class: "card" },
      heading(2, "API keys", button("Make", () => makeKey(client, changed), "primary")),
      table("API keys", [
        { title: "Key", cell: (item) => h("code", {}, `${item.prefix}…${item.last4}`) },
        { title: "Name", cell: (item) => item.name ?? "–" },
        { title: "State", cell: format.status },
        { title: "Ends", cell: (item) => format.end(item.expires_at) },
        { title: "Narrowed to", cell: narrowed },
        { title: "", class: "actions", cell: (item) => keyActions(item, changed) },
      ], keys, "It has none.")),
    h("section", { class: "card" },
      heading(2, "Client secrets",
        button("Revoke all tokens", () => revokeTokens(client, changed)),
        button("Make", () => makeSecret(client, changed), "primary")),
      table("Client secrets", [
        { title: "Secret", cell: (item) => h("code", {}, `…${item.last4}`) },
        { title: "Name", cell: (item) => item.name ?? "–" },
        { title: "State", cell: format.status },
        { title: "Ends", cell: (item) => format.end(item.expires_at) },
        { title: "", class: "actions", cell: (item) => secretActions(item, changed) },
      ], secrets, "It has none.")),
    h("p", {},
      h("a", { href: `#/audit?client=${encodeURIComponent(client.id)}` }, "Its requests"), " · ",
      h("a", { href: `#/audit?kind=change&client=${encodeURIComponent(client.id)}` }, "Its changes"), " · ",
      h("a", { href: `#/explain?client=${encodeURIComponent(client.id)}` }, "What may it call?")),
  ];
}

function narrowed(item) {
  const parts = [...(item.scopes ?? []), ...(item.networks ?? [])];
  return format.list(parts, "–");
}

function keyActions(item, changed) {
  if (item.status !== "active" && item.status !== "rotating") return null;
  const path = `/v1/api-keys/${part(item.id)}`;
  return [
    item.status === "active" ? button("Rotate", () => rotateKey(item, path, changed)) : null,
    button("Revoke", () => end(`Revoke the key ${item.prefix}…${item.last4}?`, path, changed), "danger"),
  ];
}

function secretActions(item, changed) {
  if (item.status !== "active") return null;
  return button("Revoke", () => end(`Revoke the secret …${item.last4}?`, `/v1/client-secrets/${part(item.id)}`, changed), "danger");
}

async function end(title, path, changed) {
  const done = await ask({
    title,
    text: "For good, and at once.",
    fields: [{ name: "reason", label: "Reason", maxlength: 512, hint: "For the audit log." }],
    submit: "Revoke",
    danger: true,
    send: (values) => post(`${path}/revoke`, values),
  });
  if (done) await changed("It is revoked.");
}

async function makeKey(client, changed) {
  const made = await ask({
    title: `New API key of ${client.id}`,
    fields: [
      { name: "name", label: "Name", maxlength: 128 },
      { name: "days", label: "Lives for, in days", type: "number", min: 1, max: 3660, value: 365, hint: "Empty: it never ends by itself." },
      ...narrowing,
    ],
    submit: "Make",
    send: ({ days, ...values }) => post("/v1/api-keys", { ...values, client: client.id, ttl_seconds: days ? days * DAY : undefined }),
  });
  if (!made) return;
  await revealKey(made);
  await changed("The key was made.");
}

async function rotateKey(item, path, changed) {
  const made = await ask({
    title: `Replace the key ${item.prefix}…${item.last4}`,
    text: "The new key has the same name, narrowing and length of life.",
    fields: [{ name: "hours", label: "The old key goes on for, in hours", type: "number", min: 0, max: 2160, value: 24, required: true }],
    submit: "Replace",
    send: ({ hours }) => post(`${path}/rotate`, { grace_seconds: hours * 3600 }),
  });
  if (!made) return;
  await revealKey(made);
  await changed("The key was replaced.");
}

function revealKey(made) {
  return reveal({
    title: "The new API key",
    text: "It is shown this once and stored nowhere. The client sends it in the header x-api-key.",
    values: [{ label: "API key", value: made.api_key }],
  });
}

async function makeSecret(client, changed) {
  const made = await ask({
    title: `New client secret of ${client.id}`,
    text: "Two may live at once, so that one can be replaced while the other is in use.",
    fields: [
      { name: "name", label: "Name", maxlength: 128 },
      { name: "days", label: "Lives for, in days", type: "number", min: 1, max: 3660, hint: "Empty: it never ends by itself." },
    ],
    submit: "Make",
    send: ({ days, ...values }) => post("/v1/client-secrets", { ...values, client: client.id, ttl_seconds: days ? days * DAY : undefined }),
  });
  if (!made) return;
  await reveal({
    title: "The new client secret",
    text: "It is shown this once and stored nowhere. The client shows it at the token endpoint.",
    values: [{ label: "Client id", value: made.client }, { label: "Client secret", value: made.client_secret }],
  });
  await changed("The secret was made.");
}

async function revokeTokens(client, changed) {
  const done = await ask({
    title: `Revoke all tokens of ${client.id}?`,
    text: "Those issued until now are refused at once. The client can ask for new ones.",
    submit: "Revoke",
    danger: true,
    send: () => post("/v1/tokens/revoke", { client: client.id }),
  });
  if (done) await changed("Its tokens are revoked.");
}

async function issue(client, changed) {
  const issued = await ask({
    title: `New certificate of ${client.id}`,
    text: "With a request (CSR) of the partner the private key never leaves its owner. Without one the key is made here.",
    fields: [
      { name: "csr", label: "Request, PEM", type: "text-block", rows: 5, hint: "Empty: make the key here." },
      { name: "days", label: "Lives for, in days", type: "number", min: 1, max: 398, value: 90, required: true },
      ...narrowing,
    ],
    submit: "Issue",
    send: ({ days, csr, ...values }) => {
      const order = { ...values, client: client.id, lifetime_seconds: days * DAY };
      return csr ? post("/v1/certificates/sign", { ...order, csr }) : post("/v1/certificates", order);
    },
  });
  if (!issued) return;
  const files = [{ name: `${client.id}.crt`, type: "application/x-pem-file", bytes: issued.certificate_pem + issued.chain_pem }];
  if (issued.private_key_pem) files.push({ name: `${client.id}.key`, type: "application/x-pem-file", bytes: issued.private_key_pem });
  if (issued.pkcs12) {
    const bytes = Uint8Array.from(atob(issued.pkcs12), (letter) => letter.charCodeAt(0));
    files.push({ name: `${client.id}.p12`, type: "application/x-pkcs12", bytes });
  }
  await reveal({
    title: "The new certificate",
    text: issued.private_key_pem
      ? "Save the files now: the key is shown this once and stored nowhere."
      : "The certificate, with the authorities that it needs.",
    values: [
      { label: "Serial", value: issued.id },
      ...(issued.pkcs12_password ? [{ label: "Password of the .p12", value: issued.pkcs12_password }] : []),
    ],
    files,
  });
  await changed("The certificate was issued.");
}
