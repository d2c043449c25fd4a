// The browser's side of explorer/views/cell.py, without visible content.

// JupyterLab and VS Code mark the body with their theme; null if there is no mark.
function isDark() {
  const { jpThemeLight, vscodeThemeKind } = document.body.dataset
  if (jpThemeLight) return jpThemeLight === "false"
  return vscodeThemeKind ? !vscodeThemeKind.endsWith("light") : null
}

// jupyter_bokeh sends back every change that it receives, although Bokeh has marked it as final. Two values that are set
// at once, shown by two sliders, would alternate endlessly.
function ignoreEchoes(doc) {
  const trigger = doc._trigger_on_change
  doc._trigger_on_change = (event) => {
    for (const each of event.events ?? [event]) if (each.sync !== false) trigger.call(doc, each)
  }
}

export function render({ model }) {
  ignoreEchoes(model.document)

  // The style sheet that all components adopt (markup.js), created here unless it exists.
  window.axStyles ??= new CSSStyleSheet()
  window.axStyles.replaceSync(model.sheet)

  // The picture replaces the view if there is no kernel (explorer/picture.py); it may be added after this component.
  const hiding = document.head.appendChild(document.createElement("style"))
  hiding.textContent = `img.${model.picture} { display: none !important }`
  model.on("remove", () => hiding.remove())

  let reported = null
  const report = () => {
    const dark = isDark()
    if (dark === null || dark === reported) return
    reported = dark
    model.send_msg(dark)
  }
  const observer = new MutationObserver(report)
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind"] })
  model.on("remove", () => observer.disconnect())
  report()
  return document.createElement("span")
}
