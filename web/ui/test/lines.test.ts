import { describe, expect, test } from "vitest";
import { columns, drawable, join, latest, linesOf, noLines, pointCount, withoutLead } from "../src/model/lines";

const on = { start: 100, end: 140, step: 10 };

describe("linesOf", () => {
  test("a gap in the samples is a gap in the line", () => {
    const out = linesOf([{ metric: { __name__: "up" }, values: [[100, "1"], [130, "0"]] }], on);
    expect(columns(out)).toEqual([
      [100, 110, 120, 130, 140],
      [1, null, null, 0, null],
    ]);
    expect(out.lines[0]?.name).toBe("up");
  });
  test("series of different lengths share the times", () => {
    const out = linesOf(
      [
        { metric: { a: "1" }, values: [[100, "1"], [110, "2"]] },
        { metric: { a: "2" }, values: [[140, "3"]] },
        { metric: { a: "3" } },
      ],
      on,
    );
    expect(columns(out).map((c) => c.length)).toEqual([5, 5, 5, 5]);
  });
  test("what cannot be drawn is a gap", () => {
    const out = linesOf([{ metric: {}, values: [[100, "NaN"], [110, "+Inf"], [120, "-Inf"], [130, "1e3"]] }], on);
    expect(out.lines[0]?.values).toEqual([null, null, null, 1000, null]);
    expect(drawable("+Inf")).toBeNull();
  });
  test("samples outside of the grid are left out", () => {
    const out = linesOf([{ metric: {}, values: [[50, "1"], [150, "2"]] }], on);
    expect(pointCount(out)).toBe(0);
  });
  test("steps that binary cannot say exactly keep every point", () => {
    const fine = { start: 0, end: 1, step: 0.1 };
    const out = linesOf([{ metric: {}, values: Array.from({ length: 11 }, (_, i) => [i / 10, "1"] as [number, string]) }], fine);
    expect(pointCount(out)).toBe(11);
  });
});

test("pointCount counts times with a value in any line", () => {
  const out = linesOf([{ metric: { a: "1" }, values: [[100, "1"]] }, { metric: { a: "2" }, values: [[100, "1"], [120, "1"]] }], on);
  expect(pointCount(out)).toBe(2);
  expect(pointCount(noLines)).toBe(0);
});

test("withoutLead begins with the first value", () => {
  const out = withoutLead(linesOf([{ metric: {}, values: [[120, "1"], [140, "2"]] }], on));
  expect(columns(out)).toEqual([[120, 130, 140], [1, null, 2]]);
  expect(withoutLead(linesOf([{ metric: {} }], on)).times).toEqual([]);
});

test("latest is the newest of the last points only", () => {
  const line = (values: (number | null)[]) => ({ key: "", name: "", labels: {}, values });
  expect(latest(line([1, 2, null]))).toBe(2);
  expect(latest(line([1, null, null, null]))).toBeNull();
  expect(latest(undefined)).toBeNull();
});

test("join keeps the lines in order", () => {
  const a = linesOf([{ metric: { a: "1" } }], on);
  const b = linesOf([{ metric: { a: "2" } }], on);
  expect(join([a, b]).lines.map((l) => l.labels["a"])).toEqual(["1", "2"]);
  expect(join([])).toEqual(noLines);
});
