// The page in a real browser: node e2e/smoke.mjs URL SCREENSHOT_DIR
//
// Waits for Home's graphs to have data, visits every page, and takes pictures in
// light, dark and 390 px wide. Ends with 1 and a message on the first thing that
// is wrong, errors on the browser's console included.

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { hostile } from "./hostile.mjs";

const [url, dir] = process.argv.slice(2);
if (!url || !dir) {
  console.error("usage: node e2e/smoke.mjs URL SCREENSHOT_DIR");
  process.exit(2);
}
const base = url.replace(/\/+$/, "");
const patienceMs = 30_000; // a slow machine's first scrapes; a good run needs 15 s

function browserPath() {
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    try {
      return execFileSync("which", [name], { stdio: ["ignore", "pipe", "ignore"] }).toString().trim();
    } catch {
      // The next name.
    }
  }
  throw new Error("no chromium on PATH: apt-get install chromium");
}

const args = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
if (process.getuid?.() === 0) args.push("--no-sandbox");

function check(ok, what) {
  if (!ok) throw new Error(what);
}

async function overflow(page, where) {
  const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  check(wide <= seen, `${where} is ${wide} px wide in a window of ${seen}: it scrolls sideways`);
}

async function shot(page, name) {
  await page.screenshot({ path: join(dir, `${name}.png`), fullPage: true });
}

async function home(page) {
  await page.goto(`${base}/`);
  await page.waitForFunction(
    () => {
      const graphs = [...document.querySelectorAll("[data-points]")];
      return graphs.length >= 6 && graphs.filter((g) => Number(g.getAttribute("data-points")) > 1).length >= 5;
    },
    null,
    { timeout: patienceMs },
  ).catch(async () => {
    const counts = await page.$$eval("section.card", (cards) => cards.map((c) => `${c.getAttribute("aria-label")}: ${c.querySelector("[data-points]")?.getAttribute("data-points")}`));
    throw new Error(`Home's graphs have no data after ${patienceMs / 1000} s (points by card: ${counts.join(", ")})`);
  });
  const painted = await page.$eval("[data-points] canvas", (canvas) => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.some((p) => p !== 0);
  });
  check(painted, "the first graph's canvas is empty");
  await page.locator("summary").first().click();
  await page.locator(".card table tbody tr").first().waitFor({ timeout: patienceMs });
  await page.locator("summary").first().click();
}

/** Runs the expression until its graph has points: a query shows the moment at which it ran. */
async function pointsOnRun(page) {
  for (let tries = 0; tries < patienceMs / 3000; tries++) {
    await page.getByRole("button", { name: "Run" }).click();
    const drawn = await page.waitForFunction(() => Number(document.querySelector("[data-points]")?.getAttribute("data-points")) > 1, null, { timeout: 3000 }).catch(() => null);
    if (drawn) return;
  }
  throw new Error("the graph of `up` has no points");
}

async function query(page) {
  await page.goto(`${base}/query`);
  await page.locator(".cm-content").click({ timeout: patienceMs });
  await page.keyboard.type("up");
  await page.keyboard.press("Control+Enter");
  await page.getByLabel("Range").selectOption("15m"); // a step of 5 s: a young server has several points
  await pointsOnRun(page);
  check(new URL(page.url()).searchParams.get("g0.expr") === "up", "the address does not hold the expression");
  await shot(page, "query-graph");
  await page.getByRole("tab", { name: "Table" }).click();
  await page.locator("table[data-rows] tbody tr").first().waitFor({ timeout: patienceMs });
  await shot(page, "query-table");
  await page.goto(`${base}/query?g0.expr=${encodeURIComponent("sum(")}`);
  await page.getByRole("alert").waitFor({ timeout: patienceMs });
}

async function targets(page) {
  await page.goto(`${base}/targets`);
  await page.locator('[data-health="up"]').first().waitFor({ timeout: patienceMs })
    .catch(() => { throw new Error("Targets shows none that is up"); });
}

async function alerts(page) {
  await page.goto(`${base}/alerts`);
  await page.locator("[data-state]").first().waitFor({ timeout: patienceMs })
    .catch(() => { throw new Error("Alerts shows no rule"); });
}

async function status(page) {
  await page.goto(`${base}/status`);
  await page.getByText("go version").waitFor({ timeout: patienceMs });
}

async function cardinality(page) {
  await page.goto(`${base}/cardinality?of=jobs`);
  await page.locator("table[data-rows] tbody tr").first().waitFor({ timeout: patienceMs })
    .catch(() => { throw new Error("Cardinality counts no series"); });
  await page.getByRole("button", { name: "Metrics" }).click();
  check(new URL(page.url()).searchParams.get("of") === "metrics", "the address does not hold what is counted");
}

const pages = { home, targets, alerts, cardinality, status };

async function main() {
  mkdirSync(dir, { recursive: true });
  const browser = await chromium.launch({ executablePath: browserPath(), args });
  try {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
    const page = await context.newPage();
    const complaints = [];
    let refused = false; // the wrong expression is answered 400 on purpose, and Chromium logs it
    page.on("console", (m) => {
      if (m.type() !== "error") return;
      if (refused && m.text().includes("400")) return;
      complaints.push(`${m.text()} (${m.location().url})`);
    });
    page.on("pageerror", (e) => complaints.push(String(e)));

    for (const [name, visit] of Object.entries(pages)) {
      await visit(page);
      await overflow(page, name);
      await shot(page, `${name}-light`);
    }
    refused = true;
    await query(page);
    await shot(page, "query-error");
    refused = false;

    await page.emulateMedia({ colorScheme: "dark" });
    for (const name of ["home", "alerts", "cardinality", "targets"]) {
      await pages[name](page);
      await shot(page, `${name}-dark`);
    }
    await page.goto(`${base}/query?g0.expr=up`);
    await page.locator("[data-points] canvas").waitFor({ timeout: patienceMs });
    await shot(page, "query-dark");

    await page.emulateMedia({ colorScheme: "light" });
    for (const width of [390, 360]) {
      await page.setViewportSize({ width, height: 844 });
      for (const [name, visit] of Object.entries(pages)) {
        await visit(page);
        await overflow(page, `${name} at ${width} px`);
        if (width === 390) await shot(page, `${name}-390`);
      }
      await page.goto(`${base}/query?g0.expr=up`);
      await page.locator("[data-points] canvas").waitFor({ timeout: patienceMs });
      await overflow(page, `query at ${width} px`);
      if (width === 390) await shot(page, "query-390");
    }
    await page.setViewportSize({ width: 1280, height: 900 });
    await hostile(page, base, ["targets", "alerts", "cardinality"], check);
    await shot(page, "hostile");
    check(complaints.length === 0, `the browser's console has errors:\n  ${complaints.join("\n  ")}`);
  } finally {
    await browser.close();
  }
}

try {
  await main();
  console.log(`the page works; screenshots are in ${dir}`);
} catch (err) {
  console.error(`browser smoke: ${err instanceof Error ? err.message : err}`);
  process.exit(1);
}
