// SPDX-License-Identifier: Apache-2.0
// What one test builds up. It is taken down in the order: clients, gateways (with their checks), servers.

import { test } from 'node:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Gateway, program } from './gateway.mjs';
import { Process } from './process.mjs';
import { Upstream } from './raw.mjs';
import { within } from './wait.mjs';

const here = dirname(fileURLToPath(import.meta.url));

export class World {
  #closing = [];
  #gateways = [];
  #servers = [];

  /** Runs at the end, before the gateways are stopped: closes a client. */
  atEnd(close) {
    this.#closing.push(close);
  }

  async gateway(options) {
    const gateway = await Gateway.start(options);
    this.#gateways.push(gateway);
    return gateway;
  }

  async connect(gateway, options) {
    const client = await gateway.connect(options);
    this.atEnd(() => client.close());
    return client;
  }

  async upstream(handler, options) {
    const upstream = await Upstream.start(handler, options);
    this.#servers.push(async () => {
      const failure = await upstream.close();
      if (failure) throw new Error('the mock upstream got something malformed', { cause: failure });
    });
    return upstream;
  }

  /** Runs at the end, after the gateways were stopped: closes a server. */
  serves(close) {
    this.#servers.push(close);
  }

  /** A directory that goes at the end. */
  directory() {
    const dir = mkdtempSync(join(tmpdir(), 'mcpgate-test-'));
    this.#servers.unshift(() => rmSync(dir, { recursive: true, force: true }));
    return dir;
  }

  /** A file with this text in a directory of its own; gives its path. */
  file(name, text) {
    const path = join(this.directory(), name);
    writeFileSync(path, text);
    return path;
  }

  /** A program that runs until the end of the test. */
  process(file, args, options) {
    const p = new Process(file, args, options);
    this.#servers.push(() => p.stop('SIGKILL'));
    return p;
  }

  /** mcpload serve: a fast mock upstream. */
  async load(...args) {
    const p = this.process(program('mcpload'), ['serve', '--listen', '127.0.0.1:0', ...args], { name: 'mcpload serve' });
    const [, url] = await p.line(/mcpload: serving on (http:\/\/\S+)/);
    return Object.assign(p, { url });
  }

  /** @modelcontextprotocol/server-everything; `transport` is 'streamableHttp' or 'sse'. */
  async everything(transport = 'streamableHttp', port = 0) {
    const p = this.process(process.execPath, [join(here, '../servers/everything.mjs'), transport, String(port)], { name: 'server-everything' });
    const [, url] = await p.line(/listening on (http:\/\/\S+)/);
    return Object.assign(p, { url });
  }

  /** A 2026-07-28 server (servers/modern.mjs). */
  async modern(env = {}) {
    const p = this.process(process.execPath, [join(here, '../servers/modern.mjs')], { name: 'modern.mjs', env });
    const [, url] = await p.line(/listening on (https?:\/\/\S+)/);
    return Object.assign(p, { url });
  }

  async close() {
    const errors = [];
    const attempt = async (f) => {
      try {
        await f();
      } catch (error) {
        errors.push(error);
      }
    };
    for (const close of this.#closing.splice(0).reverse()) await attempt(close);
    for (const gateway of this.#gateways.splice(0)) await attempt(() => gateway.finish());
    for (const close of this.#servers.splice(0).reverse()) await attempt(close);
    return errors;
  }

  logs() {
    return this.#gateways.map((g) => `mcpgate's stderr:\n${g.process.stderr.slice(-4000)}`).join('\n');
  }
}

/** A test with a world of its own. */
export function promise(name, body, { ms = 60_000 } = {}) {
  test(name, async (t) => {
    const world = new World();
    let failed;
    try {
      await within(name, body(world, t), ms);
    } catch (error) {
      failed = error;
      console.error(`# ${name}\n${world.logs()}`);
    }
    const errors = await world.close();
    if (failed) throw failed;
    if (errors.length === 1) throw errors[0];
    if (errors.length) throw new AggregateError(errors, errors.map((e) => e.message).join('\n'));
  });
}
