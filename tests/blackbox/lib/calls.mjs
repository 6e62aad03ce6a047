// SPDX-License-Identifier: Apache-2.0
// Many calls a second over keep-alive connections, each with an id and a token of its own, so that every reply can be
// told from every other. Of a reply that is a stream the response counts, and what comes before it does not.

import { existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import net from 'node:net';
import { CRLF, call, post, request } from './mcp.mjs';
import { until, within } from './wait.mjs';

const REVISION = '2025-06-18'; // a call of 2025-11-25 that takes a second becomes a stream
const HEAD_END = Buffer.from('\r\n\r\n');

/** Where a chunked body that begins at `at` ends, and its text; undefined: it is not whole. */
function readChunks(bytes, at) {
  for (let text = ''; ; ) {
    const line = bytes.indexOf('\r\n', at);
    const size = line < 0 ? NaN : parseInt(bytes.toString('latin1', at, line), 16);
    if (!(line + 2 + size + 2 <= bytes.length)) return undefined;
    if (size === 0) return { end: line + 4, text };
    text += bytes.toString('utf8', line + 2, line + 2 + size);
    at = line + 2 + size + 2;
  }
}

/** The data of the event that is a response. */
const responseOf = (stream) =>
  stream.split('\n\n').map((event) => event.split('\n').filter((line) => line.startsWith('data: ')).map((line) => line.slice(6)).join('\n')).findLast((data) => /"(result|error)":/.test(data)) ?? stream;

class Connection {
  constructor(load) {
    this.load = load;
    this.open = undefined; // the exchange in progress
    this.bytes = Buffer.alloc(0);
    this.socket = net.connect({ host: '127.0.0.1', port: load.port, noDelay: true });
    this.socket.on('data', (chunk) => this.#take(chunk));
    this.socket.on('error', () => {});
    this.socket.on('close', () => this.#end());
  }

  send(exchange) {
    this.open = exchange;
    this.socket.write(exchange.bytes);
  }

  #take(chunk) {
    this.bytes = this.bytes.length ? Buffer.concat([this.bytes, chunk]) : chunk;
    const at = this.bytes.indexOf(HEAD_END);
    if (at < 0) return;
    const head = this.bytes.toString('latin1', 0, at);
    const begin = at + HEAD_END.length;
    const length = head.match(/\r\ncontent-length: (\d+)/i);
    const stream = length ? undefined : readChunks(this.bytes, begin);
    const end = length ? begin + Number(length[1]) : stream?.end;
    if (end === undefined || this.bytes.length < end) return;
    const body = stream ? responseOf(stream.text) : this.bytes.toString('utf8', begin, end);
    this.bytes = this.bytes.subarray(end);
    if (!this.open) return this.load.wrong(`a reply to nothing: ${head} ${body}`);
    if (this.bytes.length) this.load.wrong(`more than a reply: ${this.bytes}`);
    const exchange = this.open;
    this.open = undefined;
    if (/\r\nconnection: close/i.test(head)) this.socket.end();
    else this.load.idle.push(this);
    exchange.done({ status: Number(head.slice(9, 12)), head, body });
    this.load.next();
  }

  #end() {
    this.load.connections.delete(this);
    const at = this.load.idle.indexOf(this);
    if (at >= 0) this.load.idle.splice(at, 1);
    const exchange = this.open;
    this.open = undefined;
    exchange?.done(undefined);
    this.load.next();
  }
}

/** What a descriptor leads to; '' when it was closed meanwhile. */
function target(path) {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/** The ports of those who are connected to a process of ours at `port`. */
function peerPorts(pid, port) {
  const sockets = new Set(readdirSync(`/proc/${pid}/fd`).map((fd) => target(`/proc/${pid}/fd/${fd}`)));
  const rows = readFileSync('/proc/net/tcp', 'latin1').trim().split('\n').slice(1).map((row) => row.trim().split(/\s+/));
  const portOf = (address) => parseInt(address.slice(-4), 16);
  return new Set(rows.filter((row) => portOf(row[1]) === port && sockets.has(`socket:[${row[9]}]`)).map((row) => portOf(row[2])));
}

export class Load {
  connections = new Set();
  idle = [];
  waiting = [];
  open = new Set(); // calls without an answer
  dying = 0; // kills of which the kernel has not closed all connections yet
  answered = 0;
  failed = []; // {token, why}
  faults = []; // what must never be
  issued = 0;
  inFlight = 0; // calls that were open while a worker was dying

  constructor(port, { max = 256 } = {}) {
    this.port = port;
    this.max = max;
  }

  wrong(what) {
    if (this.faults.length < 20) this.faults.push(what);
  }

  /** One exchange on whatever connection is free; {status, head, body}, or undefined when its connection ended. */
  exchange(bytes) {
    return new Promise((done) => this.#begin({ bytes, done }));
  }

  #begin(exchange) {
    if (this.idle.length) {
      // Any of them, so that a session meets every worker.
      const at = Math.floor(Math.random() * this.idle.length);
      const [connection] = this.idle.splice(at, 1);
      connection.send(exchange);
    } else if (this.connections.size < this.max) {
      const connection = new Connection(this);
      this.connections.add(connection);
      connection.send(exchange);
    } else this.waiting.push(exchange);
  }

  /** A connection has come free, or has gone. */
  next() {
    const exchange = this.waiting.shift();
    if (exchange) this.#begin(exchange);
  }

  async session(target) {
    const reply = await this.exchange(post(target, request(0, 'initialize', { protocolVersion: REVISION, capabilities: {}, clientInfo: { name: 'load', version: '1' } })));
    const id = reply?.head.match(/\r\nmcp-session-id: (\S+)/i);
    if (reply?.status !== 200 || !id) throw new Error(`initialize: ${JSON.stringify(reply)}`);
    const fields = [`MCP-Protocol-Version: ${REVISION}`, `Mcp-Session-Id: ${id[1]}`];
    await this.exchange(post(target, JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' }), ...fields));
    return { target, fields: fields.join(CRLF) };
  }

  /** Calls echo with a token of its own; true when it came back. */
  async call(session, tool, prefix = '') {
    const token = `token-${this.issued++}-${Math.floor(Math.random() * 1e9).toString(36)}`;
    const id = `id of ${token}`;
    const mine = { token, wasKilled: this.dying > 0 };
    this.open.add(mine);
    this.inFlight += mine.wasKilled;
    const reply = await this.exchange(post(session.target, call(id, tool, { message: token }), session.fields));
    this.open.delete(mine);
    const message = this.#messageOf(reply, id, token);
    if (message?.result) {
      if (message.result.content?.[0]?.text !== prefix + token) this.wrong(`another's reply to ${token}: ${reply.body}`);
      this.answered++;
      return true;
    }
    const why = message ? `${reply.status} ${JSON.stringify(message.error)}` : 'its connection ended';
    this.failed.push({ token, why, wasKilled: mine.wasKilled });
    return false;
  }

  #messageOf(reply, id, token) {
    if (!reply) return undefined;
    try {
      const message = JSON.parse(reply.body);
      if (message.id !== id) this.wrong(`a reply to ${token} with the id ${message.id}: ${reply.body}`);
      if ('result' in message === 'error' in message) this.wrong(`neither result nor error: ${reply.body}`);
      return message;
    } catch {
      this.wrong(`no JSON in reply to ${token}: ${reply.status} ${reply.body}`);
      return { error: { message: reply.body } };
    }
  }

  /** `count` calls at `rate` a second; next() gives each one's [session, tool, prefix]. Resolves when all have ended. */
  async run(count, rate, next) {
    const calls = [];
    const begin = performance.now();
    while (calls.length < count) {
      const due = Math.min(count, Math.floor(((performance.now() - begin) / 1000) * rate));
      while (calls.length < due) calls.push(this.call(...next()));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    this.took = (performance.now() - begin) / 1000;
    await within(() => `every call ends; ${this.open.size} are open, as ${[...this.open].slice(0, 3).map((c) => c.token)}`, Promise.all(calls), 60_000);
  }

  /** Kills a process. That takes some milliseconds, until its parent knows and the kernel has closed its connections:
   * what is open meanwhile is in flight. */
  async kill(pid) {
    const ports = peerPorts(pid, this.port);
    const mine = [...this.connections].filter(({ socket }) => ports.has(socket.localPort));
    process.kill(pid, 'SIGKILL');
    this.dying++;
    for (const call of this.open) {
      this.inFlight += !call.wasKilled;
      call.wasKilled = true;
    }
    await until('a dead process is gone, with its connections', () => !existsSync(`/proc/${pid}`) && mine.every((c) => !this.connections.has(c)));
    this.dying--;
    return mine.length;
  }

  /** No connection is left. */
  async close() {
    for (const connection of this.connections) connection.socket.destroy();
    await until('the connections of the load are closed', () => this.connections.size === 0);
  }
}
