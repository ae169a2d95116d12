// Numbers with units, for people.

export type Unit = "number" | "percent" | "bytes" | "bytes/s" | "seconds";

const binary = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const decimal: [number, string][] = [
  [1e18, "E"],
  [1e15, "P"],
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
  [1, ""],
  [1e-3, "m"],
  [1e-6, "µ"],
  [1e-9, "n"],
];
const times: [number, string][] = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
  [1e-3, "ms"],
  [1e-6, "µs"],
  [1e-9, "ns"],
];

interface Scale {
  divisor: number;
  suffix: string;
}

/** The scale in which a value of this size reads best. */
function scaleOf(size: number, unit: Unit): Scale {
  const abs = Math.abs(size);
  switch (unit) {
    case "percent":
      return { divisor: 1, suffix: " %" };
    case "bytes":
    case "bytes/s": {
      const power = abs < 1 ? 0 : Math.min(binary.length - 1, Math.floor(Math.log2(abs) / 10));
      return { divisor: 1024 ** power, suffix: ` ${binary[power]}${unit === "bytes/s" ? "/s" : ""}` };
    }
    case "seconds": {
      const [divisor, name] = times.find(([d]) => abs >= d) ?? (abs === 0 ? [1, "s"] : [1e-9, "ns"]);
      return { divisor, suffix: ` ${name}` };
    }
    default: {
      if (abs === 0 || (abs >= 0.01 && abs < 10000)) return { divisor: 1, suffix: "" };
      const [divisor, suffix] = decimal.find(([d]) => abs >= d) ?? [1e-9, "n"];
      return { divisor, suffix: suffix && ` ${suffix}` };
    }
  }
}

/** A value with about three digits and its unit: "3.42 GiB", "12.5 %", "1.2 k". */
export function formatValue(value: number | null | undefined, unit: Unit = "number"): string {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
  // Rounded first: 999.9 is 1 k, not 1000.
  const { divisor, suffix } = scaleOf(unit === "bytes" || unit === "bytes/s" ? value : Number(value.toPrecision(3)), unit);
  return digits(value / divisor) + suffix;
}

function digits(value: number): string {
  const abs = Math.abs(value);
  const places = abs >= 100 || abs === 0 ? 0 : abs >= 10 ? 1 : abs >= 0.01 ? 2 : 4;
  const text = value.toFixed(places);
  // "5.00" says no more than "5".
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** The labels of an axis: one scale and as many places for all of its ticks as tell them apart. */
export function axisLabels(ticks: number[], unit: Unit): string[] {
  if (ticks.length === 0) return [];
  const largest = Math.max(...ticks.map(Math.abs));
  const distance = ticks.length > 1 ? Math.abs(ticks[1]! - ticks[0]!) : largest;
  const scaled = scaleOf(largest, unit);
  // Ticks far from nought and near to each other are written out: 1795401250.
  const { divisor, suffix } = unit === "number" && distance < scaled.divisor / 1000 ? { divisor: 1, suffix: "" } : scaled;
  const apart = distance / divisor;
  const places = placesOf(apart);
  return ticks.map((t) => (t === 0 ? "0" : (t / divisor).toFixed(places)) + suffix);
}

/** How many decimal places show a step wholly: 0.25 needs two. At most nine. */
function placesOf(step: number): number {
  for (let places = 0; places < 9; places++) {
    const scaled = step * 10 ** places;
    const whole = Math.round(scaled);
    if (whole >= 1 && Math.abs(scaled - whole) < 1e-4 * scaled) return places;
  }
  return 9;
}

/** Distances between ticks that read well in a unit; undefined: uPlot's own, of base ten. */
export function tickSteps(unit: Unit): number[] | undefined {
  if (unit !== "bytes" && unit !== "bytes/s") return undefined;
  return Array.from({ length: 60 }, (_, i) => 2 ** i);
}
