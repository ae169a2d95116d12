import type { Signal } from "@preact/signals";
import { stroke } from "../model/colours";
import { latest, type Line } from "../model/lines";
import { formatMoment } from "../model/time";
import { formatValue, type Unit } from "../model/units";
import { dark } from "../theme";

interface LegendProps {
  lines: Line[];
  times: number[];
  unit: Unit;
  cursor: Signal<number | null>; // the point under the crosshair
  hidden: ReadonlySet<string>;
  rows: boolean; // a line each, for long names
  onToggle: (key: string, only: boolean) => void;
}

/** The lines with their values: under the crosshair, or the newest. A click hides a line; with Shift or Ctrl it shows that one only. */
export function Legend({ lines, times, unit, cursor, hidden, rows, onToggle }: LegendProps) {
  const at = cursor.value;
  const moment = at === null ? undefined : times[at];
  return (
    <figcaption>
      <div class="legend-when">{moment === undefined ? (rows ? "Newest values" : "") : formatMoment(moment)}</div>
      <ul class={rows ? "legend rows" : "legend"}>
        {lines.map((line, i) => (
          <li key={line.key}>
            <button
              type="button"
              aria-pressed={!hidden.has(line.key)}
              title="Click: hide or show. Shift+click: this one only."
              onClick={(e) => onToggle(line.key, e.shiftKey || e.ctrlKey || e.metaKey)}
            >
              <Swatch index={i} />
              <span class="name">{line.name}</span>
              <span class="now">{formatValue(moment === undefined ? latest(line) : line.values[at!], unit)}</span>
            </button>
          </li>
        ))}
      </ul>
    </figcaption>
  );
}

/** A piece of the line as it is drawn. */
function Swatch({ index }: { index: number }) {
  const { colour, dash } = stroke(index, dark.value);
  return (
    <svg width="18" height="8" aria-hidden="true">
      <line x1="0" y1="4" x2="18" y2="4" stroke={colour} stroke-width="3" stroke-dasharray={dash.join(" ")} />
    </svg>
  );
}
