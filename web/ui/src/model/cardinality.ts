// What series have in common: names as they can be shown, and queries for them.

import type { Ranking, TsdbStatus } from "../api/types";
import { quote } from "./labels";

export type Kind = "metrics" | "labels" | "labelPairs" | "jobs" | "targets";
export type Measure = keyof Ranking;

export const kinds: { value: Kind; text: string; one: string }[] = [
  { value: "metrics", text: "Metrics", one: "Metric" },
  { value: "labels", text: "Label names", one: "Label name" },
  { value: "labelPairs", text: "Labels", one: "Label" },
  { value: "jobs", text: "Jobs", one: "Job" },
  { value: "targets", text: "Targets", one: "Target" },
];

export const measures: { value: Measure; text: string }[] = [
  { value: "bySeries", text: "Series" },
  { value: "byChurn", text: "New series" },
  { value: "bySamplesPerSecond", text: "Samples per second" },
  { value: "byGrowth", text: "Growth" },
];

/** The choice that an address names, the first where it names none. */
export function chosen<T extends string>(choices: { value: T }[], text: string | null): T {
  return (choices.find((c) => c.value === text) ?? choices[0]!).value;
}

/** The list of a kind by a measure. */
export function ranked(status: TsdbStatus, kind: Kind, measure: Measure) {
  return status[kind][measure];
}

// Characters that are not seen, or that turn the text around them.
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Text that others chose, as it can be shown: what is not seen is written as \u{…}, and of what is long the beginning stays. */
export function shownName(text: string, most = 160): string {
  const chars = [...text];
  const begin = chars.length > most ? `${chars.slice(0, most).join("")}…` : text;
  return begin.replace(unseen, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);
}

/** A query that says which targets have the series; undefined where the name leaves open which they are. */
export function queryFor(kind: Kind, name: string): string | undefined {
  const matchers = matchersFor(kind, name);
  return matchers && `count by (job, instance) ({${matchers}})`;
}

function matchersFor(kind: Kind, name: string): string | undefined {
  switch (kind) {
    case "metrics":
      return `__name__=${quote(name)}`;
    case "labels":
      return `${labelName(name)}!=""`;
    case "jobs":
      return `job=${quote(name)}`;
    case "labelPairs": {
      const [label, ...rest] = name.split("=");
      return label ? `${labelName(label)}=${quote(rest.join("="))}` : undefined;
    }
    case "targets": {
      const parts = name.split("/"); // both parts may have slashes of their own
      return parts.length === 2 ? `job=${quote(parts[0]!)},instance=${quote(parts[1]!)}` : undefined;
    }
  }
}

function labelName(name: string): string {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? name : quote(name);
}
