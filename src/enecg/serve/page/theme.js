// Runs before the first paint, so that a dark screen never flashes white. Everything else is in modules.
"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    let chosen = null;
    try {
      chosen = JSON.parse(localStorage.getItem("enecg.theme"));
    } catch {
      // Storage may be forbidden, or hold something else; the screen's own setting is followed then.
    }
    document.documentElement.dataset.theme = chosen || (dark.matches ? "dark" : "light");
  };
  apply();
  dark.addEventListener("change", apply);
  addEventListener("enecg-theme", apply);
})();
