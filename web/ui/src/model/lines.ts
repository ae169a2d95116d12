// From the API's matrices to the columns that uPlot draws.

import type { Labels, Series } from "../api/types";
import { seriesName } from "./labels";
import type { Grid } from "./step";

/** A line of a graph: one value per time of its graph, null where there is none. */
export interface Line {
  key: string; // tells the line from the others, the same after a refresh
  name: string;
  labels: Labels;
  values: (number | null)[];
}

export interface Lines {
  times: number[]; // Unix seconds, ascending
  lines: Line[];
}

export const noLines: Lines = { times: [], lines: [] };

/** A sample's value; null for what cannot be drawn (NaN and infinities). */
export function drawable(text: string): number | null {
  const value = Number(text);
  return Number.isFinite(value) ? value : null;
}

/**
 * Puts a matrix on its grid: times that a series lacks become nulls, so that a
 * gap in the data is a gap in the line. Samples that lie on no point of the grid
 * are left out; the API sends none.
 */
export function linesOf(matrix: Series[], on: Grid, name: (labels: Labels) => string = seriesName): Lines {
  const count = Math.floor((on.end - on.start) / on.step + 1e-6) + 1;
  const times = Array.from({ length: count }, (_, i) => on.start + i * on.step);
  const lines = matrix.map((series) => {
    const values: (number | null)[] = new Array(count).fill(null);
    for (const [time, text] of series.values ?? []) {
      const i = Math.round((time - on.start) / on.step);
      if (i >= 0 && i < count) values[i] = drawable(text);
    }
    return { key: seriesName(series.metric), name: name(series.metric), labels: series.metric, values };
  });
  return { times, lines };
}

/** One graph of several that share their grid. */
export function join(parts: Lines[]): Lines {
  return { times: parts[0]?.times ?? [], lines: parts.flatMap((p) => p.lines) };
}

/** Takes away the times at the beginning at which no line has a value: a server that has just begun. */
export function withoutLead(all: Lines): Lines {
  const first = all.times.findIndex((_, i) => all.lines.some((l) => l.values[i] !== null));
  if (first <= 0) return first === 0 ? all : { times: [], lines: all.lines.map((l) => ({ ...l, values: [] })) };
  return { times: all.times.slice(first), lines: all.lines.map((l) => ({ ...l, values: l.values.slice(first) })) };
}

/** The columns for uPlot: times first, then each line's values. */
export function columns(all: Lines): [number[], ...(number | null)[][]] {
  return [all.times, ...all.lines.map((l) => l.values)];
}

/** How many times of a graph have a value. */
export function pointCount(all: Lines): number {
  let n = 0;
  for (let i = 0; i < all.times.length; i++) if (all.lines.some((l) => l.values[i] !== null)) n++;
  return n;
}

/** The newest value of a line within its last few points; null if it has ended. */
export function latest(line: Line | undefined, within = 3): number | null {
  if (!line) return null;
  for (let i = line.values.length - 1; i >= Math.max(0, line.values.length - within); i--) {
    const v = line.values[i];
    if (v !== null && v !== undefined) return v;
  }
  return null;
}
