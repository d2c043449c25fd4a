// Tours and help of a page without a server: the steps were rendered when the page was created (explorer/tours.py), and the
// address contains the current one.
"use strict";

(() => {
  const { acts, data, find, followers, go, isWhole, readPart } = reader;
  const box = document.createElement("div");
  box.className = "ax tour";
  document.body.append(box);
  const dialog = find("help").querySelector("dialog");
  let available = []; // the tours of the suite shown
  let before = null; // the state before the tour

  const shown = () => available.find(({ name }) => name === reader.place.tour);
  const OWN = Object.fromEntries(reader.keys.map((key) => [key, null])); // a step sets the complete state

  function toStep(tour, number, replaces) {
    const step = tour.steps[number - 1];
    if (step) go({ ...OWN, ...step.state, tour: tour.name, tour_step: number }, replaces);
  }

  followers.push(async () => {
    const { suite, tour, tour_step: number, isBare } = reader.place;
    const { tours } = isWhole ? data : await readPart(`suites/${suite}/suite.bin`);
    available = tours.tours;
    find("help").querySelector("[data-tours]").innerHTML = tours.html;
    const now = available.find(({ name }) => name === tour);
    if (now && isBare) return toStep(now, Math.min(number, now.steps.length), true);
    box.innerHTML = now?.steps[Math.min(number, now.steps.length) - 1].html ?? "";
    guide.show(box);
  });

  const stay = { tour: "", tour_step: "" };
  Object.assign(acts, {
    tour: (name) => {
      dialog.close();
      if (!shown()) before = { ...reader.place, ...stay };
      toStep(available.find((each) => each.name === name), 1);
    },
    "tour-next": () => toStep(shown(), Number(reader.place.tour_step) + 1),
    "tour-back": () => toStep(shown(), reader.place.tour_step - 1),
    "tour-stay": () => go({ latent: reader.place.latent, evidence_token: reader.place.evidence_token, ...stay }),
    "tour-leave": () => (before ? go(before) : acts["tour-stay"]()),
    help: (section) => {
      dialog.showModal();
      guide.toSection(dialog, section);
    },
    close: () => dialog.close(),
  });
  dialog.addEventListener("click", ({ target }) => { if (target === dialog) dialog.close(); });
  addEventListener("keydown", (event) => {
    if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, select, textarea") || document.querySelector("dialog[open]")) return;
    acts.help("keys");
  });
})();
