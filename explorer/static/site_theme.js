// The theme before the first paint: the reader's choice, else the system's.
try { if (localStorage.getItem("ax_theme")) document.documentElement.dataset.theme = localStorage.getItem("ax_theme"); } catch { /* nothing may be kept here */ }
// A script that does not load, as none does that is opened from disk, is told of.
addEventListener("error", ({ target }) => { if (target.tagName === "SCRIPT") document.documentElement.classList.add("ax-is-broken"); }, true);
