// The theme before the first paint: the reader's choice, else the system's.
try { if (localStorage.getItem("ax_theme")) document.documentElement.dataset.theme = localStorage.getItem("ax_theme"); } catch { /* nothing may be kept here */ }
