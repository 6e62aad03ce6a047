// SPDX-License-Identifier: Apache-2.0
// A figure with its name and the line of what it was.

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 120;
const HEIGHT = 32;

export const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const shape = (name, attributes) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

/** The last `limit` of something, as a line from 0 to the highest. */
class Line {
  #values = [];
  #line = shape('polyline', {});
  #area = shape('polygon', {});

  constructor(limit) {
    this.limit = limit;
    this.svg = shape('svg', { class: 'spark', role: 'img', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none' });
    this.svg.append(this.#area, this.#line);
  }

  add(value, name, format) {
    this.#values.push(value);
    if (this.#values.length > this.limit) this.#values.shift();
    const known = this.#values.filter((one) => one !== null);
    const high = Math.max(...known, 0);
    const at = (one, i) => `${((i + this.limit - this.#values.length) / (this.limit - 1)) * WIDTH},${HEIGHT - (high > 0 ? (one ?? 0) / high : 0) * (HEIGHT - 2) - 1}`;
    const points = this.#values.map(at);
    const left = points[0].split(',')[0];
    this.#line.setAttribute('points', points.join(' '));
    this.#area.setAttribute('points', `${left},${HEIGHT} ${points.join(' ')} ${WIDTH},${HEIGHT}`);
    this.svg.setAttribute('aria-label', `${name}: highest ${format(high)} of ${known.length} values`);
  }
}

export class Tiles {
  #tiles = new Map();
  #list;

  /** Into a <dl>: [{ id, name, format, line: how many values it shows; none: no line }]. */
  constructor(list, rows) {
    this.#list = list;
    for (const row of rows) this.#tiles.set(row.id, { ...row });
    this.clear();
  }

  /** Values by id; null: not known. A tile that is not named keeps what it shows. */
  show(values) {
    for (const [id, value] of Object.entries(values)) {
      const tile = this.#tiles.get(id);
      tile.figure.textContent = typeof value === 'string' ? value : tile.format(value);
      tile.chart?.add(value ?? null, tile.name, tile.format);
    }
  }

  clear() {
    this.#list.replaceChildren();
    for (const tile of this.#tiles.values()) {
      tile.figure = element('dd', { id: `${this.#list.id}-${tile.id}`, textContent: '–' });
      const box = element('div', {}, element('dt', { textContent: tile.name }), tile.figure);
      if (tile.line) {
        tile.chart = new Line(tile.line);
        box.append(element('dd', {}, tile.chart.svg));
      }
      this.#list.append(box);
    }
  }
}
