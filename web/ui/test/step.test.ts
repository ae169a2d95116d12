import { describe, expect, test } from "vitest";
import { autoStep, grid, pointsWanted } from "../src/model/step";

describe("autoStep", () => {
  test.each([
    [60, 1],
    [900, 5],
    [3600, 15],
    [6 * 3600, 120],
    [86400, 300],
    [7 * 86400, 3600],
    [365 * 86400, 172800],
  ])("a range of %d s has a step of %d s", (range, want) => {
    expect(autoStep(range)).toBe(want);
  });
  test("never more points than wanted", () => {
    for (let range = 1; range < 1e9; range = Math.ceil(range * 1.37)) expect(range / autoStep(range)).toBeLessThanOrEqual(pointsWanted);
  });
});

describe("grid", () => {
  test("points are multiples of the step, inside the range", () => {
    const g = grid(1003, 100, 15);
    expect(g).toEqual({ start: 915, end: 990, step: 15 });
  });
  test("a refresh within a step asks for the same moments", () => {
    expect(grid(1000, 900, 15)).toEqual(grid(1004, 900, 15));
  });
  test("a step longer than the range has one point", () => {
    const g = grid(1003, 10, 60);
    expect(g.start).toBe(g.end);
  });
});
