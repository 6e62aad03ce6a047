// SPDX-License-Identifier: Apache-2.0
// A stream that the page itself opens, and what its client measures of it.

import { McpStreamingClient } from '../client-js/index.mjs';
import { percentile } from '../client-js/stats.mjs';
import { explain } from './addresses.mjs';
import { argumentsOf } from './arguments.mjs';
import { count, time } from './format.mjs';
import { Tiles } from './tiles.mjs';

const GAPS_MAX = 1000;
const TEXT_MAX = 4000; // characters that stay in sight
const DRAW_MS = 100;

const FIGURES = [
  { id: 'transport', name: 'Transport' },
  { id: 'messages', name: 'Messages', format: count },
  { id: 'ttfb', name: 'Time to first message', format: time },
  { id: 'jitter', name: 'Jitter, mean', format: time },
  { id: 'gap', name: 'Gap between messages', format: time, line: 120 },
  { id: 'p50', name: 'Gaps, p50', format: time },
  { id: 'p95', name: 'Gaps, p95', format: time },
  { id: 'p99', name: 'Gaps, p99', format: time },
];

const NAMES = { ws: 'WebSocket', http: 'HTTP with SSE' };

/** The gaps between the messages of one stream, the last of them. */
class Gaps {
  #gaps = [];
  #last;
  messages = 0;
  newest = null;

  message(now) {
    if (this.#last !== undefined) {
      this.newest = now - this.#last;
      this.#gaps.push(this.newest);
      if (this.#gaps.length > GAPS_MAX) this.#gaps.shift();
    }
    this.#last = now;
    this.messages++;
  }

  get figures() {
    const sorted = [...this.#gaps].sort((a, b) => a - b);
    return { messages: this.messages, gap: this.newest, p50: percentile(sorted, 0.5), p95: percentile(sorted, 0.95), p99: percentile(sorted, 0.99) };
  }
}

export class OwnStream {
  #page;
  #tiles;
  #urlOf;
  #addresses;
  #stop; // an AbortController while one runs

  constructor(page, urlOf, addresses) {
    this.#page = page;
    this.#urlOf = urlOf;
    this.#addresses = addresses;
    this.#tiles = new Tiles(page.tiles, FIGURES);
    page.form.addEventListener('submit', (event) => {
      event.preventDefault();
      if (!this.#stop) this.#run();
    });
    page.stop.addEventListener('click', () => this.#stop?.abort());
  }

  async #run() {
    const { text, trouble } = this.#page;
    let url;
    let client;
    trouble.hidden = true;
    text.hidden = false;
    text.textContent = '';
    this.#tiles.clear();
    this.#turn(new AbortController(), 'connecting …');
    try {
      url = this.#urlOf();
      const args = argumentsOf(this.#page.arguments.value);
      client = new McpStreamingClient({ serverUrl: url, preferWs: this.#page.transport.value !== 'http', reconnect: false, wsRetry: 0 });
      await client.connect();
      await this.#call(client, args);
      this.#turn(undefined, 'ended');
    } catch (error) {
      const stopped = error.kind === 'cancelled';
      this.#turn(undefined, stopped ? 'stopped' : '');
      if (!stopped) this.#tell(await explain(error, url, this.#addresses));
    } finally {
      await client?.close();
    }
  }

  async #call(client, args) {
    const gaps = new Gaps();
    const { text, tool } = this.#page;
    const draw = () => {
      const { ttfb, avgJitter } = client.getMetrics();
      this.#tiles.show({ transport: NAMES[client.transport] ?? '–', ttfb, jitter: avgJitter, ...gaps.figures });
      text.scrollTop = text.scrollHeight;
    };
    const drawing = setInterval(draw, DRAW_MS);
    this.#turn(this.#stop, 'running');
    try {
      const result = await client.callTool(tool.value, args, (token, value) => {
        gaps.message(performance.now());
        text.textContent = `${text.textContent}${value.message ?? `${value.progress} `}`.slice(-TEXT_MAX);
      }, { signal: this.#stop.signal });
      const said = result.content?.map((part) => part.text ?? `[${part.type}]`).join('') ?? '';
      if (gaps.messages === 0) text.textContent = said.slice(-TEXT_MAX);
      if (result.isError) this.#tell(`The tool failed: ${said}`);
    } finally {
      clearInterval(drawing);
      draw();
    }
  }

  #turn(stop, state) {
    this.#stop = stop;
    this.#page.stop.disabled = !stop;
    this.#page.start.disabled = Boolean(stop);
    this.#page.state.textContent = state;
  }

  #tell(trouble) {
    this.#page.trouble.textContent = trouble;
    this.#page.trouble.hidden = false;
  }
}
