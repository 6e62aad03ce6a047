// SPDX-License-Identifier: Apache-2.0
// What benchmarks came to: a table for each, with a column for each transport.

import { count, rate, time } from './format.mjs';
import { element } from './tiles.mjs';

const COLUMNS = [
  ['ws', 'WebSocket'],
  ['http', 'HTTP with SSE'],
];

const FIGURES = [
  ['Calls', ({ calls }) => count(calls)],
  ['Failed', ({ errors }) => count(errors)],
  ['Duration', ({ seconds }) => time(seconds * 1000)],
  ['Calls per second', ({ callsPerSecond }) => rate(callsPerSecond)],
  ['Messages per second', ({ messagesPerSecond }) => rate(messagesPerSecond)],
  ['Time to first message, mean', ({ ttfb }) => time(ttfb)],
  ['Jitter, mean', ({ jitter }) => time(jitter)],
  ['A call, p50', ({ p50 }) => time(p50)],
  ['A call, p95', ({ p95 }) => time(p95)],
  ['A call, p99', ({ p99 }) => time(p99)],
];

export class Results {
  #tables = new Map(); // by plan

  constructor(box) {
    this.box = box;
  }

  clear() {
    this.#tables.clear();
    this.box.replaceChildren();
  }

  /** `results` by transport: what bench() gave, for those that have run. */
  show(plan, results) {
    const row = ([name, of]) => {
      const cells = COLUMNS.map(([transport]) => element('td', { className: 'number', textContent: results[transport] ? of(results[transport]) : '–' }));
      return element('tr', {}, element('th', { scope: 'row', textContent: name }), ...cells);
    };
    this.#tableOf(plan).tBodies[0].replaceChildren(...FIGURES.map(row));
  }

  #tableOf(plan) {
    const known = this.#tables.get(plan);
    if (known) return known;
    const { tool, calls, concurrency, bytes, url } = plan;
    const headings = COLUMNS.map(([, textContent]) => element('th', { scope: 'col', className: 'number', textContent }));
    const caption = element('caption', { textContent: `${tool}, ${count(calls)} calls, ${concurrency} at a time, ${count(bytes)} bytes, ${url}` });
    const table = element('table', {}, caption, element('thead', {}, element('tr', {}, element('td'), ...headings)), element('tbody'));
    this.#tables.set(plan, table);
    this.box.append(table);
    return table;
  }
}
