import { Link } from "../../components/Link";
import { Notice } from "../../components/Notice";
import { usePoll } from "../../poll";
import { place, setParams } from "../../router";
import { ChartCard } from "./ChartCard";
import { charts, windowOf, type Machine } from "./charts";
import { askMachines, key } from "./machines";

/** This machine now: CPU, memory, load, disks, network. */
export function HomePage() {
  const { data, error } = usePoll("machines", 5000, askMachines);
  if (!data) return error ? <Notice kind="bad">{error}</Notice> : <p class="soft" role="status">Reading…</p>;
  const { machines, expected, intervals } = data;
  if (machines.length === 0) return expected ? <Waiting error={error} /> : <Nothing error={error} />;

  const { params } = place.value;
  const machine = machines.find((m) => m.job === params.get("job") && m.instance === params.get("instance")) ?? machines[0]!;
  return (
    <>
      <div class="heading">
        <h1>{machine.instance}</h1>
        <div class="end">
          {machines.length > 1 && <MachinePicker machines={machines} chosen={machine} />}
          <span class="soft">Last 15 minutes, every 5 s</span>
        </div>
      </div>
      {error && <Notice kind="bad">{error}</Notice>}
      <div class="cards">
        {charts.map((c) => (
          <ChartCard key={c.id} chart={c} machine={machine} window={windowOf(intervals.get(key(machine.job, machine.instance)))} />
        ))}
      </div>
    </>
  );
}

function MachinePicker({ machines, chosen }: { machines: Machine[]; chosen: Machine }) {
  const choose = (index: number) => {
    const m = machines[index];
    if (m) setParams({ job: m.job, instance: m.instance }, false);
  };
  return (
    <label class="field">
      Machine
      <select value={machines.indexOf(chosen)} onChange={(e) => choose(Number(e.currentTarget.value))}>
        {machines.map((m, i) => <option key={key(m.job, m.instance)} value={i}>{m.instance} ({m.job})</option>)}
      </select>
    </label>
  );
}

function Waiting({ error }: { error: string | undefined }) {
  return (
    <>
      {error && <Notice kind="bad">{error}</Notice>}
      <section class="card empty" role="status">
        <h1>First points in a few seconds</h1>
        <p class="soft">This machine is scraped every few seconds; graphs begin with the second scrape.</p>
      </section>
    </>
  );
}

function Nothing({ error }: { error: string | undefined }) {
  return (
    <>
      {error && <Notice kind="bad">{error}</Notice>}
      <section class="card empty">
        <h1>No machine to show yet</h1>
        <p>
          Nothing has sent node_exporter's metrics. Look at the <Link to="/targets">targets</Link>, <Link to="/query">query</Link> what is
          there, or let Nilometer watch its own machine with this in its configuration:
        </p>
        <pre>nilometer: {"{"}host_collector: true{"}"}</pre>
      </section>
    </>
  );
}
