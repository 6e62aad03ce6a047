// SPDX-License-Identifier: Apache-2.0
// A session is the same at every worker, and outlives workers, generations and the gateway's process.

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { call, get, post, request } from './lib/mcp.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const VERSION = 'MCP-Protocol-Version: 2025-11-25';

async function open(gateway, ...fields) {
  const response = await gateway.ask(
    post('/mcp', request(1, 'initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } }), ...fields),
  );
  assert.equal(response.status, 200, response.body?.toString());
  return response.head.get('mcp-session-id');
}

/** The status of a list in this session, on a connection of its own: the kernel picks the worker. */
const use = async (gateway, session, ...fields) =>
  (await gateway.ask(post('/mcp', request(2, 'tools/list', {}), `Mcp-Session-Id: ${session}`, VERSION, ...fields))).status;

const remove = async (gateway, session) => (await gateway.ask(`DELETE /mcp HTTP/1.1\r\nHost: x\r\nMcp-Session-Id: ${session}\r\n\r\n`)).status;

async function openMany(gateway, count) {
  const sessions = [];
  for (let i = 0; i < count; i++) sessions.push(await open(gateway));
  return sessions;
}

/** Each session, several times; every use must have this status. */
async function useAll(gateway, sessions, status = 200, times = 4) {
  for (const session of sessions) for (let i = 0; i < times; i++) assert.equal(await use(gateway, session), status);
}

/** What lives is what came less what went. Counted in sweeps, so it settles within a second. */
async function settle(gateway) {
  const figures = ['live', 'opened', 'found', 'rebuilt', 'deleted', 'expired', 'evicted'];
  let f;
  await until(
    () => `sessions add up: ${JSON.stringify(f)}`,
    async () => {
      const metrics = await gateway.metrics();
      f = Object.fromEntries(figures.map((name) => [name, metrics.sum(`sessions_${name}`)]));
      return f.live === f.opened + f.found + f.rebuilt - f.deleted - f.expired - f.evicted;
    },
  );
  return f;
}

async function reload(gateway) {
  const before = gateway.children('worker');
  const generation = await gateway.metric('generation');
  gateway.process.kill('SIGHUP');
  await gateway.untilMetric('generation', (n) => n === generation + 1);
  await gateway.untilGone(before, 20_000);
}

/** The gateway again, in the same directories. */
async function restart(world, gateway, options) {
  const { code } = await gateway.process.stop('SIGTERM', 40_000);
  assert.equal(code, 0);
  return world.gateway({ dir: gateway.dir, ...options });
}

promise('every worker serves every session', async (world) => {
  const gateway = await world.gateway({ workers: 4 });
  const sessions = await openMany(gateway, 24);
  await useAll(gateway, sessions);
  const metrics = await gateway.metrics();
  assert.ok(metrics.sum('requests_forwarded_home') > 20, 'most requests reached another worker than the home');
  assert.equal(metrics.sum('requests_forwarded_home'), metrics.sum('requests_from_siblings'), 'in one hop each');
  assert.deepEqual(await settle(gateway), { live: 24, opened: 24, found: 0, rebuilt: 0, deleted: 0, expired: 0, evicted: 0 });
});

promise('a deleted session is unknown to every worker, also after a restart', async (world) => {
  const dir = world.directory();
  let gateway = await world.gateway({ workers: 4, dir });
  const sessions = await openMany(gateway, 12);
  const [gone, kept] = [sessions.slice(0, 8), sessions.slice(8)];
  for (const session of gone) assert.equal(await remove(gateway, session), 200);
  for (const session of gone) assert.equal(await remove(gateway, session), 404);
  await useAll(gateway, gone, 404);
  await useAll(gateway, kept);
  assert.equal((await settle(gateway)).live, 4);
  gateway = await restart(world, gateway, { workers: 4 });
  await useAll(gateway, gone, 404);
  await useAll(gateway, kept);
  await gateway.untilMetric('sessions_found', (n) => n === 4);
  assert.equal((await settle(gateway)).rebuilt, 0);
});

promise('what is no token of ours is unknown, what is missing is missing', async (world) => {
  const gateway = await world.gateway({ workers: 2 });
  const session = await open(gateway);
  const flipped = session.slice(0, -2) + (session.at(-2) === 'A' ? 'B' : 'A') + session.at(-1);
  assert.equal(await use(gateway, flipped), 404);
  assert.equal(await use(gateway, 'x'), 404);
  assert.equal(await use(gateway, `${session}x`), 404);
  const without = await gateway.ask(post('/mcp', request(2, 'tools/list', {}), VERSION));
  assert.equal(without.status, 400);
  assert.equal((await gateway.ask(get('/mcp', 'Accept: text/event-stream', VERSION))).status, 400);
  assert.equal((await gateway.ask('DELETE /mcp HTTP/1.1\r\nHost: x\r\n\r\n')).status, 400);
  assert.equal(await use(gateway, session), 200);
});

promise('sessions outlive their home worker', async (world) => {
  const gateway = await world.gateway({ workers: 3 });
  const sessions = await openMany(gateway, 18);
  for (let round = 0; round < 3; round++) {
    const worker = gateway.children('worker')[round];
    process.kill(worker.pid, 'SIGKILL');
    await until('it is back', () => {
      const now = gateway.children('worker');
      return now.length === 3 && now.every(({ pid }) => pid !== worker.pid);
    });
    // The dead one's ring may still accept for a moment; what it took counts as in flight at the kill.
    for (const session of sessions) await until('it is served again', async () => (await use(gateway, session)) === 200);
    await useAll(gateway, sessions, 200, 2);
  }
  assert.equal(await gateway.metric('sessions_rebuilt'), 0, 'the records were there');
});

promise('sessions outlive reloads', async (world) => {
  const gateway = await world.gateway({ workers: 2 });
  const sessions = await openMany(gateway, 10);
  await reload(gateway);
  await useAll(gateway, sessions, 200, 2);
  sessions.push(...(await openMany(gateway, 4)));
  await reload(gateway);
  await useAll(gateway, sessions, 200, 2);
  assert.equal(await remove(gateway, sessions[0]), 200);
  await useAll(gateway, sessions.slice(0, 1), 404);
  assert.equal(await gateway.metric('sessions_rebuilt'), 0);
  await gateway.untilMetric('sessions_live', (n) => n === 13);
}, { ms: 120_000 });

promise('sessions outlive restarts with fewer and with more workers', async (world) => {
  const dir = world.directory();
  let gateway = await world.gateway({ workers: 4, dir });
  const sessions = await openMany(gateway, 16);
  for (const workers of [1, 2, 4]) {
    gateway = await restart(world, gateway, { workers });
    await useAll(gateway, sessions, 200, 2);
    sessions.push(await open(gateway));
    await gateway.untilMetric('sessions_live', (n) => n === sessions.length);
    assert.equal((await settle(gateway)).rebuilt, 0);
  }
}, { ms: 120_000 });

promise('sessions outlive a gateway that was killed', async (world) => {
  const dir = world.directory();
  const first = await world.gateway({ workers: 2, dir });
  const sessions = await openMany(first, 8);
  const children = first.children();
  first.process.kill('SIGKILL');
  await first.untilGone(children);
  const second = await world.gateway({ workers: 2, dir });
  await useAll(second, sessions, 200, 2);
  assert.equal(await second.metric('sessions_rebuilt'), 0);
});

promise('with its table lost a session is rebuilt from its token', async (world) => {
  const dir = world.directory();
  let gateway = await world.gateway({ workers: 2, dir });
  const sessions = await openMany(gateway, 6);
  await gateway.finish();
  rmSync(join(gateway.stateDir, 'sessions'));
  gateway = await world.gateway({ workers: 2, dir });
  await useAll(gateway, sessions);
  assert.equal((await settle(gateway)).rebuilt, 6);
});

promise('one gateway keeps its sessions in a state directory', async (world) => {
  const gateway = await world.gateway({ workers: 1 });
  await assert.rejects(world.gateway({ workers: 1, args: ['--state-dir', gateway.stateDir] }), /another gateway keeps its sessions in .*--state-dir/);
});

promise('at --max-sessions the session that was unused for longest gives way, and comes back when it is used', async (world) => {
  const gateway = await world.gateway({ workers: 1, args: ['--max-sessions', '8'] });
  const sessions = await openMany(gateway, 12);
  const figures = await settle(gateway);
  assert.equal(figures.live, 8);
  assert.equal(figures.evicted, 4);
  await useAll(gateway, sessions, 200, 1);
  assert.ok((await settle(gateway)).rebuilt >= 4);
});

promise('when all sessions of --max-sessions are in use a new one is refused with the reason', async (world) => {
  const gateway = await world.gateway({ workers: 1, args: ['--max-sessions', '2'] });
  const streams = [];
  for (let i = 0; i < 2; i++) {
    const client = await world.connect(gateway);
    await client.send(get('/mcp', 'Accept: text/event-stream', `Mcp-Session-Id: ${await open(gateway)}`, VERSION));
    assert.equal((await client.response({ body: false })).status, 200);
    streams.push(client);
  }
  const refused = await gateway.ask(post('/mcp', request(5, 'initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } })));
  assert.equal(refused.status, 503);
  assert.match(refused.body.toString(), /--max-sessions/);
  assert.equal(JSON.parse(refused.body).id, 5);
  streams[0].close();
  await gateway.untilMetric('streams_open', (n) => n === 1);
  await open(gateway);
});

promise('a session expires after --session-ttl, and after --session-idle without use', async (world) => {
  const short = await world.gateway({ workers: 2, args: ['--session-ttl', '2s'] });
  const [early] = await openMany(short, 1);
  assert.equal(await use(short, early), 200);
  await until('it expires', async () => (await use(short, early)) === 404);
  await short.untilMetric('sessions_expired', (n) => n === 1);
  const idle = await world.gateway({ workers: 2, args: ['--session-idle', '2s'] });
  const sessions = await openMany(idle, 2);
  const begun = Date.now();
  while (Date.now() - begun < 5000) assert.equal(await use(idle, sessions[0]), 200);
  assert.equal(await use(idle, sessions[1]), 404);
  await idle.untilMetric('sessions_expired', (n) => n === 1);
  assert.equal((await settle(idle)).live, 1);
});

promise('--session-binding authorization: a session serves only who opened it', async (world) => {
  const gateway = await world.gateway({ workers: 2, args: ['--session-binding', 'authorization'] });
  const session = await open(gateway, 'Authorization: Bearer one');
  for (let i = 0; i < 4; i++) {
    assert.equal(await use(gateway, session, 'Authorization: Bearer one'), 200);
    assert.equal(await use(gateway, session, 'Authorization: Bearer two'), 404);
    assert.equal(await use(gateway, session), 404);
  }
  const anybodys = await open(gateway);
  assert.equal(await use(gateway, anybodys), 200);
  assert.equal(await use(gateway, anybodys, 'Authorization: Bearer one'), 404);
});

promise('a call whose home worker dies fails with its id, once', async (world) => {
  const gateway = await world.gateway({ workers: 2 });
  const session = await open(gateway);
  const fields = ['Content-Type: application/json', `Mcp-Session-Id: ${session}`, VERSION];
  const clients = [];
  for (let i = 0; i < 12; i++) {
    const client = await world.connect(gateway);
    const body = call(100 + i, 'slow_count', { to: 1000, interval_ms: 10000 });
    // Without text/event-stream the reply is one JSON message at the end, so nothing of it is there yet.
    await client.send(`POST /mcp HTTP/1.1\r\nHost: x\r\n${fields.join('\r\n')}\r\nAccept: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    clients.push({ client, id: 100 + i });
  }
  let forwarded;
  await until('all have begun', async () => {
    const metrics = await gateway.metrics();
    forwarded = metrics.sum('requests_forwarded_home');
    return metrics.sum('exchanges_open') === 12 + forwarded; // those are open at two workers
  });
  assert.ok(forwarded > 0 && forwarded < 12, `${forwarded} of 12 were forwarded`);
  // The home is the worker to which the other one forwarded.
  const slots = JSON.parse(await gateway.mcpstat('--json')).workers.filter((slot) => slot.role === 'worker');
  const home = slots.find((slot) => slot.metrics.requests_from_siblings > 0);
  process.kill(home.pid, 'SIGKILL');
  let failed = 0;
  for (const { client, id } of clients) {
    const response = await client.response().catch(() => undefined);
    if (!response) continue; // its connection was the dead worker's
    assert.equal(response.status, 502);
    const error = JSON.parse(response.body);
    assert.equal(error.id, id);
    assert.match(error.error.message, /worker/);
    failed++;
  }
  assert.equal(failed, forwarded);
  assert.equal(await gateway.metric('closed', { reason: 'home_gone' }), forwarded);
  assert.equal(await gateway.metric('requests_from_siblings'), forwarded, 'none was sent a second time');
  assert.equal(await use(gateway, session), 200);
});

promise('SDK 1.x clients do not notice a worker that dies, a reload and a restart', async (world) => {
  const dir = world.directory();
  let gateway = await world.gateway({ workers: 4, dir });
  const port = gateway.port;
  const clients = [];
  for (let i = 0; i < 6; i++) {
    const client = new Client({ name: 'blackbox', version: '1.0.0' });
    const transport = new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${port}/mcp`), {
      reconnectionOptions: { maxReconnectionDelay: 200, initialReconnectionDelay: 50, reconnectionDelayGrowFactor: 1, maxRetries: 1000 },
    });
    await client.connect(transport);
    world.atEnd(() => client.close());
    clients.push({ client, transport, session: transport.sessionId });
  }
  const all = async (what) => {
    for (const { client, transport, session } of clients) {
      const sum = await client.callTool({ name: 'add', arguments: { a: 19, b: 23 } });
      assert.match(sum.content[0].text, /42/, what);
      assert.equal(transport.sessionId, session, 'with no new initialize');
    }
  };
  await all('at the start');
  const [worker] = gateway.children('worker');
  process.kill(worker.pid, 'SIGKILL');
  await until('it is back', () => gateway.children('worker').length === 4 && !gateway.children('worker').some(({ pid }) => pid === worker.pid));
  await until('connections to it are gone', () => all('after a kill').then(() => true, () => false));
  await reload(gateway);
  await all('after a reload');
  gateway = await restart(world, gateway, { workers: 2, listen: [`127.0.0.1:${port}`] });
  await all('after a restart');
  assert.equal(await gateway.metric('sessions_opened'), 0);
  await clients[0].transport.terminateSession();
  await assert.rejects(clients[0].client.listTools(), /404|session/i);
}, { ms: 120_000 });
