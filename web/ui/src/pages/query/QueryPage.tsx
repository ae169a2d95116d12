import { Icon } from "../../components/Icon";
import { emptyPanel, panelsMax, readPanels, writePanels, type Panel } from "../../model/panels";
import { navigate, place } from "../../router";
import { PanelCard } from "./PanelCard";

/** Panels of expressions; the address holds them all. */
export function QueryPage() {
  const panels = readPanels(place.value.params);
  const go = (next: Panel[]) => navigate("/query", writePanels(next));
  return (
    <>
      <div class="heading">
        <h1>Query</h1>
      </div>
      {panels.map((panel, i) => (
        <PanelCard
          key={i}
          panel={panel}
          number={i + 1}
          onChange={(p) => go(panels.with(i, p))}
          {...(panels.length > 1 ? { onRemove: () => go(panels.toSpliced(i, 1)) } : {})}
        />
      ))}
      <div>
        <button type="button" class="button" disabled={panels.length >= panelsMax} onClick={() => go([...panels, emptyPanel()])}>
          <Icon name="add" /> Add panel
        </button>
      </div>
    </>
  );
}
