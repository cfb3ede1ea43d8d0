// Questions and answers in a native dialog: the browser keeps the focus inside and gives it back.

import { button, fill, h } from "./dom.js";

/**
 * Opens a dialog; resolves when it is closed. make(close) gives the content. reading: it begins at its heading, not at its first
 * field. once: Escape does not close it, since what it shows is shown nowhere else.
 */
function open(title, make, { reading = false, once = false } = {}) {
  return new Promise((resolve) => {
    let answer = null;
    const close = (value) => {
      answer = value;
      dialog.close();
    };
    const dialog = h("dialog", {
      "aria-labelledby": "dialog-title",
      oncancel(event) {
        if (once) event.preventDefault();
      },
      onclose() {
        dialog.remove();
        resolve(answer);
      },
    }, h("h2", { id: "dialog-title", tabindex: "-1", autofocus: reading }, title));
    fill(dialog, make(close));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * A form. fields: [{ name, label, type?, options?, required?, hint?, value?, rows? }]; type: that of an input, select, lines (a
 * list) or text-block.
 * send(values) does the work; a problem that it throws is shown in the dialog, which stays open with what was typed.
 * Resolves with what `send` gave, or null when it was cancelled.
 */
export function ask({ title, text, fields = [], submit, danger = false, send }) {
  return open(title, (close) => {
    const fault = h("p", { class: "fault", role: "alert", hidden: true });
    const go = h("button", { type: "submit", class: danger ? "danger" : "primary" }, submit);
    const form = h("form", {
      async onsubmit(event) {
        event.preventDefault();
        fault.hidden = true;
        go.disabled = true;
        try {
          close(await send(values(form, fields)));
        } catch (problem) {
          fault.replaceChildren();
          fill(fault, problem.message, problem.details?.length ? h("ul", {}, problem.details.map((line) => h("li", {}, line))) : null);
          fault.hidden = false;
        } finally {
          go.disabled = false;
        }
      },
    });
    return fill(form,
      text ? h("p", {}, text) : null,
      fields.map(field),
      fault,
      h("div", { class: "actions end" }, button("Cancel", () => close(null)), go));
  });
}

/** Something to read, such as the whole of a record. */
export function show(title, ...content) {
  return open(title, (close) => [
    h("div", { class: "dialog-body" }, content),
    h("div", { class: "actions end" }, button("Close", () => close(null), "primary")),
  ], { reading: true });
}

/**
 * Secrets that are shown this once. values: [{ label, value }], files: [{ name, type, bytes }].
 */
export async function reveal({ title, text, values: secrets = [], files = [] }) {
  const links = files.map((file) => ({ name: file.name, url: URL.createObjectURL(new Blob([file.bytes], { type: file.type })) }));
  await open(title, (close) => [
    h("p", {}, text),
    secrets.map(({ label, value }) =>
      h("div", { class: "secret" },
        h("span", { class: "label" }, label),
        h("code", {}, value),
        button("Copy", () => navigator.clipboard.writeText(value)))),
    links.length > 0
      ? h("ul", { class: "files" }, links.map(({ name, url }) => h("li", {}, h("a", { href: url, download: name }, name))))
      : null,
    h("div", { class: "actions end" }, button("I have it", () => close(null), "primary")),
  ], { reading: true, once: true });
  for (const { url } of links) URL.revokeObjectURL(url);
}

/** The input of one field, with its label and hint. */
export function field(spec) {
  const id = `field-${spec.name}`;
  const common = {
    id,
    name: spec.name,
    required: spec.required,
    value: spec.value ?? "",
    "aria-describedby": spec.hint ? `${id}-hint` : null,
    autocomplete: "off",
    spellcheck: "false",
  };
  let input;
  if (spec.type === "select") {
    input = h("select", { ...common, value: null }, spec.options.map(([value, text]) => h("option", { value }, text)));
    input.value = spec.value ?? spec.options[0][0];
  } else if (spec.type === "lines" || spec.type === "text-block") {
    input = h("textarea", { ...common, rows: spec.rows ?? 3 });
  } else {
    input = h("input", { ...common, type: spec.type ?? "text", min: spec.min, max: spec.max, maxlength: spec.maxlength, list: spec.list });
  }
  return h("div", { class: "field" },
    h("label", { for: id }, spec.label),
    input,
    spec.hint ? h("p", { class: "hint", id: `${id}-hint` }, spec.hint) : null);
}

/** What was typed: numbers as numbers, lines as lists, nothing as absent. */
export function values(form, fields) {
  const data = new FormData(form);
  const result = {};
  for (const spec of fields) {
    const text = String(data.get(spec.name) ?? "").trim();
    if (spec.type === "lines") {
      const lines = text.split(/[\s,]+/).filter((line) => line !== "");
      if (lines.length > 0 || spec.required) result[spec.name] = lines;
    } else if (text !== "") {
      result[spec.name] = spec.type === "number" ? Number(text) : text;
    }
  }
  return result;
}
