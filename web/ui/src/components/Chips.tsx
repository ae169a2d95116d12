/** One of several choices, each with how many there are of it. "" is all of them. */
export function Chips(props: { label: string; chosen: string; choices: { value: string; text: string; count?: number }[]; onChoose: (value: string) => void }) {
  return (
    <div class="chips" role="group" aria-label={props.label}>
      {props.choices.map((c) => (
        <button key={c.value} type="button" class="chip" aria-pressed={c.value === props.chosen} onClick={() => props.onChoose(c.value)}>
          {c.text}
          {c.count !== undefined && <span class="count">{c.count}</span>}
        </button>
      ))}
    </div>
  );
}
