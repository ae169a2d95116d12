// Which points of a range a graph asks for.

const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];

/** About as many points as a graph can show: more are work without a picture. */
export const pointsWanted = 300;

/** The API refuses more points than this in a series. */
export const pointsMax = 11000;

/** The step, in seconds, for a range: the shortest round one with at most pointsWanted points. */
export function autoStep(rangeSeconds: number): number {
  const least = rangeSeconds / pointsWanted;
  return steps.find((s) => s >= least) ?? Math.ceil(least / 86400) * 86400;
}

export interface Grid {
  start: number;
  end: number;
  step: number;
}

/**
 * The grid for a range that ends at a moment. Its points are multiples of the
 * step, so that the same moments are asked for again after a refresh and lines
 * do not tremble.
 */
export function grid(endSeconds: number, rangeSeconds: number, step: number): Grid {
  const end = Math.floor(endSeconds / step) * step;
  const start = Math.ceil((endSeconds - rangeSeconds) / step) * step;
  return { start: Math.min(start, end), end, step };
}
