import type { Cardinal } from "../../api/types";
import { Link } from "../../components/Link";
import { kinds, queryFor, shownName, type Kind } from "../../model/cardinality";
import { formatValue } from "../../model/units";

/** Those with most of something; total is the number of all series. */
export function RankingTable({ kind, list, total }: { kind: Kind; list: Cardinal[]; total: number }) {
  if (list.length === 0) return <p class="soft" role="status">There is none.</p>;
  return (
    <div class="table-box ranking">
      <table data-rows={list.length}>
        <thead>
          <tr>
            <th>{kinds.find((k) => k.value === kind)?.one}</th>
            <th class="value">Series</th><th class="value">Share</th><th class="value">New</th><th class="value">Samples/s</th><th class="value">Growth</th>
          </tr>
        </thead>
        <tbody>{list.map((c) => <Row key={c.name} kind={kind} cardinal={c} total={total} />)}</tbody>
      </table>
    </div>
  );
}

function Row({ kind, cardinal: c, total }: { kind: Kind; cardinal: Cardinal; total: number }) {
  const query = queryFor(kind, c.name);
  const name = shownName(c.name) || "(none)";
  const share = total > 0 ? Math.min(100, (100 * c.series) / total) : 0;
  return (
    <tr>
      <td class="mono">
        {query ? <Link to="/query" params={new URLSearchParams({ "g0.expr": query, "g0.tab": "table" })}>{name}</Link> : name}
        <meter class="share" min={0} max={100} value={share} aria-hidden="true" />
      </td>
      <td class="value">{c.series.toLocaleString("en")}</td>
      <td class="value">{formatValue(share, "percent")}</td>
      <td class="value">{c.newSeries.toLocaleString("en")}</td>
      <td class="value">{formatValue(c.samplesPerSecond)}</td>
      <td class="value">{c.growth > 0 ? "+" : ""}{c.growth.toLocaleString("en")}</td>
    </tr>
  );
}
