import { describe, expect, test } from "vitest";
import { ago, coarse, formatDuration, formatMoment, fromLocalInput, parseDuration, toLocalInput } from "../src/model/time";

describe("durations", () => {
  test.each([
    ["15m", 900],
    ["1h30m", 5400],
    ["7d", 604800],
    ["1w", 604800],
    ["500ms", 0.5],
    ["90", 90],
    ["2.5", 2.5],
  ])("%s is %d seconds", (text, want) => {
    expect(parseDuration(text)).toBe(want);
  });
  test.each(["", "abc", "5 minutes", "-5m", "0", "0s", "1h m"])("%j is none", (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
  test("what is written is read as the same", () => {
    for (const s of [0.5, 1, 59, 60, 3600, 5400, 86399, 86400, 604800]) expect(parseDuration(formatDuration(s))).toBe(s);
  });
});

describe("moments", () => {
  test("the input's text is read as the same second", () => {
    const now = 1795401234;
    expect(fromLocalInput(toLocalInput(now))).toBe(now);
  });
  test("are written in full", () => {
    expect(formatMoment(1795401234)).toMatch(/^2026-11-\d\d \d\d:\d\d:\d4$/);
  });
});

test("how long ago", () => {
  const now = Date.parse("2026-11-23T12:00:00Z");
  expect(ago("2026-11-23T11:59:56Z", now)).toBe("4 s ago");
  expect(ago("2026-11-23T12:00:05Z", now)).toBe("just now");
  expect(ago("0001-01-01T00:00:00Z", now)).toBe("never");
  expect(ago(undefined, now)).toBe("never");
  expect(coarse(7200)).toBe("2 h");
  expect(coarse(200000)).toBe("2 d");
});
