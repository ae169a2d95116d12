// Sets the chosen theme before the first paint; src/theme.ts takes over from there.
try {
  const chosen = localStorage.getItem("nilometer.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is refused: the system's theme it is.
}
