import { get } from "../../api/client";
import type { Target, Targets } from "../../api/types";
import { Chips } from "../../components/Chips";
import { Notice } from "../../components/Notice";
import { matchesText } from "../../model/labels";
import { usePoll } from "../../poll";
import { place, setParams } from "../../router";
import { Pool } from "./Pool";
import { RelabelSteps } from "./RelabelSteps";

const states = ["up", "down", "unknown"];

// More dropped targets than these say nothing that these don't.
const droppedShown = 100;

async function ask(signal: AbortSignal): Promise<Targets> {
  return (await get<Targets>("targets", {}, signal)).data;
}

/** What is scraped, by scrape pool. */
export function TargetsPage() {
  const { data, error, at } = usePoll("targets", 5000, ask);
  const { params } = place.value;
  const state = params.get("state") ?? "";
  const text = params.get("q") ?? "";
  const all = data?.activeTargets ?? [];
  const shown = all.filter((t) => (!state || t.health === state) && matchesText(text, t.labels, t.scrapeUrl, t.scrapePool, t.lastError));
  const count = (s: string) => all.filter((t) => t.health === s).length;
  return (
    <>
      <div class="heading"><h1>Targets</h1></div>
      <div class="filters">
        <Chips
          label="State"
          chosen={state}
          choices={[{ value: "", text: "All", count: all.length }, ...states.map((s) => ({ value: s, text: s, count: count(s) }))]}
          onChoose={(s) => setParams({ state: s })}
        />
        <input type="search" aria-label="Filter by address or label" placeholder="Filter by address or label" value={text} onInput={(e) => setParams({ q: e.currentTarget.value })} />
      </div>
      {error && <Notice kind="bad">{error}</Notice>}
      {!data && !error && <p class="soft" role="status">Reading…</p>}
      {data?.discoveryProblems?.map((p) => (
        <Notice key={p.scrapePool + p.source} kind="bad">
          Discovery of <b>{p.scrapePool}</b> fails ({p.source}): {p.error}. What it found last is kept.
        </Notice>
      ))}
      {data && all.length === 0 && <NoTargets />}
      {all.length > 0 && shown.length === 0 && <p class="soft" role="status">No target fits the filter.</p>}
      {byPool(shown).map(([name, targets]) => (
        <Pool key={name} name={name} targets={targets} all={all.filter((t) => t.scrapePool === name)} nowMs={at} />
      ))}
      {data && data.droppedTargets.length > 0 && <Dropped targets={data} />}
    </>
  );
}

function byPool(targets: Target[]): [string, Target[]][] {
  const pools = new Map<string, Target[]>();
  for (const t of targets) pools.set(t.scrapePool, [...(pools.get(t.scrapePool) ?? []), t]);
  return [...pools].sort(([a], [b]) => a.localeCompare(b));
}

function NoTargets() {
  return (
    <section class="card empty">
      <h2>Nothing is scraped</h2>
      <p>Add <code>scrape_configs</code> to the configuration and reload it.</p>
    </section>
  );
}

function Dropped({ targets }: { targets: Targets }) {
  const counted = Object.values(targets.droppedTargetCounts ?? {}).reduce((a, b) => a + b, 0);
  const total = Math.max(counted, targets.droppedTargets.length);
  const shown = targets.droppedTargets.slice(0, droppedShown);
  return (
    <details class="card">
      <summary>{total} discovered, but dropped by relabelling</summary>
      {shown.map((t, i) => (
        <div key={i} class="stack">
          <p class="soft">{t.scrapePool}</p>
          <RelabelSteps pool={t.scrapePool} labels={t.discoveredLabels} />
        </div>
      ))}
      {shown.length < total && <p class="soft">The first {shown.length} are shown.</p>}
    </details>
  );
}
