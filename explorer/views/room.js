// The browser's side of explorer/views/room.py. Bokeh could run such code by itself, but only by evaluating it, which the
// page's content security policy does not allow.

export function render({ model }) {
  const figure = model.document.get_model_by_name(model.figure)
  const [first, last] = model.data
  const [left, right] = model.beside
  const spread = () => {
    const unit = (last - first) / (figure.inner_width - left - right)
    if (unit > 0) figure.x_range.setv({ start: first - left * unit, end: last + right * unit })
  }
  figure.properties.inner_width.change.connect(spread)
  spread()
  return document.createElement("span")
}
