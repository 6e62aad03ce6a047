// SPDX-License-Identifier: Apache-2.0
// What a client sent and got, exchange by exchange, in a form in which two runs can be compared: the same scenario
// driven straight to the server and through mcpgate.

import assert from 'node:assert/strict';
import { until } from './wait.mjs';

// Belong to the connection or to the moment, not to the message.
const NOT_COMPARED = new Set(['date', 'connection', 'keep-alive', 'transfer-encoding', 'content-length']);
// What mcpgate promises to set on SSE replies whatever the server says.
const SSE_PROMISES = { 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no' };

/** Text of server-sent events -> [{id, event, data, retry}], comments left out. */
export class EventReader {
  #rest = '';
  #event = {};
  events = [];

  push(text) {
    this.#rest += text;
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === '') {
        if (Object.keys(this.#event).length) this.events.push(this.#event);
        this.#event = {};
      } else if (!line.startsWith(':')) {
        const colon = line.indexOf(':');
        const name = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
        this.#event[name] = name === 'data' && this.#event.data !== undefined ? `${this.#event.data}\n${value}` : value;
      }
    }
  }
}

/** Records through the `fetch` that the SDK transports take. */
export class Recorder {
  exchanges = [];
  /** A leaving client whose streams have ended asks for them again: how often is a matter of time, and not recorded. */
  leaving = false;
  fetch = async (input, init = {}) => {
    if (this.leaving && (init.method ?? 'GET') === 'GET') return fetch(input, init);
    const headers = new Headers(init.headers);
    const body = typeof init.body === 'string' ? JSON.parse(init.body) : undefined;
    const exchange = {
      method: init.method ?? 'GET',
      sent: Object.fromEntries([...headers].filter(([name]) => /^(accept|content-type|mcp-|last-event-id)/.test(name))),
      message: body,
      events: [],
    };
    this.exchanges.push(exchange);
    const response = await fetch(input, init);
    exchange.status = response.status;
    exchange.headers = Object.fromEntries(response.headers);
    if (!response.body) return response;
    const reader = new EventReader();
    exchange.events = reader.events;
    const decoder = new TextDecoder();
    const isStream = (exchange.headers['content-type'] ?? '').startsWith('text/event-stream');
    if (!isStream) exchange.text = '';
    const watched = response.body.pipeThrough(
      new TransformStream({
        transform(chunk, controller) {
          const text = decoder.decode(chunk, { stream: true });
          if (isStream) reader.push(text);
          else exchange.text += text;
          controller.enqueue(chunk);
        },
        flush() {
          exchange.ended = true;
        },
      }),
    );
    return new Response(watched, { status: response.status, statusText: response.statusText, headers: response.headers });
  };

  /** The n-th exchange whose request is `method` (JSON-RPC, or HTTP's GET and DELETE). */
  of(method, n = 0) {
    return this.exchanges.filter((e) => e.message?.method === method || (!e.message && e.method === method))[n];
  }

  async events(method, count, n = 0) {
    await until(
      () => `${count} events of ${method}; it has ${JSON.stringify(this.of(method, n)?.events)}`,
      () => this.of(method, n)?.events.length >= count,
    );
  }
}

/** A copy in which what differs from run to run is replaced by the order in which it first appeared. */
export function normalise(exchanges) {
  const names = new Map();
  const named = (kind, value) => {
    if (!names.has(value)) names.set(value, `${kind}-${names.size + 1}`);
    return names.get(value);
  };
  const text = (value) =>
    value
      .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, (uuid) => named('uuid', uuid))
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, 'TIME')
      .replace(/\d{1,2}:\d\d:\d\d( [AP]M)?/g, 'TIME')
      .replace(/127\.0\.0\.1:\d+/g, 'HOST');
  // A blob of text has its times and ids inside the base64.
  const blob = (value) => {
    const decoded = Buffer.from(value, 'base64').toString('latin1');
    return /^[\x20-\x7e\s]*$/.test(decoded) ? text(decoded) : value;
  };
  const walk = (value, key) => {
    if (typeof value === 'string') return key === 'blob' ? blob(value) : text(value);
    if (Array.isArray(value)) return value.map((v) => walk(v));
    if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, walk(v, k)]));
    return value;
  };
  return exchanges.map((e) => {
    const isStream = e.headers?.['content-type']?.startsWith('text/event-stream');
    const headers = Object.entries(e.headers ?? {}).filter(([n]) => !NOT_COMPARED.has(n) && !(isStream && n in SSE_PROMISES));
    return {
      method: e.method,
      sent: walk(e.sent),
      message: walk(e.message),
      status: e.status,
      headers: walk(Object.fromEntries(headers.sort())),
      text: e.text === undefined ? undefined : walk(parsed(e.text)),
      events: e.events.map(({ data, ...rest }) => ({ ...walk(rest), data: walk(parsed(data ?? '')) })),
    };
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Requests, single replies and events in a transcript: what the printed count counts. */
export const messages = (transcript) =>
  transcript.reduce((sum, e) => sum + (e.message ? 1 : 0) + (e.text ? 1 : 0) + e.events.length, 0);

/** Compares and returns how many messages were compared. */
export function compare(direct, through) {
  const [want, got] = [normalise(direct.exchanges), normalise(through.exchanges)];
  assert.deepEqual(
    got.map((e) => e.message?.method ?? e.method),
    want.map((e) => e.message?.method ?? e.method),
    'the same requests in the same order',
  );
  want.forEach((e, i) => assert.deepEqual(got[i], e, `exchange ${i}: ${e.message?.method ?? e.method}`));
  for (const e of through.exchanges) {
    if (!e.headers?.['content-type']?.startsWith('text/event-stream')) continue;
    for (const [name, value] of Object.entries(SSE_PROMISES)) assert.equal(e.headers[name], value, `${name} of an SSE reply`);
  }
  return messages(want);
}
