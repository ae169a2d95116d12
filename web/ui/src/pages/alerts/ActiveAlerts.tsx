import type { Alert } from "../../api/types";
import { LabelSet } from "../../components/LabelSet";
import { StateBadge } from "../../components/StateBadge";
import { seriesName } from "../../model/labels";
import { ago } from "../../model/time";
import { formatValue } from "../../model/units";

// A rule with more alerts than these is better asked about on the query page.
const alertsShown = 200;

/** The alerts that a rule has now: firing ones first. */
export function ActiveAlerts({ name, alerts, nowMs }: { name: string; alerts: Alert[]; nowMs: number }) {
  const sorted = [...alerts].sort((a, b) => a.state.localeCompare(b.state));
  const shown = sorted.slice(0, alertsShown);
  return (
    <>
      <div class="table-box" tabIndex={0} role="region" aria-label={`Active alerts of ${name}`}>
        <table class="stacking">
          <thead>
            <tr>
              <th scope="col">State</th>
              <th scope="col">Labels and annotations</th>
              <th scope="col">Since</th>
              <th scope="col" class="value">Value</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((a) => (
              <tr key={seriesName(a.labels)}>
                <td><StateBadge state={a.state} /></td>
                <td>
                  <LabelSet labels={a.labels} without={["alertname"]} />
                  {Object.entries(a.annotations).map(([key, value]) => (
                    <p key={key}><span class="soft">{key}: </span>{value}</p>
                  ))}
                </td>
                <td class="moment" title={a.activeAt}>{ago(a.activeAt, nowMs)}</td>
                <td class="value" title={a.value}>{formatValue(Number(a.value))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {shown.length < alerts.length && <p class="soft">{shown.length} of {alerts.length} alerts are shown.</p>}
    </>
  );
}
