import type { AlertingRule, Rule } from "../../api/types";
import { LabelSet } from "../../components/LabelSet";
import { Link } from "../../components/Link";
import { Notice } from "../../components/Notice";
import { StateBadge } from "../../components/StateBadge";
import { exprParams } from "../../model/panels";
import { formatDuration } from "../../model/time";
import { ActiveAlerts } from "./ActiveAlerts";

/** One rule: its state, what it asks, what it found. */
export function RuleRow({ rule, nowMs }: { rule: Rule; nowMs: number }) {
  const alerts = rule.type === "alerting" ? (rule.alerts ?? []) : [];
  const failing = rule.health === "err";
  return (
    <div class="row rule" data-state={rule.type === "alerting" ? rule.state : "recording"}>
      <div>
        {rule.type === "alerting" ? <StateBadge state={rule.state} /> : <StateBadge state={failing ? "err" : rule.health} text={failing ? "failing" : "recording"} />}
      </div>
      <div class="stack">
        <div>
          <span class="name">{rule.name}</span>
          {rule.type === "alerting" && <span class="soft">{holds(rule)}</span>}
        </div>
        <pre><Link to="/query" params={exprParams(rule.query)}>{rule.query}</Link></pre>
        <LabelSet labels={rule.labels ?? {}} />
        {rule.lastError && <Notice kind="bad">{rule.lastError}</Notice>}
        {alerts.length > 0 && <ActiveAlerts name={rule.name} alerts={alerts} nowMs={nowMs} />}
        {rule.type === "alerting" && alerts.length === 0 && Object.keys(rule.annotations).length > 0 && (
          <details>
            <summary>Annotations</summary>
            <LabelSet labels={rule.annotations} />
          </details>
        )}
      </div>
    </div>
  );
}

function holds(rule: AlertingRule): string {
  const parts = [rule.duration > 0 && `for ${formatDuration(rule.duration)}`, rule.keepFiringFor > 0 && `keeps firing for ${formatDuration(rule.keepFiringFor)}`];
  return parts.filter(Boolean).map((p) => ` · ${p}`).join("");
}
