// SPDX-License-Identifier: Apache-2.0
// How long calls took, how soon they began to answer, how evenly. All over the last 1,000 of each.

const WINDOW = 1000;

/** The last 1,000 of something. */
class Ring {
  #items = [];
  #next = 0;

  add(item) {
    this.#items[this.#next] = item;
    this.#next = (this.#next + 1) % WINDOW;
  }

  get items() {
    return this.#items;
  }

  get mean() {
    return this.#items.length === 0 ? null : this.#items.reduce((a, b) => a + b, 0) / this.#items.length;
  }
}

/** The smallest of `sorted` that at least the share `p` of them does not exceed. */
export const percentile = (sorted, p) => (sorted.length === 0 ? null : sorted[Math.max(0, Math.ceil(sorted.length * p) - 1)]);

export class CallStats {
  #calls = new Ring();

  record(begin, end, failed) {
    this.#calls.add({ begin, end, failed });
  }

  get() {
    const calls = this.#calls.items;
    const times = calls.filter(({ failed }) => !failed).map(({ begin, end }) => end - begin).sort((a, b) => a - b);
    let first = Infinity;
    let last = -Infinity;
    for (const { begin, end } of calls) {
      first = Math.min(first, begin);
      last = Math.max(last, end);
    }
    return {
      calls: calls.length,
      errors: calls.length - times.length,
      p50: percentile(times, 0.5),
      p95: percentile(times, 0.95),
      p99: percentile(times, 0.99),
      throughput: last > first ? (times.length / (last - first)) * 1000 : 0,
    };
  }
}

/** Time to the first message of each call, and by how much the gaps between its messages differ. */
export class StreamMetrics {
  #ttfb = new Ring();
  #jitter = new Ring();
  last = null;

  /** A message of this call has come. */
  message(call, now) {
    if (call.lastMessage === undefined) {
      this.last = now - call.sent;
      this.#ttfb.add(this.last);
    } else {
      const gap = now - call.lastMessage;
      if (call.gap !== undefined) this.#jitter.add(Math.abs(gap - call.gap));
      call.gap = gap;
    }
    call.lastMessage = now;
  }

  get() {
    return { ttfb: this.#ttfb.mean, lastTtfb: this.last, avgJitter: this.#jitter.mean };
  }
}

/** Entries in the performance timeline, which keeps everything for good: ours go again, the oldest first. */
export class Marks {
  #kept = [];

  mark(call, what) {
    performance.mark(`mcpgate:${call.id}:${what}`);
  }

  measure(call, name, detail) {
    const marks = ['sent', 'first', 'end'].map((what) => `mcpgate:${call.id}:${what}`);
    const has = (mark) => performance.getEntriesByName(mark, 'mark').length > 0;
    const [sent, first, end] = marks;
    const measures = [];
    const add = (label, to) => {
      measures.push(`mcpgate:${label} ${name} #${call.id}`);
      performance.measure(measures.at(-1), { start: sent, end: to, detail });
    };
    if (has(sent) && has(first)) add('ttfb', first);
    if (has(sent)) add('call', end);
    for (const mark of marks) performance.clearMarks(mark);
    this.#kept.push(measures);
    if (this.#kept.length > WINDOW) for (const old of this.#kept.shift()) performance.clearMeasures(old);
  }
}
