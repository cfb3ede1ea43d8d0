// Elements are made here and nowhere else. Text only ever becomes text: a partner's name that holds markup is shown, not obeyed.

/**
 * h("a", { href: "#/", class: "quiet", onclick: f }, "text", element, null)
 * A property that is null, undefined or false is left out; true makes a bare attribute.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  return fill(element, ...children);
}

/** Puts children behind those that are there. Lists are taken apart, nothing is left out but null, undefined and false. */
export function fill(element, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** Puts children in the place of those that are there. */
export function replace(element, ...children) {
  element.replaceChildren();
  return fill(element, ...children);
}

/** A list of pairs as a description list; pairs without a value are left out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, shown.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/**
 * A table that turns into cards on a narrow screen.
 * columns: [{ title, cell(item), class? }]; the first column names the row.
 */
export function table(caption, columns, items, empty) {
  if (items.length === 0) return h("p", { class: "empty" }, empty);
  const head = h("tr", {}, columns.map((column) => h("th", { scope: "col", class: column.class }, column.title)));
  const rows = items.map((item) =>
    h("tr", {}, columns.map((column, place) => {
      const content = column.cell(item);
      const cell = content === null ? null : h("div", { class: "cell" }, content);
      const properties = { "data-title": column.title, class: column.class };
      return place === 0 ? h("th", { ...properties, scope: "row" }, cell) : h("td", properties, cell);
    })),
  );
  return h("div", { class: "scroll" },
    h("table", {}, h("caption", { class: "hidden" }, caption), h("thead", {}, head), h("tbody", {}, rows)));
}

/** A badge. kind: good, bad, warn, plain. */
export function badge(text, kind = "plain") {
  return h("span", { class: `badge ${kind}` }, text);
}

/** A heading with buttons beside it. */
export function heading(level, text, ...actions) {
  return h("div", { class: "heading" }, h(`h${level}`, {}, text), h("div", { class: "actions" }, actions));
}

/** A button that cannot be pressed again while what it started is not done. */
export function button(text, action, kind = "") {
  return h("button", {
    type: "button",
    class: kind,
    async onclick(event) {
      const pressed = event.currentTarget;
      pressed.disabled = true;
      try {
        await action();
      } finally {
        pressed.disabled = false;
      }
    },
  }, text);
}
