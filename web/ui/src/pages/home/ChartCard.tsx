import { post } from "../../api/client";
import type { MatrixData } from "../../api/types";
import { Graph } from "../../components/Graph";
import { GraphTable } from "../../components/GraphTable";
import { Link } from "../../components/Link";
import { Notice } from "../../components/Notice";
import { join, linesOf, noLines, type Lines } from "../../model/lines";
import { emptyPanel, writePanels } from "../../model/panels";
import { grid, type Grid } from "../../model/step";
import { usePoll } from "../../poll";
import { selectorOf, type Chart, type Machine } from "./charts";

export const rangeSeconds = 900;
const rangeLeast = 60; // what the time axis shows at the least
const stepSeconds = 5;
const refreshMs = 5000;

interface Drawn {
  on: Grid;
  data: Lines;
}

async function ask(chart: Chart, machine: Machine, window: string, signal: AbortSignal): Promise<Drawn> {
  const on = grid(Date.now() / 1000, rangeSeconds, stepSeconds);
  const parts = chart.exprs(selectorOf(machine), window).map(async ({ expr, name }) => {
    const { data } = await post<MatrixData>("query_range", { query: expr, ...on }, signal);
    return linesOf(data.result, on, typeof name === "string" ? () => name : name);
  });
  const data = rekeyed(join(await Promise.all(parts)));
  return { on, data: chart.arrange ? chart.arrange(data) : data };
}

/** Aggregates have no labels of their own: their names tell lines apart. */
function rekeyed(data: Lines): Lines {
  return { times: data.times, lines: data.lines.map((l) => ({ ...l, key: `${l.name}${l.key}` })) };
}

/** One graph of the machine, with its present value large. */
export function ChartCard({ chart, machine, window }: { chart: Chart; machine: Machine; window: string }) {
  const { data: drawn, error } = usePoll(`${chart.id} ${selectorOf(machine)} ${window}`, refreshMs, (signal) => ask(chart, machine, window, signal));
  const data = drawn?.data ?? noLines;
  const headline = chart.headline(data, machine);
  const to = drawn?.on.end ?? Math.floor(Date.now() / 1000);
  return (
    <section class="card" aria-label={chart.title}>
      <div class="card-top">
        <h2>{chart.title}</h2>
        <Link to="/query" params={queries(chart, machine, window)}>Query</Link>
        <p class="headline">
          <span class="big">{headline.big}</span>
          <span class="beside">{headline.beside}</span>
        </p>
      </div>
      {error && <Notice kind="bad">{error}</Notice>}
      <Graph
        title={`${chart.title} of the last 15 minutes`}
        data={data}
        unit={chart.unit}
        height={190}
        from={begin(data, to)}
        to={to}
        {...(chart.min === undefined ? {} : { min: chart.min })}
        {...(chart.max === undefined ? {} : { max: chart.max })}
        filled={chart.filled ?? false}
        syncKey="home"
        wait={drawn ? "First points in a few seconds" : "Reading…"}
      />
      <GraphTable data={data} unit={chart.unit} title={chart.title} />
    </section>
  );
}

/** Where the time axis begins: 15 minutes ago, or later with a server that has just begun. */
function begin(data: Lines, to: number): number {
  const first = data.times.find((_, i) => data.lines.some((l) => l.values[i] !== null));
  return Math.max(to - rangeSeconds, Math.min(first ?? to, to - rangeLeast));
}

function queries(chart: Chart, machine: Machine, window: string): URLSearchParams {
  return writePanels(chart.exprs(selectorOf(machine), window).map(({ expr }) => ({ ...emptyPanel(), expr, rangeSeconds })));
}
