// The browser's side of explorer/views/browser.py, without visible content.

const YEAR = 365 * 24 * 3600
const LONGEST_REST = 100 // ms after which an idle callback runs in any case
const LONGEST_PING = 5000 // ms, after which a ping may have been lost
const LONGEST_PAUSE = 2000 // ms between two attempts to reconnect

// Calls a function when the browser is idle. Safari does not have requestIdleCallback, and a browser that paints nothing
// may not report for a long time that it is idle.
const whenIdle = (act) => window.requestIdleCallback?.(act, { timeout: 1000 }) ?? setTimeout(act, LONGEST_REST)

// Whether the focused element handles the key itself: a slider handles arrows, a field all keys.
function taken(event) {
  const [target] = event.composedPath()
  if (!(target instanceof Element)) return false
  if (target.matches("[role=slider]")) return event.key.startsWith("Arrow")
  return target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]")
}

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light"
}

// After a disconnection, the page rejoins its session while the server keeps it. Bokeh then draws the page again from the
// session's document, which contains all changes in the meantime.
function reconnect(page, seconds) {
  const root = document.documentElement
  const lost = document.querySelector(".ax-lost")
  let deadline = null // while disconnected: the timer after which the page stops reconnecting
  let pause
  const turn = (isCut) => {
    clearTimeout(deadline)
    deadline = null
    root.classList.toggle("ax-is-cut", isCut)
    // Actions of the visitor would be lost now.
    for (const part of document.body.children) if (!part.matches("[role=status], [role=alert]")) part.inert = isCut
  }
  lost.querySelector("button").addEventListener("click", () => window.location.reload())
  // Bokeh does not report a connection that ends because the page is left.
  page.on_event("connection_lost", (_, event) => {
    const connection = event.connection.deref()
    if (!lost.hidden || !connection) return
    if (deadline === null) {
      turn(true)
      pause = 0
      deadline = setTimeout(() => {
        turn(false)
        root.classList.remove("ax-is-busy")
        lost.hidden = false
        connection.close()
      }, 1000 * seconds)
      connection.args_string = "again=1" // tells the server not to build a session; see explorer/tokens.py
    }
    preparePull(page, connection)
    setTimeout(() => event.reconnect(), pause)
    pause = Math.min(LONGEST_PAUSE, 2 * pause + 250)
  })
  page.on_event("client_reconnected", () => turn(false))
}

// Workarounds for BokehJS (up to 3.10 at least) when it pulls the document of a page again.
function preparePull(page, connection) {
  // An incomplete message would be continued by the first one of the next connection.
  connection._receiver = new connection._receiver.constructor()
  const pull = Object.getPrototypeOf(connection)._pull_doc_json
  let buffers
  connection._pull_doc_json = async () => {
    // Changes that arrive before the document are part of it, and may refer to models that this page does not have yet.
    page.apply_json_patch = () => {}
    try {
      const pulled = await pull.call(connection)
      buffers = pulled.buffers
      return pulled
    } finally {
      delete page.apply_json_patch
    }
  }
  // Bokeh's own method drops the buffers (3.9, bokeh/bokeh#15347), sends all models back to the server as new ones, and
  // never reports the page ready again.
  page.replace_with_json = (json) => {
    const pulled = page.constructor.from_json(json, [], buffers)
    const { config } = pulled
    const roots = [...pulled.roots()]
    for (const each of [page, pulled]) each.clear({ sync: false })
    window.Bokeh.documents.splice(window.Bokeh.documents.indexOf(pulled), 1)
    page._notified_idle = false
    page.config = config
    for (const root of roots) page.add_root(root, { sync: false })
    page._new_models.clear()
  }
}

const drawn = new WeakSet() // documents that were drawn before

export function render({ model }) {
  const root = document.documentElement
  // Bokeh notifies the server when everything is painted. Panel discards changes by the session before that, so until then
  // nothing is reported and nothing can be chosen.
  const [page] = window.Bokeh.documents
  // A page that is drawn again has a new component that replaces this one.
  const life = new AbortController()
  const whenPainted = (act) => {
    if (page.is_idle) act()
    else page.idle.connect(() => { if (!life.signal.aborted) act() })
  }
  model.on("remove", () => {
    life.abort()
    root.classList.remove("ax-ready")
  })
  const send = (action, value) => whenPainted(() => {
    if (!root.classList.contains("ax-is-cut")) model.send_msg({ action, value })
  })
  const cookie = (name, value) => { document.cookie = `ax_${name}=${encodeURIComponent(value)}; max-age=${YEAR}; path=/; SameSite=Lax` }

  // URL and history: the first state replaces the typed address, and each later one is an entry of the history.
  const show = (push) => {
    const wanted = `?${model.query}`
    if (window.location.search === wanted) return
    if (model.alone) push = false // in a frame, the surrounding page would get the entries
    window.history[push ? "pushState" : "replaceState"]({}, "", `${window.location.pathname}${wanted}`)
  }
  show(false)
  // All values of a slider in one drag make one entry; the last may arrive after the pointer was released.
  let dragged = "" // since the last press of a pointer or key: "begun" if on a slider, "noted" once it has an entry
  const isSlider = (each) => each instanceof Element && each.matches(".noUi-target")
  const captured = { capture: true, signal: life.signal }
  window.addEventListener("pointerdown", (event) => { dragged = event.composedPath().some(isSlider) ? "begun" : "" }, captured)
  window.addEventListener("keydown", () => { dragged = "" }, captured)
  model.on("query", () => {
    show(dragged !== "noted")
    if (dragged) dragged = "noted"
  })
  window.addEventListener("popstate", () => send("history", window.location.search), life)

  const setTitle = () => { document.title = model.title }
  setTitle()
  model.on("title", setTitle)

  // An embedded view follows the theme of the surrounding page; no cookie stores it as the visitor's choice.
  const follow = () => { setTheme(model.dark); if (!model.alone) cookie("dark", model.dark ? 1 : 0) }
  const remember = () => { for (const [name, value] of Object.entries(model.memory)) cookie(name, value) }
  model.on("dark", follow)
  model.on("memory", remember)
  if (drawn.has(page)) {
    if (model.dark !== (root.dataset.theme === "dark")) follow()
    remember()
  } else {
    drawn.add(page)
    reconnect(page, model.reconnect_seconds)
    // The page's inline script reads the system's theme, the server only the cookie; report a difference.
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : model.dark
    if (dark !== model.dark) send("dark", dark)
  }

  if (matchMedia("(pointer: coarse)").matches) send("touch", true)

  // Presentation mode: larger, and without header and sidebar.
  const present = () => root.classList.toggle("ax-present", model.present)
  present()
  model.on("present", present)
  document.querySelector(".ax-present-leave")?.addEventListener("click", () => send("present", false), life)

  // Keys that work anywhere outside of a field.
  const steps = { ArrowLeft: ["concept", -1], ArrowRight: ["concept", 1], ArrowUp: ["l0", -1], ArrowDown: ["l0", 1] }
  const saes = { "[": ["sae", -1], "]": ["sae", 1] }
  const pages = { e: "explore", c: "compare", a: "atlas", v: "evidence", t: "token", l: "learn" }
  let awaited = false // the second key after g
  window.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || taken(event)) return
    if (event.composedPath().some((each) => each instanceof Element && each.matches("dialog[open]"))) return
    if (event.key === "Escape" && model.present) send("present", false)
    if (event.key === "p") send("present", !model.present)
    if (event.key === "?") window.dispatchEvent(new CustomEvent("ax:help", { detail: { of: page, value: "keys" } }))
    if (saes[event.key]) send("step", saes[event.key])
    if (event.key === "/") {
      event.preventDefault() // so that it is not typed into the field
      window.dispatchEvent(new CustomEvent("ax:search"))
    }
    if (awaited && pages[event.key]) send("page", pages[event.key])
    awaited = event.key === "g"
    // In a tour, the arrows navigate its steps (static/guide.js), and with Shift the concepts.
    if (!steps[event.key] || (event.shiftKey && !/Left|Right/.test(event.key))) return
    event.preventDefault()
    send("step", steps[event.key])
  }, life)

  // Bokeh always frames a focused figure, but the frame is meant for keyboard users only.
  window.addEventListener("keydown", ({ key }) => { if (key === "Tab") root.classList.add("ax-by-keyboard") }, captured)
  window.addEventListener("pointerdown", () => root.classList.remove("ax-by-keyboard"), captured)

  // The busy line is shown from a message to the server, which is followed by a ping, until the last ping is answered. A
  // ping makes the server handle the changes that it has collected, such as the values of a slider that is dragged, so
  // only one ping is sent at a time.
  let pings = model.pong
  let pinged = 0
  let late = null
  let isPinging = false
  let isPingWanted = false
  let isOfPlot = false // an event of a plot, which HoloViews passes on after the message
  const showBusy = () => root.classList.toggle("ax-is-busy", pings > model.pong || model.waiting)
  const ping = () => {
    const now = performance.now()
    isPingWanted = pings > model.pong && now - pinged < LONGEST_PING
    if (!isPingWanted) {
      pings = Math.max(pings, model.pong) + 1
      pinged = now
      isPinging = true
      try {
        model.send_msg({ action: "ping", value: [pings, isOfPlot] })
      } finally {
        isPinging = isOfPlot = false
      }
      clearTimeout(late)
      late = setTimeout(() => { if (!life.signal.aborted && pings > model.pong) ping() }, LONGEST_PING + 100)
    }
    showBusy()
  }
  // BokehJS (3.9, 3.10) keeps models that were removed from the page for up to 30 s after the last change, so figures would
  // accumulate. Results arrive after the pong, so the models are released once the server sends no further changes.
  const freeze = () => whenIdle(() => { if (!life.signal.aborted) page.freeze_all_models(() => {}) })
  let freezeTimer = null
  const freezeSoon = ({ sync }) => {
    if (sync) return
    clearTimeout(freezeTimer)
    freezeTimer = setTimeout(freeze, 200)
  }
  page.on_change(freezeSoon)
  const dim = () => { root.classList.toggle("ax-is-waiting", model.waiting); showBusy() }
  model.on("waiting", dim)
  model.on("pong", () => { if (isPingWanted) ping(); else showBusy() })
  dim()
  const busy = ({ kind, msg_data: message, sync, attr }) => {
    if (isPinging || !document.querySelector(".ax-lost").hidden) return
    isOfPlot ||= message?.origin?.type === "Figure"
    if (kind === "MessageSent" || (sync && attr === "value")) ping()
  }
  page.on_change(busy)
  life.signal.addEventListener("abort", () => [busy, freezeSoon].forEach((follow) => page.remove_on_change(follow)))

  whenPainted(() => root.classList.add("ax-ready"))
  return document.createElement("span")
}
