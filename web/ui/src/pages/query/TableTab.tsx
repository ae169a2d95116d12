import { post } from "../../api/client";
import type { InstantData, Sample } from "../../api/types";
import { AnswerNotes, Notice } from "../../components/Notice";
import { seriesName } from "../../model/labels";
import type { Panel } from "../../model/panels";
import { formatMoment } from "../../model/time";
import { useAnswer } from "./useAnswer";

// More rows than this take a browser seconds to lay out.
const rowsMax = 1000;

interface Row {
  name: string;
  value: string;
}

/** What an expression is at one moment. */
export function TableTab({ panel, run }: { panel: Panel; run: number }) {
  const { expr, endSeconds } = panel;
  const { answer, error, busy, tookMs } = useAnswer(JSON.stringify([expr, endSeconds, run]), (signal) =>
    post<InstantData>("query", { query: expr, time: endSeconds }, signal),
  );
  if (error) return <Notice kind="bad">{error}</Notice>;
  if (!answer) return <p class="soft" role="status">Reading…</p>;
  const rows = rowsOf(answer.data);
  const shown = rows.slice(0, rowsMax);
  return (
    <div class="results" aria-busy={busy}>
      <AnswerNotes notes={answer} />
      {shown.length < rows.length && <Notice kind="info">{`The first ${rowsMax} of ${rows.length} rows are shown. Aggregate, or select fewer.`}</Notice>}
      {rows.length === 0 ? <p class="soft" role="status">No series at this moment.</p> : (
        <div class="table-box" tabIndex={0} role="region" aria-label={`Result of ${expr}`}>
          <table data-rows={rows.length}>
            <thead>
              <tr>
                <th scope="col">Series</th>
                <th scope="col" class="value">Value</th>
              </tr>
            </thead>
            <tbody>
              {shown.map((r) => (
                <tr key={r.name}>
                  <td class="mono">{r.name}</td>
                  <td class="value lines">{r.value}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <p class="stats soft">{rows.length} {rows.length === 1 ? "row" : "rows"} · {answer.data.resultType} · {Math.round(tookMs)} ms</p>
    </div>
  );
}

function rowsOf(data: InstantData): Row[] {
  switch (data.resultType) {
    case "vector":
      return data.result.map((s) => ({ name: seriesName(s.metric), value: s.value ? s.value[1] : histogramText(s.histogram?.[1]) }));
    case "matrix":
      return data.result.map((s) => ({ name: seriesName(s.metric), value: (s.values ?? []).map(sampleText).join("\n") }));
    default:
      return [{ name: data.resultType, value: data.result[1] }];
  }
}

function sampleText([time, value]: Sample): string {
  return `${value} @ ${formatMoment(time)}`;
}

function histogramText(h: { count: string; sum: string } | undefined): string {
  return h ? `histogram: count ${h.count}, sum ${h.sum}` : "";
}
