// SPDX-License-Identifier: Apache-2.0
// mcpstat beside a program that writes a segment as a gateway would: its views, its forms, its exit statuses.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, program } from './lib/gateway.mjs';
import { Metrics } from './lib/metrics.mjs';
import { run } from './lib/process.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const ESCAPE = '\x1b';
const mcpstat = (dir, ...args) => run(program('mcpstat'), [...args, '--run-dir', dir]);

/** A segment that is written to all the time; a second one in the same directory takes the place of the first. */
async function writer(world, dir = world.directory(), ...args) {
  const p = world.process(join(build, 'tests/tools/segment_writer'), [dir, ...args]);
  await until('the segment is there', async () => (await mcpstat(dir, '--prom')).stdout.includes('mcpgate_running 1'));
  return Object.assign(p, { dir });
}

/** A terminal of its own: keys go in, the screen comes out. */
class Screen {
  static async start(world, command, { columns = 200, lines = 45 } = {}) {
    const screen = new Screen();
    screen.socket = join(world.directory(), 'tmux');
    world.atEnd(() => screen.tmux('kill-server'));
    await screen.tmux('-f', '/dev/null', 'new-session', '-d', '-x', String(columns), '-y', String(lines), `${command}; echo status $?; sleep 1000`);
    return screen;
  }

  async tmux(...args) {
    const { stdout } = await run('tmux', ['-S', this.socket, ...args]);
    return stdout;
  }

  text() {
    return this.tmux('capture-pane', '-p');
  }

  press(...keys) {
    return this.tmux('send-keys', ...keys);
  }

  /** Waits until the screen matches; gives it. */
  async shows(pattern) {
    let text = '';
    await until(
      () => `the screen shows ${pattern}; it shows:\n${text}`,
      async () => pattern.test((text = await this.text())),
    );
    return text;
  }
}

promise('every form of output holds the same figures', async (world) => {
  const dir = world.directory();
  const { stdout } = await run(join(build, 'tests/tools/segment_writer'), [dir, '-1']);
  assert.equal(stdout, 'ready\n');
  const prom = new Metrics((await mcpstat(dir, '--prom')).stdout);
  const json = JSON.parse((await mcpstat(dir, '--json')).stdout);
  const text = (await mcpstat(dir, '--once')).stdout;
  assert.equal(json.totals.exchanges_finished, 2000);
  assert.equal(prom.sum('exchanges_finished'), 2000);
  assert.match(text, /^ +exchanges_finished +2,000 /m);
  assert.equal(json.workers.filter((w) => w.role === 'worker').length, 2);
  const done = json.totals.closed.done;
  assert.equal(prom.sum('closed', { reason: 'done' }), done);
  assert.match(text, new RegExp(`^ +done +${done.toLocaleString('en-US')} `, 'm'));
  const ok = json.totals.requests.POST['200'];
  assert.equal(prom.sum('requests', { method: 'POST', status: '200' }), ok);
  const latency = json.totals.request_latency;
  assert.equal(latency.count, 2000);
  assert.ok(latency.p50 > 0.001 && latency.p50 <= latency.p90 && latency.p90 <= latency.p99 && latency.p9999 <= latency.max);
  assert.equal(json.upstreams.server1.up_requests, prom.sum('up_requests', { upstream: 'server1' }));
  assert.equal(json.gateway.running, false);
  const { http } = json.totals.transport_first_byte.client;
  assert.equal(http.count, 2000);
  assert.equal(prom.sum('transport_first_byte', { side: 'client', transport: 'http' }), 2000);
  assert.equal(json.totals.transport_messages_sent.client.sse, json.totals.events);
  assert.match(text, /^ +client +http +[\d.,]+ /m);
});

promise('promtool accepts the Prometheus form', async (world) => {
  const { dir } = await writer(world);
  const { stdout } = await mcpstat(dir, '--prom');
  const promtool = await run('sh', ['-c', 'promtool check metrics <"$0"', world.file('metrics', stdout)]);
  assert.equal(promtool.code, 0, promtool.stdout + promtool.stderr);
  assert.equal(promtool.stderr, '');
  const buckets = stdout.split('\n').filter((line) => line.startsWith('mcpgate_request_latency_seconds_bucket{worker="0"'));
  assert.ok(buckets.length > 10 && buckets.length < 40, `${buckets.length} buckets`);
  const counts = buckets.map((line) => Number(line.split(' ')[1]));
  assert.ok(counts.every((n, i) => i === 0 || n >= counts[i - 1]), 'buckets are cumulative');
});

promise('on a pipe no option means --once, without escape codes', async (world) => {
  const { dir } = await writer(world);
  const { code, stdout } = await mcpstat(dir);
  assert.equal(code, 0);
  assert.match(stdout, /^mcpgate .* generation 1, up /);
  assert.ok(!stdout.includes(ESCAPE));
});

promise('--watch prints a plain line an interval, and says when the gateway ends and when another comes', async (world) => {
  const first = await writer(world);
  const watch = world.process(program('mcpstat'), ['--watch', '0.1', '--run-dir', first.dir]);
  await until('lines', () => watch.stdout.split('\n').filter((line) => /^\d\d:\d\d:\d\d /.test(line)).length > 5);
  assert.match(watch.stdout, /^mcpgate .* generation 1, .*\ntime +req\/s +open /);
  await first.stop('SIGKILL');
  await until('it says so', () => watch.stdout.includes('gateway is not running; last figures of '));
  await writer(world, first.dir, '-g', '2');
  await until('it follows', () => watch.stdout.includes('generation 2'));
  assert.ok(!watch.stdout.includes(ESCAPE));
});

promise('--list explains every metric that the gateway has', async (world) => {
  const { dir } = await writer(world);
  const lines = (await mcpstat(dir, '--list')).stdout.trimEnd().split('\n');
  const { totals, upstreams } = JSON.parse((await mcpstat(dir, '--json')).stdout);
  const ids = [...Object.keys(totals), ...Object.keys(upstreams.server0)];
  assert.equal(lines.length, ids.length + 1);
  for (const id of ids) assert.ok(lines.some((line) => new RegExp(`^${id} +(counter|gauge|histogram) .* \\S+ \\S+`).test(line)), id);
});

promise('the exit status tells no gateway (1) from a wrong command line (2)', async (world) => {
  const dir = world.directory();
  const missing = await mcpstat(dir, '--once');
  assert.equal(missing.code, 1);
  assert.ok(missing.stderr.includes(dir) && missing.stderr.trimEnd().split('\n').length === 1, missing.stderr);
  for (const args of [['--bogus'], ['--watch'], ['--watch', 'often'], ['--json', '--prom'], ['extra']]) {
    const { code, stdout, stderr } = await run(program('mcpstat'), args);
    assert.equal(code, 2, args.join(' '));
    assert.equal(stdout, '');
    assert.match(stderr, /^mcpstat: .*see mcpstat --help\n$/);
  }
  assert.equal((await run(program('mcpstat'), ['--help'])).code, 0);
});

promise('the run directory is searched where the gateway puts it, and a running gateway comes first', async (world) => {
  const runtime = world.directory();
  const dir = join(runtime, 'mcpgate');
  mkdirSync(dir);
  await writer(world, dir, '-g', '77');
  const { code, stdout } = await run(program('mcpstat'), ['--json'], { env: { XDG_RUNTIME_DIR: runtime } });
  assert.equal(code, 0);
  assert.equal(JSON.parse(stdout).gateway.running, true);
});

promise('a damaged segment is refused with one line', async (world) => {
  const dir = world.directory();
  writeFileSync(join(dir, 'stats'), 'this is no segment'.repeat(100));
  const foreign = await mcpstat(dir, '--once');
  assert.equal(foreign.code, 1);
  assert.match(foreign.stderr, /^mcpstat: .*\/stats: not a statistics segment\n$/);
  const gateway = await writer(world);
  await gateway.stop('SIGKILL');
  truncateSync(join(gateway.dir, 'stats'), 100_000);
  const cut = await mcpstat(gateway.dir, '--once');
  assert.equal(cut.code, 1);
  assert.match(cut.stderr, /^mcpstat: .*\/stats: the segment is cut short\n$/);
});

promise('the live view shows its five views, sorts, scrolls and fits any size', async (world) => {
  const { dir } = await writer(world);
  const screen = await Screen.start(world, `${program('mcpstat')} --run-dir ${dir}`);
  await screen.shows(/\[1 overview\][^]*generation 1, up [^]*request_latency[^]*q quit/);
  await screen.press('2');
  await screen.shows(/\[2 workers\][^]*0 +worker +ready +\d+[^]*2 +admin +ready/);
  await screen.press('Tab');
  await screen.shows(/\[3 upstreams\][^]*server0 [^]*server2 /);
  await screen.press('s');
  await screen.shows(/sorted by req\/s/);
  await screen.press('r');
  await screen.shows(/sorted by req\/s \(reversed\)/);
  await screen.press('4');
  const streams = await screen.shows(/\[4 streams\][^]*Open streams: 10[^]*server0 +tools\/call/);
  assert.ok(!streams.includes('PAUSED'));
  await screen.press('5');
  await screen.shows(/\[5 transports\][^]*side +transport +msgs in\/s[^]*client +http [^]*client +sse /);
  await screen.press('p');
  await screen.shows(/PAUSED/);
  await screen.press('p', '1', 'End');
  await screen.shows(/log_lines_dropped/);
  await screen.press('Home');
  await screen.tmux('resize-window', '-x', '60', '-y', '12');
  const small = await screen.shows(/^ mcpstat +\[1 overview\][^]*Times/);
  assert.ok(small.split('\n').every((line) => line.length <= 60));
  await screen.press('Right', 'Right');
  await screen.shows(/^ mcpstat(?![^]*generation)/);
  await screen.tmux('resize-window', '-x', '5', '-y', '2');
  await screen.tmux('resize-window', '-x', '120', '-y', '30');
  await screen.shows(/^.{80,}$/m); // drawn anew: a key before that may go with the resize
  await screen.press('h');
  await screen.shows(/sort by the next/);
  await screen.press('x');
  await screen.press('q');
  await screen.shows(/^status 0/);
});

promise('the live view keeps the last figures of a gateway that ends and follows the next one', async (world) => {
  const first = await writer(world);
  const screen = await Screen.start(world, `${program('mcpstat')} --run-dir ${first.dir}`);
  await screen.shows(/generation 1, up/);
  await first.stop('SIGKILL');
  await screen.shows(/gateway is not running; last figures of \d{4}-/);
  await writer(world, first.dir, '-g', '2', '-w', '3');
  await screen.shows(/generation 2, up/);
  await screen.press('2');
  await screen.shows(/3 +admin/);
  await screen.press('q');
  await screen.shows(/^status 0/);
});

promise('an unknown terminal gets one line with the way out', async (world) => {
  const { dir } = await writer(world);
  const screen = await Screen.start(world, `TERM=nonesuch ${program('mcpstat')} --run-dir ${dir}`);
  await screen.shows(/mcpstat: the terminal "nonesuch" is not known: set TERM, or use --once or --watch\s+status 2/);
});

promise('the manual explains every metric', async () => {
  const manual = readFileSync(join(build, 'tools/mcpstat/mcpstat.1'), 'latin1');
  const table = readFileSync(new URL('../../include/mcpgate/metrics.def', import.meta.url), 'latin1').replace(/\/\*.*?\*\//gs, '').replace(/^\s*#.*$/gm, '');
  const ids = [...table.matchAll(/METRIC(?:_UPSTREAM|_TRANSPORT|_FAMILY)?\((?:(?:COUNTER|GAUGE|HISTOGRAM), )?(\w+),/g)].map(([, id]) => id);
  assert.ok(ids.length > 60);
  for (const id of ids) assert.match(manual, new RegExp(`^\\.B ${id}\\n\\((counter|gauge|histogram)`, 'm'), id);
});
