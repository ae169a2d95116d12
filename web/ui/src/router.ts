// The address is the state: a signal over the History API. A router of our own,
// 40 lines: those for Preact know either no path prefix or no Preact 11.

import { signal } from "@preact/signals";
import { prefix } from "./page";

export interface Place {
  path: string; // below the prefix, "/" first
  params: URLSearchParams;
}

function read(): Place {
  const full = location.pathname;
  const path = full.startsWith(prefix + "/") ? full.slice(prefix.length) : "/";
  return { path: path.replace(/\/+$/, "") || "/", params: new URLSearchParams(location.search) };
}

/** Where the page is; changed by navigate and by the browser's own buttons. */
export const place = signal<Place>(read());

addEventListener("popstate", () => {
  place.value = read();
});

/** The address of a place, for links. */
export function href(path: string, params?: URLSearchParams): string {
  const text = params?.toString() ?? "";
  return prefix + path + (text ? `?${text}` : "");
}

/** Goes to a place; replace leaves no step in the history (filters that follow typing). */
export function navigate(path: string, params?: URLSearchParams, replace = false): void {
  const to = href(path, params);
  if (to === location.pathname + location.search) return;
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  place.value = read();
}

/** Sets or, with undefined or "", removes parameters of the present place. */
export function setParams(change: Record<string, string | undefined>, replace = true): void {
  const params = new URLSearchParams(place.value.params);
  for (const [name, value] of Object.entries(change)) {
    if (value) params.set(name, value);
    else params.delete(name);
  }
  navigate(place.value.path, params, replace);
}

/** Lets a plain click on a link stay within the page; other clicks are the browser's. */
export function follow(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.currentTarget as HTMLElement).closest("a");
  if (!link) return;
  const to = new URL(link.href);
  event.preventDefault();
  navigate(to.pathname.slice(prefix.length) || "/", to.searchParams);
}
