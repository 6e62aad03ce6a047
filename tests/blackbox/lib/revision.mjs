// SPDX-License-Identifier: Apache-2.0
// Clients that speak exactly one revision, byte by byte, on a connection of their own for each request. What a reply
// must and must not have in that revision is checked here, whatever the test asks.

import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { CRLF, get, post } from './mcp.mjs';
import { until } from './wait.mjs';

const PREFIX = 'io.modelcontextprotocol/';
export const SUBSCRIPTION = `${PREFIX}subscriptionId`;

/** The messages of one reply, whether it is a stream or a single object. */
class Messages {
  constructor(connection, response) {
    Object.assign(this, { connection, status: response.status, head: response.head, all: [], ended: false });
    this.#read(response).catch((error) => (this.error = error)).finally(() => (this.ended = true));
  }

  async #read({ framing, head }) {
    const streamed = (head.get('content-type') ?? '').startsWith('text/event-stream');
    const decoder = new TextDecoder();
    let rest = '';
    for await (const part of this.connection.reader.parts(framing)) {
      rest += decoder.decode(part, { stream: true });
      if (streamed) {
        const events = rest.split('\n\n');
        rest = events.pop();
        events.forEach((event) => this.#event(event));
      }
    }
    if (streamed || rest === '') return;
    if ((head.get('content-type') ?? '').startsWith('text/plain')) this.text = rest;
    else this.all.push(JSON.parse(rest));
  }

  #event(event) {
    const lines = event.split('\n');
    const data = lines.filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trimStart()).join('\n');
    this.lastId = lines.find((line) => line.startsWith('id: '))?.slice(4) ?? this.lastId;
    if (lines.includes('event: endpoint')) this.endpoint = data;
    else if (data !== '') this.all.push(JSON.parse(data));
  }

  /** The first message for which `is`. */
  async find(what, is, ms = 8_000) {
    return until(
      () => `${what}; status ${this.status}, so far ${JSON.stringify(this.all)}${this.ended ? ', and no more comes' : ''}`,
      () => this.all.find(is),
      ms,
    );
  }

  /** The answer to the request `id`, of that very type. */
  async answer(id) {
    const message = await this.find(`the answer to ${JSON.stringify(id)}`, (m) => m.method === undefined);
    assert.strictEqual(message.id, id, JSON.stringify(message));
    assert.equal(message.jsonrpc, '2.0');
    return message;
  }

  close() {
    this.connection.close();
  }
}

class Client {
  next = 1;

  constructor(gateway, target, revision) {
    Object.assign(this, { gateway, target, revision });
  }

  /** Ids alternate between the two types that they may have. */
  id() {
    const n = this.next++;
    return n % 2 ? `id-${n}` : n;
  }

  async #send(bytes) {
    const connection = await this.gateway.connect({ ms: 30_000 });
    await connection.send(bytes);
    const response = await connection.response({ body: false });
    return new Messages(connection, response);
  }

  post(message, fields) {
    return this.#send(post(this.target, JSON.stringify({ jsonrpc: '2.0', ...message }), ...fields));
  }

  get(fields) {
    return this.#send(get(this.target, 'Accept: text/event-stream', ...fields));
  }

  remove(fields) {
    return this.#send([`DELETE ${this.target} HTTP/1.1`, 'Host: gate.test', ...fields, '', ''].join(CRLF));
  }

  /** A request that is answered without ado. */
  async ask(method, params) {
    const { id, messages } = await this.begin(method, params);
    const answer = await messages.answer(id);
    messages.close();
    return answer;
  }
}

/** 2025-03-26 to 2025-11-25: initialize, a session, GET for what comes unasked. */
export class LegacyClient extends Client {
  get capabilities() {
    return this.revision >= '2025-06-18' ? { elicitation: {} } : {};
  }

  get fields() {
    const session = this.session === undefined ? [] : [`Mcp-Session-Id: ${this.session}`];
    return this.revision >= '2025-06-18' ? [...session, `MCP-Protocol-Version: ${this.revision}`] : session;
  }

  async open() {
    const id = this.id();
    const messages = await this.post({ id, method: 'initialize', params: { protocolVersion: this.revision, capabilities: this.capabilities, clientInfo: { name: 'matrix', version: '1' } } }, []);
    const { result, error } = await messages.answer(id);
    assert.ok(result, `initialize: ${JSON.stringify(error)}`);
    assert.equal(result.protocolVersion, this.revision, 'the revision that initialize settles on');
    this.session = messages.head.get('mcp-session-id');
    messages.close();
    await this.tell({ method: 'notifications/initialized' });
  }

  /** A notification or an answer. */
  async tell(message) {
    const messages = await this.post(message, this.fields);
    assert.equal(messages.status, 202);
    messages.close();
  }

  async begin(method, params = {}) {
    const id = this.id();
    return { id, messages: await this.post({ id, method, params }, this.fields) };
  }

  checkResult(result) {
    for (const key of ['resultType', 'ttlMs', 'cacheScope']) assert.ok(!Object.hasOwn(result, key), `${key} is of 2026-07-28: ${JSON.stringify(result)}`);
  }

  cancel({ id }) {
    return this.tell({ method: 'notifications/cancelled', params: { requestId: id } });
  }

  /** The call to its end, answering what is asked on the way. */
  async answering(name, answer) {
    const { id, messages } = await this.begin('tools/call', { name, arguments: {} });
    const what = await messages.find('a question or an answer', (m) => m.method === 'elicitation/create' || m.method === undefined);
    if (what.method) {
      assert.equal(what.params.message, 'Who is there?');
      assert.ok(what.id !== undefined);
      await this.tell({ id: what.id, result: answer });
    }
    const end = await messages.answer(id);
    messages.close();
    return { asked: what.method !== undefined, ...end };
  }

  /** The stream of change notices, ready. */
  async listen() {
    const messages = await this.get(this.fields);
    assert.equal(messages.status, 200, 'the status of GET');
    return { messages, check: (notice) => assert.equal(notice.params?._meta?.[SUBSCRIPTION], undefined) };
  }

  async close() {
    if (this.session === undefined) return;
    const messages = await this.remove(this.fields);
    messages.close();
  }
}

/** What comes on a stream from now on, as if it were the reply to one request. */
class Since {
  constructor(messages) {
    Object.assign(this, { messages, from: messages.all.length });
  }

  get all() {
    return this.messages.all.slice(this.from);
  }

  find(what, is, ms) {
    return this.messages.find(what, (m) => this.messages.all.indexOf(m) >= this.from && is(m), ms);
  }

  async answer(id) {
    const message = await this.find(`the answer to ${JSON.stringify(id)}`, (m) => m.method === undefined && String(m.id) === String(id));
    assert.strictEqual(message.id, id, JSON.stringify(message));
    assert.equal(message.jsonrpc, '2.0');
    return message;
  }

  close() {}
}

/** 2024-11-05: one stream for all that the server says, and an endpoint that is posted to (HTTP+SSE). */
export class SseClient extends LegacyClient {
  get fields() {
    return [];
  }

  /** The stream, with its endpoint. */
  async connect(fields = []) {
    this.stream = await this.get(fields);
    assert.equal(this.stream.status, 200, 'the status of GET');
    assert.equal(this.stream.head.get('content-type'), 'text/event-stream');
    await until('the endpoint event', () => this.stream.endpoint);
    assert.deepEqual(this.stream.all, [], 'the first event is the endpoint');
    this.streamTarget = this.target;
    this.target = this.stream.endpoint;
  }

  async open() {
    await this.connect();
    const { id, messages } = await this.begin('initialize', { protocolVersion: this.revision, capabilities: this.capabilities, clientInfo: { name: 'matrix', version: '1' } });
    const { result, error } = await messages.answer(id);
    assert.ok(result, `initialize: ${JSON.stringify(error)}`);
    assert.equal(result.protocolVersion, this.revision, 'the revision that initialize settles on');
    await this.tell({ method: 'notifications/initialized' });
  }

  /** Posts what must be taken; its reply is the stream's. */
  async tell(message) {
    const reply = await this.post(message, []);
    assert.equal(reply.status, 202);
    reply.close();
  }

  async begin(method, params = {}) {
    const id = this.id();
    const messages = new Since(this.stream);
    await this.tell({ id, method, params });
    return { id, messages };
  }

  async listen() {
    return { messages: new Since(this.stream), check: (notice) => assert.equal(notice.params?._meta?.[SUBSCRIPTION], undefined) };
  }

  close() {
    this.stream?.close();
  }
}

/** 2026-07-28: every request says all there is to know. */
export class ModernClient extends Client {
  async open() {
    const { result, error } = await this.ask('server/discover');
    assert.ok(result, `server/discover: ${JSON.stringify(error)}`);
    assert.ok(result.supportedVersions.includes(this.revision));
    assert.equal(result.resultType, 'complete');
  }

  async begin(method, params = {}) {
    const id = this.id();
    const _meta = { ...params._meta, [`${PREFIX}protocolVersion`]: this.revision, [`${PREFIX}clientCapabilities`]: { elicitation: {} } };
    const fields = [`MCP-Protocol-Version: ${this.revision}`, `Mcp-Method: ${method}`];
    if (method === 'tools/call') fields.push(`Mcp-Name: ${params.name}`);
    const messages = await this.post({ id, method, params: { ...params, _meta } }, fields);
    assert.equal(messages.head.get('mcp-session-id'), undefined);
    return { id, messages };
  }

  checkResult(result, cacheable) {
    assert.equal(result.resultType, 'complete');
    if (!cacheable) return;
    assert.ok(Number.isInteger(result.ttlMs), JSON.stringify(result));
    assert.ok(['public', 'private'].includes(result.cacheScope), JSON.stringify(result));
  }

  cancel({ messages }) {
    messages.close();
  }

  async answering(name, answer) {
    const first = await this.ask('tools/call', { name, arguments: {} });
    if (first.result?.resultType !== 'input_required') return { asked: false, ...first };
    const [[key, question]] = Object.entries(first.result.inputRequests);
    assert.equal(question.method, 'elicitation/create');
    assert.equal(question.params.message, 'Who is there?');
    const again = { name, arguments: {}, inputResponses: { [key]: answer } };
    if (first.result.requestState !== undefined) again.requestState = first.result.requestState;
    return { asked: true, ...(await this.ask('tools/call', again)) };
  }

  async listen() {
    const { id, messages } = await this.begin('subscriptions/listen', { notifications: { toolsListChanged: true } });
    const first = await messages.find('a first message', () => true);
    assert.equal(first.method, 'notifications/subscriptions/acknowledged');
    assert.deepEqual(first.params.notifications, { toolsListChanged: true });
    const check = (notice) => assert.strictEqual(notice.params?._meta?.[SUBSCRIPTION], id);
    check(first);
    return { messages, check };
  }

  close() {}
}

/** All that is said on a WebSocket. */
class Socket extends WebSocket {
  all = [];

  constructor(url) {
    super(url, 'mcp', { perMessageDeflate: false });
    this.on('message', (data) => this.all.push(JSON.parse(data.toString())));
    this.opened = new Promise((resolve, reject) => this.once('open', resolve).once('error', reject));
  }

  find(what, is, ms = 8_000) {
    return until(() => `${what}; so far ${JSON.stringify(this.all)}`, () => this.all.find(is), ms);
  }

  tell(message) {
    this.send(JSON.stringify({ jsonrpc: '2.0', ...message }));
  }
}

const socketOf = async ({ gateway, target }) => {
  const socket = new Socket(`${gateway.url.replace('http', 'ws')}${target}`);
  await socket.opened;
  return socket;
};

/** 2024-11-05 to 2025-11-25 over WebSocket: one stream for all that the server says, as with HTTP+SSE. */
export class LegacyWsClient extends SseClient {
  async connect() {
    this.stream = await socketOf(this);
  }

  async tell(message) {
    this.stream.tell(message);
  }
}

/** 2026-07-28 over WebSocket: no header fields, and what is called off is said to be. */
export class ModernWsClient extends ModernClient {
  async open() {
    this.stream = await socketOf(this);
    await super.open();
  }

  async post(message) {
    const messages = new Since(this.stream);
    this.stream.tell(message);
    return Object.assign(messages, { head: new Map() });
  }

  cancel({ id }) {
    this.stream.tell({ method: 'notifications/cancelled', params: { requestId: id } });
  }

  close() {
    this.stream?.close();
  }
}

export const wsClientOf = (revision) => (revision === '2026-07-28' ? ModernWsClient : LegacyWsClient);

export const clientOf = (revision) => ({ '2024-11-05': SseClient, '2026-07-28': ModernClient })[revision] ?? LegacyClient;
