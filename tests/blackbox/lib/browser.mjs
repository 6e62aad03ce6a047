// SPDX-License-Identifier: Apache-2.0
// A real Chromium without a screen, driven over the DevTools protocol.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';
import { Process } from './process.mjs';
import { until, within } from './wait.mjs';

const FLAGS = [
  '--headless',
  '--no-sandbox', // its sandbox does not start as root, and here it opens our own pages only
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-extensions',
  '--no-first-run',
  '--remote-debugging-port=0',
];

/** Replies by id, events to whoever listens. */
class Connection {
  #socket;
  #ids = 0;
  #waiting = new Map();
  listeners = new Set();

  static async open(url) {
    const connection = new Connection();
    connection.#socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: 256 << 20 });
    await within('DevTools accepts', new Promise((resolve, reject) => connection.#socket.once('open', resolve).once('error', reject)));
    connection.#socket.on('message', (data) => connection.#take(JSON.parse(data)));
    connection.#socket.on('close', () => connection.#lost());
    return connection;
  }

  send(method, params = {}, sessionId = undefined) {
    const id = ++this.#ids;
    const reply = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject, method }));
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    return reply;
  }

  #take({ id, result, error, ...event }) {
    if (id === undefined) {
      for (const listener of this.listeners) listener(event);
      return;
    }
    const { resolve, reject, method } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) reject(new Error(`${method}: ${error.message}`));
    else resolve(result);
  }

  #lost() {
    for (const { reject, method } of this.#waiting.values()) reject(new Error(`${method}: Chromium is gone`));
    this.#waiting.clear();
  }

  close() {
    this.#socket.terminate();
  }
}

/** One tab. What goes wrong in it by itself is in `problems`: exceptions, and what its console calls an error. */
class Page {
  problems = [];

  constructor(connection, session) {
    this.connection = connection;
    this.session = session;
    connection.listeners.add(({ sessionId, method, params }) => sessionId === session && this.#hear(method, params));
  }

  send(method, params) {
    return this.connection.send(method, params, this.session);
  }

  #hear(method, params) {
    if (method === 'Runtime.exceptionThrown') this.problems.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === 'Log.entryAdded' && params.entry.level === 'error') this.problems.push(`${params.entry.text} ${params.entry.url ?? ''}`);
    if (method === 'Page.loadEventFired') this.loaded?.();
  }

  async open(url) {
    const loaded = new Promise((resolve) => (this.loaded = resolve));
    const { errorText } = await this.send('Page.navigate', { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
    await within(`${url} is loaded`, loaded, 20_000);
  }

  /** Runs a function in the page with arguments that JSON can carry; gives what it gives, or what its promise does. */
  async run(f, ...args) {
    const expression = `(${f})(${args.map((one) => JSON.stringify(one)).join(', ')})`;
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** What a reader sees of an element: nothing where it is hidden. */
  text(selector) {
    return this.run((one) => {
      const element = document.querySelector(one);
      return element?.checkVisibility() ? element.innerText : '';
    }, selector);
  }

  /** Waits until the text of an element matches, and gives the match. */
  async shows(selector, pattern, ms = 20_000) {
    let text;
    return until(
      () => `${selector} shows ${pattern}; it shows ${JSON.stringify(text)}; problems: ${this.problems.join('; ') || 'none'}`,
      async () => (text = await this.text(selector))?.match(pattern),
      ms,
    );
  }

  /** As a reader with a mouse: to the middle of the element. */
  async click(selector) {
    const at = await this.run((one) => {
      const element = document.querySelector(one);
      element.scrollIntoView({ block: 'center' });
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x: x + width / 2, y: y + height / 2 };
    }, selector);
    for (const type of ['mousePressed', 'mouseReleased']) await this.send('Input.dispatchMouseEvent', { type, ...at, button: 'left', clickCount: 1 });
  }

  /** In place of what an input holds. */
  async fill(selector, text) {
    await this.run((one) => {
      const element = document.querySelector(one);
      element.focus();
      element.select();
    }, selector);
    await this.send('Input.insertText', { text });
    await this.run((one) => document.querySelector(one).dispatchEvent(new Event('change', { bubbles: true })), selector);
  }

  async key(key, code = key) {
    const text = { Enter: '\r', ' ': ' ' }[key];
    const windowsVirtualKeyCode = { Tab: 9, Enter: 13, ' ': 32, End: 35, Home: 36, ArrowLeft: 37, ArrowRight: 39 }[key];
    await this.send('Input.dispatchKeyEvent', { type: 'keyDown', key, code, text, windowsVirtualKeyCode });
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', key, code, windowsVirtualKeyCode });
  }

  /** A PNG of the whole page. */
  async picture() {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
    return Buffer.from(data, 'base64');
  }
}

export class Browser {
  static async start() {
    const browser = new Browser();
    browser.dir = mkdtempSync(join(tmpdir(), 'mcpgate-chromium-'));
    browser.process = new Process('chromium', [...FLAGS, `--user-data-dir=${browser.dir}`, 'about:blank'], { name: 'chromium' });
    const [, url] = await browser.process.line(/DevTools listening on (ws:\S+)/, 60_000).catch((cause) => {
      rmSync(browser.dir, { recursive: true, force: true });
      throw new Error(`no Chromium: ${cause.message} Is Debian's package chromium installed, as tools/test does?`, { cause });
    });
    browser.connection = await Connection.open(url);
    return browser;
  }

  /** A tab with storage and connections of its own. */
  async page(url) {
    const { browserContextId } = await this.connection.send('Target.createBrowserContext', {});
    const { targetId } = await this.connection.send('Target.createTarget', { url: 'about:blank', browserContextId, width: 1100, height: 900 });
    const { sessionId } = await this.connection.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page(this.connection, sessionId);
    for (const domain of ['Page', 'Runtime', 'Log']) await page.send(`${domain}.enable`);
    page.close = () => this.connection.send('Target.disposeBrowserContext', { browserContextId });
    if (url) await page.open(url);
    return page;
  }

  async close() {
    await this.connection.send('Browser.close').catch(() => {}); // its end may come before its answer
    await within('Chromium ends', this.process.exit).catch(() => this.process.kill('SIGKILL'));
    this.connection.close();
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}
