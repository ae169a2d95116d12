import type { OverLimit } from "../../api/types";
import { Notice } from "../../components/Notice";
import { shownName } from "../../model/cardinality";
import { formatMoment } from "../../model/time";

/** What becomes of series with a value too many, by policy. */
const became: Record<string, string> = {
  report: "come in, reported",
  refuse: "are refused",
  drop_label: "lose the label",
  replace: "get one value for all",
  hash: "get one value of few",
};

/** The labels that have more values than they may. */
export function OverLimits({ labels }: { labels: OverLimit[] }) {
  return (
    <section class="card" aria-label="Labels over their limit">
      <h2>Labels over their limit</h2>
      <Notice kind="warn">{labels.length === 1 ? "A label has" : `${labels.length} labels have`} more values than the configuration allows (nilometer.limits).</Notice>
      <div class="table-box">
        <table>
          <thead>
            <tr><th>Metric and label</th><th>Job and target</th><th class="value">Values</th><th class="value">Limit</th><th class="value">Series too many</th><th>They</th><th>Since</th><th>Such a value</th></tr>
          </thead>
          <tbody>
            {labels.map((x) => (
              <tr key={`${x.metric}\n${x.label}\n${x.instance ?? ""}`}>
                <td class="mono">{shownName(x.metric)} · <b>{shownName(x.label)}</b></td>
                <td class="mono">{shownName(x.job ?? "")}{x.instance ? ` / ${shownName(x.instance)}` : " (all targets)"}</td>
                <td class="value">≈ {x.values.toLocaleString("en")}</td>
                <td class="value">{x.limit.toLocaleString("en")}</td>
                <td class="value">{x.newSeries.toLocaleString("en")}</td>
                <td>{became[x.policy] ?? shownName(x.policy)}</td>
                <td class="moment">{formatMoment(Date.parse(x.since) / 1000)}</td>
                <td class="mono">{shownName(x.example, 60)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
