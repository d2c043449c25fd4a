// Shows HTML rendered by the server, and reports the visitor's actions.
//
// An element with data-action reports {action, value} when it is clicked (buttons, links), submitted (forms) or
// changed (inputs). Elements with an id or data-key keep focus and scroll position over a re-render.

// One style sheet for all components: parsed once by the page, or by cell.js in a notebook, and adopted by each shadow
// root, so that nothing appears unstyled.
function adoptSheet(root) {
  window.axStyles ??= new CSSStyleSheet()
  root.adoptedStyleSheets = [...root.adoptedStyleSheets, window.axStyles]
}

function key(element) {
  return element?.id || element?.dataset?.key || null
}

function find(root, wanted) {
  return wanted ? root.querySelector(`#${CSS.escape(wanted)}, [data-key="${CSS.escape(wanted)}"]`) : null
}

function save(file, blob) {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(blob)
  link.download = file
  link.click()
  URL.revokeObjectURL(link.href)
}

const SVG = "http://www.w3.org/2000/svg"
// Markers and lines in a legend, around its centre.
const MARKS = {
  circle: "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
  square: "M-4,-4h8v8h-8z",
  diamond: "M0,-5L4,0L0,5L-4,0z",
  triangle: "M-4,3.5L0,-4L4,3.5z",
  inverted_triangle: "M-4,-3.5L0,4L4,-3.5z",
}
const DASHES = { solid: "", dashed: "4 3", dotted: "1.5 2.5" }
const PIXELS = 2 // of a picture, per pixel of the page

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  if (text) made.textContent = text
  return made
}

// The keys of a legend (explorer/plots/legend.py) in as many rows as needed, and their height.
function drawLegend(keys, width, font, colour) {
  const canvas = document.createElement("canvas").getContext("2d")
  canvas.font = `12px ${font}`
  const group = element("g", { "font-family": font, "font-size": "12px", fill: colour })
  let x = 12, y = 14
  for (const { label, colour: own, marker, dash } of keys) {
    const long = 22 + canvas.measureText(label).width
    if (x > 12 && x + long > width - 12) [x, y] = [12, y + 18]
    if (marker) group.append(element("path", { d: MARKS[marker], transform: `translate(${x + 8},${y})`, fill: own }))
    else group.append(element("path", { d: `M${x},${y}h16`, stroke: own, "stroke-width": 1.5, "stroke-dasharray": DASHES[dash] }))
    group.append(element("text", { x: x + 22, y: y + 4 }, label))
    x += long + 16
  }
  return [group, keys.length ? y + 12 : 0]
}

// Saves a figure of a document (in a notebook, each cell has its own) on the page's background colour, below its legend,
// which the page shows as HTML.
async function saveFigure(name, as, file, keys, of) {
  const shown = ({ model, frame, el }) =>
    model.name === name && model.document === of && frame != null && el.checkVisibility()
  const view = [...window.Bokeh.index.query(shown)][0]
  if (!view) return false
  const style = getComputedStyle(view.el)
  const role = (which, otherwise) => style.getPropertyValue(which).trim() || otherwise
  const { width, height } = view.bbox
  const [legend, above] = drawLegend(keys, width, role("--ax-font", "sans-serif"), role("--ax-muted", "#555"))
  const figure = new DOMParser().parseFromString(view.export("svg").ctx.get_serialized_svg(true), "image/svg+xml").documentElement
  // Each text is followed by an invisible copy for its outline, which a text search would find.
  for (const outline of figure.querySelectorAll('text[fill="none"][stroke-opacity="0"]')) outline.remove()
  figure.setAttribute("y", above)
  const size = { width, height: height + above }
  const whole = element("svg", { xmlns: SVG, ...size })
  whole.append(element("rect", { ...size, fill: role("--ax-paper", "#ffffff") }), legend, document.importNode(figure, true))
  const picture = new Blob([new XMLSerializer().serializeToString(whole)], { type: "image/svg+xml" })
  save(file, as === "svg" ? picture : await inPixels(picture, size))
  return true
}

async function inPixels(picture, { width, height }) {
  const image = new Image(PIXELS * width, PIXELS * height)
  image.src = URL.createObjectURL(picture)
  await image.decode()
  URL.revokeObjectURL(image.src)
  const canvas = document.createElement("canvas")
  Object.assign(canvas, { width: image.width, height: image.height })
  canvas.getContext("2d").drawImage(image, 0, 0, image.width, image.height)
  return new Promise((done) => canvas.toBlob(done))
}

// A page in a srcdoc frame inherits the policy of the surrounding page, so its scripts need that page's nonce.
function allowScripts(html) {
  const allowed = document.querySelector("script[nonce]")?.nonce
  const page = new DOMParser().parseFromString(html, "text/html")
  if (allowed) for (const script of page.scripts) script.setAttribute("nonce", allowed)
  return page.documentElement.outerHTML
}

// VS Code shows all outputs of a notebook in one frame that is as tall as the notebook. Its middle, where dialogs open, is
// rarely visible, and code cells cover it. A dialog is therefore moved to the visible part of its output, which only an
// observer reports.
function scrollIntoSight(dialog) {
  if (!document.body.dataset.vscodeThemeKind) return
  let output = dialog
  while (output.getRootNode() instanceof ShadowRoot) output = output.getRootNode().host
  new IntersectionObserver(([{ intersectionRect: seen }], observer) => {
    observer.disconnect()
    dialog.style.marginTop = `${seen.top + 16}px`
    dialog.style.maxHeight = `${Math.max(seen.height - 32, 240)}px`
  }).observe(output)
}

// The focused element, in any component.
function inFocus() {
  let element = document.activeElement
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement
  return element
}

export function render({ model, el }) {
  const root = el.getRootNode()
  if (root instanceof ShadowRoot) adoptSheet(root)
  const box = document.createElement("div")
  box.className = `ax ${model.css_name}`

  const send = (action, value) => model.send_msg({ action, value })

  // In a scrolling strip, the chosen element remains visible.
  function reveal() {
    for (const strip of box.querySelectorAll("[data-reveal]")) {
      const chosen = strip.querySelector(strip.dataset.reveal)
      if (!chosen) continue
      if (strip.scrollWidth > strip.clientWidth) strip.scrollLeft = chosen.offsetLeft - strip.offsetLeft - strip.clientWidth / 2
      // A scrolling list keeps its position, unless the chosen element is not visible.
      const top = chosen.offsetTop - strip.offsetTop
      if (top < strip.scrollTop || top + chosen.offsetHeight > strip.scrollTop + strip.clientHeight) {
        strip.scrollTop = top - strip.clientHeight / 2
      }
    }
  }

  // An element that opens after an action of the visitor is scrolled into view, below the sticky header.
  let brought = null
  function bring() {
    const element = box.querySelector("[data-bring]")
    const isAnother = element && element.dataset.bring !== brought
    brought = element?.dataset.bring
    if (!isAnother || !model.document.is_idle) return
    new ResizeObserver((_, observer) => {
      if (element.isConnected && !element.offsetHeight) return // not laid out yet
      observer.disconnect()
      element.scrollIntoView({ block: "nearest" })
    }).observe(element)
  }

  // The element that had the focus before a dialog opened. The browser does not return the focus to it if the dialog is
  // rendered again or removed while it is open.
  let opener = null
  function restoreFocus() {
    if (opener && document.activeElement === document.body) opener.focus({ preventScroll: true })
    opener = null
  }

  function show() {
    const before = inFocus()
    const focused = key(root.activeElement)
    const typed = focused && root.activeElement.value
    const scrolled = [...box.querySelectorAll("[data-scroll]")].map((e) => [e.dataset.scroll, e.scrollTop])
    const opened = new Map([...box.querySelectorAll("details[data-key]")].map((e) => [e.dataset.key, e.open]))
    box.innerHTML = model.html
    bring()
    for (const frame of box.querySelectorAll("iframe[data-document]")) frame.srcdoc = allowScripts(frame.dataset.document)
    for (const [name, top] of scrolled) {
      const element = box.querySelector(`[data-scroll="${CSS.escape(name)}"]`)
      if (element) element.scrollTop = top
    }
    reveal()
    for (const element of box.querySelectorAll("details[data-key]")) {
      if (opened.has(element.dataset.key)) element.open = opened.get(element.dataset.key)
    }
    for (const dialog of box.querySelectorAll("dialog[data-modal]")) {
      dialog.addEventListener("close", () => send("close", null))
      dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close() })
      opener ??= before
      dialog.showModal()
      scrollIntoSight(dialog)
    }
    if (!box.querySelector("dialog[data-modal]")) restoreFocus()
    const target = find(box, focused)
    if (target) {
      target.focus({ preventScroll: true })
      if (typeof typed === "string" && target.matches("input[type=search], input[type=text], textarea")) target.value = typed
    }
    window.dispatchEvent(new CustomEvent("ax:shown", { detail: box })) // for static/guide.js, if it is loaded
  }

  box.addEventListener("click", (event) => {
    const markDone = (element) => {
      element.classList.add("is-done")
      setTimeout(() => element.classList.remove("is-done"), 1200)
    }
    const link = event.target.closest("[data-copy-link]")
    if (link) {
      navigator.clipboard?.writeText(window.location.href)
      return markDone(link)
    }
    const copy = event.target.closest("[data-copy]")
    if (copy) {
      navigator.clipboard?.writeText(copy.dataset.copy)
      return markDone(copy)
    }
    const scroll = event.target.closest("[data-scroll-to]")
    if (scroll) {
      window.dispatchEvent(new CustomEvent("ax:scroll-to", { detail: { of: model.document, to: scroll.dataset.scrollTo } }))
      return
    }
    const offer = event.target.closest("[data-export]")
    if (offer) {
      const value = { answers: offer.dataset.export, figures: offer.dataset.figures }
      window.dispatchEvent(new CustomEvent("ax:export", { detail: { of: model.document, value } }))
      return
    }
    const cited = event.target.closest("[data-cite]")
    if (cited) {
      const value = { view: cited.dataset.cite, page: window.location.origin + window.location.pathname }
      window.dispatchEvent(new CustomEvent("ax:cite", { detail: { of: model.document, value } }))
      return
    }
    const help = event.target.closest("[data-help]")
    if (help) {
      window.dispatchEvent(new CustomEvent("ax:help", { detail: { of: model.document, value: help.dataset.help } }))
      return
    }
    const figure = event.target.closest("[data-save-figure]")
    if (figure) {
      const { saveFigure: name, as, file, legend } = figure.dataset
      saveFigure(name, as, file, JSON.parse(legend), model.document).then((saved) => { if (saved) markDone(figure); else figure.disabled = true })
      return
    }
    const element = event.target.closest("[data-action]")
    if (!element || element.matches("form, input, select, textarea")) return
    if (element.disabled || element.getAttribute("aria-disabled") === "true") return
    event.preventDefault()
    // VS Code opens every link whose click event reaches its window.
    if (element.matches("a")) event.stopPropagation()
    send(element.dataset.action, element.dataset.value ?? null)
  })
  // Content that most readers leave collapsed is rendered when it is opened.
  box.addEventListener("toggle", ({ target }) => {
    if (target.open && target.matches("details[data-unfold]")) send("unfold", null)
  }, true)
  box.addEventListener("submit", (event) => {
    event.preventDefault()
    const form = event.target.closest("[data-action]")
    if (form) send(form.dataset.action, Object.fromEntries(new FormData(form)))
  })
  // Text in such a field is reported without submitting it, shortly after the last key.
  let awaited = null
  box.addEventListener("input", (event) => {
    const field = event.target.closest("input[data-instant]")
    if (!field) return
    clearTimeout(awaited)
    awaited = setTimeout(() => send(field.dataset.action, field.value), 150)
  })
  box.addEventListener("change", (event) => {
    if (event.target.matches("[data-instant]")) return
    if (event.target.matches("[data-submit]")) return event.target.form.requestSubmit()
    const element = event.target.closest("input[data-action], select[data-action]")
    if (element) send(element.dataset.action, element.type === "checkbox" ? [element.value, element.checked] : element.value)
  })
  // Roving focus: in a group, the arrow keys move to the next enabled element, up and down by rows if there are several,
  // and stop at the ends.
  box.addEventListener("keydown", (event) => {
    const group = event.target.closest("[data-arrows]")
    const ahead = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key]
    if (!group || !ahead) return
    event.preventDefault()
    event.stopPropagation()
    const all = [...group.querySelectorAll("[data-action]")]
    const row = all.filter((element) => element.offsetTop === all[0].offsetTop)
    const step = row.length < all.length && /Up|Down/.test(event.key) ? ahead * row.length : ahead
    let place = all.indexOf(event.target.closest("[data-action]")) + step
    while (all[place]?.matches("[disabled], [aria-disabled=true]")) place += step
    all[place]?.focus()
    all[place]?.click()
  })

  // A notebook may remove components; their listeners outside of the box are then removed, too.
  const life = new AbortController()
  model.on("remove", () => life.abort())
  window.addEventListener("ax:scroll-to", ({ detail }) => {
    if (detail.of === model.document && detail.to === model.css_name && box.isConnected) {
      box.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth", block: "start" })
    }
  }, life)

  // One dialog of each kind serves all components of a page.
  for (const dialog of ["export", "cite", "help"]) {
    window.addEventListener(`ax:${dialog}`, ({ detail }) => {
      if (model.css_name === dialog && detail.of === model.document) send("show", detail.value)
    }, life)
  }

  // A file arrives in chunks; the server sends further ones as chunks are acknowledged.
  let pieces = []
  model.on("msg:custom", ({ nth, content, save: file, kind }) => {
    if (file) {
      save(file, new Blob(pieces, { type: kind }))
      pieces = []
      return
    }
    if (nth === 0) pieces = []
    pieces.push(Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0)))
    send("taken", null)
  })

  // Content that is built and redrawn only while it is in view: report when it scrolls into and out of view. The margin is
  // large at the top, because a figure below this element may be visible when the element is not, and negative at the
  // bottom, so that an element whose edge is just visible there does not count. Nothing is reported before the page is
  // ready, because Panel discards earlier changes by the server, and the layout is not final.
  let inView = false
  let reported = false
  const reportSeen = () => {
    const marker = box.querySelector("[data-seen]")
    if (!marker || inView === reported) return
    reported = inView
    send(marker.dataset.seen, reported)
  }
  const observer = new IntersectionObserver((entries) => {
    inView = entries[entries.length - 1].isIntersecting
    reportSeen()
  }, { rootMargin: "1200px 0px -80px" })
  const watch = () => { if (box.querySelector("[data-seen]")) observer.observe(box) }
  model.on("after_layout", () => { if (model.document.is_idle) watch() })
  if (!model.document.is_idle) model.document.idle.connect(watch)
  model.on("remove", () => observer.disconnect())

  // A label also labels the handle of the slider that follows it. The value is announced as it is shown, because noUiSlider,
  // as used by Bokeh 3.9, announces two decimals whatever the format.
  let isNamed = null
  model.on("after_layout", () => {
    const label = box.querySelector("[data-names-next]")
    const slider = label && root.host.nextElementSibling.shadowRoot
    const handle = slider?.querySelector("[role=slider]")
    if (!handle || handle === isNamed) return
    isNamed = handle
    handle.ariaLabel = label.textContent
    const readAsShown = () => {
      const shown = slider.querySelector(".bk-slider-value")?.textContent
      if (shown && handle.ariaValueText !== shown) handle.ariaValueText = shown
    }
    new MutationObserver(readAsShown).observe(slider, { subtree: true, childList: true, characterData: true, attributeFilter: ["aria-valuetext"] })
    readAsShown()
  })

  model.on("html", () => { show(); reportSeen() })
  model.on("after_layout", reveal)
  show()
  return box
}
