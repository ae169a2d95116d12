import { get } from "../../api/client";
import type { Rule, RuleGroup } from "../../api/types";
import { Chips } from "../../components/Chips";
import { Notice } from "../../components/Notice";
import { matchesText } from "../../model/labels";
import { usePoll } from "../../poll";
import { place, setParams } from "../../router";
import { Group } from "./Group";

const choices = ["firing", "pending", "inactive", "recording", "err"];
const words: Record<string, string> = { err: "failing" };

async function ask(signal: AbortSignal): Promise<RuleGroup[]> {
  return (await get<{ groups: RuleGroup[] }>("rules", {}, signal)).data.groups;
}

/** What a rule counts as for the filter. */
function isIn(rule: Rule, choice: string): boolean {
  if (choice === "err") return rule.health === "err";
  if (choice === "recording") return rule.type === "recording";
  return rule.type === "alerting" && rule.state === choice;
}

function fits(rule: Rule, choice: string, text: string): boolean {
  if (choice && !isIn(rule, choice)) return false;
  const alerts = rule.type === "alerting" ? (rule.alerts ?? []) : [];
  return matchesText(text, rule.labels ?? {}, rule.name, rule.query) || alerts.some((a) => matchesText(text, a.labels));
}

/** Rules by group: alerts with their states, recordings with theirs. */
export function AlertsPage() {
  const { data, error, at } = usePoll("rules", 5000, ask);
  const { params } = place.value;
  const choice = params.get("state") ?? "";
  const text = params.get("q") ?? "";
  const rules = data?.flatMap((g) => g.rules) ?? [];
  const groups = (data ?? []).map((g) => ({ ...g, rules: g.rules.filter((r) => fits(r, choice, text)) })).filter((g) => g.rules.length > 0);
  return (
    <>
      <div class="heading"><h1>Alerts and rules</h1></div>
      <div class="filters">
        <Chips
          label="State"
          chosen={choice}
          choices={[
            { value: "", text: "All", count: rules.length },
            ...choices.map((c) => ({ value: c, text: words[c] ?? c, count: rules.filter((r) => isIn(r, c)).length })),
          ]}
          onChoose={(state) => setParams({ state })}
        />
        <input type="search" aria-label="Filter by name, expression or label" placeholder="Filter by name, expression or label" value={text} onInput={(e) => setParams({ q: e.currentTarget.value })} />
      </div>
      {error && <Notice kind="bad">{error}</Notice>}
      {!data && !error && <p class="soft" role="status">Reading…</p>}
      {data && rules.length === 0 && (
        <section class="card empty">
          <h2>No rules</h2>
          <p>Name files of rules under <code>rule_files</code> in the configuration and reload it.</p>
        </section>
      )}
      {rules.length > 0 && groups.length === 0 && <p class="soft" role="status">No rule fits the filter.</p>}
      {groups.map((g) => <Group key={`${g.file} ${g.name}`} group={g} nowMs={at} />)}
    </>
  );
}
