// The page's side of explorer/views/browser.py. It draws nothing.

const YEAR = 365 * 24 * 3600
const SHOW_BUSY_AFTER = 100 // ms

// What has the focus has the first right to a key: a choice or a slider to the arrows, a field to all.
function taken(event) {
  const [target] = event.composedPath()
  if (!(target instanceof Element)) return false
  if (target.matches("[type=radio], [role=slider]")) return event.key.startsWith("Arrow")
  return target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]")
}

// Left to itself, a browser goes on at the other end of a group of radio buttons.
function stopAtEnds(event) {
  const [target] = event.composedPath()
  if (!(target instanceof Element && target.matches("[type=radio]") && event.key.startsWith("Arrow"))) return
  const all = [...target.getRootNode().querySelectorAll("[type=radio]")]
  if (target === (/Left|Up/.test(event.key) ? all[0] : all.at(-1))) event.preventDefault()
}

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light"
}

export function render({ model }) {
  const root = document.documentElement
  // Bokeh tells the server once all is painted. What a session changes before that, Panel drops: until then nothing is
  // told, and nothing can be chosen.
  const [page] = window.Bokeh.documents
  const whenPainted = (act) => { if (page.is_idle) act(); else page.idle.connect(act) }
  const send = (action, value) => whenPainted(() => model.send_msg({ action, value }))
  const cookie = (name, value) => { document.cookie = `ax_${name}=${encodeURIComponent(value)}; max-age=${YEAR}; path=/; SameSite=Lax` }

  // URL and history: the first state replaces what was typed, each later one is a step back and forward can return to.
  const show = (push) => {
    const wanted = `?${model.query}`
    if (window.location.search === wanted) return
    window.history[push ? "pushState" : "replaceState"]({}, "", `${window.location.pathname}${wanted}`)
  }
  show(false)
  model.on("query", () => show(true))
  window.addEventListener("popstate", () => send("history", window.location.search))

  const retitle = () => { document.title = model.title }
  retitle()
  model.on("title", retitle)

  // The inline script of the page knows the system's theme, the server only the cookie: tell it where they differ.
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : model.dark
  if (dark !== model.dark) send("dark", dark)
  model.on("dark", () => { setTheme(model.dark); cookie("dark", model.dark ? 1 : 0) })
  model.on("memory", () => { for (const [name, value] of Object.entries(model.memory)) cookie(name, value) })

  if (matchMedia("(pointer: coarse)").matches) send("touch", true)

  // Keys: the ones a reader can press anywhere outside a field.
  const steps = { ArrowLeft: ["letter", -1], ArrowRight: ["letter", 1], ArrowUp: ["l0", -1], ArrowDown: ["l0", 1] }
  const pages = { e: "explore", c: "compare", a: "atlas", v: "evidence" }
  let awaited = false // the second key after g
  window.addEventListener("keydown", (event) => {
    if (event.key === "Escape") root.classList.remove("ax-drawer-open")
    stopAtEnds(event)
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || taken(event)) return
    if (root.querySelector("dialog[open]")) return
    if (event.key === "?") document.getElementById("ax-keys")?.showModal()
    if (event.key === "/") {
      event.preventDefault() // nor is it typed into the field
      window.dispatchEvent(new CustomEvent("ax:search"))
    }
    if (awaited && pages[event.key]) send("page", pages[event.key])
    awaited = event.key === "g"
    if (event.shiftKey || !steps[event.key]) return
    event.preventDefault()
    send("step", steps[event.key])
  })

  // Bokeh frames a figure that has the focus, however it came; the frame is for those who use the keyboard.
  window.addEventListener("keydown", ({ key }) => { if (key === "Tab") root.classList.add("ax-by-keyboard") }, true)
  window.addEventListener("pointerdown", () => root.classList.remove("ax-by-keyboard"), true)

  const keys = document.getElementById("ax-keys")
  keys?.addEventListener("click", (event) => { if (event.target === keys) keys.close() })
  document.querySelector(".ax-scrim")?.addEventListener("click", () => root.classList.remove("ax-drawer-open"))

  // The busy line: from a message to the server, which a ping follows, until the last ping is answered.
  let timer = null
  const settle = () => { clearTimeout(timer); timer = null; root.classList.remove("ax-is-busy") }
  model.on("waiting", () => root.classList.toggle("ax-is-waiting", model.waiting))
  model.on("pong", () => { if (model.pong === model.ping) settle() })
  const lost = document.querySelector(".ax-lost")
  const busy = () => {
    if (!lost.hidden) return
    timer ??= setTimeout(() => root.classList.add("ax-is-busy"), SHOW_BUSY_AFTER)
    model.ping += 1
  }
  lost.querySelector("button").addEventListener("click", () => window.location.reload())
  for (const doc of window.Bokeh?.documents ?? []) {
    // Bokeh tells nobody of a connection that ends because the page is left.
    doc.on_event("connection_lost", () => { settle(); lost.hidden = false })
    doc.on_change(({ kind, sync, attr }) => {
      if (kind === "MessageSent" || (sync && ["value", "active"].includes(attr))) busy()
    })
  }

  whenPainted(() => root.classList.add("ax-ready"))
  return document.createElement("span")
}
