// SPDX-License-Identifier: Apache-2.0
// WebSockets call their upstreams all the time while a worker is killed every second. A kill ends the connections of its
// worker and costs the calls that are open on them, at most; the others never notice, and no call is made twice.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import WebSocket from 'ws';
import { program } from './lib/gateway.mjs';
import { call, modernCall, request } from './lib/mcp.mjs';
import { long, until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const [clients, open, kills] = long ? [200, 4, 50] : [24, 4, 6];
const MS = long ? 300_000 : 60_000;
const LEGACY = '2025-06-18';

/** A client that keeps some calls open, and comes back when its connection breaks. */
class Caller {
  constructor(url, tool, modern, books) {
    Object.assign(this, { url, tool, modern, books, pending: new Map(), stopped: false, ids: 0 });
    this.#connect();
  }

  #connect() {
    this.socket = new WebSocket(this.url, { perMessageDeflate: false });
    this.socket.on('error', () => {});
    this.socket.on('open', () => (this.modern ? this.#fill() : this.#say(request('hello', 'initialize', { protocolVersion: LEGACY, capabilities: {}, clientInfo: { name: 'c', version: '1' } }))));
    this.socket.on('message', (data) => this.#hear(JSON.parse(data)));
    this.socket.on('close', (code) => this.#lost(code));
  }

  #say(message) {
    this.socket.send(message);
  }

  #hear({ id, result, error }) {
    if (id === 'hello') {
      this.#say(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' }));
      this.#fill();
      return;
    }
    const token = this.pending.get(id);
    this.pending.delete(id);
    if (!token) this.books.faults.push(`an answer to ${id}, which is not open`);
    else if (error || !result.content[0].text.endsWith(token)) this.books.faults.push(JSON.stringify({ token, result, error }));
    else this.books.answered.push(token);
    this.#fill();
  }

  #fill() {
    while (!this.stopped && this.pending.size < open && this.socket.readyState === WebSocket.OPEN) {
      const id = ++this.ids;
      const token = `t${this.books.issued++}`;
      this.pending.set(id, token);
      this.#say((this.modern ? modernCall : call)(id, this.tool, { message: token }));
    }
  }

  #lost(code) {
    this.books.lost.push(...this.pending.values());
    this.pending.clear();
    if (this.stopped) return;
    this.books.broken++;
    if (code !== 1006) this.books.faults.push(`closed with ${code}`);
    setTimeout(() => this.#connect(), 20);
  }
}

/** How often each token's call was made at an upstream. */
function executions(dir) {
  const ran = new Map();
  for (const file of readdirSync(dir).filter((name) => name.endsWith('.log')))
    for (const line of readFileSync(join(dir, file), 'utf8').split('\n').filter((l) => l.startsWith('{'))) {
      const { method, params } = JSON.parse(line);
      if (method === 'tools/call') ran.set(params.arguments.message, (ran.get(params.arguments.message) ?? 0) + 1);
    }
  return ran;
}

promise('WebSockets come back while a worker is killed every second, and no call is made twice', async (world) => {
  const dir = world.directory();
  const logged = (name, revision) => `stdio:sh -c "tee -a '${dir}/${name}'.$$.log | exec '${program('mcpgate')}' demo --stdio --revision ${revision}"`;
  const remote = await world.gateway({ upstreams: { d: logged('ws', '2026-07-28') }, workers: 1 });
  const upstreams = { own: logged('own', '2025-11-25'), shared: logged('shared', '2026-07-28'), ws: `${remote.url.replace('http', 'ws')}/ws/d` };
  const gateway = await world.gateway({ upstreams, workers: 3, args: ['--stdio-max', '600'] });
  const books = { issued: 0, answered: [], lost: [], faults: [], broken: 0 };
  const url = `${gateway.url.replace('http', 'ws')}/ws`;
  const tools = ['own__echo', 'shared__echo', 'ws__echo'];
  const callers = Array.from({ length: clients }, (_, i) => new Caller(url, tools[i % tools.length], i % 2 === 0, books));
  world.atEnd(() => callers.forEach(({ socket }) => socket.terminate()));
  await until('all are served', () => books.answered.length > 4 * clients);

  for (let i = 0; i < kills; i++) {
    const workers = gateway.children('worker');
    const [before, open] = [books.answered.length, books.broken];
    const { pid } = workers[i % workers.length];
    process.kill(pid, 'SIGKILL');
    await until('its place is taken, and the calls go on', () => {
      const now = gateway.children('worker');
      return now.length === 3 && !now.some((worker) => worker.pid === pid) && books.answered.length > before + 4 * clients;
    });
    assert.ok(books.broken - open <= clients, 'a kill breaks each connection once at most');
  }
  for (const caller of callers) caller.stopped = true;
  await until(() => `what is open is answered: ${callers.reduce((n, { pending }) => n + pending.size, 0)}`, () => callers.every(({ pending }) => pending.size === 0));
  console.log(`# ${books.answered.length} answered, ${books.lost.length} lost with ${books.broken} connections in ${kills} kills`);
  assert.deepEqual(books.faults, []);
  assert.ok(books.broken >= kills, 'connections are spread over all workers');
  assert.ok(books.lost.length <= open * books.broken, 'only what was open on a connection that broke is lost');
  assert.equal(new Set(books.answered).size, books.answered.length, 'nothing is answered twice');
  for (const { socket } of callers) socket.close();
  await gateway.finish(); // before the one that it is connected to
  const ran = executions(dir);
  assert.deepEqual([...ran].filter(([, times]) => times > 1), [], 'nothing ran twice');
  for (const token of books.answered) assert.ok(ran.has(token), `${token} was answered, and never ran`);
}, { ms: MS });
