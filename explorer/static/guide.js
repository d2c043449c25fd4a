// Guides for served and static pages: places the card of a tour (explorer/templates/tour.html) beside the view that its
// step points at, and searches the help.
"use strict";

const guide = (() => {
  const GAP = 12, EDGE = 8; // pixels between the card and the view that it points at, and to the window's edge
  const LOOK = 100; // ms between two checks for a view that is still being built
  const MOST_LOOKS = 50; // checks while the page is not busy, after which the step is shown without a view to point at
  const PHONE = matchMedia("(max-width: 720px)");
  const NAMES = { latents: "lists", concept: "concepts", pair: "pair-head" }; // ids of these parts on a page without a server
  const root = document.documentElement;
  const ring = document.createElement("div");
  ring.className = "ax-tour-ring";
  const announcement = document.createElement("div");
  announcement.className = "ax-tour-announcement";
  announcement.setAttribute("role", "status");

  let card = null; // the dialog of the step that is shown
  let step = ""; // its number
  let view = null; // the view that it points at
  let opener = null; // the element that had the focus before the tour
  let observer = null;
  let hasMoved = false; // whether the visitor has scrolled since the step began

  function inFocus() {
    let element = document.activeElement;
    while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
    return element;
  }

  const isSeen = (element) => Boolean(element?.isConnected && element.checkVisibility() && element.getBoundingClientRect().height > 1);

  // A figure or a part of a served page by the name of its model, or an element of a static one by its id.
  function find(name) {
    const isPart = ({ type, name: own }) => own === name && /Figure$|ESM$/.test(type); // because layers of figures have names, too
    const [part] = window.Bokeh?.index.query(({ model, el }) => isPart(model) && isSeen(el)) ?? [];
    return part?.el ?? [NAMES[name] ?? name, `${name}-plot`].map((id) => document.getElementById(id)).find(isSeen);
  }

  // Called with the box of the card after each rendering.
  function show(box) {
    const former = card;
    card = box.querySelector("[data-tour]");
    if (!card) return former && leave();
    document.body.append(ring, announcement);
    root.classList.add("ax-on-tour");
    if (!former) opener = inFocus();
    if (step === card.dataset.step) return arrange();
    step = card.dataset.step;
    announcement.textContent = `${card.querySelector("h2").textContent}. ${card.querySelector("#tour-text").textContent.trim()}`;
    view = null;
    hasMoved = false;
    ring.hidden = true;
    dock();
    if (!former) card.focus({ preventScroll: true });
    findView(step);
  }

  function leave() {
    observer?.disconnect();
    card = view = observer = null;
    step = "";
    ring.remove();
    announcement.remove();
    root.classList.remove("ax-on-tour");
    root.style.removeProperty("--ax-tour-room");
    if (opener?.isConnected && document.activeElement === document.body) opener.focus({ preventScroll: true });
    opener = null;
  }

  // Waits for the view, and for everything that the step changes. A view that appears later changes the size of the
  // body, and `arrange` then finds it.
  function findView(wanted, looks = 0) {
    if (!card || step !== wanted) return;
    const isBusy = root.classList.contains("ax-is-busy") || root.classList.contains("ax-is-waiting");
    const found = isBusy ? null : find(card.dataset.tour);
    if (!found && looks < MOST_LOOKS) return setTimeout(findView, LOOK, wanted, isBusy ? 0 : looks + 1);
    view = found ?? null;
    observer?.disconnect();
    observer = new ResizeObserver(() => { bring(); arrange(); });
    for (const each of [document.body, view]) if (each) observer.observe(each);
    bring();
    arrange();
    card.dataset.placed = "yes";
  }

  // Scrolls to the view, unless the visitor has scrolled elsewhere.
  function bring() {
    if (!view || hasMoved) return;
    if (card.classList.contains("docked")) dock(); // its height is reserved below the page
    const isFixed = view.closest(".ax-sidebar");
    view.scrollIntoView({ block: isFixed && !PHONE.matches ? "nearest" : "start" });
  }

  function dock() {
    card.classList.add("docked");
    card.style.removeProperty("left");
    card.style.removeProperty("top");
    root.style.setProperty("--ax-tour-room", `${card.offsetHeight + GAP}px`);
  }

  // Puts the card below, above or beside the view without covering it, or else at the window's lower edge.
  function arrange() {
    if (!card) return;
    if (!view?.isConnected && step) view = find(card.dataset.tour) ?? null;
    if (!view) return dock();
    const { left, top, right, bottom, width, height } = view.getBoundingClientRect();
    ring.hidden = false;
    Object.assign(ring.style, { left: `${left - 4}px`, top: `${top - 4}px`, width: `${width + 8}px`, height: `${height + 8}px` });
    if (PHONE.matches) return dock();
    card.classList.remove("docked");
    const wide = card.offsetWidth, high = card.offsetHeight;
    const ceiling = parseFloat(getComputedStyle(root).scrollPaddingTop) || EDGE;
    const most = { x: root.clientWidth - wide - EDGE, y: innerHeight - high - EDGE };
    const within = (value, least, largest) => Math.max(least, Math.min(value, largest));
    const beside = within(top, ceiling, most.y), along = within(left, EDGE, most.x);
    const places = [[along, bottom + GAP], [along, top - high - GAP], [right + GAP, beside], [left - wide - GAP, beside]];
    const isFree = ([x, y]) => x >= EDGE && x <= most.x && y >= ceiling && y <= most.y;
    const place = places.find(isFree);
    if (!place) return dock();
    Object.assign(card.style, { left: `${place[0]}px`, top: `${place[1]}px` });
  }

  let isDue = false;
  const arrangeSoon = () => {
    if (!card || isDue) return;
    isDue = true;
    requestAnimationFrame(() => { isDue = false; arrange(); });
  };
  addEventListener("scroll", arrangeSoon, { capture: true, passive: true });
  addEventListener("resize", arrangeSoon);
  for (const moved of ["wheel", "touchmove", "pointerdown"]) addEventListener(moved, () => { hasMoved = true; }, { capture: true, passive: true });

  const BUTTONS = {
    ArrowRight: "tour-next", ArrowLeft: "tour-back", Escape: "tour-leave",
    PageDown: "tour-next", PageUp: "tour-back", // the keys of a presentation remote control
  };
  addEventListener("keydown", (event) => {
    const path = event.composedPath();
    if (["PageDown", "PageUp", "Home", "End", " ", "Tab"].includes(event.key)) hasMoved = true;
    if (!card || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (path.some((each) => each instanceof Element && each.matches("input:not([type=checkbox]), textarea, select, dialog, [role=slider], [data-arrows], [contenteditable]"))) return;
    if (/^Page/.test(event.key) && !root.classList.contains("ax-present")) return;
    const button = BUTTONS[event.key] && card.querySelector(`[data-key=${BUTTONS[event.key]}]`);
    if (!button || (event.key === "Escape" && root.classList.contains("ax-drawer-open"))) return;
    event.preventDefault();
    // At the last step, the arrow key would end the tour by accident.
    if (button.dataset.action !== "tour-stay") button.click();
  }, { capture: true });

  // The help: scrolls to a section, and filters the entries by the typed text.
  function toSection(dialog, name) {
    const section = dialog.querySelector(`[data-section-of="${CSS.escape(name)}"]`);
    const head = dialog.querySelector(".close"); // stays at the top
    if (section) dialog.scrollTop += section.getBoundingClientRect().top - head.getBoundingClientRect().bottom - EDGE;
  }

  function search(field) {
    const dialog = field.closest("dialog"), typed = field.value.trim().toLowerCase();
    dialog.scrollTop = 0;
    let found = 0;
    for (const entry of dialog.querySelectorAll("[data-entry]")) {
      entry.hidden = !entry.textContent.toLowerCase().includes(typed);
      found += !entry.hidden;
    }
    for (const section of dialog.querySelectorAll("[data-section-of]")) {
      section.hidden = Boolean(typed) && !section.querySelector("[data-entry]:not([hidden])");
    }
    for (const part of dialog.querySelectorAll("details")) part.open = Boolean(typed) || part.open;
    dialog.querySelector("[data-found]").textContent = typed ? (found ? `${found} found` : "Nothing found") : "";
  }

  addEventListener("input", (event) => {
    const [field] = event.composedPath();
    if (field instanceof Element && field.matches("[data-filter]")) search(field);
  });
  addEventListener("click", (event) => {
    const [target] = event.composedPath();
    const button = target instanceof Element && target.closest("[data-section]");
    if (button) toSection(button.closest("dialog"), button.dataset.section);
  });

  addEventListener("ax:shown", ({ detail: box }) => {
    if (box.classList.contains("tour")) show(box);
    const dialog = box.querySelector("dialog[data-at]");
    if (dialog) toSection(dialog, dialog.dataset.at);
  });

  return { show, toSection };
})();
