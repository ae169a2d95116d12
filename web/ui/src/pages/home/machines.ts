// Which machines there are to look at, and how to ask about one.

import { get } from "../../api/client";
import type { InstantData, Targets } from "../../api/types";
import { parseDuration } from "../../model/time";
import type { Machine } from "./charts";

/** The job under which the built-in collector's machine is scraped. */
export const ownJob = "host";

export interface Machines {
  machines: Machine[]; // that have sent something
  expected: boolean; // the built-in collector is a target: points will come
  intervals: Map<string, number>; // scrape interval in seconds, by key(job, instance)
}

export function key(job: string, instance: string): string {
  return `${job}\u0000${instance}`;
}

export async function askMachines(signal: AbortSignal): Promise<Machines> {
  const [cpus, targets] = await Promise.all([
    get<InstantData>("query", { query: 'count by (job, instance) (node_cpu_seconds_total{mode="idle"})' }, signal),
    get<Targets>("targets", { state: "active" }, signal),
  ]);
  const machines = cpus.data.resultType === "vector"
    ? cpus.data.result.map((s) => ({ job: s.metric["job"] ?? "", instance: s.metric["instance"] ?? "", cpus: Number(s.value?.[1] ?? 0) }))
    : [];
  const active = targets.data.activeTargets;
  return {
    machines: machines.sort(ownFirst),
    expected: active.some((t) => t.labels["job"] === ownJob),
    intervals: new Map(active.map((t) => [key(t.labels["job"] ?? "", t.labels["instance"] ?? ""), parseDuration(t.scrapeInterval) ?? 0])),
  };
}

function ownFirst(a: Machine, b: Machine): number {
  if (a.job !== b.job && (a.job === ownJob || b.job === ownJob)) return a.job === ownJob ? -1 : 1;
  return a.job.localeCompare(b.job) || a.instance.localeCompare(b.instance);
}
