import type { ComponentChildren } from "preact";
import { follow, href } from "../router";

/** A link within the page; it opens elsewhere like any other. */
export function Link(props: { to: string; params?: URLSearchParams; current?: boolean; class?: string; children: ComponentChildren }) {
  return (
    <a href={href(props.to, props.params)} class={props.class} aria-current={props.current ? "page" : undefined} onClick={follow}>
      {props.children}
    </a>
  );
}
