"use strict";
(() => {
  const tables = document.querySelectorAll("table[data-sortable]");

  const sortBy = (table, index, head) => {
    const rows = [...table.tBodies[0].rows];
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.cells[index].dataset.sort ?? row.cells[index].textContent.trim();
    const compare = (a, b) => {
      const [left, right] = [key(a), key(b)];
      if (left === "" || right === "") return (left === "") - (right === "");
      const numbers = Number(left) - Number(right);
      const order = Number.isNaN(numbers) ? left.localeCompare(right) : numbers;
      return down ? -order : order;
    };
    table.tBodies[0].append(...rows.sort(compare));
  };

  for (const table of tables) {
    [...table.tHead.rows[0].cells].forEach((head, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sortBy(table, index, head));
      head.append(button);
    });
  }

  const control = (tag, label) => {
    const element = document.createElement(tag);
    element.setAttribute("aria-label", label);
    return element;
  };

  for (const table of document.querySelectorAll("table[data-filter]")) {
    const words = control("input", "Show rows that contain");
    words.type = "search";
    words.placeholder = "Filter by words";
    const kinds = control("select", "Show rows with this verdict");
    const present = new Map([["", "all verdicts"]]);
    for (const cell of table.querySelectorAll("td[data-verdict]")) {
      if (cell.dataset.verdict) present.set(cell.dataset.verdict, cell.dataset.verdict);
    }
    for (const [value, text] of present) kinds.append(new Option(text, value));
    const box = document.createElement("div");
    box.className = "controls";
    const matches = document.createElement("output");
    matches.className = "quiet";
    box.append(words, kinds, matches);
    table.before(box);
    const show = () => {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        const named = wanted.every((word) => text.includes(word));
        const judged = !kinds.value || [...row.cells].some((cell) => cell.dataset.verdict === kinds.value);
        row.hidden = !(named && judged);
      }
      const all = [...table.tBodies[0].rows];
      const left = all.filter((row) => !row.hidden).length;
      matches.textContent = left < all.length ? `${left} of ${all.length}` : "";
    };
    words.addEventListener("input", show);
    kinds.addEventListener("change", show);
  }

  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("aria-hidden", "true");
  tip.hidden = true;
  document.body.append(tip);
  let shown = null;
  document.addEventListener("pointermove", (event) => {
    const mark = event.target.closest?.("svg use, svg .event, svg .part");
    if (mark !== shown) {
      if (shown && shown.dataset.tip) {
        const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
        title.textContent = shown.dataset.tip;
        shown.prepend(title);
        delete shown.dataset.tip;
      }
      shown = null;
      const title = mark?.querySelector("title");
      if (title) {
        mark.dataset.tip = title.textContent;
        title.remove();
        shown = mark;
        tip.textContent = mark.dataset.tip;
      }
      tip.hidden = !shown;
    }
    if (shown) {
      const left = Math.min(event.clientX + 12, window.innerWidth - tip.offsetWidth - 4);
      tip.style.left = `${left}px`;
      tip.style.top = `${event.clientY + 14}px`;
    }
  });

  // Pointing at a trend shows the run there.
  const cross = document.createElement("div");
  cross.className = "cross";
  for (const chart of document.querySelectorAll("svg[data-low]")) {
    const days = (chart.closest("[data-days]")?.dataset.days ?? "").split(" ");
    const { low, high, span, places, unit } = chart.dataset;
    const valueAt = (y) => `${(Number(low) + ((100 - y) / 100) * (high - low)).toFixed(places)}${unit && "\u202f"}${unit}`;
    const values = new Map();
    const parsed = () => {
      let index = 0;
      for (const [, pen, x, y] of chart.querySelector(".line").getAttribute("d").matchAll(/([MLV])(?:([\d.]+) )?(-?[\d.]+)/g)) {
        if (pen !== "V") index = Math.round((x / 1000) * span);
        values.set(index, [...(values.get(index) ?? []), valueAt(y)]);
      }
    };
    chart.addEventListener("pointermove", (event) => {
      if (event.target.closest(".event")) return;
      if (!values.size) parsed();
      const box = chart.getBoundingClientRect();
      const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      const index = Math.min(days.length - 1, Math.round(share * span));
      const spread = [...new Set(values.get(index) ?? ["no figure"])].join(" to ");
      tip.textContent = `${days[index]}: ${spread}`;
      tip.hidden = false;
      tip.style.left = `${Math.min(event.clientX + 12, window.innerWidth - tip.offsetWidth - 4)}px`;
      tip.style.top = `${event.clientY + 14}px`;
      const parent = chart.parentElement;
      parent.append(cross);
      const place = box.left - parent.getBoundingClientRect().left + (index / span) * box.width;
      cross.style.left = `${place}px`;
    });
    chart.addEventListener("pointerleave", () => {
      tip.hidden = true;
      cross.remove();
    });
  }

  // One player at a time; a line runs over the drawings of the take that plays, and a button goes over to the other.
  for (const box of document.querySelectorAll("[data-players]")) {
    const players = [...box.querySelectorAll("audio")];
    const scale = (player) => player.duration / Math.max(...players.map((each) => each.duration || 0)) / 1.01;
    players.forEach((player, index) => {
      const lane = document.querySelector(`[data-take="${index}"]`);
      const head = document.createElement("div");
      head.className = "playhead";
      head.hidden = true;
      lane.append(head);
      const move = () => {
        head.hidden = player.paused && !player.currentTime;
        head.style.left = `${(100 * scale(player) * player.currentTime) / player.duration}%`;
        if (!player.paused) requestAnimationFrame(move);
      };
      player.addEventListener("play", () => {
        for (const other of players) if (other !== player) other.pause();
        move();
      });
      player.addEventListener("seeked", move);
    });
    if (players.length > 1) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Switch to the other";
      button.addEventListener("click", () => {
        const from = players.find((player) => !player.paused) ?? players[0];
        const to = players[1 - players.indexOf(from)];
        if (from.duration && to.duration) to.currentTime = (from.currentTime / from.duration) * to.duration;
        from.pause();
        to.play();
      });
      box.append(button);
    }
  }

  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
})();
