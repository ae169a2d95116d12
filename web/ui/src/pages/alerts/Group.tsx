import type { RuleGroup } from "../../api/types";
import { ago, formatDuration } from "../../model/time";
import { formatValue } from "../../model/units";
import { RuleRow } from "./RuleRow";

/** The rules that are evaluated together, in their order. */
export function Group({ group, nowMs }: { group: RuleGroup; nowMs: number }) {
  return (
    <section class="card pool" aria-label={`Rule group ${group.name}`}>
      <header>
        <h2>{group.name}</h2>
        <span class="soft">
          every {formatDuration(group.interval)} · evaluated {ago(group.lastEvaluation, nowMs)}, took {formatValue(group.evaluationTime, "seconds")}
          {group.file && ` · ${group.file}`}
        </span>
      </header>
      {group.rules.map((r, i) => <RuleRow key={`${i} ${r.name}`} rule={r} nowMs={nowMs} />)}
    </section>
  );
}
