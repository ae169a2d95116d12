import { describe, expect, test } from "vitest";
import { emptyPanel, exprParams, panelsMax, readPanels, writePanels, type Panel } from "../src/model/panels";

describe("panels in the address", () => {
  test("what is written is read as the same", () => {
    const panels: Panel[] = [
      { expr: 'rate(x{a="b&c=d"}[5m]) > 1', tab: "graph", rangeSeconds: 3600, endSeconds: undefined, stepSeconds: undefined },
      { expr: "up\n  == 0", tab: "table", rangeSeconds: 900, endSeconds: 1795401234, stepSeconds: 15 },
    ];
    expect(readPanels(new URLSearchParams(writePanels(panels).toString()))).toEqual(panels);
  });
  test("an empty address has one empty panel", () => {
    expect(readPanels(new URLSearchParams())).toEqual([emptyPanel()]);
  });
  test("Prometheus' links are read", () => {
    const [p] = readPanels(new URLSearchParams("g0.expr=up&g0.tab=1&g0.range_input=1h30m&g0.moment_input=2026-11-23%2002:33:54&g0.step_input=60"));
    expect(p).toEqual({ expr: "up", tab: "table", rangeSeconds: 5400, endSeconds: Date.parse("2026-11-23T02:33:54Z") / 1000, stepSeconds: 60 });
  });
  test("what is wrong gets its default", () => {
    const [p] = readPanels(new URLSearchParams("g0.expr=up&g0.tab=x&g0.range_input=long&g0.end_input=noon&g0.step_input=-1"));
    expect(p).toEqual({ ...emptyPanel(), expr: "up" });
  });
  test("no more panels than the limit", () => {
    const many = Array.from({ length: panelsMax + 5 }, () => ({ ...emptyPanel(), expr: "up" }));
    expect(readPanels(writePanels(many))).toHaveLength(panelsMax);
  });
  test("a link to an expression", () => {
    expect(exprParams("up", "table").toString()).toBe("g0.expr=up&g0.tab=table");
  });
});
