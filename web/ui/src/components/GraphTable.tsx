import { useState } from "preact/hooks";
import type { Lines } from "../model/lines";
import { formatMoment } from "../model/time";
import { formatValue, type Unit } from "../model/units";

// A table of more cells than this takes a browser seconds to lay out.
const cellsMax = 5000;

/** The table behind a graph, made when it is opened: newest first. */
export function GraphTable({ data, unit, title }: { data: Lines; unit: Unit; title: string }) {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>Values as a table</summary>
      {open && <Values data={data} unit={unit} title={title} />}
    </details>
  );
}

function Values({ data, unit, title }: { data: Lines; unit: Unit; title: string }) {
  const rows = data.times.map((time, i) => ({ time, i })).filter(({ i }) => data.lines.some((l) => l.values[i] !== null)).reverse();
  const rowsMax = Math.max(1, Math.floor(cellsMax / Math.max(1, data.lines.length)));
  const shown = rows.slice(0, rowsMax);
  return (
    <div class="table-box" tabIndex={0} role="region" aria-label={`${title}: table`}>
      <table>
        <thead>
          <tr>
            <th scope="col">Time</th>
            {data.lines.map((l) => <th key={l.key} scope="col" class="value">{l.name}</th>)}
          </tr>
        </thead>
        <tbody>
          {shown.map(({ time, i }) => (
            <tr key={time}>
              <td class="moment">{formatMoment(time)}</td>
              {data.lines.map((l) => <td key={l.key} class="value">{formatValue(l.values[i], unit)}</td>)}
            </tr>
          ))}
        </tbody>
        {shown.length < rows.length && (
          <caption>The newest {shown.length} of {rows.length} times</caption>
        )}
      </table>
    </div>
  );
}
