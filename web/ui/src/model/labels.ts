// Label sets as text.

import type { Labels } from "../api/types";

/** A label value as PromQL writes it. */
export function quote(value: string): string {
  return `"${value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n")}"`;
}

const plainMetric = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const plainLabel = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** A series as a selector that finds it: name{label="value"}. */
export function seriesName(labels: Labels): string {
  const name = labels["__name__"] ?? "";
  const plain = name === "" || plainMetric.test(name);
  const inside = plain ? [] : [quote(name)];
  for (const key of Object.keys(labels).sort()) {
    if (key !== "__name__") inside.push(`${plainLabel.test(key) ? key : quote(key)}=${quote(labels[key]!)}`);
  }
  const braces = inside.length > 0 || name === "" ? `{${inside.join(", ")}}` : "";
  return (plain ? name : "") + braces;
}

/** Whether some label or other text holds what is looked for, without regard to case. */
export function matchesText(wanted: string, labels: Labels, ...others: string[]): boolean {
  const needle = wanted.trim().toLowerCase();
  if (needle === "") return true;
  if (others.some((o) => o.toLowerCase().includes(needle))) return true;
  return Object.entries(labels).some(([k, v]) => `${k}=${v}`.toLowerCase().includes(needle) || `${k}="${v}"`.toLowerCase().includes(needle));
}

/** What labels became: those that are new or have another value, and the names of those that are gone. */
export function labelChanges(before: Labels, after: Labels): { set: Labels; removed: string[] } {
  const set: Labels = {};
  for (const [n, v] of Object.entries(after)) if (before[n] !== v) set[n] = v;
  return { set, removed: Object.keys(before).filter((n) => !(n in after)).sort() };
}
