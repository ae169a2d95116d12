// What targets and senders say reaches the page as text alone: values with markup
// are put where the server has names, labels, errors and texts, and on no page
// may they become elements, or run.

const markup = `<img src=x onerror="window.hostile=1"><script>window.hostile=1</script>\u001b[2J\u202e"'&`;

// Keys whose values come from targets, senders and rules.
const said = new Set([
  "lastError", "lastWarning", "error", "health_text", "instance", "name", "value", "summary", "description", "help", "alertname", "lastErrorText",
]);
// Maps of labels: every value is somebody else's.
const sets = new Set(["labels", "discoveredLabels", "annotations", "metric"]);

function spoil(node, within) {
  if (Array.isArray(node)) return node.map((n) => spoil(n, within));
  if (node === null || typeof node !== "object") return node;
  return Object.fromEntries(Object.entries(node).map(([key, v]) => {
    if (typeof v === "string" && (within || said.has(key)) && key !== "__name__") return [key, v + markup];
    return [key, spoil(v, within || sets.has(key))];
  }));
}

/** Visits the pages with spoiled answers; check fails the run. */
export async function hostile(page, base, pages, check) {
  let spoiled = 0;
  const answer = async (route) => {
    const response = await route.fetch();
    const body = await response.json().catch(() => null);
    if (body === null) return route.fulfill({ response });
    spoiled++;
    return route.fulfill({ response, json: { ...body, data: spoil(body.data, false) } });
  };
  const sound = async (where, shown) => {
    const seen = await page.evaluate(() => ({
      ran: window.hostile !== undefined,
      elements: document.querySelectorAll("img[src='x'], [onerror], body script:not([src])").length,
      text: document.body.innerText.includes("<img src=x"),
    }));
    check(!seen.ran, `${where}: a label's value was run as a script`);
    check(seen.elements === 0, `${where}: ${seen.elements} elements were made of a label's value`);
    check(!shown || seen.text, `${where}: the hostile value is not shown as text`);
  };
  await page.route("**/api/v1/{targets,rules,alerts,metadata,status/tsdb}*", answer);
  for (const name of pages) {
    await page.goto(`${base}/${name}`);
    await page.waitForFunction(() => document.body.innerText.includes("<img src=x"), null, { timeout: 30_000 })
      .catch(() => { throw new Error(`${name} does not show a hostile value as text`); });
    await sound(name, true);
  }
  await page.unroute("**/api/v1/{targets,rules,alerts,metadata,status/tsdb}*", answer);
  check(spoiled > 0, "no answer was spoiled");

  const expr = `label_replace(up, "odd", ${JSON.stringify(markup.replaceAll("$", "$$"))}, "", "")`;
  for (const tab of ["0", "1"]) {
    await page.goto(`${base}/query?g0.expr=${encodeURIComponent(expr)}&g0.tab=${tab}`);
    await page.waitForFunction(() => document.body.innerText.includes("odd="), null, { timeout: 30_000 })
      .catch(() => { throw new Error("the query of a hostile value has no answer"); });
    await sound(`query, tab ${tab}`, true);
  }
}
