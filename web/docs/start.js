"use strict";

const place = document.getElementById("swagger-ui");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

window.ui = SwaggerUIBundle({
  domNode: place,
  url: place.dataset.document,
  layout: "BaseLayout",
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: true,
  displayRequestDuration: true,
  // Credentials that were typed in die with the page.
  persistAuthorization: false,
  // Otherwise ?url=… in a link would make our page show somebody else's document.
  queryConfigEnabled: false,
  // The default asks a server on the internet to look at the document.
  validatorUrl: null,
});
