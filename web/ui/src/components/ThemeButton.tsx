import { setTheme, theme, themes } from "../theme";
import { Icon } from "./Icon";

/** Goes from one theme to the next: auto, light, dark. */
export function ThemeButton() {
  const now = theme.value;
  const next = themes[(themes.indexOf(now) + 1) % themes.length]!;
  const text = `Theme: ${now}. Change to ${next}`;
  return (
    <button type="button" class="button quiet icon" aria-label={text} title={text} onClick={() => setTheme(next)}>
      <Icon name={now} size={20} />
    </button>
  );
}
