// Which view is shown for which address, and what is said when it cannot be shown.

import { Problem, get } from "./api.js";
import { button, h, replace } from "./dom.js";
import * as audit from "./views/audit.js";
import * as certificates from "./views/certificates.js";
import * as client from "./views/client.js";
import * as explain from "./views/explain.js";
import * as locked from "./views/locked.js";
import * as overview from "./views/overview.js";
import * as partners from "./views/partners.js";
import * as policy from "./views/policy.js";

const main = document.getElementById("main");
const notice = document.getElementById("notice");

/** First part of the address: [the section that is marked, view(parts, query), title]. */
const views = {
  "": ["overview", overview.show, "Overview"],
  partners: ["partners", partners.show, "Partners"],
  clients: ["partners", client.show, "Client"],
  certificates: ["certificates", certificates.show, "Certificates"],
  policy: ["policy", policy.show, "Policy"],
  audit: ["audit", audit.show, "Audit"],
  explain: ["explain", explain.show, "Explain"],
};

/** Counts up with each change of place: an answer that comes late must not replace what is shown by then. */
let visit = 0;

async function route({ focus = false } = {}) {
  const here = ++visit;
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").map(decodeURIComponent);
  const [section, view, title] = views[parts[0]] ?? views[""];
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.section === section) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${title} · Portcullis`;
  main.setAttribute("aria-busy", "true");
  try {
    const content = await view({ parts: parts.slice(1), query: new URLSearchParams(search), reload: () => route(), say });
    if (here === visit) replace(main, content);
  } catch (problem) {
    if (here === visit) replace(main, failure(problem));
  }
  if (here !== visit) return;
  main.setAttribute("aria-busy", "false");
  if (focus) {
    main.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
}

function failure(problem) {
  if (!(problem instanceof Problem)) {
    console.error(problem);
    return h("section", { class: "card" }, h("h1", {}, "The page failed"), h("p", {}, String(problem)));
  }
  if (problem.status === 401 || problem.status === 0) return locked.show(problem, () => route());
  const titles = { 403: "This is not allowed", 404: "There is no such thing" };
  return h("section", { class: "card" },
    h("h1", {}, titles[problem.status] ?? "That did not work"),
    h("p", {}, problem.message),
    problem.code === "insufficient_scope"
      ? h("p", {}, "The client of this certificate needs the scope ", h("code", {}, "portcullis/admin.read"), ", and ",
        h("code", {}, "portcullis/admin.write"), " to change things.")
      : null,
    problem.details.length > 0 ? h("ul", {}, problem.details.map((line) => h("li", {}, line))) : null,
    problem.decision ? h("p", { class: "quiet" }, "Decision ", h("code", {}, problem.decision)) : null,
    button("Try again", () => route()));
}

/** Something that was done, for the eyes and for screen readers. */
function say(text) {
  replace(notice, text);
  notice.classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => notice.classList.remove("shown"), 6000);
}

document.getElementById("skip").addEventListener("click", (event) => {
  // The address names a view; the link must not change it.
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", () => route({ focus: true }));
window.addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof Problem) say(event.reason.message);
});

route();
get("/v1/status").then(
  (status) => replace(document.getElementById("who"), status.caller),
  () => {},
);
