import { describe, expect, test } from "vitest";
import type { Ranking, TsdbStatus } from "../src/api/types";
import { chosen, kinds, measures, queryFor, ranked, shownName } from "../src/model/cardinality";

describe("names that others chose", () => {
  test.each([
    ["http_requests_total", "http_requests_total"],
    ["<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"], // escaped where it is put into the page
    ["a\nb\u0000c", "a\\u{a}b\\u{0}c"],
    ["safe\u202egnp.exe", "safe\\u{202e}gnp.exe"],
    ["zero\u200bwidth", "zero\\u{200b}width"],
    ["naïve 漢字 🙂", "naïve 漢字 🙂"],
  ])("%j", (name, want) => expect(shownName(name)).toBe(want));
  test("long ones are cut between characters", () => {
    expect(shownName("🙂".repeat(200))).toBe(`${"🙂".repeat(160)}…`);
  });
});

describe("queries", () => {
  test.each([
    ["metrics", 'a"} or up{x="', 'count by (job, instance) ({__name__="a\\"} or up{x=\\""})'],
    ["labels", "user", 'count by (job, instance) ({user!=""})'],
    ["labels", "user.id", 'count by (job, instance) ({"user.id"!=""})'],
    ["labelPairs", "path=/a?b=c", 'count by (job, instance) ({path="/a?b=c"})'],
    ["labelPairs", "=x", undefined],
    ["jobs", "node", 'count by (job, instance) ({job="node"})'],
    ["targets", "node/10.0.0.7:9100", 'count by (job, instance) ({job="node",instance="10.0.0.7:9100"})'],
    ["targets", "blackbox/https://x/y", undefined],
  ] as const)("of %s %s", (kind, name, want) => expect(queryFor(kind, name)).toBe(want));
});

test("the address chooses, and the first where it does not", () => {
  expect(chosen(kinds, "jobs")).toBe("jobs");
  expect(chosen(kinds, "constructor")).toBe("metrics");
  expect(chosen(measures, null)).toBe("bySeries");
});

test("every kind has a list by every measure", () => {
  const ranking = (): Ranking => ({ bySeries: [], byChurn: [], bySamplesPerSecond: [], byGrowth: [] });
  const status = { metrics: ranking(), labels: ranking(), labelPairs: ranking(), jobs: ranking(), targets: ranking() } as unknown as TsdbStatus;
  for (const k of kinds) for (const m of measures) expect(ranked(status, k.value, m.value)).toBe(status[k.value][m.value]);
});
