// SPDX-License-Identifier: Apache-2.0
// MCP over WebSocket: a message is a message, the connection is the session. Nothing of it can be resumed.

import { McpClientError } from './errors.mjs';
import { later } from './wait.mjs';

const SEND_HIGH = 1 << 20; // bytes in the socket's own buffer above which calls wait in our queue, by class
const CLOSE_LIMIT_MS = 2000;

export class WsTransport {
  kind = 'ws';
  onmessage = () => {};
  onclose = () => {};
  #counters;
  #options;
  #socket;
  #held = 0;
  #closed = false;
  #decoder = new TextDecoder('utf-8', { fatal: true });
  #encoder = new TextEncoder();

  constructor(url, options, counters) {
    this.url = url;
    this.#options = options;
    this.#counters = counters;
  }

  open() {
    const { connectTimeout } = this.#options;
    return new Promise((resolve, reject) => {
      let why = 'the upgrade was refused';
      const fail = (reason) => {
        clearTimeout(timer);
        this.#closed = true;
        reject(new McpClientError('connection', `no WebSocket at ${this.url}: ${reason}`, { unsent: true }));
      };
      const timer = setTimeout(() => {
        fail(`not open within ${connectTimeout} ms (connectTimeout)`);
        this.#socket?.close();
      }, connectTimeout);
      try {
        this.#socket = this.#make();
      } catch (error) {
        fail(error.message);
        return;
      }
      this.#socket.binaryType = 'arraybuffer';
      this.#socket.onerror = (event) => (why = event.message || why);
      this.#socket.onclose = () => fail(why);
      this.#socket.onopen = () => {
        clearTimeout(timer);
        this.#socket.onmessage = ({ data }) => this.#read(data);
        this.#socket.onclose = ({ code, reason }) => this.#end(code, reason || why);
        why = '';
        resolve();
      };
    });
  }

  /** The `ws` package takes what a browser has no say in. */
  #make() {
    const { WebSocket, enableCompression, headers, maxMessageBytes } = this.#options;
    if (typeof WebSocket.prototype?.ping !== 'function') return new WebSocket(this.url, ['mcp']);
    return new WebSocket(this.url, ['mcp'], { perMessageDeflate: enableCompression, headers, maxPayload: maxMessageBytes });
  }

  /** Whether calls had better wait. */
  full() {
    return this.#socket.bufferedAmount > SEND_HIGH;
  }

  async send(message) {
    if (this.#closed || this.#socket.readyState !== 1) {
      throw new McpClientError('connection', `the WebSocket to ${this.url} is not open`, { unsent: true });
    }
    const text = JSON.stringify(message);
    this.#socket.send(this.#options.binary ? this.#encoder.encode(text) : text);
    this.#counters.messagesSent++;
  }

  #read(data) {
    const { maxMessageBytes } = this.#options;
    let message;
    try {
      const size = typeof data === 'string' ? data.length : data.byteLength;
      if (size > maxMessageBytes) throw new RangeError(`a message of ${size} bytes; maxMessageBytes is ${maxMessageBytes}`);
      message = JSON.parse(typeof data === 'string' ? data : this.#decoder.decode(data));
    } catch (error) {
      this.#fail(4002, `the server sent what cannot be read: ${error.message}`);
      return;
    }
    this.#counters.messagesReceived++;
    const room = this.onmessage(message);
    if (room) this.#hold(room);
  }

  /** Nothing is read until there is room. A browser's WebSocket cannot wait: there the queue's limit holds. */
  #hold(room) {
    if (this.#held++ === 0 && this.#socket.pause) {
      this.#counters.pauses++;
      this.#socket.pause();
    }
    room.then(() => {
      if (--this.#held === 0) this.#socket.resume?.();
    });
  }

  #fail(code, reason) {
    this.#end(code, reason);
    this.#socket.close(code, 'see the log of the client');
    later(() => this.#socket.terminate?.(), CLOSE_LIMIT_MS);
  }

  #end(code, reason) {
    if (this.#closed) return;
    this.#closed = true;
    this.onclose(new McpClientError('connection', `the WebSocket to ${this.url} was closed with ${code}${reason ? `: ${reason}` : ''}`));
  }

  close() {
    if (!this.#socket || this.#socket.readyState === 3) return Promise.resolve();
    this.#closed = true;
    this.#socket.resume?.(); // or the answer to the close would not be seen
    this.#socket.onmessage = null;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#socket.terminate?.();
        resolve();
      }, CLOSE_LIMIT_MS);
      this.#socket.onclose = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#socket.close(1000);
    });
  }
}
