// On a phone, the sidebar is a drawer over the page: a button opens it, and the page behind it is inert meanwhile.
"use strict";

(() => {
  const root = document.documentElement;
  let opener = null; // the button that opened the drawer

  function toggle(open) {
    if (open === root.classList.contains("ax-drawer-open")) return;
    root.classList.toggle("ax-drawer-open", open);
    document.querySelector(".ax-main").inert = open;
    (open ? document.querySelector(".ax-sidebar") : opener).focus({ preventScroll: true });
  }

  addEventListener("click", (event) => {
    const [target] = event.composedPath();
    if (!(target instanceof Element)) return;
    opener = target.closest("[data-menu]") ?? opener;
    if (target.closest("[data-menu]")) toggle(!root.classList.contains("ax-drawer-open"));
    else if (target.closest(".ax-scrim, #nav a")) toggle(false);
  });
  addEventListener("keydown", ({ key }) => { if (key === "Escape") toggle(false); });
  matchMedia("(max-width: 720px)").addEventListener("change", () => toggle(false));
})();
