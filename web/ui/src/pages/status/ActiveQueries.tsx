import { useState } from "preact/hooks";
import { get, reason, remove } from "../../api/client";
import type { ActiveQuery } from "../../api/types";
import { Notice } from "../../components/Notice";
import { formatDuration } from "../../model/time";
import { formatValue } from "../../model/units";
import { usePoll } from "../../poll";

async function ask(signal: AbortSignal): Promise<ActiveQuery[]> {
  return (await get<{ queries: ActiveQuery[] }>("status/active_queries", {}, signal)).data.queries;
}

/** The queries that wait and run now, each with a way to end it. */
export function ActiveQueries() {
  const { data, error } = usePoll("active-queries", 3000, ask);
  const [ended, setEnded] = useState<string[]>([]);
  const [failure, setFailure] = useState<string>();
  const kill = async (id: string) => {
    setEnded((old) => [...old, id]);
    try {
      await remove(`status/active_queries/${id}`);
      setFailure(undefined);
    } catch (err) {
      setFailure(reason(err));
    }
  };
  const queries = (data ?? []).filter((q) => !ended.includes(q.id));
  return (
    <section class="card">
      <h2>Active queries</h2>
      {(failure ?? error) && <Notice kind="bad">{failure ?? error}</Notice>}
      {data && queries.length === 0 && <p class="soft">No query waits or runs.</p>}
      {queries.length > 0 && (
        <div class="table-box">
          <table class="stacking">
            <thead><tr><th>Query</th><th>Kind</th><th>State</th><th>Series</th><th>Samples</th><th>Memory</th><th /></tr></thead>
            <tbody>{queries.map((q) => <Row key={q.id} query={q} onKill={() => void kill(q.id)} />)}</tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Row({ query: q, onKill }: { query: ActiveQuery; onKill: () => void }) {
  const waits = q.state === "waiting";
  return (
    <tr>
      <td><code title={q.query}>{q.query.length > 200 ? `${q.query.slice(0, 200)}…` : q.query}</code></td>
      <td>{q.kind}</td>
      <td>{q.state} {formatDuration(Math.round(waits ? q.queuedTime : q.runningTime))}</td>
      <td>{q.seriesRead} of {q.seriesSelected}</td>
      <td>{formatValue(q.samplesRead)}</td>
      <td>{formatValue(q.memoryBytes, "bytes")}</td>
      <td><button type="button" class="button quiet" onClick={onKill} aria-label={`Kill query ${q.id}`}>Kill</button></td>
    </tr>
  );
}
