// SPDX-License-Identifier: Apache-2.0
// The Benchmark tab: its form, and its runs one after the other.

import { explain } from './addresses.mjs';
import { argumentsOf, usual } from './arguments.mjs';
import { bench, toolsOf } from './bench.mjs';
import { Results } from './results.mjs';
import { element } from './tiles.mjs';

/** "Run all", with the demo server's tools: latency alone and under load, large messages, streams. */
const ALL = [
  { tool: 'echo', bytes: 100, calls: 300, concurrency: 1 },
  { tool: 'echo', bytes: 200, calls: 1000, concurrency: 32 },
  { tool: 'echo', bytes: 10_000, calls: 300, concurrency: 4 },
  { tool: 'slow_count', bytes: 0, calls: 20, concurrency: 4 },
];

export class BenchTab {
  #page;
  #urlOf;
  #addresses;
  #results;
  #stop;

  constructor(page, urlOf, addresses) {
    this.#page = page;
    this.#urlOf = urlOf;
    this.#addresses = addresses;
    this.#results = new Results(page.results);
    page.arguments.value = usual(page.tool.value);
    page.tool.addEventListener('change', () => (page.arguments.value = usual(page.tool.value)));
    page.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#run(() => [this.#typed()]);
    });
    page.all.addEventListener('click', () => this.#run(() => ALL.map((plan) => ({ ...plan, args: argumentsOf(usual(plan.tool), plan.bytes) }))));
    page.stop.addEventListener('click', () => this.#stop?.abort());
  }

  async #run(plansOf) {
    if (this.#stop) return;
    const { trouble, state } = this.#page;
    let url;
    trouble.hidden = true;
    this.#turn(new AbortController());
    state.textContent = 'connecting …';
    try {
      url = this.#urlOf();
      const transports = this.#transports();
      const plans = plansOf().map((plan) => ({ ...plan, url }));
      await this.#mustHave(url, plans);
      await this.#each(plans, transports);
      state.textContent = this.#stop.signal.aborted ? 'stopped' : 'done';
    } catch (error) {
      state.textContent = '';
      this.#tell(await explain(error, url, this.#addresses));
    }
    this.#turn(undefined);
  }

  #transports() {
    const transports = [...this.#page.form.querySelectorAll('[name=transport]:checked')].map(({ value }) => value);
    if (transports.length === 0) throw new Error('Choose a transport: WebSocket, HTTP with SSE, or both.');
    return transports;
  }

  #typed() {
    const { tool, calls, concurrency, size, arguments: typed } = this.#page;
    const bytes = size.valueAsNumber;
    return { tool: tool.value, bytes, args: argumentsOf(typed.value, bytes), calls: calls.valueAsNumber, concurrency: concurrency.valueAsNumber };
  }

  async #mustHave(url, plans) {
    const names = await toolsOf(url);
    this.#page.tools.replaceChildren(...names.map((value) => element('option', { value })));
    const missing = plans.find(({ tool }) => !names.includes(tool));
    if (missing) throw new Error(`The server has no tool "${missing.tool}". It has: ${names.join(', ') || 'none'}.`);
  }

  async #each(plans, transports) {
    const { progress } = this.#page;
    let before = 0;
    progress.max = plans.reduce((sum, { calls }) => sum + calls * transports.length, 0);
    this.#results.clear();
    for (const plan of plans) {
      const results = {};
      for (const transport of transports) {
        if (this.#stop.signal.aborted) return;
        this.#page.state.textContent = `${plan.tool} over ${transport === 'ws' ? 'WebSocket' : 'HTTP with SSE'} …`;
        results[transport] = await bench({ ...plan, transport, signal: this.#stop.signal, onStep: (done) => (progress.value = before + done) });
        before += plan.calls;
        this.#results.show(plan, results);
        if (results[transport].why && this.#page.trouble.hidden) this.#tell(`The first failure: ${results[transport].why}`);
      }
    }
  }

  #turn(stop) {
    const { start, all, stop: button, progress } = this.#page;
    this.#stop = stop;
    start.disabled = all.disabled = Boolean(stop);
    button.disabled = !stop;
    progress.hidden = !stop;
    progress.value = 0;
  }

  #tell(trouble) {
    this.#page.trouble.textContent = trouble;
    this.#page.trouble.hidden = false;
  }
}
