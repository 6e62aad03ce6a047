// SPDX-License-Identifier: Apache-2.0
// The gateway's own figures: those of all workers, the open streams, and the one that was chosen.

import { age, byteRate, bytes, count, rate, time } from './format.mjs';
import { Tiles, element } from './tiles.mjs';

const MINUTE = 60;
const ROWS_MAX = 100;

const TOTALS = [
  { id: 'requests', name: 'Requests', format: rate, of: (change) => change.rate('requests_begun') },
  { id: 'events', name: 'Events', format: rate, of: (change) => change.rate('events') },
  { id: 'streams', name: 'Open streams', format: count, of: (change) => change.total('streams_open') },
  { id: 'clients', name: 'Clients connected', format: count, of: (change) => change.total('connections_open') },
  { id: 'sent', name: 'Sent to clients', format: byteRate, of: (change) => change.rate('client_sent') },
  { id: 'queued', name: 'Queued for slow readers', format: bytes, of: (change) => change.total('queued_bytes') },
  { id: 'latency', name: 'A request, mean', format: time, of: (change) => change.mean('request_latency') },
  { id: 'gateway', name: 'In the gateway, mean', format: time, of: (change) => change.mean('in_gateway') },
];

const STREAM = [
  { id: 'events', name: 'Events', format: rate, line: MINUTE },
  { id: 'bytes', name: 'Bytes', format: byteRate, line: MINUTE },
  { id: 'queued', name: 'Queued, at its last event', format: bytes, line: MINUTE },
  { id: 'age', name: 'Age', format: age },
  { id: 'sum', name: 'Events so far', format: count },
];

export class Live {
  #page;
  #totals;
  #chosenTiles;
  #rows = new Map(); // of the table, by stream
  #streams = new Map(); // what they were before
  #chosen; // id
  #change; // the last

  constructor(page) {
    this.#page = page;
    this.#totals = new Tiles(page.tiles, TOTALS.map((row) => ({ ...row, line: MINUTE })));
    this.#chosenTiles = new Tiles(page.figures, STREAM);
    page.filter.addEventListener('input', () => this.#list());
  }

  show(change) {
    this.#change = change;
    this.#page.state.textContent = this.#headline(change.now);
    this.#totals.show(Object.fromEntries(TOTALS.map(({ id, of }) => [id, of(change)])));
    this.#list();
    this.#showChosen();
    this.#streams = new Map(change.now.streams.map((stream) => [stream.id, stream]));
  }

  trouble(error) {
    this.#page.state.textContent = `No statistics: ${error.message}. Is mcpgate running? The page goes on trying.`;
  }

  #headline({ gateway, workers }) {
    const alive = workers.filter(({ role, alive: lives }) => lives && role === 'worker').length;
    const up = (Date.parse(gateway.time) - Date.parse(gateway.start)) / 1000;
    return `${gateway.version}, generation ${gateway.generation}, up ${age(up)}, ${alive} worker${alive === 1 ? '' : 's'}`;
  }

  /** The rows stay what they are from one second to the next, so that the focus does, too. */
  #list() {
    if (!this.#change) return;
    const all = this.#change.now.streams;
    const wanted = this.#page.filter.value.trim().toLowerCase();
    const found = all.filter(({ id, upstream, method }) => [id, upstream, method].some((text) => text.toLowerCase().includes(wanted)));
    const shown = found.sort((a, b) => b.age - a.age).slice(0, ROWS_MAX);
    const ids = new Set(shown.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    for (const stream of shown) this.#fill(this.#rowOf(stream.id), stream);
    this.#page.count.textContent = all.length === 0 ? 'none is open' : `${count(shown.length)} of ${count(all.length)}, the oldest first`;
  }

  #rowOf(id) {
    const known = this.#rows.get(id);
    if (known) return known;
    const button = element('button', { type: 'button', textContent: id });
    button.setAttribute('aria-pressed', 'false');
    button.addEventListener('click', () => this.#choose(id));
    const cells = Array.from({ length: 7 }, (_, i) => element('td', { className: i < 2 ? '' : 'number' }));
    const row = element('tr', {}, element('td', {}, button), ...cells);
    this.#rows.set(id, row);
    this.#page.rows.append(row);
    return row;
  }

  #fill(row, stream) {
    const texts = [stream.upstream, stream.method, age(stream.age), age(stream.quiet), count(stream.events), bytes(stream.bytes), bytes(stream.queued_bytes)];
    texts.forEach((text, i) => (row.cells[i + 1].textContent = text));
    row.cells[0].firstChild.setAttribute('aria-pressed', String(stream.id === this.#chosen));
  }

  #choose(id) {
    this.#chosen = this.#chosen === id ? undefined : id;
    this.#chosenTiles.clear();
    this.#list();
    this.#showChosen();
  }

  #showChosen() {
    const { chosen, title } = this.#page;
    chosen.hidden = this.#chosen === undefined;
    if (chosen.hidden) return;
    const stream = this.#change.now.streams.find(({ id }) => id === this.#chosen);
    title.textContent = stream ? `Stream ${stream.id}: ${stream.upstream}, ${stream.method}` : `Stream ${this.#chosen} has ended`;
    if (!stream) return;
    const before = this.#streams.get(stream.id);
    const { seconds } = this.#change;
    const grown = (key) => (before && seconds > 0 ? (stream[key] - before[key]) / seconds : null);
    this.#chosenTiles.show({ events: grown('events'), bytes: grown('bytes'), queued: stream.queued_bytes, age: stream.age, sum: stream.events });
  }
}
