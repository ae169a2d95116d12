import { useEffect, useRef, useState } from "preact/hooks";
import type { PromEditor } from "./editor";

interface EditorProps {
  value: string; // what is typed
  committed: string; // what was run: a change of it, as by the browser's back button, replaces what is typed
  label: string;
  onChange: (value: string) => void;
  onRun: () => void;
}

/** The PromQL editor: a plain field until the real one has come, and where it cannot. */
export function Editor({ value, committed, label, onChange, onRun }: EditorProps) {
  const box = useRef<HTMLDivElement>(null);
  const editor = useRef<PromEditor | null>(null);
  const [ready, setReady] = useState(false);
  const newest = useRef({ value, onChange, onRun });
  newest.current = { value, onChange, onRun };

  useEffect(() => {
    let gone = false;
    import("./editor").then(
      ({ createEditor }) => {
        if (gone || !box.current) return;
        const focused = box.current.contains(document.activeElement);
        editor.current = createEditor(box.current, newest.current.value, label, {
          changed: (text) => newest.current.onChange(text),
          run: () => newest.current.onRun(),
        });
        setReady(true);
        if (focused) editor.current.focus();
      },
      () => undefined, // the plain field stays: it does all but complete
    );
    return () => {
      gone = true;
      editor.current?.destroy();
      editor.current = null;
    };
  }, [label]);

  // Not on value: an effect that comes late would undo what was typed since.
  useEffect(() => editor.current?.set(committed), [committed]);

  const keys = (e: KeyboardEvent) => {
    if (e.key === "Enter" && !e.shiftKey) {
      e.preventDefault();
      onRun();
    }
  };
  return (
    <div class="editor">
      <div ref={box}>
        {!ready && (
          <textarea rows={1} spellcheck={false} autocapitalize="off" aria-label={label} placeholder="Expression" value={value} onInput={(e) => onChange(e.currentTarget.value)} onKeyDown={keys} />
        )}
      </div>
    </div>
  );
}
