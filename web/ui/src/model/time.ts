// Durations and moments. Times are Unix seconds, durations seconds.

const unitSeconds: Record<string, number> = { ms: 1e-3, s: 1, m: 60, h: 3600, d: 86400, w: 604800, y: 31536000 };

/** Reads Prometheus' durations ("1h30m") and plain seconds; undefined if it is neither. */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim();
  if (/^\d+(\.\d+)?$/.test(trimmed)) return positive(Number(trimmed));
  if (!/^(\d+(ms|[smhdwy]))+$/.test(trimmed)) return undefined;
  let total = 0;
  for (const [, n, unit] of trimmed.matchAll(/(\d+)(ms|[smhdwy])/g)) total += Number(n) * unitSeconds[unit!]!;
  return positive(total);
}

function positive(seconds: number): number | undefined {
  return seconds > 0 ? seconds : undefined;
}

/** Writes a duration as Prometheus reads it: 5400 is "1h30m". */
export function formatDuration(seconds: number): string {
  let rest = Math.round(seconds * 1000);
  if (rest === 0) return "0s";
  let out = "";
  for (const unit of ["d", "h", "m", "s", "ms"]) {
    const size = unitSeconds[unit]! * 1000;
    const n = Math.floor(rest / size);
    if (n > 0) out += `${n}${unit}`;
    rest -= n * size;
  }
  return out;
}

/** How long ago a moment was, coarsely: "4 s ago". The API's zero time is "never". */
export function ago(moment: string | undefined, nowMs: number): string {
  const at = moment ? Date.parse(moment) : NaN;
  if (Number.isNaN(at) || at < 0) return "never";
  const seconds = Math.max(0, (nowMs - at) / 1000);
  return seconds < 1 ? "just now" : `${coarse(seconds)} ago`;
}

/** One unit that says it: "4 s", "12 min", "3 h", "2 d". */
export function coarse(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

function two(n: number): string {
  return String(n).padStart(2, "0");
}

/** A moment in local time: "2026-11-23 02:36:05". */
export function formatMoment(seconds: number): string {
  const d = new Date(seconds * 1000);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(seconds)}`;
}

/** The local time of day: "02:36:05". */
export function clock(seconds: number): string {
  const d = new Date(seconds * 1000);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/** For <input type="datetime-local">, which is in local time too. */
export function toLocalInput(seconds: number): string {
  return formatMoment(seconds).replace(" ", "T");
}

/** Reads what <input type="datetime-local"> holds. */
export function fromLocalInput(text: string): number | undefined {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms / 1000;
}
