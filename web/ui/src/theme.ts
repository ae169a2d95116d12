// The theme: what the system says, or what was chosen here (kept by the browser).
// public/theme.js has set it before the first paint.

import { signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";

export const themes: Theme[] = ["auto", "light", "dark"];

const key = "nilometer.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function chosen(): Theme {
  const set = document.documentElement.dataset["theme"];
  return set === "light" || set === "dark" ? set : "auto";
}

export const theme = signal<Theme>(chosen());

/** Whether the page is dark now. */
export const dark = signal(isDark());

function isDark(): boolean {
  return chosen() === "auto" ? system.matches : chosen() === "dark";
}

system.addEventListener("change", () => {
  dark.value = isDark();
});

export function setTheme(to: Theme): void {
  if (to === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = to;
  try {
    localStorage.setItem(key, to);
  } catch {
    // Storage is refused: the choice lasts as long as the page.
  }
  theme.value = to;
  dark.value = isDark();
}
