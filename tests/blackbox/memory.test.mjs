// SPDX-License-Identifier: Apache-2.0
// What memory a long run, sessions, and a crowd of stopped readers cost. Times are bench/'s business.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { program, withoutProbes } from './lib/gateway.mjs';
import { get } from './lib/mcp.mjs';
import { pss, run } from './lib/process.mjs';
import { long, sleep, until, within } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

withoutProbes();

const KIB = 1024;

// What the address sanitizer keeps for itself is not the gateway's: freed memory for a while, and, where gcc 14 does so by
// default, stack frames. Other builds do not read this.
const env = { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=0:thread_local_quarantine_size_kb=0:detect_stack_use_after_return=0` };

const stats = async (server) => (await fetch(`${server.url}/stats`)).json();

/** mcpload until it is told to end; it is gone before the gateway's counters are checked. */
function startLoad(world, ...args) {
  const load = world.process(program('mcpload'), ['--duration', '1h', '--timeout', '1h', '--quiet', '--json', '-', ...args], { name: 'mcpload' });
  world.atEnd(() => load.stop('SIGKILL'));
  return load;
}

/** Ends it, unless it ends by itself, and gives its result, in which nothing may have failed. */
async function finishLoad(load, { ends = false } = {}) {
  const { code } = ends ? await within('mcpload ends', load.exit, 30_000) : await load.stop('SIGINT', 30_000);
  assert.equal(code, 0, load.output);
  return JSON.parse(load.stdout).result;
}

const workers = (gateway) => gateway.children('worker').map(({ pid }) => pid);

/**
 * Copies of mcpgate's libraries that nobody else runs. Pss divides a page by the processes that map it, so each unrelated
 * program that starts or ends would move the weight of the system's libcrypto by more than what is looked for here.
 */
async function ownLibraries(world) {
  const dir = world.directory();
  const { stdout } = await run('ldd', [program('mcpgate')]);
  for (const [, name, path] of stdout.matchAll(/(\S+) => (\/\S+)/g)) copyFileSync(path, join(dir, name));
  return { LD_LIBRARY_PATH: dir };
}

/** Holds the load once so many requests are through, with all its connections open, and weighs the workers. */
async function weigh(gateway, load, requests) {
  await gateway.untilMetric('exchanges_finished', (n) => n >= requests, { ms: 600_000 });
  load.kill('SIGSTOP');
  let metrics;
  await until('nothing is under way', async () => {
    const before = await gateway.metric('turns');
    await sleep(2000); // what is given back a while after a burst has been given back
    metrics = await gateway.metrics();
    return metrics.imbalance() === '' && metrics.sum('turns') - before < 1000;
  }, 60_000);
  const at = {
    requests: metrics.sum('exchanges_finished'),
    clients: metrics.sum('connections_open'),
    upstreams: metrics.sum('up_connections'),
    pids: workers(gateway),
    bytes: pss(workers(gateway)),
  };
  load.kill('SIGCONT');
  return at;
}

/** A session as a client of the official SDK holds one: initialized, a tool called, its GET stream open. */
async function openSession(url, signal) {
  const fields = { Accept: 'application/json, text/event-stream', 'Content-Type': 'application/json' };
  const post = async (method, params, id) => {
    const reply = await fetch(url, { method: 'POST', headers: fields, body: JSON.stringify({ jsonrpc: '2.0', id, method, params }), signal });
    assert.ok(reply.ok, `${method}: ${reply.status}`);
    const text = await reply.text();
    return { reply, text };
  };
  const { reply } = await post('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } }, 0);
  fields['Mcp-Session-Id'] = reply.headers.get('mcp-session-id');
  await post('notifications/initialized');
  assert.match((await post('tools/call', { name: 'echo', arguments: { text: 'so it is' } }, 1)).text, /so it is/);
  const stream = await fetch(url, { headers: fields, signal });
  assert.equal(stream.status, 200);
}

const SESSIONS = 200;
const RECEIVES = 1100; // after which each of the worker's receive buffers has been in use

promise(`${SESSIONS} sessions with a shared server on stdin and stdout, each with its GET stream, take 8 KiB each at most`, async (world, t) => {
  const gateway = await world.gateway({
    upstreams: { demo: `stdio:'${program('mcpgate')}' demo --stdio` },
    args: ['--workers', '1', '--stdio-share', 'shared'],
    env: { ...env, ...(await ownLibraries(world)) },
  });
  const clients = new AbortController();
  await openSession(`${gateway.url}/mcp/demo`, clients.signal); // starts the server
  for (let i = 0; i < RECEIVES; i++) await gateway.ask(get('/nowhere'));
  const before = pss(workers(gateway));
  for (let i = 0; i < SESSIONS; i++) await openSession(`${gateway.url}/mcp/demo`, clients.signal);
  const growth = pss(workers(gateway)) - before;
  t.diagnostic(`Pss of the worker: ${before / KIB} KiB, then ${growth / KIB} KiB more, ${Math.round(growth / SESSIONS)} bytes for each session`);
  assert.equal(await gateway.metric('streams_open'), SESSIONS + 1);
  clients.abort();
  assert.ok(growth <= SESSIONS * 8 * KIB, `${growth / SESSIONS} bytes each`);
}, { ms: 120_000 });

const [early, late] = long ? [200_000, 1_000_000] : [20_000, 100_000];

promise(`a worker's memory after ${late} requests is what it was after ${early}`, async (world, t) => {
  const server = await world.load();
  const gateway = await world.gateway({ upstreams: { up: `${server.url}/mcp` }, args: ['--upstream-idle', '1h'], env: { ...env, ...(await ownLibraries(world)) } });
  const load = startLoad(world, '--url', `${gateway.url}/mcp/up`, '--connections', '64');
  const a = await weigh(gateway, load, early);
  const b = await weigh(gateway, load, late);
  const growth = b.bytes - a.bytes;
  t.diagnostic(`Pss of ${b.pids.length} workers: ${a.bytes / KIB} KiB after ${a.requests} requests, ${b.bytes / KIB} KiB after ${b.requests}: ${growth / KIB} KiB more`);
  t.diagnostic(`connections: ${a.clients} and ${b.clients} of clients, ${a.upstreams} and ${b.upstreams} to the upstream`);
  assert.deepEqual(b.pids, a.pids, 'the same workers');
  assert.equal(a.clients, 64);
  assert.equal(b.clients, 64);
  await finishLoad(load);
  assert.ok(growth <= 128 * KIB, `${growth / KIB} KiB more`);
}, { ms: 900_000 });

const readers = long ? 1000 : 100;
const HIGH_MARK = 64 * KIB;

promise(`${readers} readers that stop hold the high mark each at most, stop their sources, and fail none of ${readers} others`, async (world, t) => {
  const server = await world.load('--sndbuf', '256k');
  const gateway = await world.gateway({
    upstreams: { up: `${server.url}/mcp` },
    routes: { '/plain': server.url, '/warm': server.url },
    args: ['--high-mark', String(HIGH_MARK), '--send-timeout', '1h', '--upstream-buffer', '256k', '--upstream-max', String(4 * readers), '--upstream-idle-max', String(4 * readers)],
    env,
  });
  const others = startLoad(world, '--url', `${gateway.url}/mcp/up`, '--connections', String(readers), '--think', '100ms');
  await gateway.untilMetric('exchanges_finished', (n) => n >= 20 * readers, { ms: 60_000 });
  // The receive pool has a fixed size, and bulk in transit makes it resident. Among 1,000 readers it does not show; among
  // 100 it would be most of what is seen: there as many that do read go before.
  if (!long) await finishLoad(startLoad(world, '--url', `${gateway.url}/warm/?bytes=4m`, '--connections', String(readers), '--duration', '1s'), { ends: true });
  const before = pss(gateway.pids());

  const stopped = startLoad(world, '--url', `${gateway.url}/`, '--kind', 'http', '--connections', '0', '--slow-readers', String(readers), '--rcvbuf', '64k', '--slow-path', '/plain/sse?rate=0&event-bytes=16k');
  const started = Date.now();
  let seen, then, served;
  await until(
    () => `the sources of ${readers} stopped readers stand still for 2 s: ${JSON.stringify([seen, then])}`,
    async () => {
      seen = await stats(server);
      if (seen.stopped_connections !== readers) return false;
      served = await gateway.metric('exchanges_finished');
      await sleep(2000);
      then = await stats(server);
      return then.stopped_connections === readers && then.stopped_bytes === seen.stopped_bytes;
    },
    60_000,
  );
  const still = Date.now() - started - 2000;
  const growth = pss(gateway.pids()) - before;
  const metrics = await gateway.metrics();
  const servedMeanwhile = metrics.sum('exchanges_finished') - served;

  await stopped.stop('SIGINT');
  const result = await finishLoad(others);
  t.diagnostic(`Pss of the process tree: ${before / KIB} KiB, then ${growth / KIB} KiB more, ${Math.round(growth / readers)} bytes for each stopped reader; ${metrics.sum('queued_bytes')} bytes queued in ${metrics.sum('slab_bytes')} bytes of slabs`);
  t.diagnostic(`sent to the stopped ones: ${seen.stopped_bytes} bytes, standing still for 2 s after ${still} ms; to the others ${servedMeanwhile} replies meanwhile, ${result.requests} in all, ${result.failed} failed`);
  assert.equal(metrics.sum('streams_open'), readers);
  // Shadow memory and red zones add 10 to 20 KiB for each reader: of a sanitizer's build we take the gateway's own count.
  const sanitized = readFileSync(`/proc/${gateway.pid}/maps`, 'latin1').includes('libasan');
  const held = sanitized ? metrics.sum('slab_bytes') : growth;
  assert.ok(held <= readers * HIGH_MARK, `${held} bytes more`);
  assert.ok(servedMeanwhile > readers, `${servedMeanwhile} replies to the others in 2 s`);
  assert.equal(result.failed, 0, JSON.stringify(result.errors));
}, { ms: 300_000 });
