// Light or dark: a script by itself, to be done before anything is drawn; app.js lets one choose.

const dark = matchMedia("(prefers-color-scheme: dark)");

/** `chosen`: "light", "dark", or anything else for what the system has. */
function paintTheme(chosen) {
  const { dataset, style } = document.documentElement, named = chosen === "light" || chosen === "dark";
  style.colorScheme = named ? chosen : "light dark";
  dataset.theme = named ? chosen : dark.matches ? "dark" : "light";
  dark.onchange = () => paintTheme(chosen);
}

try {
  paintTheme(localStorage.getItem("recsvc.theme"));
} catch {
  paintTheme(null); // the browser keeps nothing
}
