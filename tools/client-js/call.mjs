// SPDX-License-Identifier: Apache-2.0
// One request from its making to its end: its limits, its progress, its promise.

import { McpClientError, McpError } from './errors.mjs';

export class Call {
  tries = 0;
  session; // the one it was sent on
  done = false;
  answered = false; // its response is there; its callback may still be busy with what came before
  created = performance.now();
  aborter = new AbortController(); // of what the transport does for it
  sent;
  lastMessage;
  lastHeard = this.created; // of it
  #timer;

  /** `ended(call, error)` is told of the end, whichever it is, before the promise is. */
  constructor(id, method, params, { priority, timeout, totalTimeout, signal, lane, ended, repeatable = false, once = false, internal = false }) {
    Object.assign(this, { id, method, params, priority, timeout, totalTimeout, lane, ended, repeatable, once, internal });
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.#watch(timeout);
    if (signal) this.#obey(signal);
  }

  get message() {
    return { jsonrpc: '2.0', id: this.id, method: this.method, params: this.params };
  }

  /** What is called, for messages. */
  get name() {
    return this.method === 'tools/call' ? `${this.method} ${this.params.name}` : this.method;
  }

  heard(now) {
    this.lastHeard = now;
  }

  /** The response: the promise follows when everything before it was delivered. */
  async answer({ result, error }) {
    if (this.done) return;
    this.answered = true;
    await this.lane?.end();
    if (error) this.fail(new McpError(error));
    else this.#end(undefined, () => this.resolve(result));
  }

  fail(error) {
    this.#end(error, () => this.reject(error));
  }

  #end(error, settle) {
    if (this.done) return;
    this.done = true;
    clearTimeout(this.#timer);
    this.#disobey?.();
    this.lane?.abandon();
    this.ended(this, error);
    settle();
  }

  /** One timer, set anew when it goes off early, not with every message. */
  #watch(ms) {
    this.#timer = setTimeout(() => {
      const now = performance.now();
      const total = this.created + this.totalTimeout - now;
      // While its callback is busy with what came, silence says nothing about the server.
      if (this.lane && !this.lane.idle) this.lastHeard = now;
      const silent = this.lastHeard + this.timeout - now;
      if (total > 1 && silent > 1) this.#watch(Math.min(total, silent));
      else this.fail(this.#tooLate(total <= 1));
    }, Math.min(ms, this.totalTimeout));
  }

  #tooLate(total) {
    const [what, name] = total ? [this.totalTimeout, 'totalTimeout'] : [this.timeout, 'timeout'];
    const state = this.sent === undefined ? 'was not sent: there was no connection, or too many calls were before it' : 'was sent and cancelled';
    return new McpClientError('timeout', `${this.name}: ${total ? 'no response' : 'nothing heard'} for ${what} ms (${name}); it ${state}`, { unsent: this.sent === undefined });
  }

  #disobey;

  #obey(signal) {
    const abort = () => this.fail(new McpClientError('cancelled', `${this.name} was cancelled${signal.reason instanceof Error ? '' : `: ${signal.reason}`}`, { cause: signal.reason }));
    this.#disobey = () => signal.removeEventListener('abort', abort);
    if (signal.aborted) queueMicrotask(abort);
    else signal.addEventListener('abort', abort, { once: true });
  }
}
