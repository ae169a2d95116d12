import { Icon, type IconName } from "./Icon";

const looks: Record<string, [tone: string, icon: IconName]> = {
  up: ["good", "good"],
  ok: ["good", "good"],
  inactive: ["good", "good"],
  pending: ["warn", "wait"],
  down: ["bad", "bad"],
  firing: ["bad", "warn"],
  err: ["bad", "bad"],
  unknown: ["", "unknown"],
};

/** A state in its word, its icon and its colour. */
export function StateBadge({ state, text = state }: { state: string; text?: string }) {
  const [tone, icon] = looks[state] ?? ["", "unknown"];
  return (
    <span class={`badge ${tone}`}>
      <Icon name={icon} size={15} />
      {text}
    </span>
  );
}
