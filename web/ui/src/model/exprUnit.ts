// The unit of an expression's values, from the names of its metrics: Prometheus'
// naming puts the unit at a name's end. A guess: where it could be wrong, it is
// "number".

import type { Unit } from "./units";

const words = new Set(["and", "or", "unless", "offset", "bool", "inf", "nan", "atan2", "by", "without", "on", "ignoring", "group_left", "group_right"]);

// What these give has another unit than what they take, or none.
const unitless = /\b(absent|absent_over_time|changes|count|count_over_time|count_values|day_of_month|day_of_week|day_of_year|days_in_month|exp|group|histogram_count|histogram_fraction|histogram_stdvar|hour|ln|log2|log10|minute|month|present_over_time|resets|sgn|sqrt|stdvar|stdvar_over_time|timestamp|year)\s*\(/;

/** The unit in which an expression's values read best. */
export function unitOf(expr: string): Unit {
  const bare = expr
    .replace(/"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`/g, "")
    .replace(/#.*/g, "")
    .replace(/\{[^}]*\}/g, "")
    .replace(/\[[^\]]*\]/g, "")
    .replace(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/gi, "");
  if (/[*/%^]|\bbool\b/.test(bare) || unitless.test(bare)) return "number";
  const names = [...bare.matchAll(/(?<![\w.:])[a-zA-Z_:][\w:]*(?!\s*\(|[\w:])/g)].map(([name]) => name).filter((n) => !words.has(n.toLowerCase()));
  const units = new Set(names.map(unitOfName));
  const [unit] = units;
  if (unit === undefined || units.size > 1) return "number";
  // Quantiles come from rates of buckets, and are no rates.
  const perSecond = /\b(rate|irate|deriv)\s*\(/.test(bare) && !/\bhistogram_quantile\s*\(/.test(bare);
  if (!perSecond) return unit;
  return unit === "bytes" ? "bytes/s" : "number";
}

function unitOfName(name: string): Unit {
  const base = name.replace(/_(total|sum|bucket|max|min|avg)$/, "");
  if (/_bytes$/.test(base)) return "bytes";
  if (/_(time|timestamp)_seconds$/.test(base)) return "number"; // moments
  if (/_seconds$/.test(base)) return "seconds";
  if (/_percent$/.test(base)) return "percent";
  return "number";
}
