import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";
import { columns, pointCount, type Lines } from "../model/lines";
import type { Unit } from "../model/units";
import { dark } from "../theme";
import { Legend } from "./Legend";
import { plotOptions, type Look } from "./plot";

export interface GraphProps {
  title: string; // what the graph shows, for those who do not see it
  data: Lines;
  unit: Unit;
  height: number;
  from: number; // the time axis, Unix seconds
  to: number;
  min?: number;
  max?: number;
  filled?: boolean;
  legend?: "inline" | "rows";
  syncKey?: string;
  wait?: string; // said in place of lines when there are no points yet
  onRange?: (from: number, to: number) => void; // a range was drawn with the pointer
}

/** Lines over time with a crosshair: pointer or, once focused, the arrow keys move it. */
export function Graph(props: GraphProps) {
  const { data, unit, from, to } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const newest = useRef(props);
  newest.current = props;
  const cursor = useSignal<number | null>(null);
  const hidden = useSignal<ReadonlySet<string>>(new Set());
  const points = useMemo(() => pointCount(data), [data]);
  const onDark = dark.value;

  // A new plot is made when its lines, unit or theme change; new points of the
  // same lines are put into the old one.
  const shape = JSON.stringify([data.lines.map((l) => l.key), unit, props.height, props.min, props.max, props.syncKey, onDark]);

  useEffect(() => {
    const element = box.current!;
    const look: Look = {
      unit, height: props.height, dark: onDark, min: props.min, max: props.max, filled: props.filled,
      hidden: hidden.peek(), syncKey: props.syncKey,
    };
    const options = plotOptions(data.lines, look, element.clientWidth || 300);
    options.hooks = {
      setCursor: [(u) => { cursor.value = u.cursor.idx ?? null; }],
      setSelect: [(u) => {
        if (u.select.width < 4) return;
        const [a, b] = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        newest.current.onRange?.(a, b);
      }],
    };
    const made = new uPlot(options, columns(newest.current.data) as uPlot.AlignedData, element);
    plot.current = made;
    const sizes = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width > 0 && width !== made.width) made.setSize({ width, height: options.height });
    });
    sizes.observe(element);
    return () => {
      sizes.disconnect();
      plot.current = null;
      cursor.value = null;
      made.destroy();
    };
  }, [shape]);

  useEffect(() => {
    const u = plot.current;
    if (!u) return;
    u.batch(() => {
      u.setData(columns(data) as uPlot.AlignedData);
      u.setScale("x", { min: from, max: to });
    });
  }, [data, from, to, shape]);

  const toggle = (key: string, only: boolean) => {
    const next = nextHidden(hidden.value, data.lines.map((l) => l.key), key, only);
    hidden.value = next;
    plot.current?.batch(() => {
      data.lines.forEach((l, i) => plot.current!.setSeries(i + 1, { show: !next.has(l.key) }));
    });
  };

  return (
    <figure role="group" aria-label={`Graph: ${props.title}`}>
      <div
        ref={box}
        class="graph"
        style={{ height: `${props.height}px` }}
        data-points={points}
        tabIndex={0}
        role="img"
        aria-label={`${props.title}. The arrow keys move the crosshair; the table below has the values.`}
        onKeyDown={(e) => moveCrosshair(e, plot.current)}
        onBlur={() => plot.current?.setCursor({ left: -10, top: -10 })}
      >
        {points === 0 && <div class="graph-wait">{props.wait ?? "No points in this range"}</div>}
      </div>
      <Legend lines={data.lines} times={data.times} unit={unit} cursor={cursor} hidden={hidden.value} rows={props.legend === "rows"} onToggle={toggle} />
    </figure>
  );
}

/** Which lines are hidden after a click: one more or fewer; or, for "only", all but one, and back. */
function nextHidden(hidden: ReadonlySet<string>, keys: string[], key: string, only: boolean): ReadonlySet<string> {
  if (only) {
    const others = keys.filter((k) => k !== key);
    const already = !hidden.has(key) && others.every((k) => hidden.has(k));
    return new Set(already ? [] : others);
  }
  const next = new Set(hidden);
  if (!next.delete(key)) next.add(key);
  return next;
}

function moveCrosshair(event: KeyboardEvent, u: uPlot | null): void {
  if (!u || u.data[0].length === 0) return;
  const last = u.data[0].length - 1;
  const now = u.cursor.idx ?? last;
  const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const time = u.data[0][Math.max(0, Math.min(last, to))]!;
  u.setCursor({ left: u.valToPos(time, "x"), top: u.over.clientHeight / 2 });
}
