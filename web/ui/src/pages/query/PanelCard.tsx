import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../../components/Icon";
import type { Panel, Tab } from "../../model/panels";
import { Editor } from "./Editor";
import { GraphTab } from "./GraphTab";
import { RangeFields } from "./RangeFields";
import { TableTab } from "./TableTab";

interface PanelProps {
  panel: Panel;
  number: number;
  onChange: (panel: Panel) => void;
  onRemove?: () => void;
}

const tabs: { tab: Tab; text: string }[] = [{ tab: "graph", text: "Graph" }, { tab: "table", text: "Table" }];

/** One expression with its graph and table. What is typed runs when it is told to. */
export function PanelCard({ panel, number, onChange, onRemove }: PanelProps) {
  const [draft, setDraft] = useState(panel.expr);
  const [run, setRun] = useState(0); // counts runs: the same expression may be asked again
  const newest = useRef(draft);
  newest.current = draft;
  useEffect(() => setDraft(panel.expr), [panel.expr]);

  const execute = () => {
    setRun((n) => n + 1);
    const expr = newest.current.trim();
    if (expr !== panel.expr) onChange({ ...panel, expr });
  };
  const change = (part: Partial<Panel>) => onChange({ ...panel, expr: newest.current.trim() || panel.expr, ...part });
  const id = `panel-${number}`;
  return (
    <section class="card" aria-label={`Panel ${number}`}>
      <form class="query-form" onSubmit={(e) => { e.preventDefault(); execute(); }}>
        <Editor value={draft} committed={panel.expr} label={`Expression of panel ${number}`} onChange={setDraft} onRun={execute} />
        <button type="submit" class="button primary" title="Ctrl+Enter or Cmd+Enter">Run</button>
        {onRemove && (
          <button type="button" class="button quiet icon" aria-label={`Remove panel ${number}`} title="Remove panel" onClick={onRemove}>
            <Icon name="remove" />
          </button>
        )}
      </form>
      <div class="controls">
        <div class="tabs" role="tablist" aria-label="View" onKeyDown={(e) => arrows(e, panel.tab, (tab) => change({ tab }))}>
          {tabs.map(({ tab, text }) => (
            <button
              key={tab}
              type="button"
              role="tab"
              id={`${id}-${tab}`}
              aria-controls={`${id}-view`}
              aria-selected={panel.tab === tab}
              tabIndex={panel.tab === tab ? 0 : -1}
              onClick={() => change({ tab })}
            >
              {text}
            </button>
          ))}
        </div>
        <RangeFields panel={panel} onChange={change} />
      </div>
      <div id={`${id}-view`} role="tabpanel" aria-labelledby={`${id}-${panel.tab}`}>
        {panel.expr === "" && <p class="soft">Type an expression: <code>up</code> shows which targets answer. Ctrl+Enter runs it.</p>}
        {panel.expr !== "" && panel.tab === "graph" && <GraphTab panel={panel} run={run} onChange={change} />}
        {panel.expr !== "" && panel.tab === "table" && <TableTab panel={panel} run={run} />}
      </div>
    </section>
  );
}

/** The arrow keys go from tab to tab, as they do in tab lists. */
function arrows(event: KeyboardEvent, now: Tab, choose: (tab: Tab) => void): void {
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  const other = now === "graph" ? "table" : "graph";
  choose(other);
  const list = event.currentTarget as HTMLElement;
  list.querySelector<HTMLElement>(`[id$="-${other}"]`)?.focus();
}
