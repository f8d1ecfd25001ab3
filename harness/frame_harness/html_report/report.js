// Draws the map of memory on a canvas, switches colors, opens what is folded before printing.
"use strict";
(() => {
  const root = document.documentElement;
  const store = JSON.parse(document.getElementById("memory").textContent);
  const LOOK = new Map(store.looks.map(([state, name, sign, hatch, rank]) => [state, { name, sign, hatch, rank }]));
  const RANK = new Uint8Array(256);
  LOOK.forEach((look, state) => { RANK[state] = look.rank; });
  const views = [];
  root.classList.add("scripted");

  // ---- colors ----------------------------------------------------------------------------------------

  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const pixel = (hex) => {
    const value = parseInt(hex.slice(1), 16);
    return (0xff000000 | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
  };
  const mixed = (hex, other, share) => "#" + [1, 3, 5].map((at) => {
    const [one, two] = [parseInt(hex.slice(at, at + 2), 16), parseInt(other.slice(at, at + 2), 16)];
    return Math.round(one + (two - one) * share).toString(16).padStart(2, "0");
  }).join("");

  function palette() {
    const plain = new Uint32Array(256), hatched = new Uint32Array(256), paper = css("--paper"), ink = css("--ink");
    LOOK.forEach((look, state) => {
      const color = css(`--state-${state}`);
      plain[state] = pixel(color);
      hatched[state] = pixel(mixed(color, look.hatch === "check" ? paper : ink, look.hatch === "check" ? 0.75 : 0.45));
    });
    return { plain, hatched, paper: pixel(paper) };
  }

  const HATCHED = {
    plain: () => false,
    up: (x, y) => (x + y) % 6 === 0,
    down: (x, y) => (x - y + 6000000) % 6 === 0,
    bars: (x) => x % 5 === 0,
    dots: (x, y) => x % 4 === 0 && y % 4 === 0,
    cross: (x, y) => (x + y) % 6 === 0 || (x - y + 6000000) % 6 === 0,
    check: (x, y) => (((x >> 2) + (y >> 2)) & 1) === 0,
  };
  const HATCH = [];
  LOOK.forEach((look, state) => { HATCH[state] = HATCHED[look.hatch]; });

  function paintSwatches(colors) {
    for (const swatch of document.querySelectorAll("canvas.swatch")) {
      const state = Number(swatch.dataset.state), image = new ImageData(swatch.width, swatch.height);
      const words = new Uint32Array(image.data.buffer);
      for (let at = 0; at < words.length; at += 1) {
        const x = at % swatch.width, y = Math.floor(at / swatch.width);
        words[at] = HATCH[state](x, y) ? colors.hatched[state] : colors.plain[state];
      }
      swatch.getContext("2d").putImageData(image, 0, 0);
    }
  }

  function repaint() {
    paintSwatches(palette());
    views.forEach((view) => view.draw());
  }

  for (const input of document.querySelectorAll("input[name=theme]")) {
    input.addEventListener("change", () => {
      if (input.value === "system") delete root.dataset.theme;
      else root.dataset.theme = input.value;
      repaint();
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);

  // ---- packed memory ---------------------------------------------------------------------------------

  async function inflated(text) {
    const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  const once = (make) => {
    const made = new Map();
    return (number) => {
      if (!made.has(number)) made.set(number, make(number));
      return made.get(number);
    };
  };

  const cellsOf = once(async (number) => {
    const entry = store.maps[number], data = await inflated(entry.data), runs = data.length / 5;
    const lengths = new DataView(data.buffer, 0, runs * 4), cells = new Uint8Array(entry.cells);
    for (let run = 0, at = 0; run < runs; run += 1) {
      const end = at + lengths.getUint32(run * 4, true);
      cells.fill(data[runs * 4 + run], at, end);
      at = end;
    }
    if (entry.base !== undefined) {
      const base = await cellsOf(entry.base);
      for (let at = 0; at < cells.length; at += 1) cells[at] ^= base[at];
    }
    return cells;
  });

  const windowOf = once(async (number) => {
    const entry = store.windows[number], data = await inflated(entry.data);
    if (entry.base !== undefined) {
      const base = (await windowOf(entry.base)).data;
      for (let at = 0; at < data.length; at += 1) data[at] ^= base[at];
    }
    return { data, entry };
  });

  function slotIn(windows, pfn) {
    const found = windows.find(({ entry }) => pfn >= entry.first && pfn < entry.first + entry.count);
    if (!found) return null;
    const row = pfn - found.entry.first, slot = {};
    for (const [name, offset, size] of found.entry.fields) {
      let value = 0n;
      for (let at = size - 1; at >= 0; at -= 1) {
        value = (value << 8n) | BigInt(found.data[(offset + at) * found.entry.count + row]);
      }
      slot[name] = value;
    }
    return slot;
  }

  // ---- one map ---------------------------------------------------------------------------------------

  const UNCHANGED = 0;
  const hex = (value) => "0x" + value.toString(16);

  function levels(cells, columns) {
    // Each level has a quarter of the cells of the one before; of four the state with the highest rank stays.
    const made = [{ cells, columns, rows: Math.ceil(cells.length / columns) }];
    for (;;) {
      const last = made[made.length - 1];
      if (last.columns <= 64) return made;
      const columns2 = last.columns / 2, rows2 = Math.ceil(last.rows / 2), smaller = new Uint8Array(columns2 * rows2);
      for (let row = 0; row < last.rows; row += 1) {
        const from = row * last.columns, to = (row >> 1) * columns2, end = Math.min(last.columns, last.cells.length - from);
        for (let column = 0; column < end; column += 1) {
          const state = last.cells[from + column], at = to + (column >> 1);
          if (RANK[state] > RANK[smaller[at]]) smaller[at] = state;
        }
      }
      made.push({ cells: smaller, columns: columns2, rows: rows2 });
    }
  }

  class MemoryMap {
    constructor(element) {
      this.element = element;
      this.canvas = element.querySelector("canvas:not(.swatch)");
      this.readout = element.querySelector("output");
      this.document = JSON.parse(element.dataset.memory);
      this.shown = "";
      this.made = {};
      this.listen();
    }

    async start() {
      const moments = this.document.moments;
      this.moments = {};
      for (const name of ["before", "after"]) {
        if (!moments[name]) continue;
        const entry = store.maps[moments[name].map];
        this.perCell = entry.perCell;
        this.frames = entry.frames;
        this.moments[name] = {
          cells: await cellsOf(moments[name].map),
          windows: await Promise.all(moments[name].windows.map(windowOf)),
        };
      }
      const names = Object.keys(this.moments);
      if (!names.length) throw new Error("no map");
      const some = this.moments[names[0]].cells.length;
      this.cells = some;
      this.columns = 2 ** Math.max(4, Math.ceil(Math.log2(Math.sqrt(some * 2.4))));
      this.rows = Math.ceil(some / this.columns);
      this.marked = this.document.marked.map((pfn) => Math.floor(pfn / this.perCell)).filter((cell) => cell < some);
      const whole = names.length === 2 && this.moments.before.cells.length === this.moments.after.cells.length;
      for (const button of this.element.querySelectorAll("button[data-do]")) {
        const what = button.dataset.do;
        if (["before", "after"].includes(what) && !this.moments[what]) button.disabled = true;
        if (what === "changes" && !whole) button.disabled = true;
        if (what === "marked" && !this.marked.length) button.disabled = true;
      }
      this.cursor = this.marked.length ? this.marked[0] : 0;
      this.show(this.moments.after ? "after" : "before");
      this.whole();
      this.element.dataset.ready = "yes";
    }

    show(name) {
      if (name !== "changes" && !this.moments[name]) return;
      if (name === "changes" && !(this.moments.before && this.moments.after)) return;
      this.shown = name;
      for (const button of this.element.querySelectorAll("button[aria-pressed]")) {
        button.setAttribute("aria-pressed", String(button.dataset.do === name));
      }
      this.made[name] = this.made[name] || levels(this.cellsShown(name), this.columns);
      this.draw();
    }

    cellsShown(name) {
      if (name !== "changes") return this.moments[name].cells;
      const { before, after } = this.moments;
      return after.cells.map((state, at) => (state === before.cells[at] ? UNCHANGED : state));
    }

    size() { return [this.canvas.clientWidth, this.canvas.clientHeight]; }

    whole() {
      const [width, height] = this.size();
      this.scale = Math.min(width / this.columns, height / this.rows);
      [this.x, this.y] = [0, 0];
      this.draw();
    }

    zoom(factor, x, y) {
      const [width, height] = this.size();
      const least = Math.min(width / this.columns, height / this.rows);
      const scale = Math.min(64, Math.max(least, this.scale * factor));
      this.x += x / this.scale - x / scale;
      this.y += y / this.scale - y / scale;
      this.scale = scale;
      this.pan(0, 0);
    }

    zoomAtCursor(factor) {
      const [width, height] = this.size();
      this.zoom(factor, width / 2, height / 2);
      this.x = (this.cursor % this.columns) + 0.5 - width / 2 / this.scale;
      this.y = Math.floor(this.cursor / this.columns) + 0.5 - height / 2 / this.scale;
      this.pan(0, 0);
    }

    pan(x, y) {
      const [width, height] = this.size();
      const held = (value, most) => Math.min(Math.max(0, value), Math.max(0, most));
      this.x = held(this.x + x / this.scale, this.columns - width / this.scale);
      this.y = held(this.y + y / this.scale, this.rows - height / this.scale);
      this.draw();
    }

    point(cell) {
      this.cursor = Math.min(this.cells - 1, Math.max(0, cell));
      const [width, height] = this.size();
      const column = this.cursor % this.columns, row = Math.floor(this.cursor / this.columns);
      if (column < this.x) this.x = column;
      if (column + 1 > this.x + width / this.scale) this.x = column + 1 - width / this.scale;
      if (row < this.y) this.y = row;
      if (row + 1 > this.y + height / this.scale) this.y = row + 1 - height / this.scale;
      this.pan(0, 0);
    }

    nextMarked(step) {
      if (!this.marked.length) return;
      const at = this.marked.indexOf(this.cursor);
      this.point(this.marked[(at + step + this.marked.length) % this.marked.length]);
      const [width] = this.size();
      this.zoomAtCursor(Math.max(1, 24 / this.scale, width / this.columns / this.scale));
    }

    draw() {
      if (!this.shown || !this.canvas.clientWidth || this.scale === undefined) return;
      const ratio = Math.min(2, devicePixelRatio || 1), [width, height] = this.size();
      const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
      this.canvas.width = wide;
      this.canvas.height = high;
      const context = this.canvas.getContext("2d"), image = context.createImageData(wide, high);
      this.fill(new Uint32Array(image.data.buffer), wide, high, this.scale * ratio);
      context.putImageData(image, 0, 0);
      context.scale(ratio, ratio);
      if (this.scale >= 14) this.label(context);
      for (const cell of this.marked) this.ring(context, cell, []);
      const chosen = document.activeElement === this.canvas;
      if (chosen && !this.marked.includes(this.cursor)) this.ring(context, this.cursor, [3, 3]);
      this.tell();
    }

    fill(words, wide, high, scale) {
      const colors = palette(), pyramid = this.made[this.shown];
      const depth = Math.min(pyramid.length - 1, Math.max(0, Math.floor(Math.log2(1 / scale))));
      const level = pyramid[depth], unit = 2 ** depth, gap = scale >= 6;
      for (let y = 0; y < high; y += 1) {
        const down = this.y + y / scale, row = Math.floor(down / unit);
        const border = gap && (down - Math.floor(down)) * scale < 1;
        for (let x = 0; x < wide; x += 1) {
          const right = this.x + x / scale, column = Math.floor(right / unit), at = row * level.columns + column;
          if (column >= level.columns || row >= level.rows || at >= level.cells.length || border
              || (gap && (right - Math.floor(right)) * scale < 1)) {
            words[y * wide + x] = colors.paper;
            continue;
          }
          const state = level.cells[at];
          words[y * wide + x] = HATCH[state](x, y) ? colors.hatched[state] : colors.plain[state];
        }
      }
    }

    label(context) {
      const [width, height] = this.size(), { cells } = this.made[this.shown][0];
      context.font = `600 ${Math.min(14, Math.floor(this.scale * 0.6))}px ui-monospace, monospace`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      for (let row = Math.floor(this.y); row < Math.min(this.rows, this.y + height / this.scale); row += 1) {
        for (let column = Math.floor(this.x); column < Math.min(this.columns, this.x + width / this.scale); column += 1) {
          const cell = row * this.columns + column, sign = cell < cells.length ? LOOK.get(cells[cell]).sign : "";
          if (!sign) continue;
          const [x, y] = [(column + 0.5 - this.x) * this.scale, (row + 0.55 - this.y) * this.scale];
          context.lineWidth = 3;
          context.strokeStyle = css("--ring-back");
          context.strokeText(sign, x, y);
          context.fillStyle = css("--ring");
          context.fillText(sign, x, y);
        }
      }
    }

    ring(context, cell, dashes) {
      const size = Math.max(this.scale + 2, 9), middle = this.scale / 2;
      const x = (cell % this.columns - this.x) * this.scale + middle - size / 2;
      const y = (Math.floor(cell / this.columns) - this.y) * this.scale + middle - size / 2;
      context.setLineDash([]);
      context.lineWidth = 5;
      context.strokeStyle = css("--ring-back");
      context.strokeRect(x, y, size, size);
      context.setLineDash(dashes);
      context.lineWidth = 2;
      context.strokeStyle = css("--ring");
      context.strokeRect(x, y, size, size);
    }

    tell() {
      const pfn = this.cursor * this.perCell, name = this.shown === "changes" ? "after" : this.shown;
      const state = (moment) => LOOK.get(this.moments[moment].cells[this.cursor]).name;
      const where = this.perCell === 1 ? `frame ${hex(pfn)}, address ${hex(pfn * 4096)}`
        : `frames ${hex(pfn)} to ${hex(Math.min(this.frames, pfn + this.perCell) - 1)}`;
      const both = this.moments.before && this.moments.after;
      const was = both && state("before") !== state("after") ? `${state("before")} → ${state("after")}` : state(name);
      const lines = [`${where}${this.marked.includes(this.cursor) ? ", of the finding" : ""}: ${was}`];
      const slot = this.perCell === 1 ? slotIn(this.moments[name].windows, pfn) : null;
      const earlier = both && slot && name === "after" ? slotIn(this.moments.before.windows, pfn) : null;
      if (slot) {
        lines.push(Object.entries(slot).filter(([field]) => !field.includes("reserved")).map(([field, value]) => (
          earlier && earlier[field] !== value ? `${field} ${hex(earlier[field])} → ${hex(value)}` : `${field} ${hex(value)}`
        )).join("  "));
      }
      this.readout.textContent = lines.join("\n");
    }

    listen() {
      const DO = {
        before: () => this.show("before"), after: () => this.show("after"), changes: () => this.show("changes"),
        marked: () => this.nextMarked(1), in: () => this.zoomAtCursor(2), out: () => this.zoomAtCursor(0.5),
        whole: () => this.whole(),
      };
      this.element.addEventListener("click", (event) => {
        const button = event.target.closest("button[data-do]");
        if (button) DO[button.dataset.do]();
      });
      const step = () => Math.max(1, Math.round(5 / this.scale));
      const KEYS = {
        ArrowRight: () => this.point(this.cursor + step()), ArrowLeft: () => this.point(this.cursor - step()),
        ArrowDown: () => this.point(this.cursor + this.columns * step()),
        ArrowUp: () => this.point(this.cursor - this.columns * step()),
        Home: () => this.point(0), End: () => this.point(this.cells - 1),
        PageDown: () => this.point(this.cursor + this.columns * 8 * step()),
        PageUp: () => this.point(this.cursor - this.columns * 8 * step()),
        "+": DO.in, "=": DO.in, "-": DO.out, 0: DO.whole, n: DO.marked, p: () => this.nextMarked(-1),
        b: DO.before, a: DO.after, c: DO.changes,
      };
      this.canvas.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.altKey || event.metaKey || !KEYS[event.key]) return;
        event.preventDefault();
        KEYS[event.key]();
      });
      this.canvas.addEventListener("wheel", (event) => {
        // The page scrolls on unless the map was chosen.
        if (document.activeElement !== this.canvas && !event.ctrlKey) return;
        event.preventDefault();
        this.zoom(event.deltaY < 0 ? 1.25 : 0.8, event.offsetX, event.offsetY);
      }, { passive: false });
      let held = null;
      this.canvas.addEventListener("pointerdown", (event) => {
        held = { x: event.offsetX, y: event.offsetY, moved: false };
        this.canvas.setPointerCapture(event.pointerId);
      });
      this.canvas.addEventListener("pointermove", (event) => {
        if (!held) return;
        const [x, y] = [event.offsetX - held.x, event.offsetY - held.y];
        if (!held.moved && Math.abs(x) + Math.abs(y) < 4) return;
        this.pan(-x, -y);
        held = { x: event.offsetX, y: event.offsetY, moved: true };
      });
      this.canvas.addEventListener("pointerup", (event) => {
        if (held && !held.moved) {
          const column = Math.floor(this.x + event.offsetX / this.scale), row = Math.floor(this.y + event.offsetY / this.scale);
          if (column < this.columns && row < this.rows) this.point(row * this.columns + column);
        }
        held = null;
      });
      for (const name of ["focus", "blur"]) this.canvas.addEventListener(name, () => this.draw());
      new ResizeObserver(() => { if (this.shown) this.zoom(1, 0, 0); }).observe(this.canvas);
    }
  }

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      seen.unobserve(entry.target);
      const view = new MemoryMap(entry.target);
      views.push(view);
      view.start().catch(() => entry.target.closest(".memory").classList.add("plain"));
    }
  }, { rootMargin: "800px" });
  document.querySelectorAll(".map").forEach((element) => seen.observe(element));
  paintSwatches(palette());

  // ---- print -----------------------------------------------------------------------------------------

  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));
})();
