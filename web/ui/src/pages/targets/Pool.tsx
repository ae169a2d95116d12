import type { Target } from "../../api/types";
import { LabelSet } from "../../components/LabelSet";
import { Notice } from "../../components/Notice";
import { StateBadge } from "../../components/StateBadge";
import { ago } from "../../model/time";
import { formatValue } from "../../model/units";
import { RelabelSteps } from "./RelabelSteps";

interface PoolProps {
  name: string;
  targets: Target[]; // those that fit the filter
  all: Target[];
  nowMs: number;
}

/** The targets of one scrape configuration. */
export function Pool({ name, targets, all, nowMs }: PoolProps) {
  const up = all.filter((t) => t.health === "up").length;
  return (
    <section class="card pool" aria-label={`Scrape pool ${name}`}>
      <header>
        <h2>{name}</h2>
        <StateBadge state={up === all.length ? "up" : all.some((t) => t.health === "down") ? "down" : "unknown"} text={`${up} of ${all.length} up`} />
      </header>
      {targets.map((t) => <TargetRow key={`${t.scrapeUrl} ${JSON.stringify(t.labels)}`} target={t} nowMs={nowMs} />)}
    </section>
  );
}

function TargetRow({ target: t, nowMs }: { target: Target; nowMs: number }) {
  return (
    <div class="row target" data-health={t.health}>
      <div><StateBadge state={t.health} /></div>
      <div class="stack">
        <TargetAddress target={t} />
        <LabelSet labels={t.labels} />
        {t.lastError && <Notice kind="bad">{t.lastError}</Notice>}
        {t.lastWarning && <Notice kind="warn">{t.lastWarning}</Notice>}
        <RelabelSteps pool={t.scrapePool} labels={t.discoveredLabels} />
      </div>
      <dl class="facts">
        <dt>Last scrape</dt>
        <dd>{ago(t.lastScrape, nowMs)}</dd>
        <dt>Took</dt>
        <dd>{formatValue(t.lastScrapeDuration, "seconds")}</dd>
        <dt>Interval</dt>
        <dd>{t.scrapeInterval}, timeout {t.scrapeTimeout}</dd>
        {t.lastSamples !== undefined && <><dt>Samples</dt><dd>{t.lastSamples}</dd></>}
        {t.status && t.status.toLowerCase() !== t.health && <><dt>Status</dt><dd>{t.status}</dd></>}
      </dl>
    </div>
  );
}

/** A link where a browser can follow it; the built-in collector has no address to open. */
function TargetAddress({ target }: { target: Target }) {
  if (!/^https?:\/\//.test(target.globalUrl)) return <span class="url">{target.scrapeUrl}</span>;
  return <a class="url" href={target.globalUrl} rel="noreferrer">{target.scrapeUrl}</a>;
}
