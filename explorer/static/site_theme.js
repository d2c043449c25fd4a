// The theme before the first paint: the visitor's choice, else the system's.
try { if (localStorage.getItem("ax_theme")) document.documentElement.dataset.theme = localStorage.getItem("ax_theme"); } catch { /* the browser may not allow storage */ }
// Reports scripts that do not load, for example if the page is opened from disk.
addEventListener("error", ({ target }) => { if (target.tagName === "SCRIPT") document.documentElement.classList.add("ax-is-broken"); }, true);
