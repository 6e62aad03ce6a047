// SPDX-License-Identifier: Apache-2.0
// MCP over streamable HTTP (2025-11-25): each message is a POST; a reply is JSON, or an SSE stream that is asked for again
// with Last-Event-ID where it breaks off before the response.

import { McpClientError, neverConnected, reasonOf } from './errors.mjs';
import { SseParser } from './sse.mjs';
import { backoff, later, sleep } from './wait.mjs';

const URGENCY = { critical: 'u=0', high: 'u=1', low: 'u=5' }; // RFC 9218; normal is its default
const RESUME_LIMIT = 5; // attempts in a row that bring nothing
const RETRY_MAX_MS = 30_000;
const TAIL_MS = 1000; // how long a stream whose response has come may take to end, for its connection to be used again

const isResponse = (message, id) => message?.id === id && ('result' in message || 'error' in message);

export class HttpTransport {
  kind = 'http';
  onmessage = () => {};
  onclose = () => {};
  protocolVersion;
  #options;
  #sessionId;
  #counters;
  #ownOrigin;
  #open = new Set(); // an AbortController for each message under way
  #closing = new AbortController();

  constructor(url, options, counters) {
    this.url = url;
    this.#ownOrigin = !globalThis.location || new URL(url).origin === globalThis.location.origin;
    this.#options = options;
    this.#counters = counters;
  }

  async open() {}

  full() {
    return false;
  }

  /** Resolves when the message was taken and, for a request, its response was handed on. */
  async send(message, { priority, signal } = {}) {
    // AbortSignal.any() would do, but Node 20 keeps what it makes for as long as the longest-lived of its signals.
    const own = new AbortController();
    const abort = () => own.abort(signal.reason);
    if (this.#closing.signal.aborted || signal?.aborted) own.abort();
    signal?.addEventListener('abort', abort);
    this.#open.add(own);
    try {
      await this.#send(message, priority, own.signal);
    } finally {
      this.#open.delete(own);
      signal?.removeEventListener('abort', abort);
    }
  }

  async #send(message, priority, signal) {
    const headers = { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream' };
    // A page of another origin is refused the field where the server's CORS rules do not name it; _meta says the same.
    if (URGENCY[priority] && this.#ownOrigin) headers.Priority = URGENCY[priority];
    const session = this.#sessionId;
    this.#counters.messagesSent++;
    const reply = await this.#fetch('POST', headers, signal, JSON.stringify(message));
    this.#sessionId ??= reply.headers.get('mcp-session-id') ?? undefined;
    const wants = 'method' in message && 'id' in message;
    if (!reply.ok) return this.#refused(reply, message, session);
    if (!wants) return reply.body?.cancel();
    const type = reply.headers.get('content-type') ?? '';
    if (type.startsWith('text/event-stream')) return this.#stream(reply, message, signal);
    if (!type.startsWith('application/json')) {
      await reply.body?.cancel();
      throw new McpClientError('protocol', `${this.url} answered ${message.method} with ${type || 'no Content-Type'}: is it an MCP endpoint?`);
    }
    const body = this.#parse(await this.#text(reply));
    const messages = Array.isArray(body) ? body : [body];
    for (const one of messages) await this.#deliver(one);
    if (!messages.some((one) => isResponse(one, message.id))) {
      throw new McpClientError('protocol', `${this.url} answered ${message.method} with JSON that is no response to it`);
    }
  }

  async #fetch(method, headers, signal, body) {
    const { fetch, enableCompression } = this.#options;
    Object.assign(headers, this.#options.headers);
    if (this.#sessionId) headers['Mcp-Session-Id'] = this.#sessionId;
    if (this.protocolVersion) headers['MCP-Protocol-Version'] = this.protocolVersion;
    if (!enableCompression) headers['Accept-Encoding'] = 'identity'; // browsers choose for themselves, and ignore it
    try {
      return await fetch(this.url, { method, headers, body, cache: 'no-store', signal });
    } catch (error) {
      if (signal.aborted) throw error;
      throw new McpClientError('connection', `${method} ${this.url}: ${reasonOf(error)}`, { cause: error, unsent: neverConnected(error) });
    }
  }

  /** Errors often come with the JSON-RPC error of the request, which says more than the status. */
  async #refused(reply, message, session) {
    const text = await this.#text(reply).catch(() => '');
    let error;
    try {
      ({ error } = JSON.parse(text));
    } catch {
      // no JSON; the status has to do
    }
    const said = error?.message ?? text.slice(0, 200);
    if (reply.status === 404 && session) {
      throw new McpClientError('session', `the session at ${this.url} is over: ${said || '404'}`, { unsent: true });
    }
    if (Number.isInteger(error?.code) && 'id' in message && 'method' in message) {
      await this.#deliver({ jsonrpc: '2.0', id: message.id, error });
      return;
    }
    throw new McpClientError('connection', `${this.url} answered ${message.method ?? 'a response'} with status ${reply.status}${said ? `: ${said}` : ''}`);
  }

  async #text(reply) {
    const { maxMessageBytes } = this.#options;
    const decoder = new TextDecoder();
    let text = '';
    const reader = reply.body?.getReader();
    if (!reader) return text;
    for (;;) {
      const { value, done } = await this.#piece(reader);
      if (done) return text + decoder.decode();
      text += decoder.decode(value, { stream: true });
      if (text.length > maxMessageBytes) {
        await reader.cancel();
        throw new McpClientError('protocol', `${this.url} answered with more than maxMessageBytes (${maxMessageBytes}): raise it, or ask for less`);
      }
    }
  }

  async #piece(reader) {
    try {
      return await reader.read();
    } catch (error) {
      throw new McpClientError('connection', `the reply of ${this.url} broke off: ${reasonOf(error)}`, { cause: error });
    }
  }

  #parse(text) {
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new McpClientError('protocol', `${this.url} sent what is no JSON: ${cause.message}`, { cause });
    }
  }

  async #deliver(message) {
    this.#counters.messagesReceived++;
    const room = this.onmessage(message);
    if (room) {
      this.#counters.pauses++;
      await room;
    }
  }

  /** A reply's stream, through as many connections as it takes. */
  async #stream(first, message, signal) {
    const cursor = { id: undefined, retry: undefined };
    let reply = first;
    let why;
    for (let attempt = 0; ; ) {
      const before = cursor.id;
      try {
        if (reply && (await this.#read(reply, cursor, (one) => isResponse(one, message.id)))) return;
        if (reply) why = new McpClientError('connection', `the stream of ${message.method} ended before its response`);
      } catch (error) {
        if (signal.aborted || error.kind !== 'connection') throw error;
        why = error;
      }
      if (!cursor.id) {
        throw new McpClientError('connection', `${why.message}; its events have no ids to resume from`, { cause: why });
      }
      attempt = cursor.id === before ? attempt + 1 : 1;
      if (attempt > RESUME_LIMIT) throw new McpClientError('connection', `${why.message}; ${RESUME_LIMIT} attempts to resume it failed`, { cause: why });
      reply = await this.#resume(cursor, attempt, signal).catch((error) => {
        if (error.kind !== 'connection') throw error;
        why = error;
      });
    }
  }

  /** The rest of a stream; nothing where the attempt failed for now. */
  async #resume(cursor, attempt, signal) {
    await sleep(Math.min(RETRY_MAX_MS, cursor.retry ?? backoff(attempt - 1)), signal);
    const reply = await this.#fetch('GET', { Accept: 'text/event-stream', 'Last-Event-ID': cursor.id }, signal);
    if (reply.ok && reply.status !== 204) {
      this.#counters.resumptions++;
      return reply;
    }
    await reply.body?.cancel();
    if (reply.status === 204) throw new McpClientError('lost', 'the stream broke off and the server has no more of it; call again if the tool may run twice');
    if (reply.status === 404) throw new McpClientError('session', `the session at ${this.url} is over, and the stream with it`);
    throw new McpClientError('connection', `${this.url} answered a resumption with status ${reply.status}`);
  }

  /** Hands on the events of one connection; true as soon as `isLast` was among them. */
  async #read(reply, cursor, isLast) {
    const parser = new SseParser(this.#options.maxMessageBytes);
    const decoder = new TextDecoder();
    const reader = reply.body.getReader();
    parser.id = cursor.id;
    for (;;) {
      const { value, done } = await this.#piece(reader);
      if (done) return false;
      let events;
      try {
        events = parser.push(decoder.decode(value, { stream: true }));
      } catch (error) {
        await reader.cancel();
        throw new McpClientError('protocol', `${this.url} sent ${error.message} (maxMessageBytes)`);
      }
      cursor.retry = parser.retry ?? cursor.retry;
      for (const { data, id } of events) {
        cursor.id = id; // of what was handed on, not of what was only read
        if (data === '') continue; // the event that only brings an id
        const message = this.#parse(data);
        await this.#deliver(message);
        if (!isLast(message)) continue;
        this.#finish(reader);
        return true;
      }
      cursor.id = parser.id;
    }
  }

  /** Reads on to the end, so that the connection can be used again; not for long. */
  async #finish(reader) {
    const timer = later(() => reader.cancel().catch(() => {}), TAIL_MS);
    try {
      while (!(await reader.read()).done);
    } catch {
      // the response is there; how its stream ends does not matter
    }
    clearTimeout(timer);
  }

  /** The stream of what belongs to no call, kept open until the transport is closed. Servers need not have one. */
  async listen(onerror) {
    const cursor = { id: undefined, retry: undefined };
    const { signal } = this.#closing;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const headers = { Accept: 'text/event-stream' };
        if (cursor.id) headers['Last-Event-ID'] = cursor.id;
        const reply = await this.#fetch('GET', headers, signal);
        if (reply.status === 405 || reply.status === 404) {
          await reply.body?.cancel();
          if (reply.status === 404) onerror(new McpClientError('session', `the session at ${this.url} is over`, { unsent: true }));
          return;
        }
        if (reply.ok && reply.status !== 204) {
          attempt = 0;
          await this.#read(reply, cursor, () => false);
        } else await reply.body?.cancel();
      } catch (error) {
        if (!signal.aborted) onerror(error);
      }
      await sleep(Math.min(RETRY_MAX_MS, cursor.retry ?? backoff(attempt)), signal);
    }
  }

  async close() {
    const session = this.#sessionId;
    const closed = new McpClientError('closed', 'the client was closed');
    this.#closing.abort(closed);
    for (const own of this.#open) own.abort(closed);
    if (!session) return;
    const headers = { ...this.#options.headers, 'Mcp-Session-Id': session };
    if (this.protocolVersion) headers['MCP-Protocol-Version'] = this.protocolVersion;
    const bye = await this.#options.fetch(this.url, { method: 'DELETE', headers, signal: AbortSignal.timeout(2000) }).catch(() => {});
    await bye?.body?.cancel().catch(() => {});
  }
}
