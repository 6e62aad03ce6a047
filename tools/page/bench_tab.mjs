// SPDX-License-Identifier: Apache-2.0
// The Benchmark tab: its form, its runs one after the other, and the two columns of figures.

import { explain } from './addresses.mjs';
import { argumentsOf, usual } from './arguments.mjs';
import { bench, toolsOf } from './bench.mjs';
import { count, rate, time } from './format.mjs';
import { element } from './tiles.mjs';

const COLUMNS = ['ws', 'http'];

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

export class BenchTab {
  #page;
  #urlOf;
  #addresses;
  #stop;

  constructor(page, urlOf, addresses) {
    this.#page = page;
    this.#urlOf = urlOf;
    this.#addresses = addresses;
    page.args.value = usual(page.tool.value);
    page.tool.addEventListener('change', () => (page.args.value = usual(page.tool.value)));
    page.form.addEventListener('submit', (event) => {
      event.preventDefault();
      if (!this.#stop) this.#run();
    });
    page.stop.addEventListener('click', () => this.#stop?.abort());
  }

  async #run() {
    const { trouble, state } = this.#page;
    let url;
    trouble.hidden = true;
    this.#turn(new AbortController());
    state.textContent = 'connecting …';
    try {
      url = this.#urlOf();
      const plan = this.#plan(url);
      await this.#mustHave(url, plan.tool);
      await this.#all(plan);
      state.textContent = this.#stop.signal.aborted ? 'stopped' : 'done';
    } catch (error) {
      state.textContent = '';
      this.#tell(await explain(error, url, this.#addresses));
    }
    this.#turn(undefined);
  }

  #plan(url) {
    const { form, tool, calls, concurrency, size, args } = this.#page;
    const transports = [...form.querySelectorAll('[name=transport]:checked')].map(({ value }) => value);
    if (transports.length === 0) throw new Error('Choose a transport: WebSocket, HTTP with SSE, or both.');
    const bytes = size.valueAsNumber;
    return { url, transports, tool: tool.value, bytes, args: argumentsOf(args.value, bytes), calls: calls.valueAsNumber, concurrency: concurrency.valueAsNumber };
  }

  async #mustHave(url, tool) {
    const names = await toolsOf(url);
    this.#page.tools.replaceChildren(...names.map((value) => element('option', { value })));
    if (!names.includes(tool)) throw new Error(`The server has no tool "${tool}". It has: ${names.join(', ') || 'none'}.`);
  }

  async #all({ transports, ...plan }) {
    const { progress, state } = this.#page;
    const results = {};
    progress.value = 0;
    progress.max = transports.length * plan.calls;
    this.#show(plan, results);
    for (const [i, transport] of transports.entries()) {
      if (this.#stop.signal.aborted) return;
      state.textContent = transport === 'ws' ? 'over WebSocket …' : 'over HTTP with SSE …';
      const onStep = (done) => (progress.value = i * plan.calls + done);
      results[transport] = await bench({ ...plan, transport, signal: this.#stop.signal, onStep });
      this.#show(plan, results);
    }
  }

  #show({ url, tool, calls, concurrency, bytes }, results) {
    const { table } = this.#page;
    const row = ([name, of]) => {
      const cells = COLUMNS.map((transport) => element('td', { className: 'number', textContent: results[transport] ? of(results[transport]) : '–' }));
      return element('tr', {}, element('th', { scope: 'row', textContent: name }), ...cells);
    };
    table.caption.textContent = `${tool}, ${count(calls)} calls, ${concurrency} at a time, ${count(bytes)} bytes, ${url}`;
    table.tBodies[0].replaceChildren(...FIGURES.map(row));
    table.hidden = false;
    const why = Object.values(results).find((one) => one.why)?.why;
    if (why) this.#tell(`The first failure: ${why}`);
  }

  #turn(stop) {
    const { start, stop: button, progress } = this.#page;
    this.#stop = stop;
    start.disabled = Boolean(stop);
    button.disabled = !stop;
    progress.hidden = !stop;
  }

  #tell(trouble) {
    this.#page.trouble.textContent = trouble;
    this.#page.trouble.hidden = false;
  }
}
