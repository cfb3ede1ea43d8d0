// Nobody is proved: how to get the administrator's certificate into the browser.

import { button, h } from "../dom.js";

const browsers = [
  ["Firefox", "Settings → Privacy & Security → Certificates → View Certificates → Your Certificates → Import"],
  ["Chrome, Edge on Linux", "Settings → Privacy and security → Security → Manage certificates → Your certificates → Import"],
  ["Chrome, Edge on Windows", "Open admin.p12 in the Explorer and follow the assistant: Current User, Personal"],
  ["Safari, Chrome on macOS", "Open admin.p12 in Keychain Access, keychain “login”"],
];

export function show(problem, again) {
  const none = problem.status === 0 || problem.code === "no_credential";
  return h("section", { class: "card locked" },
    h("h1", {}, none ? "The browser showed no certificate" : "The certificate was not taken"),
    h("p", {}, none
      ? "The console has no password. It asks the admin API with the client certificate that your browser shows, and yours showed none."
      : problem.message),
    h("ol", {},
      h("li", {}, "Take the file ", h("code", {}, "admin/admin.p12"),
        " out of the data folder; its password is in ", h("code", {}, "admin/admin.p12.password"),
        " beside it. Without the file, make one of certificate and key: ",
        h("pre", {}, "openssl pkcs12 -export -in admin/admin.crt -inkey admin/admin.key -out admin.p12")),
      h("li", {}, "Import it into the browser:",
        h("dl", { class: "facts" }, browsers.map(([name, way]) => [h("dt", {}, name), h("dd", {}, way)]))),
      h("li", {}, "Import ", h("code", {}, "ca.pem"), " as an authority for websites too, if the browser does not trust this server."),
      h("li", {}, "Come back, and choose the certificate when the browser asks. If it does not ask, it has made up its mind: close all its windows first.")),
    problem.status === 0 ? h("p", { class: "quiet" }, problem.message) : null,
    problem.decision ? h("p", { class: "quiet" }, "Decision ", h("code", {}, problem.decision)) : null,
    button("Try again", again, "primary"));
}
