import { shownName } from "../../model/cardinality";

/** The label names with most values. */
export function LabelValues({ list }: { list: { name: string; value: number }[] }) {
  return (
    <section class="card" aria-label="Values by label name">
      <h2>Distinct values by label name</h2>
      <div class="table-box">
        <table>
          <thead><tr><th>Label name</th><th class="value">Values</th></tr></thead>
          <tbody>{list.map((x) => <tr key={x.name}><td class="mono">{shownName(x.name)}</td><td class="value">{x.value.toLocaleString("en")}</td></tr>)}</tbody>
        </table>
      </div>
    </section>
  );
}
