// The field of explorer/views/search.py: an ARIA combobox over the list that the server renders.
//
// The field is created once and never replaced, so that results do not disturb typing: of later HTML, only the parts marked
// data-live are used.

const PAUSE = 120 // ms without a key before a search is sent

export function render({ model, el }) {
  const root = el.getRootNode()
  window.axStyles ??= new CSSStyleSheet() // created by the page, or filled by cell.js
  if (root instanceof ShadowRoot) root.adoptedStyleSheets = [...root.adoptedStyleSheets, window.axStyles]
  const box = document.createElement("div")
  box.className = `ax ${model.css_name}`
  box.innerHTML = model.html
  const input = box.querySelector("[role=combobox]")
  const found = box.querySelector(".found")
  const list = box.querySelector("[role=listbox]")

  let wanted = false // whether results are shown when they arrive
  let entered = false // whether Enter was pressed before they arrived
  let text = "" // text and number of the last search, and whether its results are pending
  let number = 0
  let waits = false
  let timer = null

  // One search at a time: text that is typed meanwhile is searched for once the results arrive.
  function ask() {
    clearTimeout(timer)
    if (!input.value.trim()) return close()
    wanted = true
    if (waits) return
    waits = true
    text = input.value
    number += 1
    model.send_msg({ action: "search", value: { number, text } })
  }

  const chosen = () => list.querySelector("[aria-selected]")

  function choose(option) {
    chosen()?.removeAttribute("aria-selected")
    option?.setAttribute("aria-selected", "true")
    option?.scrollIntoView({ block: "nearest" })
    if (option) input.setAttribute("aria-activedescendant", option.id)
    else input.removeAttribute("aria-activedescendant")
  }

  function close() {
    clearTimeout(timer)
    wanted = entered = false
    choose(null)
    found.hidden = true
    input.ariaExpanded = "false"
  }

  function leave() {
    input.value = ""
    input.blur()
  }

  function go({ dataset: { action, value } }) {
    model.send_msg({ action, value })
    leave()
  }

  function show(fresh) {
    const before = chosen()?.dataset
    for (const part of found.querySelectorAll("[data-live]")) {
      const { className, innerHTML } = fresh.querySelector(`[data-live=${part.dataset.live}]`)
      Object.assign(part, { className, innerHTML })
    }
    const options = [...list.children]
    choose(options.find(({ dataset }) => dataset.action === before?.action && dataset.value === before?.value))
    found.hidden = false
    input.ariaExpanded = String(options.length > 0)
  }

  model.on("html", () => {
    const template = document.createElement("template")
    template.innerHTML = model.html
    const fresh = template.content.querySelector(".found")
    if (fresh.dataset.answers === String(number)) waits = false
    if (fresh.hidden) return close()
    if (!wanted) return
    show(fresh)
    if (input.value !== text) return ask()
    if (entered && list.firstElementChild) go(list.firstElementChild)
    entered = false
  })

  input.addEventListener("input", () => {
    choose(null)
    entered = false
    clearTimeout(timer)
    timer = setTimeout(ask, input.value.trim() ? PAUSE : 0)
  })

  input.addEventListener("keydown", (event) => {
    const { key, isComposing } = event
    if (isComposing || !["Enter", "Escape", "ArrowDown", "ArrowUp"].includes(key)) return
    event.preventDefault() // on Escape, a browser would clear the field
    const options = [...list.children]
    if (key === "Escape") {
      if (wanted) close()
      else input.blur()
    } else if (key === "Enter") {
      const isAnswered = wanted && !waits && input.value === text
      const option = chosen() ?? (isAnswered ? options[0] : null)
      if (option) go(option)
      else if (!isAnswered) {
        entered = true
        ask()
      }
    } else if (found.hidden) {
      ask()
    } else {
      choose(options[Math.min(options.indexOf(chosen()) + (key === "ArrowDown" ? 1 : -1), options.length - 1)])
    }
  })

  // A click on the list keeps the focus in the field; a click anywhere else closes it, even if no focus moves.
  box.addEventListener("mousedown", (event) => { if (event.target.closest(".found, [data-leave]")) event.preventDefault() })
  box.addEventListener("click", ({ target }) => {
    const option = target.closest("[role=option]")
    if (option) go(option)
    else if (target.closest("[data-leave]")) leave()
  })
  input.addEventListener("focus", () => input.select())
  input.addEventListener("blur", close)

  // A notebook may remove components; their listeners outside of the box are then removed, too.
  const life = new AbortController()
  model.on("remove", () => life.abort())
  window.addEventListener("pointerdown", (event) => { if (!event.composedPath().includes(box)) close() }, life)
  window.addEventListener("ax:search", () => input.focus(), life)

  return box
}
