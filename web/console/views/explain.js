// Would this request pass, and why?

import { all, get, post } from "../api.js";
import { field, values } from "../dialog.js";
import { badge, fill, h, heading, replace } from "../dom.js";

const methods = [["mutual_tls", "Client certificate"], ["api_key", "API key"], ["bearer", "Access token"]];

export async function show({ query }) {
  const [status, clients] = await Promise.all([get("/v1/status"), all("/v1/clients")]);
  const listeners = status.listeners.map((listener) => [listener.name, listener.name]);
  const fields = [
    { name: "method", label: "Method", required: true, value: query.get("method") ?? "GET" },
    { name: "path", label: "Path", required: true, value: query.get("path") ?? "/" },
    { name: "listener", label: "Listener", type: "select", options: listeners, value: "gateway" },
    { name: "client", label: "Client", value: query.get("client"), list: "clients", hint: "Empty: nobody." },
    { name: "source", label: "From", hint: "An address; empty: 127.0.0.1." },
    { name: "scopes", label: "Scopes of the token or key", type: "lines", rows: 2, hint: "One a line. Empty: all of the client's." },
  ];
  const result = h("section", { class: "card", "aria-live": "polite", hidden: true });
  const form = h("form", {
    class: "card explain",
    async onsubmit(event) {
      event.preventDefault();
      const presents = new FormData(form).getAll("presents");
      result.hidden = false;
      try {
        const answer = await post("/v1/explain", { ...values(form, fields), presents });
        replace(result, heading(2, "The decision"), steps(answer));
      } catch (problem) {
        replace(result, h("p", { class: "fault" }, problem.message));
      }
    },
  });
  fill(form,
    h("datalist", { id: "clients" }, clients.map((client) => h("option", { value: client.id }))),
    h("div", { class: "grid" }, fields.map(field)),
    h("fieldset", {}, h("legend", {}, "Presents"),
      methods.map(([value, text]) => h("label", { class: "check" }, h("input", { type: "checkbox", name: "presents", value }), text))),
    h("div", { class: "actions end" }, h("button", { type: "submit", class: "primary" }, "Explain")));
  return [
    heading(1, "Explain"),
    h("p", {}, "Judges a described request as the gate would, with what is in force now. Nothing is called and nothing is spent."),
    form,
    result,
  ];
}

/** A decision step by step. */
export function steps(answer) {
  const verdict = {
    allow: () => badge("allowed", "good"),
    endpoint: () => badge("the server's own", "good"),
  }[answer.decision] ?? (() => badge(answer.code ?? "denied", "bad"));
  return h("div", { class: "decision" },
    h("p", {},
      verdict(),
      answer.route ? [" by ", h("code", {}, answer.route)] : null,
      answer.shadow?.length ? `, in shadow denied by ${answer.shadow.join(", ")}` : null,
      `, policy version ${answer.policy_version}`),
    answer.reason ? h("p", {}, answer.reason) : null,
    stepList(answer.steps));
}

/** The steps alone. A rule in shadow lets the request on whatever it says. */
export function stepList(list) {
  const said = (step) => step.passed ? (step.mode === "off" ? "off" : "passed") : (step.mode === "shadow" ? "in shadow, failed" : "failed");
  return h("ol", { class: "steps" }, list.map((step) =>
    h("li", { class: step.passed || step.mode === "shadow" ? "passed" : "failed" },
      h("span", { class: "mark", "aria-hidden": "true" }, step.passed ? "✓" : step.mode === "shadow" ? "?" : "✗"),
      h("span", { class: "stage" }, step.stage.replaceAll("_", " "), h("span", { class: "hidden" }, ` ${said(step)}: `)),
      h("span", { class: "detail" }, step.detail))));
}
