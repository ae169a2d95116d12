import { describe, expect, test } from "vitest";
import { axisLabels, formatValue, tickSteps, type Unit } from "../src/model/units";

describe("formatValue", () => {
  const cases: [number | null, Unit, string][] = [
    [0, "number", "0"],
    [5, "number", "5"],
    [0.25, "number", "0.25"],
    [1234, "number", "1234"],
    [12345, "number", "12.3 k"],
    [1.5e9, "number", "1.5 G"],
    [0.0012, "number", "1.2 m"],
    [0.0009999, "number", "1 m"],
    [-12345, "number", "-12.3 k"],
    [1e-12, "number", "0.001 n"],
    [12.5, "percent", "12.5 %"],
    [100, "percent", "100 %"],
    [0, "bytes", "0 B"],
    [1023, "bytes", "1023 B"],
    [1024, "bytes", "1 KiB"],
    [3.42 * 1024 ** 3, "bytes", "3.42 GiB"],
    [1536, "bytes/s", "1.5 KiB/s"],
    [0.4, "bytes/s", "0.4 B/s"],
    [0.0042, "seconds", "4.2 ms"],
    [0, "seconds", "0 s"],
    [7200, "seconds", "2 h"],
    [null, "bytes", "–"],
    [NaN, "number", "NaN"],
    [Infinity, "percent", "+Inf"],
    [-Infinity, "percent", "-Inf"],
  ];
  test.each(cases)("%s in %s is %s", (value, unit, want) => {
    expect(formatValue(value, unit)).toBe(want);
  });
});

describe("axisLabels", () => {
  test("one scale for all ticks", () => {
    expect(axisLabels([0, 512 * 1024, 1024 * 1024], "bytes")).toEqual(["0 MiB", "0.5 MiB", "1.0 MiB"]);
  });
  test("as many places as tell them apart", () => {
    expect(axisLabels([0, 0.25, 0.5], "number")).toEqual(["0", "0.25", "0.50"]);
    expect(axisLabels([0, 20, 40], "percent")).toEqual(["0 %", "20 %", "40 %"]);
  });
  test("neighbours differ, however close", () => {
    const labels = axisLabels([1.00001, 1.00002, 1.00003], "number");
    expect(new Set(labels).size).toBe(3);
  });
  test("large numbers near to each other are written out", () => {
    expect(axisLabels([1795401000, 1795401500], "number")).toEqual(["1795401000", "1795401500"]);
  });
  test("none for none", () => {
    expect(axisLabels([], "bytes")).toEqual([]);
  });
});

test("bytes have steps of powers of two", () => {
  expect(tickSteps("bytes")?.slice(0, 4)).toEqual([1, 2, 4, 8]);
  expect(tickSteps("percent")).toBeUndefined();
});
