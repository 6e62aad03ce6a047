// SPDX-License-Identifier: Apache-2.0
// The client: which connection is in use, what goes over it when, and whose what comes back is.

import { Call } from './call.mjs';
import { McpClientError, McpError } from './errors.mjs';
import { HttpTransport } from './http.mjs';
import { optionsOf, priorityOf } from './options.mjs';
import { Lane, Outbox } from './queue.mjs';
import { CallStats, Marks, StreamMetrics } from './stats.mjs';
import { endpointsOf } from './urls.mjs';
import { backoff, later, sleep } from './wait.mjs';
import { WsTransport } from './ws.mjs';

const REVISIONS = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'];
const PRIORITY_KEY = 'mcpgate/priority'; // in _meta; over HTTP there is the Priority field, too
const TRIES = 3; // of a call that may be sent again
const FULL_POLL_MS = 5; // a browser does not tell when its socket's buffer has drained
const WS_RETRY_GROWTH = 16;

export class McpStreamingClient {
  #options;
  #urls;
  #state = 'idle'; // connecting, connected, reconnecting, closed
  #session; // what new calls go to
  #opening; // the promise of a connection under way
  #closing = new AbortController();
  #outbox;
  #requests = new Map(); // sent, by id
  #tokens = new Map(); // sent, by progress token
  #ids = 0;
  #lanes = []; // of notifications
  #upgradeTimer;
  #pumpTimer;
  #stats = new CallStats();
  #metrics = new StreamMetrics();
  #marks = new Marks();
  #counters = { messagesSent: 0, messagesReceived: 0, reconnects: 0, resumptions: 0, fallbacks: 0, upgrades: 0, batches: 0, pauses: 0, dropped: 0, queuePeak: 0 };

  constructor(options) {
    this.#options = optionsOf(options);
    this.#urls = endpointsOf(this.#options.serverUrl);
    this.#outbox = new Outbox(this.#options.maxQueued);
    const { onNotification, onBatch } = this.#options;
    if (onNotification) this.#lanes.push(this.#lane((message) => onNotification(message)));
    if (onBatch) this.#lanes.push(this.#batches((messages) => onBatch(messages)));
  }

  get state() {
    return this.#state;
  }

  /** 'ws', 'http', or null while there is no connection. */
  get transport() {
    return this.#session?.transport.kind ?? null;
  }

  /** What the server said of itself. */
  get serverInfo() {
    return this.#session?.info ?? null;
  }

  /** Calls that are waiting or under way. */
  get pending() {
    return this.#outbox.length + this.#requests.size;
  }

  /** Opens a connection and a session on it, over WebSocket where that works. Nothing to do where there is one. */
  async connect() {
    if (this.#state === 'closed') throw this.#closedError();
    if (!this.#session) await (this.#opening ?? this.#open('connecting'));
  }

  /** What the server said in the handshake, which connect() has done. */
  async initialize() {
    await this.connect();
    return this.#session.info;
  }

  /** Calls a tool. `onProgress(token, value)` gets each of its progress notices, in order, before the result is there. */
  callTool(name, args = {}, onProgress, options = {}) {
    if (typeof onProgress === 'object' && onProgress !== null) return this.callTool(name, args, onProgress.onProgress, onProgress);
    const { onBatch } = options;
    const lane = this.#laneOf(onProgress, onBatch);
    return this.#ask('tools/call', { name, arguments: args }, { ...options, lane });
  }

  /** Any other request. */
  request(method, params = {}, options = {}) {
    return this.#ask(method, params, { ...options, lane: this.#laneOf(options.onProgress, options.onBatch) });
  }

  async listTools() {
    const tools = [];
    for (let cursor; ; ) {
      const page = await this.request('tools/list', cursor === undefined ? {} : { cursor });
      tools.push(...page.tools);
      if (page.nextCursor === undefined || page.nextCursor === cursor) return tools;
      cursor = page.nextCursor;
    }
  }

  /** A notification to the server. */
  async notify(method, params) {
    await this.connect();
    await this.#session.transport.send({ jsonrpc: '2.0', method, params });
  }

  getStats() {
    return this.#stats.get();
  }

  getMetrics() {
    return {
      ...this.#metrics.get(),
      ...this.#counters,
      transport: this.transport,
      state: this.#state,
      protocolVersion: this.#session?.info.protocolVersion ?? null,
      inFlight: this.#requests.size,
      queued: this.#outbox.length,
      received: [...this.#requests.values()].reduce((sum, { lane }) => sum + (lane?.depth ?? 0), 0) + this.#lanes.reduce((sum, { depth }) => sum + depth, 0),
    };
  }

  /** Ends the session. What is open is rejected. */
  async close() {
    if (this.#state === 'closed') return;
    const session = this.#session;
    this.#session = undefined;
    this.#turn('closed');
    this.#closing.abort();
    clearTimeout(this.#upgradeTimer);
    clearTimeout(this.#pumpTimer);
    for (const call of [...this.#outbox.take(), ...this.#requests.values()]) call.fail(this.#closedError());
    for (const lane of this.#lanes) lane.abandon();
    await session?.transport.close();
  }

  // --- calls ---

  #laneOf(onProgress, onBatch) {
    if (onBatch) return this.#batches((items) => onBatch(items.map(({ token, value }) => ({ token, value }))));
    if (onProgress) return this.#lane(({ token, value }) => onProgress(token, value));
    return undefined;
  }

  #lane(deliver, more) {
    const { receiveHigh: high, receiveLow: low, receiveLimit: limit } = this.#options;
    return new Lane(deliver, { high, low, limit, counters: this.#counters, onError: (error) => this.#report(error), ...more });
  }

  #batches(deliver) {
    const { batchMessages: size, batchWindow: window } = this.#options;
    const counted = (items) => {
      this.#counters.batches++;
      return deliver(Array.isArray(items) ? items : [items]);
    };
    return this.#lane(counted, { size, window });
  }

  async #ask(method, params, { lane, priority, progressToken, signal, timeout, totalTimeout, idempotent, once }) {
    if (this.#state === 'closed') throw this.#closedError();
    const { maxQueued } = this.#options;
    if (this.#outbox.full) {
      throw new McpClientError('overflow', `${maxQueued} calls are waiting already (maxQueued): wait for some of them, or open more connections with McpClientPool`, { unsent: true });
    }
    const call = this.#make(method, params, { lane, priority: priorityOf(priority), asked: priority, progressToken, signal, timeout, totalTimeout, repeatable: idempotent, once });
    this.#outbox.push(call);
    this.#pump();
    return call.promise;
  }

  #make(method, params, { asked, progressToken, lane, timeout = this.#options.timeout, totalTimeout = this.#options.totalTimeout, ...more }) {
    const id = ++this.#ids;
    const meta = { ...params._meta };
    if (lane) meta.progressToken = progressToken ?? id;
    if (asked) meta[PRIORITY_KEY] = asked;
    const full = Object.keys(meta).length > 0 ? { ...params, _meta: meta } : params;
    return new Call(id, method, full, { lane, timeout, totalTimeout, ended: (call, error) => this.#ended(call, error), ...more });
  }

  /** Sends what may be sent now, the most urgent first. */
  #pump() {
    if (!this.#session) {
      if (this.#outbox.length > 0 && !this.#opening) this.#open('connecting').catch((error) => this.#failWaiting(error));
      return;
    }
    while (this.#outbox.length > 0 && this.#requests.size < this.#options.maxInFlight) {
      if (this.#session.transport.full()) {
        this.#pumpTimer ??= setTimeout(() => {
          this.#pumpTimer = undefined;
          this.#pump();
        }, FULL_POLL_MS);
        return;
      }
      this.#start(this.#session, this.#outbox.next());
    }
  }

  #start(session, call) {
    call.session = session;
    call.tries++;
    call.sent = performance.now();
    call.heard(call.sent);
    call.lastMessage = call.gap = undefined;
    session.calls.add(call);
    this.#requests.set(call.id, call);
    const token = call.params._meta?.progressToken;
    if (token !== undefined) this.#tokens.set(token, call);
    if (this.#options.performanceMarks && !call.internal) this.#marks.mark(call, 'sent');
    session.transport.send(call.message, { priority: call.priority, signal: call.aborter.signal }).catch((error) => this.#failed(session, call, error));
  }

  /** A call got no answer on this session: it is sent again where that is safe, else it ends. */
  #failed(session, call, error) {
    if (call.done || call.answered || call.session !== session) return;
    const gone = error.unsent || error.kind === 'session';
    if (!call.internal && call.tries < (call.once ? 1 : TRIES) && (error.unsent || (call.repeatable && ['connection', 'lost', 'session'].includes(error.kind)))) {
      this.#forget(call);
      this.#outbox.unshift(call);
    } else if (error instanceof McpClientError) {
      call.fail(this.#explained(call, error));
    } else {
      call.fail(new McpClientError('protocol', `${call.name}: ${error.message}`, { cause: error }));
    }
    if (gone && !call.internal) this.#lost(session);
    else this.#pump();
  }

  #explained(call, error) {
    const hint = error.kind === 'connection' && !error.unsent && !call.internal ? '; whether it was carried out is not known: call again, or pass idempotent: true to have that done' : '';
    return new McpClientError(error.kind, `${call.name}: ${error.message}${hint}`, { cause: error, unsent: error.unsent });
  }

  #forget(call) {
    this.#requests.delete(call.id);
    this.#tokens.delete(call.params._meta?.progressToken);
    call.session?.calls.delete(call);
    const was = call.session;
    call.session = undefined;
    if (was?.retired && was.calls.size === 0) was.transport.close();
    return was;
  }

  #ended(call, error) {
    const now = performance.now();
    if (!call.internal) {
      this.#stats.record(call.created, now, error !== undefined);
      if (this.#options.performanceMarks && call.sent !== undefined) this.#measure(call, error);
    }
    if (!call.session) {
      this.#outbox.remove(call);
      return;
    }
    const session = this.#forget(call);
    if (error instanceof McpClientError && (error.kind === 'timeout' || error.kind === 'cancelled') && !call.internal) {
      session.transport.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: call.id, reason: error.message } }).catch(() => {});
      if (error.kind === 'timeout' && session.heard <= call.lastHeard) this.#doubt(session); // by no clock: a timer may go off early
    }
    call.aborter.abort();
    this.#pump();
  }

  #measure(call, error) {
    this.#marks.mark(call, 'end');
    this.#marks.measure(call, call.name, { transport: call.session?.transport.kind ?? null, priority: call.priority, failed: error !== undefined });
  }

  // --- what comes ---

  /** Takes a message; gives a promise where the connection is to be read no further until it resolves. */
  #receive(session, message) {
    session.heard = performance.now();
    if (Array.isArray(message)) return this.#both(message.map((one) => this.#receive(session, one)));
    if (message === null || typeof message !== 'object') return undefined;
    if (typeof message.method !== 'string') {
      this.#response(message);
      return undefined;
    }
    if ('id' in message) {
      this.#asked(session, message);
      return undefined;
    }
    const rooms = this.#lanes.map((lane) => lane.push(message));
    if (message.method === 'notifications/progress') rooms.push(this.#progress(message.params));
    return this.#both(rooms);
  }

  #both(rooms) {
    const waiting = rooms.filter(Boolean);
    return waiting.length > 0 ? Promise.all(waiting) : undefined;
  }

  #progress(params) {
    const { progressToken: token, ...value } = params ?? {};
    const call = this.#tokens.get(token);
    if (!call) return undefined;
    this.#touch(call);
    return call.lane?.push({ token, value });
  }

  #response(message) {
    const call = this.#requests.get(message.id);
    if (!call) {
      // null: the server could not read the id of what it refuses
      if (message.error && message.id == null) this.#report(new McpError(message.error));
      return;
    }
    this.#touch(call);
    call.answer(message);
  }

  #touch(call) {
    const now = performance.now();
    call.heard(now);
    if (this.#options.performanceMarks && !call.internal && call.lastMessage === undefined) this.#marks.mark(call, 'first');
    if (this.#options.collectMetrics && !call.internal) this.#metrics.message(call, now);
    else call.lastMessage = now;
  }

  /** The server asks: sampling, elicitation, roots, ping. */
  async #asked(session, { id, method, params }) {
    const { onRequest } = this.#options;
    const answer = { jsonrpc: '2.0', id };
    try {
      if (method === 'ping') answer.result = {};
      else if (onRequest) answer.result = (await onRequest(method, params)) ?? {};
      else answer.error = { code: -32601, message: `this client does not answer ${method}` };
    } catch (error) {
      answer.error = { code: Number.isInteger(error?.code) ? error.code : -32603, message: String(error?.message ?? error) };
    }
    await session.transport.send(answer).catch((error) => this.#report(error));
  }

  // --- connections ---

  /** One attempt: over WebSocket, then over HTTP. Everybody who waits for a connection waits for the same one. */
  #open(state) {
    this.#turn(state);
    this.#opening = this.#attempt()
      .catch((error) => {
        if (this.#state !== 'closed') this.#turn('idle', error);
        throw error;
      })
      .finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  async #attempt() {
    const { preferWs, WebSocket } = this.#options;
    const reasons = [];
    const kinds = preferWs && WebSocket ? ['ws', 'http'] : ['http'];
    for (const kind of kinds) {
      try {
        const session = await this.#establish(kind);
        if (reasons.length > 0) this.#counters.fallbacks++;
        this.#adopt(session, reasons[0]);
        return;
      } catch (error) {
        if (this.#state === 'closed') throw this.#closedError();
        if (error instanceof McpError) throw error; // it was reached, and does not want us
        reasons.push(error);
      }
    }
    const said = reasons.map(({ message }) => message).join('; ');
    throw new McpClientError('connection', `no connection to ${this.#options.serverUrl}: ${said}. Is the gateway running there?`, { cause: reasons.at(-1), unsent: true });
  }

  async #establish(kind) {
    const transport = kind === 'ws' ? new WsTransport(this.#urls.ws, this.#options, this.#counters) : new HttpTransport(this.#urls.http, this.#options, this.#counters);
    const session = { transport, calls: new Set(), retired: false, info: undefined, heard: performance.now() };
    transport.onmessage = (message) => this.#receive(session, message);
    transport.onclose = (error) => this.#closed(session, error);
    try {
      await transport.open();
      session.info = await this.#handshake(session);
      transport.protocolVersion = session.info.protocolVersion;
      await transport.send({ jsonrpc: '2.0', method: 'notifications/initialized' });
      if (this.#state === 'closed') throw this.#closedError();
    } catch (error) {
      transport.close();
      throw error;
    }
    return session;
  }

  async #handshake(session) {
    const { protocolVersion, capabilities, clientInfo, connectTimeout } = this.#options;
    const call = this.#make('initialize', { protocolVersion, capabilities, clientInfo }, { priority: 'critical', timeout: connectTimeout, internal: true });
    this.#start(session, call);
    const info = await call.promise;
    if (!REVISIONS.includes(info?.protocolVersion)) {
      throw new McpClientError('protocol', `the server speaks revision ${info?.protocolVersion}; this client speaks ${REVISIONS.join(', ')}`);
    }
    return info;
  }

  #adopt(session, why) {
    const { onNotification, onBatch, onRequest } = this.#options;
    this.#session = session;
    clearTimeout(this.#upgradeTimer);
    if (session.transport.kind === 'http') {
      if (onNotification || onBatch || onRequest) session.transport.listen((error) => this.#listenFailed(session, error));
      this.#planUpgrade();
    }
    this.#turn('connected', why);
    this.#pump();
  }

  #listenFailed(session, error) {
    if (error.kind === 'session') this.#lost(session);
    else this.#report(error);
  }

  /** WebSocket is tried again from time to time, less and less often. Calls under way end where they began. */
  #planUpgrade(growth = 1) {
    const { preferWs, WebSocket, wsRetry } = this.#options;
    if (!preferWs || !WebSocket || !wsRetry) return;
    this.#upgradeTimer = later(async () => {
      const was = this.#session;
      try {
        const session = await this.#establish('ws');
        if (this.#session !== was || this.#state !== 'connected') return void session.transport.close();
        this.#counters.upgrades++;
        this.#adopt(session);
        this.#retire(was);
      } catch {
        if (this.#session === was && was) this.#planUpgrade(Math.min(WS_RETRY_GROWTH, growth * 2));
      }
    }, wsRetry * growth);
  }

  #retire(session) {
    session.retired = true;
    if (session.calls.size === 0) session.transport.close();
  }

  /** The connection has ended, and what was open on it with it. */
  #closed(session, error) {
    for (const call of [...session.calls]) this.#failed(session, call, error);
    this.#lost(session, error);
  }

  /** Nothing at all came for as long as a call may take: a connection that answers no ping either is given up. */
  async #doubt(session) {
    if (session.transport.kind !== 'ws' || session.retired || session.doubted) return;
    session.doubted = true;
    const ping = this.#make('ping', {}, { priority: 'critical', timeout: this.#options.connectTimeout, internal: true });
    this.#start(session, ping);
    try {
      await ping.promise;
    } catch (error) {
      if (error.kind === 'timeout') {
        session.transport.close();
        this.#closed(session, new McpClientError('connection', `the WebSocket to ${this.#urls.ws} is open, but nothing comes, not even the answer to a ping`));
      }
    }
    session.doubted = false;
  }

  #lost(session, error) {
    this.#retire(session);
    if (session !== this.#session || this.#state === 'closed') return;
    this.#session = undefined;
    clearTimeout(this.#upgradeTimer);
    for (const call of this.#outbox.take((one) => one.once)) call.fail(new McpClientError('connection', `${call.name}: the connection was lost before it was sent`, { cause: error, unsent: true }));
    if (this.#options.reconnect) this.#reopen(error);
    else {
      this.#turn('idle', error);
      this.#pump();
    }
  }

  async #reopen(why) {
    this.#turn('reconnecting', why);
    const done = (async () => {
      for (let attempt = 0; ; attempt++) {
        if (attempt > 0) await sleep(backoff(attempt - 1), this.#closing.signal);
        if (this.#state === 'closed') throw this.#closedError();
        try {
          await this.#attempt();
          this.#counters.reconnects++;
          return;
        } catch (error) {
          if (attempt >= this.#options.maxReconnects) throw error;
        }
      }
    })();
    this.#opening = done;
    try {
      await done;
    } catch (error) {
      if (this.#state !== 'closed') this.#turn('idle', error);
      this.#failWaiting(error);
    } finally {
      if (this.#opening === done) this.#opening = undefined;
    }
  }

  #failWaiting(error) {
    for (const call of this.#outbox.take()) call.fail(error);
  }

  #turn(state, reason) {
    if (this.#state === state && state !== 'connected') return;
    this.#state = state;
    this.#tell(this.#options.onStateChange, { state, transport: this.transport, reason });
  }

  #report(error) {
    this.#tell(this.#options.onError, error);
  }

  #tell(listener, value) {
    try {
      listener?.(value);
    } catch (error) {
      queueMicrotask(() => {
        throw error; // the listener's own, which is nobody's here to handle
      });
    }
  }

  #closedError() {
    return new McpClientError('closed', 'the client was closed: make a new one');
  }
}
