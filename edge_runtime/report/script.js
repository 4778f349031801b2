// Examples of a cell of the confusion matrix, by mouse, finger or keyboard. The page says the same
// without this: the most frequent confusions are listed with their pictures below the matrix.
"use strict";
(() => {
  const matrix = document.querySelector("table.matrix");
  const tip = document.getElementById("tip");
  const data = JSON.parse(document.getElementById("cells").textContent);
  const buttons = [...matrix.querySelectorAll("button")];
  const place = new Map(); // button → [row, column]
  let open = null;

  buttons.forEach((button) => {
    const cell = button.parentElement;
    place.set(button, [cell.parentElement.rowIndex, cell.cellIndex]);
    button.tabIndex = -1;
  });
  if (buttons.length) buttons[0].tabIndex = 0;

  const element = (name, text, style) => {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    if (style) made.className = style;
    return made;
  };

  function fill(cell) {
    const line = element("p");
    line.append(
      element("b", cell.label, "glyph"), " read as ", element("b", cell.found, "glyph"),
      `: ${cell.count} of ${cell.n}`,
    );
    const list = element("ul");
    for (const [number, share] of cell.examples) {
      const item = element("li");
      const frame = element("div", "", "picture");
      const source = data.images[number];
      if (source) {
        const image = element("img");
        image.src = source;
        image.alt = `An image labeled ${cell.label}, read as ${cell.found}`;
        frame.append(image);
      } else {
        frame.append(element("span", "no longer there", "gone"));
      }
      item.append(frame, `${(100 * share).toFixed(1)} %`);
      list.append(item);
    }
    tip.replaceChildren(line, list);
  }

  function light(button, on) {
    const [row, column] = place.get(button);
    matrix.rows[row].cells[0].classList.toggle("lit", on);
    matrix.rows[0].cells[column].classList.toggle("lit", on);
    button.classList.toggle("open", on);
    if (on) button.setAttribute("aria-describedby", "tip");
    else button.removeAttribute("aria-describedby");
  }

  function show(button) {
    if (open === button) return;
    hide();
    open = button;
    fill(data.cells[Number(button.dataset.cell)]);
    light(button, true);
    tip.hidden = false;
    put();
  }

  function put() {
    const box = open.getBoundingClientRect();
    const [width, height] = [tip.offsetWidth, tip.offsetHeight];
    const wide = document.documentElement.clientWidth;
    const below = box.bottom + 6 + height < window.innerHeight;
    tip.style.left = `${Math.max(8, Math.min(box.left, wide - width - 8))}px`;
    tip.style.top = `${Math.max(8, below ? box.bottom + 4 : box.top - height - 4)}px`;
  }

  function hide() {
    if (open) light(open, false);
    open = null;
    tip.hidden = true;
  }

  // The nearest cell in the direction of an arrow; of equally near ones the least aside.
  function next(from, [down, right]) {
    const [row, column] = place.get(from);
    let best = null;
    let least = Infinity;
    for (const button of buttons) {
      const [r, c] = place.get(button);
      const along = (r - row) * down + (c - column) * right;
      const aside = Math.abs((r - row) * right) + Math.abs((c - column) * down);
      const far = along + 100 * aside;
      if (along > 0 && far < least) [best, least] = [button, far];
    }
    return best;
  }

  const arrows = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  matrix.addEventListener("keydown", (event) => {
    const direction = arrows[event.key];
    if (!direction || !place.has(event.target)) return;
    event.preventDefault();
    const wanted = next(event.target, direction);
    if (!wanted) return;
    event.target.tabIndex = -1;
    wanted.tabIndex = 0;
    wanted.focus();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  matrix.addEventListener("focusin", (event) => place.has(event.target) && show(event.target));
  matrix.addEventListener("focusout", hide);
  matrix.addEventListener("click", (event) => place.has(event.target) && show(event.target));
  matrix.addEventListener("mouseover", (event) => {
    if (place.has(event.target)) show(event.target);
  });
  document.addEventListener("mouseover", (event) => {
    if (open && !open.matches(":focus") && event.target !== open && !tip.contains(event.target)) hide();
  });
  for (const moved of [window, matrix.closest(".matrix-frame")]) {
    moved.addEventListener("scroll", () => open && put(), { passive: true });
  }
})();
