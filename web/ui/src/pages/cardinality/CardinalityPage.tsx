import { get } from "../../api/client";
import type { TsdbStatus } from "../../api/types";
import { Chips } from "../../components/Chips";
import { Notice } from "../../components/Notice";
import { chosen, kinds, measures, ranked } from "../../model/cardinality";
import { formatMoment } from "../../model/time";
import { usePoll } from "../../poll";
import { place, setParams } from "../../router";
import { LabelValues } from "./LabelValues";
import { OverLimits } from "./OverLimits";
import { RankingTable } from "./RankingTable";

// The server looks at every series for an answer.
const everyMs = 30_000;
const shown = 20;

async function ask(signal: AbortSignal): Promise<TsdbStatus> {
  return (await get<TsdbStatus>("status/tsdb", { limit: shown }, signal)).data;
}

/** Of what there are how many series, and what is too much. */
export function CardinalityPage() {
  const { data, error } = usePoll("tsdb", everyMs, ask);
  const kind = chosen(kinds, place.value.params.get("of"));
  const measure = chosen(measures, place.value.params.get("by"));
  return (
    <>
      <div class="heading"><h1>Cardinality</h1></div>
      {error && <Notice kind="bad">{error}</Notice>}
      {!data && !error && <p class="soft" role="status">Counting series…</p>}
      {data && (
        <>
          <p class="soft">
            <b>{data.headStats.numSeries.toLocaleString("en")}</b> series of <b>{data.headStats.numLabelPairs.toLocaleString("en")}</b> labels are in memory.
          </p>
          {data.overLimit.length > 0 && <OverLimits labels={data.overLimit} />}
          <section class="card" aria-label="Most">
            <div class="filters">
              <Chips label="What is counted" chosen={kind} choices={kinds} onChoose={(of) => setParams({ of })} />
            </div>
            <div class="filters">
              <span class="soft">by</span>
              <Chips label="What comes first" chosen={measure} choices={measures} onChoose={(by) => setParams({ by })} />
            </div>
            <RankingTable kind={kind} list={ranked(data, kind, measure)} total={data.headStats.numSeries} />
            <p class="soft">{since(data)} Samples per second of pushed series are at most those shown.</p>
          </section>
          <LabelValues list={data.labelValueCountByLabelName} />
        </>
      )}
    </>
  );
}

function since(data: TsdbStatus): string {
  const at = (moment: string) => formatMoment(Date.parse(moment) / 1000);
  const from = (moment: string | null) => (moment ? at(moment) : "the start");
  return `New series are those since ${from(data.churnSince)}, growth is since ${from(data.growthSince)}.`;
}
