// Drives Swagger UI as a person would, in Debian's Chromium.
//
//   node swagger.mjs demo.json /usr/bin/chromium screenshot.png
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [, , file, executablePath, screenshot] = process.argv;
const demo = JSON.parse(readFileSync(file, "utf8"));

const browser = await chromium.launch({
  executablePath,
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--ignore-certificate-errors", // the demo's CA is nobody's
  ],
});
try {
  const page = await browser.newPage({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 1600 } });
  page.setDefaultTimeout(30_000);
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    if (/^https?:/.test(request.url()) && !request.url().startsWith(demo.gateway + "/")) complaints.push(`asks ${request.url()}`);
  });

  await page.goto(demo.gateway + "/docs");
  const operation = page.locator(".opblock", { has: page.locator(`.opblock-summary-path[data-path="${demo.path}"]`) }).first();
  await operation.waitFor();

  await page.locator(".scheme-container .btn.authorize").click();
  const oauth = page.locator(".dialog-ux .auth-container", { hasText: "clientCredentials" }).first();
  await oauth.locator('input[data-name="clientId"]').fill(demo.client_id);
  await oauth.locator('input[data-name="clientSecret"]').fill(demo.client_secret);
  await oauth.locator(".scopes a", { hasText: "select all" }).click();
  await oauth.locator("button.authorize").click();
  await oauth.locator("button", { hasText: "Logout" }).waitFor(); // shown instead once the token is there
  await page.locator(".dialog-ux .close-modal").click();

  await operation.locator(".opblock-summary-control").first().click();
  await operation.locator(".try-out__btn").click();
  await operation.locator("button.execute").click();
  const answer = operation.locator(".live-responses-table");
  await answer.waitFor();
  const status = (await answer.locator("tbody td.response-col_status").first().innerText()).trim();
  const body = await answer.locator("tbody td.response-col_description").first().innerText();
  await page.screenshot({ path: screenshot, fullPage: true });

  console.log(status, body.replace(/\s+/g, " ").slice(0, 200));
  assert.match(status, /^200/);
  assert.match(body, /hello world!/);
  assert.deepEqual(complaints, []);
} catch (error) {
  for (const page of browser.contexts().flatMap((context) => context.pages())) {
    await page.screenshot({ path: screenshot, fullPage: true }).catch(() => {});
    console.error((await page.locator("body").innerText().catch(() => "")).slice(0, 2000));
  }
  throw error;
} finally {
  await browser.close();
}
