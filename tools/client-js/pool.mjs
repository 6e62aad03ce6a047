// SPDX-License-Identifier: Apache-2.0
// Several connections to several servers that are as good as each other. A call goes where the fewest are under way.

import { McpStreamingClient } from './client.mjs';
import { McpClientError } from './errors.mjs';
import { CallStats } from './stats.mjs';

const RETRY_MS = 5000; // how long a connection that was given up is left alone

export class McpClientPool {
  #members = [];
  #turn = 0;
  #stats = new CallStats();
  #closed = false;

  /** `servers`: URLs, or options of a client each; `connections`: to each of them. The rest goes to every client. */
  constructor({ servers, connections = 1, ...shared }) {
    if (!(servers?.length > 0)) throw new McpClientError('protocol', 'servers is missing: new McpClientPool({ servers: ["http://localhost:8080"] })');
    for (const server of servers) {
      const options = { ...shared, ...(typeof server === 'object' && !(server instanceof URL) ? server : { serverUrl: server }) };
      for (let i = 0; i < connections; i++) this.#members.push({ client: new McpStreamingClient(options), url: String(options.serverUrl), triedAt: -Infinity, calls: 0 });
    }
  }

  /** Done when one connection is there; the others follow. */
  async connect() {
    try {
      await Promise.any(this.#members.map((member) => this.#try(member)));
    } catch (error) {
      throw new McpClientError('connection', `none of ${this.#members.length} connections: ${error.errors.map(({ message }) => message).join('; ')}`, { cause: error, unsent: true });
    }
  }

  /** There is nothing left to do after connect(); for code that is written for a single client. */
  async initialize() {
    await this.connect();
    return this.#members.find(({ client }) => client.serverInfo)?.client.serverInfo ?? null;
  }

  callTool(name, args, onProgress, options) {
    if (typeof onProgress === 'object' && onProgress !== null) return this.callTool(name, args, onProgress.onProgress, onProgress);
    return this.#spread(options, (client, more) => client.callTool(name, args, onProgress, more));
  }

  request(method, params, options) {
    return this.#spread(options, (client, more) => client.request(method, params, more));
  }

  async listTools() {
    return this.#pick(new Set()).client.listTools();
  }

  getStats() {
    return this.#stats.get();
  }

  /** Of each connection, with its server and how many calls it was given. */
  getMetrics() {
    return this.#members.map(({ client, url, calls }) => ({ serverUrl: url, calls, ...client.getMetrics() }));
  }

  async close() {
    this.#closed = true;
    await Promise.all(this.#members.map(({ client }) => client.close()));
  }

  #try(member) {
    member.triedAt = performance.now();
    return member.client.connect();
  }

  /** To one after the other, while it is safe to. */
  async #spread(options = {}, send) {
    const begin = performance.now();
    const tried = new Set();
    for (;;) {
      const member = this.#pick(tried);
      tried.add(member);
      member.calls++;
      try {
        const result = await send(member.client, { ...options, once: true });
        this.#stats.record(begin, performance.now(), false);
        return result;
      } catch (error) {
        const safe = error.unsent || (options.idempotent && ['connection', 'lost', 'session'].includes(error.kind));
        if (safe && error.kind !== 'timeout' && tried.size < this.#members.length && !this.#closed) continue;
        this.#stats.record(begin, performance.now(), true);
        throw error;
      }
    }
  }

  /** Connected ones before others, then the fewest calls, then in turn. */
  #pick(tried) {
    const now = performance.now();
    for (const member of this.#members) {
      if (member.client.state === 'idle' && now - member.triedAt > RETRY_MS) this.#try(member).catch(() => {});
    }
    const down = ({ client }) => (client.state === 'connected' ? 0 : 1);
    let best;
    this.#turn = (this.#turn + 1) % this.#members.length;
    for (let i = 0; i < this.#members.length; i++) {
      const member = this.#members[(this.#turn + i) % this.#members.length];
      if (tried.has(member)) continue;
      if (!best || down(member) - down(best) < 0 || (down(member) === down(best) && member.client.pending < best.client.pending)) best = member;
    }
    return best;
  }
}
