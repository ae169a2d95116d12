// The query page's address: panels as g0.expr, g0.tab, … the names that
// Prometheus has, so that its links (and those of alerts) work here.

import { formatMoment, parseDuration } from "./time";

export type Tab = "graph" | "table";

export interface Panel {
  expr: string;
  tab: Tab;
  rangeSeconds: number;
  endSeconds: number | undefined; // undefined: now
  stepSeconds: number | undefined; // undefined: chosen by the range
}

export const panelsMax = 16;

const rangeDefault = 3600;

export function emptyPanel(): Panel {
  return { expr: "", tab: "graph", rangeSeconds: rangeDefault, endSeconds: undefined, stepSeconds: undefined };
}

/** Reads the panels of an address; there is always one. What is wrong in it gets its default. */
export function readPanels(params: URLSearchParams): Panel[] {
  const out: Panel[] = [];
  for (let i = 0; i < panelsMax && hasPanel(params, i); i++) {
    const read = (name: string) => params.get(`g${i}.${name}`) ?? undefined;
    const tab = read("tab");
    out.push({
      expr: read("expr") ?? "",
      tab: tab === "1" || tab === "table" ? "table" : "graph",
      rangeSeconds: parseDuration(read("range_input") ?? "") ?? rangeDefault,
      endSeconds: parseMoment(read("end_input") ?? read("moment_input")),
      stepSeconds: parseDuration(read("step_input") ?? ""),
    });
  }
  return out.length > 0 ? out : [emptyPanel()];
}

function hasPanel(params: URLSearchParams, i: number): boolean {
  return params.has(`g${i}.expr`);
}

/** Moments in addresses are UTC, "2026-11-23 02:36:05", as Prometheus writes them; Unix seconds are read too. */
function parseMoment(text: string | undefined): number | undefined {
  if (!text) return undefined;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const ms = Date.parse(/(Z|[+-]\d\d:\d\d)$/.test(text) ? text : `${text.replace(" ", "T")}Z`);
  return Number.isNaN(ms) ? undefined : ms / 1000;
}

function utc(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ");
}

/** Writes panels into an address; defaults are left out. */
export function writePanels(panels: Panel[]): URLSearchParams {
  const out = new URLSearchParams();
  panels.forEach((p, i) => {
    out.set(`g${i}.expr`, p.expr);
    if (p.tab !== "graph") out.set(`g${i}.tab`, p.tab);
    if (p.rangeSeconds !== rangeDefault) out.set(`g${i}.range_input`, `${trim(p.rangeSeconds)}s`);
    if (p.endSeconds !== undefined) out.set(`g${i}.end_input`, utc(p.endSeconds));
    if (p.stepSeconds !== undefined) out.set(`g${i}.step_input`, String(p.stepSeconds));
  });
  return out;
}

function trim(seconds: number): number {
  return Math.max(1, Math.round(seconds));
}

/** The address parameters of a page with one expression on it. */
export function exprParams(expr: string, tab: Tab = "graph"): URLSearchParams {
  return writePanels([{ ...emptyPanel(), expr, tab }]);
}

/** A panel's moment for people, in local time. */
export function endName(p: Panel): string {
  return p.endSeconds === undefined ? "now" : formatMoment(p.endSeconds);
}
