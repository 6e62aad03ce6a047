// SPDX-License-Identifier: Apache-2.0
// Prometheus text as numbers. The ids are those of include/mcpgate/metrics.def.

export class Metrics {
  constructor(text) {
    this.text = text;
    this.samples = [];
    for (const line of text.split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      const match = line.match(/^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/);
      if (!match) throw new Error(`not a Prometheus sample: ${line}`);
      const labels = {};
      for (const [, name, value] of (match[2] ?? '').matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?/g)) labels[name] = value;
      this.samples.push({ name: match[1], labels, value: Number(match[3]) });
    }
  }

  /** The samples of one metric; `labels` narrows. */
  of(id, labels = {}) {
    const names = new Set([`mcpgate_${id}`, `mcpgate_${id}_total`, `mcpgate_${id}_bytes`, `mcpgate_${id}_bytes_total`, `mcpgate_${id}_seconds_count`]);
    return this.samples.filter((s) => names.has(s.name) && Object.entries(labels).every(([k, v]) => s.labels[k] === v));
  }

  sum(id, labels) {
    const found = this.of(id);
    if (found.length === 0 && labels === undefined) throw new Error(`no metric ${id}`);
    return this.of(id, labels).reduce((sum, s) => sum + s.value, 0);
  }

  /** What does not add up, as text; '' when all does. */
  imbalance() {
    const off = [];
    const equal = (what, a, b) => a !== b && off.push(`${what}: ${a} != ${b}`);
    // A stream may wait for its client to come back.
    equal('exchanges_open', this.sum('exchanges_open'), this.sum('streams_waiting'));
    equal('buffers taken, returned', this.sum('buffers_taken'), this.sum('buffers_returned'));
    // What the access log will say of one lies there.
    const held = this.sum('slab_taken') - this.sum('slab_returned');
    if (held < 0 || held > this.sum('streams_waiting')) off.push(`slab taken, not returned: ${held}`);
    equal('queued_bytes', this.sum('queued_bytes'), 0);
    for (const { labels, value } of this.of('transport_queued')) equal(`transport_queued ${JSON.stringify(labels)}`, value, 0);
    equal('streams_open', this.sum('streams_open'), this.sum('streams_waiting'));
    equal('tunnels_open', this.sum('tunnels_open'), 0);
    equal('connections accepted, closed + open', this.sum('connections_accepted'), this.sum('connections_closed') + this.sum('connections_open'));
    return off.join('; ');
  }
}
