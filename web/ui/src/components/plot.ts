// How uPlot draws our graphs: axes with units, strokes by palette.

import type uPlot from "uplot";
import { stroke } from "../model/colours";
import type { Line } from "../model/lines";
import { axisLabels, tickSteps, type Unit } from "../model/units";

export interface Look {
  unit: Unit;
  height: number; // CSS pixels
  dark: boolean;
  min?: number | undefined; // a fixed lower end of the y axis
  max?: number | undefined; // what the y axis reaches at least
  filled?: boolean | undefined; // the first line stands on ground
  hidden: ReadonlySet<string>; // keys of lines not to draw
  syncKey?: string | undefined; // graphs with the same key share their crosshair
}

/** The colour that a design token has now: canvases know no variables. */
function token(name: string): string {
  // light-dark() is resolved only on a real property.
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

const font = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif';

// 24-hour clock, days as ISO dates: [least distance of ticks in s, form, then
// what is added under a new year, day or minute].
const dayForm = "\n{YYYY}-{MM}-{DD}";
const timeForms: (string | number | null)[][] = [
  [31536000, "{YYYY}", null, null, null, null, null, null, 1],
  [2419200, "{YYYY}-{MM}", null, null, null, null, null, null, 1],
  [86400, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", dayForm, null, dayForm, null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", dayForm, null, dayForm, null, null, null, 1],
  [0.001, "{ss}.{fff}", "\n{HH}:{mm}", null, "\n{HH}:{mm}", null, "\n{HH}:{mm}", null, 1],
];

function axes(look: Look): uPlot.Axis[] {
  const text = token("--text-soft");
  const grid = { stroke: token("--grid"), width: 1 };
  const y: uPlot.Axis = {
    stroke: text,
    font,
    grid,
    ticks: { show: false },
    gap: 6,
    space: 34,
    size: (_u, labels) => 16 + 6.8 * Math.max(3, ...(labels ?? []).map((l) => l.length)),
    values: (_u, ticks) => axisLabels(ticks, look.unit),
  };
  const steps = tickSteps(look.unit);
  if (steps) y.incrs = steps;
  const x: uPlot.Axis = { stroke: text, font, grid, ticks: { ...grid, size: 4 }, gap: 4, size: 40, space: 70, values: timeForms as uPlot.Axis.Values };
  return [x, y];
}

function yRange(look: Look): uPlot.Range.Function {
  return (_u, low, high) => {
    if (low === null || high === null || low === undefined) return [look.min ?? 0, look.max ?? 1];
    const top = Math.max(high, look.max ?? -Infinity);
    const bottom = look.min ?? low;
    if (top === bottom) return top === 0 ? [look.min ?? -1, 1] : [Math.min(0, top * 1.5), Math.max(0, top * 1.5)];
    const room = (top - bottom) * 0.06;
    // The line of nought is shown when it is near: a graph that begins just above it misleads.
    const begin = look.min ?? (bottom > 0 && bottom < top * 0.5 ? 0 : bottom - room);
    return [begin, top === look.max ? top : top + room];
  };
}

/** uPlot's options for lines; the legend is ours, and so is what a cursor tells. */
export function plotOptions(lines: Line[], look: Look, width: number): uPlot.Options {
  return {
    width,
    height: look.height,
    padding: [8, 30, 0, 0],
    legend: { show: false },
    cursor: {
      drag: { x: true, y: false, setScale: false },
      points: { size: 7 },
      ...(look.syncKey ? { sync: { key: look.syncKey } } : {}),
    },
    scales: { x: { time: true }, y: { range: yRange(look) } },
    axes: axes(look),
    series: [
      {},
      ...lines.map((line, i): uPlot.Series => {
        const { colour, dash } = stroke(i, look.dark);
        return {
          label: line.name,
          stroke: colour,
          width: 1.75,
          dash,
          show: !look.hidden.has(line.key),
          points: { show: alone },
          ...(look.filled && i === 0 ? { fill: `${colour}22` } : {}),
        };
      }),
    ],
  };
}

/** Points are drawn only where a line has too few of them to be seen. */
function alone(u: uPlot, series: number): boolean {
  let n = 0;
  for (const v of u.data[series]!) if (v !== null && ++n > 2) return false;
  return true;
}
