import { useMemo } from "preact/hooks";
import { post, type Answer } from "../../api/client";
import type { MatrixData } from "../../api/types";
import { Graph } from "../../components/Graph";
import { GraphTable } from "../../components/GraphTable";
import { AnswerNotes, Notice } from "../../components/Notice";
import { unitOf } from "../../model/exprUnit";
import { linesOf, noLines, type Lines } from "../../model/lines";
import type { Panel } from "../../model/panels";
import { autoStep, grid, pointsMax, type Grid } from "../../model/step";
import { useAnswer } from "./useAnswer";

// Past this no eye tells lines apart, and browsers become slow.
const linesMax = 100;

interface Ranged {
  on: Grid;
  matrix: MatrixData;
}

async function ask(panel: Panel, signal: AbortSignal): Promise<Answer<Ranged>> {
  const end = panel.endSeconds ?? Date.now() / 1000;
  // A step set by hand stays under the API's limit of points.
  const step = Math.max(panel.stepSeconds ?? autoStep(panel.rangeSeconds), Math.ceil(panel.rangeSeconds / pointsMax));
  const on = grid(end, panel.rangeSeconds, step);
  const answer = await post<MatrixData>("query_range", { query: panel.expr, ...on }, signal);
  return { ...answer, data: { on, matrix: answer.data } };
}

/** An expression over a range. A range drawn with the pointer becomes the new one. */
export function GraphTab({ panel, run, onChange }: { panel: Panel; run: number; onChange: (part: Partial<Panel>) => void }) {
  const { answer, error, busy, tookMs } = useAnswer(JSON.stringify([panel, run]), (signal) => ask(panel, signal));
  const result = answer?.data.matrix.result;
  const data: Lines = useMemo(() => (answer ? linesOf(answer.data.matrix.result.slice(0, linesMax), answer.data.on) : noLines), [answer]);
  const histograms = result?.some((s) => s.histograms && s.histograms.length > 0);
  const on = answer?.data.on;
  const unit = unitOf(panel.expr);
  if (error) return <Notice kind="bad">{error}</Notice>;
  if (!answer || !on || !result) return <p class="soft" role="status">Reading…</p>;
  return (
    <div class="results" aria-busy={busy}>
      <AnswerNotes notes={answer} />
      {result.length > linesMax && <Notice kind="info">{`The first ${linesMax} of ${result.length} series are drawn. Aggregate, or select fewer.`}</Notice>}
      {histograms && <Notice kind="info">Native histograms are not drawn: use histogram_quantile() or the table.</Notice>}
      {result.length === 0 ? (
        <p class="soft" role="status">No series in this range.</p>
      ) : (
        <>
          <Graph
            title={panel.expr}
            data={data}
            unit={unit}
            height={340}
            from={on.end - panel.rangeSeconds}
            to={on.end}
            legend="rows"
            onRange={(from, to) => onChange({ endSeconds: Math.round(to), rangeSeconds: Math.max(10, Math.round(to - from)) })}
          />
          <GraphTable data={data} unit={unit} title={panel.expr} />
        </>
      )}
      <p class="stats soft">{result.length} series · step {on.step} s · {Math.round(tookMs)} ms</p>
    </div>
  );
}
