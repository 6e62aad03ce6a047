// SPDX-License-Identifier: Apache-2.0
// A queue of received bytes with awaitable reads, and on top of it a reader of HTTP/1.1 messages that is itself
// pedantic: it throws at anything that RFC 9112 does not allow a sender to send.

import { within } from './wait.mjs';

export class ByteQueue {
  #chunks = [];
  #length = 0;
  #ended = false;
  #error = undefined;
  #wake = [];
  total = 0; // bytes ever received

  push(chunk) {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    this.total += chunk.length;
    this.#notify();
  }

  end(error) {
    this.#ended = true;
    this.#error ??= error;
    this.#notify();
  }

  #notify() {
    for (const resolve of this.#wake.splice(0)) resolve();
  }

  get length() {
    return this.#length;
  }

  get ended() {
    return this.#ended;
  }

  get error() {
    return this.#error;
  }

  /** Everything that is here now, without taking it. */
  peek() {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  /** Takes at most n bytes of what is here. */
  take(n) {
    const first = this.#chunks[0];
    if (!first) return Buffer.alloc(0);
    if (first.length <= n) {
      this.#chunks.shift();
      this.#length -= first.length;
      return first;
    }
    this.#chunks[0] = first.subarray(n);
    this.#length -= n;
    return first.subarray(0, n);
  }

  /** Resolves when more bytes came or the end did; false at the end. */
  async more(ms, what = 'more bytes') {
    if (this.#ended) return false;
    const before = this.total;
    await within(what, new Promise((resolve) => this.#wake.push(resolve)), ms);
    return this.total > before || !this.#ended;
  }

  async exactly(n, ms) {
    const parts = [];
    while (n > 0) {
      const part = this.take(n);
      parts.push(part);
      n -= part.length;
      if (n > 0 && part.length === 0 && !(await this.more(ms, `${n} more bytes`))) {
        throw new Error(`the connection ended ${n} bytes early`);
      }
    }
    return Buffer.concat(parts);
  }

  /** Bytes up to and including `mark`. */
  async through(mark, ms) {
    for (;;) {
      const at = this.peek().indexOf(mark);
      if (at >= 0) return this.exactly(at + mark.length, ms);
      const have = this.peek().toString('latin1');
      if (!(await this.more(ms, `${JSON.stringify(mark)}; so far ${JSON.stringify(have.slice(-300))}`))) {
        throw new Error(`the connection ended before ${JSON.stringify(mark)}: ${JSON.stringify(have.slice(0, 2000))}`);
      }
    }
  }
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

export class Head {
  constructor(text) {
    const lines = text.slice(0, -4).split('\r\n');
    this.text = text;
    this.start = lines[0];
    this.fields = lines.slice(1).map((line) => {
      const colon = line.indexOf(':');
      const name = line.slice(0, colon);
      if (colon < 1 || !TOKEN.test(name) || /[\r\n\0]/.test(line)) throw new Error(`bad field line ${JSON.stringify(line)}`);
      return [name, line.slice(colon + 1).trim()];
    });
  }

  all(name) {
    return this.fields.filter(([n]) => n.toLowerCase() === name.toLowerCase()).map(([, v]) => v);
  }

  get(name) {
    const values = this.all(name);
    return values.length ? values.join(', ') : undefined;
  }

  has(name) {
    return this.all(name).length > 0;
  }
}

/** Reads messages off a ByteQueue. */
export class HttpReader {
  constructor(queue, { ms = 10_000 } = {}) {
    this.queue = queue;
    this.ms = ms;
  }

  async head() {
    return new Head((await this.queue.through('\r\n\r\n', this.ms)).toString('latin1'));
  }

  /** undefined when the connection ended between two messages. */
  async request() {
    while (this.queue.length === 0) if (!(await this.queue.more(3_600_000))) return undefined;
    const head = await this.head();
    const match = head.start.match(/^(\S+) (\S+) HTTP\/1\.([01])$/);
    if (!match) throw new Error(`bad request line ${JSON.stringify(head.start)}`);
    return { method: match[1], target: match[2], minor: Number(match[3]), head, framing: framingOf(head, 'request') };
  }

  /** One response, 1xx ones apart in `informational`. `method` is the request's. */
  async response({ method = 'GET', body = true } = {}) {
    const informational = [];
    for (;;) {
      const head = await this.head();
      const match = head.start.match(/^HTTP\/1\.1 ([1-5]\d\d) [\t\x20-\x7e\x80-\xff]*$/);
      if (!match) throw new Error(`bad status line ${JSON.stringify(head.start)}`);
      const status = Number(match[1]);
      if (status >= 100 && status < 200 && status !== 101) {
        informational.push({ status, head });
        continue;
      }
      const none = method === 'HEAD' || status === 204 || status === 304 || status === 101;
      const framing = none ? { kind: 'none' } : framingOf(head, 'response');
      const response = { status, head, framing, informational, trailers: [] };
      if (body) Object.assign(response, await this.body(framing));
      return response;
    }
  }

  /** The parts of a body as they come; chunk framing is taken off. */
  async *parts(framing, ret = {}) {
    if (framing.kind === 'length') {
      let left = framing.length;
      while (left > 0) {
        const part = this.queue.take(left);
        if (part.length) yield part;
        else if (!(await this.queue.more(this.ms, `${left} more bytes of a body`))) throw new Error(`the body ended ${left} bytes early`);
        left -= part.length;
      }
    } else if (framing.kind === 'chunked') {
      for (;;) {
        const line = (await this.queue.through('\r\n', this.ms)).toString('latin1');
        const match = line.match(/^([0-9A-Fa-f]+)(?:;[^\r\n]*)?\r\n$/);
        if (!match) throw new Error(`bad chunk size line ${JSON.stringify(line)}`);
        const size = parseInt(match[1], 16);
        if (size === 0) break;
        yield* this.parts({ kind: 'length', length: size });
        if ((await this.queue.exactly(2, this.ms)).toString('latin1') !== '\r\n') throw new Error('no CRLF after a chunk');
      }
      ret.trailers = [];
      for (;;) {
        const line = (await this.queue.through('\r\n', this.ms)).toString('latin1').slice(0, -2);
        if (line === '') return;
        ret.trailers.push([line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
      }
    } else if (framing.kind === 'close') {
      do {
        while (this.queue.length) yield this.queue.take(this.queue.length);
      } while (await this.queue.more(this.ms, 'the end of a close-delimited body'));
      if (this.queue.error) throw this.queue.error;
    }
  }

  async body(framing) {
    const parts = [];
    const ret = { trailers: [] };
    for await (const part of this.parts(framing, ret)) parts.push(part);
    return { body: Buffer.concat(parts), trailers: ret.trailers };
  }
}

function framingOf(head, side) {
  const codings = head.all('transfer-encoding');
  const lengths = head.all('content-length');
  if (codings.length) {
    if (lengths.length) throw new Error('both Transfer-Encoding and Content-Length');
    if (codings.length !== 1 || codings[0].toLowerCase() !== 'chunked') throw new Error(`Transfer-Encoding: ${codings.join(' | ')}`);
    return { kind: 'chunked' };
  }
  if (lengths.length > 1 || (lengths.length && !/^\d+$/.test(lengths[0]))) throw new Error(`Content-Length: ${lengths.join(' | ')}`);
  if (lengths.length) return { kind: 'length', length: Number(lengths[0]) };
  return { kind: side === 'request' ? 'none' : 'close' };
}
