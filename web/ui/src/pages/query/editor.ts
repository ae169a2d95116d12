// The PromQL editor proper: a chunk of its own, loaded with the query page.

import { autocompletion, closeBrackets, closeBracketsKeymap, closeCompletion, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, insertNewlineAndIndent } from "@codemirror/commands";
import { bracketMatching, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { lintKeymap } from "@codemirror/lint";
import { EditorState, Prec } from "@codemirror/state";
import { drawSelection, EditorView, keymap, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { PromQLExtension } from "@prometheus-io/codemirror-promql";
import { prefix, styleNonce } from "../../page";

export interface PromEditor {
  set(text: string): void;
  focus(): void;
  destroy(): void;
}

interface Events {
  changed: (text: string) => void;
  run: () => void;
}

const theme = EditorView.theme({
  "&": { backgroundColor: "transparent", color: "var(--text)", fontSize: "14px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "20px", maxHeight: "240px" },
  ".cm-content": { padding: "7px 0", caretColor: "var(--text)" },
  ".cm-line": { padding: "0 10px" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { background: "var(--accent-ground)" },
  ".cm-placeholder": { color: "var(--text-soft)" },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { background: "var(--accent-ground)", color: "inherit" },
  ".cm-tooltip": { background: "var(--surface)", color: "var(--text)", border: "1px solid var(--line-strong)", borderRadius: "5px", maxWidth: "min(560px, 92vw)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", fontSize: "13px", maxHeight: "18em" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "3px 8px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { background: "var(--accent-ground)", color: "var(--text)" },
  ".cm-completionDetail": { color: "var(--text-soft)", fontStyle: "normal", marginLeft: "10px" },
  ".cm-completionMatchedText": { color: "var(--accent)", textDecoration: "none", fontWeight: "700" },
  ".cm-tooltip.cm-completionInfo": { padding: "8px 10px", fontFamily: "var(--font)", fontSize: "13px" },
  ".cm-diagnostic": { fontFamily: "var(--font)", fontSize: "13px" },
});

const highlight = HighlightStyle.define([
  { tag: tags.number, color: "var(--good)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--warn)" },
  { tag: [tags.keyword, tags.modifier, tags.operatorKeyword], color: "var(--accent)", fontWeight: "600" },
  { tag: [tags.function(tags.variableName), tags.standard(tags.variableName)], color: "var(--accent)" },
  { tag: tags.labelName, color: "var(--bad)" },
  { tag: tags.operator, color: "var(--text-soft)" },
  { tag: tags.comment, color: "var(--text-soft)", fontStyle: "italic" },
  { tag: tags.invalid, color: "var(--bad)", textDecoration: "underline wavy" },
]);

/** Completion asks for the flags of a server of Prometheus', which we are not. */
function fetchOwn(input: RequestInfo, init?: RequestInit): Promise<Response> {
  if (String(input).includes("/status/flags")) return Promise.resolve(Response.json({ status: "success", data: {} }));
  return fetch(input, init);
}

/** Puts an editor into a box. */
export function createEditor(parent: HTMLElement, text: string, label: string, on: Events): PromEditor {
  const run = (view: EditorView) => {
    closeCompletion(view);
    on.run();
    return true;
  };
  const promql = new PromQLExtension().setComplete({
    remote: { url: prefix, fetchFn: fetchOwn, cache: { maxAge: 60_000 }, lookbackInterval: 12 * 3600 * 1000 },
  });
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: text,
      extensions: [
        styleNonce ? EditorView.cspNonce.of(styleNonce) : [],
        Prec.highest(keymap.of([{ key: "Mod-Enter", run }])),
        autocompletion(), // its Enter chooses before ours runs
        history(),
        drawSelection(),
        bracketMatching(),
        closeBrackets(),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": label }),
        placeholder("Expression: Ctrl+Enter runs it"),
        theme,
        syntaxHighlighting(highlight),
        promql.asExtension(),
        keymap.of([...closeBracketsKeymap, ...completionKeymap, ...lintKeymap]),
        keymap.of([{ key: "Enter", run }, { key: "Shift-Enter", run: insertNewlineAndIndent }]),
        keymap.of([...historyKeymap, ...defaultKeymap]),
        EditorView.updateListener.of((u) => {
          if (u.docChanged) on.changed(u.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    set(to) {
      if (to !== view.state.doc.toString()) view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: to } });
    },
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}
