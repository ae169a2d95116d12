import type { ComponentChildren } from "preact";
import type { Notes } from "../api/client";
import { Icon } from "./Icon";

type Kind = "bad" | "warn" | "info";

/** A message in the page's flow; a failure is spoken at once. */
export function Notice({ kind, children }: { kind: Kind; children: ComponentChildren }) {
  return (
    <div class={`notice ${kind}`} role={kind === "bad" ? "alert" : "status"}>
      <Icon name={kind} />
      <div>{children}</div>
    </div>
  );
}

/** What an answer says beside its data. */
export function AnswerNotes({ notes }: { notes: Notes }) {
  return (
    <>
      {notes.warnings.map((w) => <Notice key={w} kind="warn">{w}</Notice>)}
      {notes.infos.map((i) => <Notice key={i} kind="info">{i}</Notice>)}
    </>
  );
}
