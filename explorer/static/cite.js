// The dialog "Cite" of a site or a snapshot; see explorer/views/cite.py.
"use strict";

{
  const { acts, find, labelOf, readPart } = reader;

  // Encodes an address for BibTeX, as explorer.cite does.
  const plain = (address) => address.replace(/[^!#-;=?-\]_a-z~]/gi, encodeURIComponent);

  async function show(name) {
    const { place, sae } = reader;
    const { slots, templates, dialog, latex, suite, families, views } = (await readPart(`suites/${place.suite}/suite.bin`)).cite;
    const [title, about] = views[name];
    const parts = {
      family: families[place.family], sae: sae.label, concept: `${reader.family.noun} ${labelOf(place.concept)}`, latent: `latent ${place.latent}`,
    };
    const view = `${title}: ${[suite, ...about.map((key) => parts[key])].join(", ")}`;
    const day = new Date().toISOString().slice(0, 10);
    const [page] = location.href.split(/[?#]/);
    const known = { day, year: day.slice(0, 4), name, address: plain(`${page}${reader.isWhole ? "#" : "?"}${reader.query()}`) };
    const filled = (text, values) => Object.entries(values).reduce((left, [key, value]) => left.replaceAll(slots[key], () => value), text);
    const escaped = [...view].map((letter) => latex[letter] ?? letter).join("");
    const texts = {
      text: filled(templates.text, { ...known, view }), bibtex: filled(templates.bibtex, { ...known, view: escaped }), address: known.address,
    };
    const box = find("cite");
    box.innerHTML = dialog;
    const [shown] = box.children;
    for (const [key, text] of Object.entries(texts)) {
      const button = shown.querySelector(`[data-key=copy-${key}]`);
      button.dataset.copy = text;
      button.parentElement.querySelector("pre").textContent = text;
    }
    shown.addEventListener("click", ({ target }) => { if (target === shown) shown.close(); });
    shown.addEventListener("close", () => box.replaceChildren());
    shown.showModal();
  }

  acts.close = (_, button) => button.closest("dialog").close();

  function copy(text, button) {
    navigator.clipboard?.writeText(text);
    button.classList.add("is-done");
    setTimeout(() => button.classList.remove("is-done"), 1200);
  }

  acts["copy-link"] = (_, button) => copy(location.href, button);
  document.addEventListener("click", ({ target }) => {
    const [copied, cited] = ["copy", "cite"].map((name) => target.closest?.(`[data-${name}]`));
    if (copied) copy(copied.dataset.copy, copied);
    if (cited) show(cited.dataset.cite);
  });
}
