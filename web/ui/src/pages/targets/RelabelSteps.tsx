import { useState } from "preact/hooks";
import { get } from "../../api/client";
import type { Labels, RelabelRule, RelabelStep } from "../../api/types";
import { LabelSet } from "../../components/LabelSet";
import { Notice } from "../../components/Notice";
import { labelChanges } from "../../model/labels";

/** What each relabelling rule of a pool makes of discovered labels; asked for when it is opened. */
export function RelabelSteps({ pool, labels }: { pool: string; labels: Labels }) {
  const [steps, setSteps] = useState<RelabelStep[]>();
  const [error, setError] = useState("");
  async function open(shown: boolean) {
    if (!shown || steps) return;
    try {
      const answer = await get<{ steps: RelabelStep[] }>("targets/relabel_steps", { scrapePool: pool, labels: JSON.stringify(labels) });
      setSteps(answer.data.steps);
      setError("");
    } catch (e) {
      setError(String(e instanceof Error ? e.message : e));
    }
  }
  return (
    <details onToggle={(e) => void open(e.currentTarget.open)}>
      <summary>Discovered labels and relabelling</summary>
      <div class="stack">
        <LabelSet labels={labels} />
        {error && <Notice kind="bad">{error}</Notice>}
        {steps?.length === 0 && <p class="soft">The job has no rule that relabels targets.</p>}
        {steps?.map((s, i) => <Step key={i} step={s} number={i + 1} />)}
      </div>
    </details>
  );
}

function Step({ step, number }: { step: RelabelStep; number: number }) {
  const { set, removed } = labelChanges(step.input, step.output);
  const gone = !step.keep;
  return (
    <div class="stack" aria-label={`rule ${number}`}>
      <p class="soft">{number}. {describe(step.rule)}</p>
      {gone && <p>Dropped here or before.</p>}
      {!gone && <LabelSet labels={set} />}
      {!gone && removed.length > 0 && <p class="soft">without {removed.join(", ")}</p>}
      {!gone && removed.length === 0 && Object.keys(set).length === 0 && <p class="soft">changes nothing</p>}
    </div>
  );
}

/** A rule in one line, as its keys say it. */
function describe(r: RelabelRule): string {
  const from = r.source_labels?.length ? ` of ${r.source_labels.join(r.separator)}` : "";
  const to = r.target_label ? ` to ${r.target_label} = ${r.modulus ? `hash mod ${r.modulus}` : r.replacement}` : "";
  return `${r.action}${from}${r.regex ? ` that fits ${r.regex}` : ""}${to}`;
}
