import type { Labels } from "../api/types";

/** Labels as name="value", in the order of their names. */
export function LabelSet({ labels, without = [] }: { labels: Labels; without?: string[] }) {
  const names = Object.keys(labels).filter((n) => !without.includes(n)).sort();
  if (names.length === 0) return null;
  return (
    <ul class="labels" aria-label="labels">
      {names.map((n) => (
        <li key={n}>
          <b>{n}=</b>"{labels[n]}"
        </li>
      ))}
    </ul>
  );
}
