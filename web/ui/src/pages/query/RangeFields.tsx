import type { Panel } from "../../model/panels";
import { autoStep } from "../../model/step";
import { formatDuration, fromLocalInput, parseDuration, toLocalInput } from "../../model/time";

const ranges = ["15m", "30m", "1h", "3h", "6h", "12h", "1d", "2d", "7d"];

/** The range, its end and the step; a table has a moment only. */
export function RangeFields({ panel, onChange }: { panel: Panel; onChange: (part: Partial<Panel>) => void }) {
  const range = formatDuration(panel.rangeSeconds);
  const graph = panel.tab === "graph";
  return (
    <>
      {graph && (
        <label class="field">
          Range
          <select value={range} onChange={(e) => onChange({ rangeSeconds: parseDuration(e.currentTarget.value) ?? panel.rangeSeconds })}>
            {!ranges.includes(range) && <option value={range}>{range}</option>}
            {ranges.map((r) => <option key={r} value={r}>{r}</option>)}
          </select>
        </label>
      )}
      <div class="field moment-field">
        <label class="field">
          {graph ? "End" : "At"}
          <input
            type="datetime-local"
            step="1"
            value={panel.endSeconds === undefined ? "" : toLocalInput(panel.endSeconds)}
            onChange={(e) => onChange({ endSeconds: fromLocalInput(e.currentTarget.value) })}
          />
        </label>
        {panel.endSeconds === undefined
          ? <span class="soft">now</span>
          : <button type="button" class="button quiet" onClick={() => onChange({ endSeconds: undefined })}>Now</button>}
      </div>
      {graph && (
        <label class="field">
          Step
          <input
            type="text"
            placeholder={`auto: ${formatDuration(autoStep(panel.rangeSeconds))}`}
            style={{ width: "104px" }}
            value={panel.stepSeconds === undefined ? "" : formatDuration(panel.stepSeconds)}
            onChange={(e) => onChange({ stepSeconds: parseDuration(e.currentTarget.value) })}
          />
        </label>
      )}
    </>
  );
}
