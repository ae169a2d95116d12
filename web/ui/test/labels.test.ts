import { expect, test } from "vitest";
import { labelChanges, matchesText, quote, seriesName } from "../src/model/labels";

test("a series' name is a selector", () => {
  expect(seriesName({ __name__: "up", job: "a", instance: "b:1" })).toBe('up{instance="b:1", job="a"}');
  expect(seriesName({ __name__: "up" })).toBe("up");
  expect(seriesName({})).toBe("{}");
  expect(seriesName({ mode: "idle" })).toBe('{mode="idle"}');
  expect(seriesName({ __name__: "http.requests", "a.b": "c" })).toBe('{"http.requests", "a.b"="c"}');
});

test("values are quoted as PromQL does", () => {
  expect(quote('a"b\\c\nd')).toBe('"a\\"b\\\\c\\nd"');
});

test("text is found in labels and beside them", () => {
  const labels = { job: "node", instance: "web-1:9100" };
  expect(matchesText("", labels)).toBe(true);
  expect(matchesText(" WEB-1 ", labels)).toBe(true);
  expect(matchesText('job="node"', labels)).toBe(true);
  expect(matchesText("job=node", labels)).toBe(true);
  expect(matchesText("/metrics", labels, "http://web-1:9100/metrics")).toBe(true);
  expect(matchesText("db", labels)).toBe(false);
});

test("what labels became", () => {
  expect(labelChanges({ a: "1", b: "2", c: "3" }, { a: "1", b: "4", d: "5" })).toEqual({ set: { b: "4", d: "5" }, removed: ["c"] });
});
