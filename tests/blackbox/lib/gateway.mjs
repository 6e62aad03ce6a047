// SPDX-License-Identifier: Apache-2.0
// The real mcpgate on ports that the system picks, in directories of its own, and what every test checks at its end:
// the counters add up and no process is left.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Process, alive, descendants, run } from './process.mjs';
import { Metrics } from './metrics.mjs';
import { RawClient } from './raw.mjs';
import { until } from './wait.mjs';

const here = dirname(fileURLToPath(import.meta.url));

/** The build under test. */
export const build = resolve(process.env.MCPGATE_BUILD ?? join(here, '../../../build'));
export const program = (name) => join(build, name);

const READY = /ready: listening on (.+) \((\d+) workers?, admin (\S+)\)/;
const BROKEN = /AddressSanitizer|LeakSanitizer|runtime error:|assertion failed|ASSERT/;

/** Flags of every gateway of a test file, before its own. */
export const always = [];
/** For files whose upstreams are scripts: they see the requests of the test and no probes of the gateway's. */
export const withoutProbes = () => always.push('--era-ttl', '0');

export class Gateway {
  /**
   * upstreams: {name: url}, routes: {'/prefix': url}, workers, args: further flags, env;
   * dir: of another gateway; through: a command that runs it (prlimit ...).
   */
  static async start({ upstreams = {}, routes = {}, workers = 2, args = [], env = {}, listen = ['127.0.0.1:0'], admin = '127.0.0.1:0', dir, through = [] } = {}) {
    const gateway = new Gateway();
    gateway.borrowed = dir !== undefined;
    gateway.dir = dir ?? mkdtempSync(join(tmpdir(), 'mcpgate-test-'));
    gateway.runDir = join(gateway.dir, 'run');
    gateway.stateDir = join(gateway.dir, 'state');
    const all = listen.flatMap((address) => ['--listen', address]);
    all.push('--admin', admin, '--workers', String(workers), '--run-dir', gateway.runDir, '--state-dir', gateway.stateDir);
    for (const [name, url] of Object.entries(upstreams)) all.push('--upstream', `${name}=${url}`);
    for (const [prefix, url] of Object.entries(routes)) all.push('--route', `${prefix}=${url}`);
    // HTTP clients keep connections that never had a request; a drain waits for those, and no test wants to.
    if (!args.includes('--drain-timeout')) all.push('--drain-timeout', '1s');
    const command = [...through, program('mcpgate'), ...all, ...always, ...args];
    gateway.process = new Process(command[0], command.slice(1), { env, name: 'mcpgate' });
    try {
      const ready = await gateway.process.line(READY);
      gateway.listening = ready[1].split(/,? /).filter(Boolean);
      gateway.workers = Number(ready[2]);
      gateway.url = gateway.listening.find((url) => url.startsWith('http://127.0.0.1')) ?? gateway.listening[0];
      gateway.admin = ready[3];
      gateway.port = Number(new URL(gateway.url).port);
    } catch (error) {
      gateway.process.kill('SIGKILL');
      gateway.removeDir();
      throw error;
    }
    return gateway;
  }

  get pid() {
    return this.process.pid;
  }

  /** Our processes now, by role: supervisor's children are named "mcpgate: worker 3" and the like in ps. */
  children(role = '') {
    return descendants(this.pid).filter(({ command }) => command.includes(role));
  }

  /** Every process of the gateway, the supervisor included. */
  pids() {
    return [this.pid, ...this.children().map(({ pid }) => pid)];
  }

  async mcpstat(...args) {
    const { code, stdout, stderr } = await run(program('mcpstat'), [...args, '--run-dir', this.runDir]);
    assert.equal(code, 0, `mcpstat ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  /** What the segment says now. */
  async metrics() {
    return new Metrics(await this.mcpstat('--prom'));
  }

  async metric(id, labels) {
    return (await this.metrics()).sum(id, labels);
  }

  /** Waits until a metric's sum satisfies `condition`. */
  async untilMetric(id, condition, { labels, ms } = {}) {
    let value;
    return until(
      () => `${id} is ${condition}; it is ${value}\n${this.process.stderr.slice(-2000)}`,
      async () => {
        value = await this.metric(id, labels);
        return condition(value) ? { value } : undefined;
      },
      ms,
    );
  }

  connect(options) {
    return RawClient.connect(this.port, options);
  }

  /** One exchange on a connection of its own. */
  async ask(bytes, options) {
    const client = await this.connect(options);
    try {
      return await client.ask(bytes, options);
    } finally {
      client.close();
    }
  }

  /** No request is open and every buffer has gone home. Connections may be open. */
  async untilQuiet(ms = 15_000) {
    let off;
    await until(
      () => `the counters add up; they do not: ${off}\n${this.process.stderr.slice(-3000)}`,
      async () => {
        off = (await this.metrics()).imbalance();
        return off === '';
      },
      ms,
    );
  }

  /** Ends the gateway and checks what every test checks. */
  async finish() {
    if (this.finished) return;
    this.finished = true;
    try {
      if (!this.process.ended) {
        await this.untilQuiet();
        const before = [{ pid: this.pid }, ...descendants(this.pid)];
        const { code, signal } = await this.process.stop('SIGTERM', 40_000);
        assert.deepEqual({ code, signal }, { code: 0, signal: null }, `mcpgate's end after SIGTERM\n${this.process.stderr.slice(-3000)}`);
        await this.untilGone(before.slice(1));
        const last = await this.metrics();
        assert.equal(last.imbalance(), '', 'counters after the end');
        assert.equal(last.sum('connections_open'), 0, 'connections open after the end');
      }
      assert.doesNotMatch(this.process.stderr, BROKEN);
    } finally {
      if (!this.process.ended) {
        this.process.kill('SIGKILL');
        await this.process.exit;
      }
      this.removeDir();
    }
  }

  /** None of these processes is left. */
  async untilGone(processes, ms = 5_000) {
    await until(
      () => `these end: ${JSON.stringify(processes.filter(alive))}`,
      () => !processes.some(alive),
      ms,
    );
  }

  removeDir() {
    if (!this.borrowed && existsSync(this.dir)) rmSync(this.dir, { recursive: true, force: true });
  }
}
