// Opens the console as an administrator would, with the client certificate in the browser.
//
//   node console.mjs DATA /usr/bin/chromium screenshot-prefix
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [, , data, executablePath, prefix] = process.argv;
const demo = JSON.parse(readFileSync(join(data, "demo.json"), "utf8"));
const browser = await chromium.launch({
  executablePath,
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server"],
});
try {
  for (const [name, width, colorScheme] of [["wide", 1280, "light"], ["narrow", 400, "dark"]]) {
    const context = await browser.newContext({
      ignoreHTTPSErrors: true,
      viewport: { width, height: 900 },
      colorScheme,
      clientCertificates: [{ origin: demo.admin, certPath: join(data, demo.admin_certificate), keyPath: join(data, demo.admin_key) }],
    });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    await page.goto(demo.admin + "/console");
    await page.locator("#main h1, #main h2").first().waitFor();
    await page.screenshot({ path: `${prefix}-${name}-overview.png`, fullPage: true });
    for (const link of await page.locator("nav a").all()) {
      const label = (await link.innerText()).trim().toLowerCase().replace(/\W+/g, "-");
      await link.click();
      await page.locator("#main h1, #main h2").first().waitFor();
      await page.waitForLoadState("networkidle");
      await page.screenshot({ path: `${prefix}-${name}-${label}.png`, fullPage: true });
    }
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(overflow <= 0, `the page is ${overflow} px wider than the window`);
    assert.deepEqual(complaints, []);
    console.log(name, "shown");
    await context.close();
  }
  // Without a certificate the page says what to do, and shows nothing.
  const stranger = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
  await stranger.goto(demo.admin + "/console");
  await stranger.getByText("admin.p12").first().waitFor();
  await stranger.screenshot({ path: `${prefix}-stranger.png` });
  assert.ok(!(await stranger.locator("body").innerText()).includes(demo.client_id));
  console.log("stranger told");
} finally {
  await browser.close();
}
