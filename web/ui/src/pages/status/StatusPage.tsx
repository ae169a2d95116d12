import { type Answer, ApiError, get, type Notes } from "../../api/client";
import type { Info } from "../../api/types";
import { AnswerNotes, Notice } from "../../components/Notice";
import { formatMoment } from "../../model/time";
import { formatValue } from "../../model/units";
import { usePoll } from "../../poll";
import { ActiveQueries } from "./ActiveQueries";

interface Status {
  build: Info | undefined;
  runtime: Info | undefined;
  notes: Notes;
}

/** One part of the status; undefined from a server that does not have it. */
async function part(endpoint: string, signal: AbortSignal): Promise<Answer<Info> | undefined> {
  try {
    return await get<Info>(endpoint, {}, signal);
  } catch (err) {
    if (err instanceof ApiError && err.kind === "not_found") return undefined;
    throw err;
  }
}

async function ask(signal: AbortSignal): Promise<Status> {
  const [build, runtime] = await Promise.all([part("status/buildinfo", signal), part("status/runtimeinfo", signal)]);
  return { build: build?.data, runtime: runtime?.data, notes: runtime ?? { warnings: [], infos: [] } };
}

/** What runs here: the build, the running process, and its queries. */
export function StatusPage() {
  const { data, error } = usePoll("status", 15000, ask);
  return (
    <>
      <div class="heading"><h1>Status</h1></div>
      {error && <Notice kind="bad">{error}</Notice>}
      {data && <AnswerNotes notes={data.notes} />}
      {!data && !error && <p class="soft">Reading…</p>}
      {data && (
        <div class="status-grid">
          {data.runtime && <Facts title="Server" info={data.runtime} />}
          {data.build && <Facts title="Build" info={data.build} />}
          {!data.runtime && !data.build && <p class="soft">This server says nothing of itself.</p>}
        </div>
      )}
      <ActiveQueries />
    </>
  );
}

function Facts({ title, info }: { title: string; info: Info }) {
  return (
    <section class="card">
      <h2>{title}</h2>
      <dl class="facts">
        {Object.entries(info).filter(([, v]) => v !== "" && v !== null).map(([name, value]) => (
          <>
            <dt>{words(name)}</dt>
            <dd>{shown(name, value)}</dd>
          </>
        ))}
      </dl>
    </section>
  );
}

/** What a name means here: the API's own are those of Prometheus. */
const meanings: Record<string, string> = {
  CWD: "data directory",
  version: "version of Prometheus' API",
  reloadConfigSuccess: "config loaded",
  corruptionCount: "corruptions found",
  goroutineCount: "goroutines",
};

/** "lastConfigTime" is "last config time"; abbreviations stay. */
function words(name: string): string {
  const meaning = meanings[name];
  if (meaning) return meaning;
  if (name === name.toUpperCase()) return name;
  return name.replace(/([a-z])([A-Z])/g, (_, a: string, b: string) => `${a} ${b.toLowerCase()}`);
}

function shown(name: string, value: string | number | boolean | null): string {
  if (value === true) return "yes";
  if (value === false) return "no";
  if (typeof value === "number" && value >= 2 ** 63 - 1) return "none"; // Go's way to say "no limit"
  if (typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value)) return value.startsWith("0001") ? "never" : formatMoment(Date.parse(value) / 1000);
  if (name === "GOMEMLIMIT" && typeof value === "number") return formatValue(value, "bytes");
  return String(value);
}
