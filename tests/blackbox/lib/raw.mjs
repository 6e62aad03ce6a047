// SPDX-License-Identifier: Apache-2.0
// A client that sends exactly the bytes it is told to, and a server (mock upstream) that answers with exactly the
// bytes it is told to.

import net from 'node:net';
import { once } from 'node:events';
import { ByteQueue, HttpReader } from './bytes.mjs';
import { sleep, until, within } from './wait.mjs';

function attach(socket, queue) {
  socket.on('data', (chunk) => queue.push(chunk));
  socket.on('end', () => queue.end());
  socket.on('error', (error) => queue.end(error));
  socket.on('close', () => queue.end());
}

/** Resolves when the kernel has the bytes, and lets everything else run before: a loop of writes starves nobody. */
const write = (socket, bytes) => new Promise((resolve) => socket.write(bytes, () => setImmediate(resolve)));

export class RawClient {
  static async connect(target, options = {}) {
    const client = new RawClient();
    client.queue = new ByteQueue();
    client.reader = new HttpReader(client.queue, options);
    const where = typeof target === 'number' ? { host: '127.0.0.1', port: target } : target;
    client.socket = net.connect({ ...where, allowHalfOpen: true, noDelay: true });
    attach(client.socket, client.queue);
    client.socket.on('close', () => (client.gone = true));
    await within('connecting', once(client.socket, 'connect'));
    return client;
  }

  send(bytes) {
    return write(this.socket, bytes);
  }

  /** Sends in pieces of `size` bytes, each in a segment of its own. */
  async sendSlowly(bytes, size = 1, ms = 1) {
    const all = Buffer.from(bytes);
    for (let at = 0; at < all.length; at += size) {
      await this.send(all.subarray(at, at + size));
      await sleep(ms);
    }
  }

  /** Half-close: no more bytes from here, replies are still read. */
  finish() {
    this.socket.end();
  }

  pause() {
    this.socket.pause();
  }

  resume() {
    this.socket.resume();
  }

  response(options) {
    return this.reader.response(options);
  }

  async ask(bytes, options) {
    await this.send(bytes);
    return this.response(options);
  }

  /** The other side has ended the connection (whatever it sent before stays readable). */
  async ended(ms = 10_000) {
    return until('the other side ends the connection', () => this.queue.ended, ms);
  }

  /** RST instead of FIN. */
  reset() {
    this.socket.resetAndDestroy();
  }

  close() {
    this.socket.destroy();
  }
}

/** What a handler answers with. */
export function reply(status, fields, body = '') {
  const bytes = Buffer.from(body);
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`HTTP/1.1 ${status} X\r\n${lines.join('')}Content-Length: ${bytes.length}\r\n\r\n`, 'latin1'), bytes]);
}

export const json = (value, status = 200) => reply(status, { 'Content-Type': 'application/json' }, JSON.stringify(value));

/** Answers each JSON-RPC request with what it was sent. */
export async function echo(connection, request) {
  const { body } = await connection.reader.body(request.framing);
  request.body = body;
  let id = null;
  try {
    id = JSON.parse(body).id ?? null;
  } catch {
    // not JSON: a plain route
  }
  connection.send(json({ jsonrpc: '2.0', id, result: { method: request.method, target: request.target, size: body.length } }));
}

export class Upstream {
  /** `handler(connection, request)` is called per request head; it reads the body itself through
   * connection.reader.body(request.framing). Without `parse`, handler(connection) is called once per connection. */
  static async start(handler = echo, { parse = true, port = 0 } = {}) {
    const upstream = new Upstream();
    upstream.requests = [];
    upstream.connections = new Set();
    upstream.accepted = 0;
    upstream.received = 0;
    upstream.handler = handler;
    upstream.server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => upstream.#serve(socket, parse));
    upstream.server.listen(port, '127.0.0.1');
    await once(upstream.server, 'listening');
    upstream.port = upstream.server.address().port;
    return upstream;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async #serve(socket, parse) {
    const queue = new ByteQueue();
    const connection = { socket, queue, reader: new HttpReader(queue, { ms: 60_000 }), number: ++this.accepted };
    connection.send = (bytes) => write(socket, bytes);
    connection.finish = () => socket.end();
    connection.close = () => socket.destroy();
    connection.reset = () => socket.resetAndDestroy();
    this.connections.add(connection);
    socket.on('data', (chunk) => (this.received += chunk.length));
    attach(socket, queue);
    socket.on('close', () => {
      connection.gone = true;
      this.connections.delete(connection);
    });
    socket.on('end', () => {
      connection.halfClosed = true;
    });
    try {
      if (!parse) return await this.handler(connection);
      for (;;) {
        const request = await connection.reader.request();
        if (!request) return socket.end();
        this.requests.push(request);
        await this.handler(connection, request);
      }
    } catch (error) {
      if (!socket.destroyed) {
        this.failure ??= error; // a malformed request reached the upstream: close() reports it
        socket.destroy();
      }
    }
  }

  /** The next request after those seen before `count`. */
  async request(count = 1) {
    await until(`request ${count} reaches the upstream`, () => this.requests.length >= count);
    return this.requests[count - 1];
  }

  async close() {
    for (const connection of this.connections) connection.socket.destroy();
    if (this.server.listening) await new Promise((resolve) => this.server.close(resolve));
    return this.failure;
  }

  /** Stops listening and resets what is open: what a killed process looks like. */
  async die() {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const connection of this.connections) connection.socket.resetAndDestroy();
    await closed;
  }
}
