// SPDX-License-Identifier: Apache-2.0
// What is counted by side and transport, for known traffic over each; and that every form of output says the same.

import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import WebSocket, { WebSocketServer } from 'ws';
import { program } from './lib/gateway.mjs';
import { STREAM, call, event, get, modernCall, ping, post, request } from './lib/mcp.mjs';
import { Metrics } from './lib/metrics.mjs';
import { echo } from './lib/raw.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const STDIO = `stdio:'${process.execPath}' '${join(here, 'servers/stdio.mjs')}'`;
const COUNTERS = ['transport_messages_received', 'transport_messages_sent', 'transport_received', 'transport_sent', 'transport_errors'];
const TIMES = ['transport_first_byte', 'transport_in_gateway', 'transport_jitter'];

const wsUrl = (gateway, path) => `${gateway.url.replace('http', 'ws')}${path}`;

/** A WebSocket and what it has heard. */
async function open(world, url) {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  const said = [];
  socket.on('message', (data) => said.push(data.toString()));
  world.atEnd(() => socket.terminate());
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  return { socket, said };
}

/** {received, sent, errors} in messages, of each side and transport that counted anything. */
function messages(metrics) {
  const all = {};
  for (const [key, id] of [['received', 'transport_messages_received'], ['sent', 'transport_messages_sent'], ['errors', 'transport_errors']])
    for (const { labels, value } of metrics.of(id)) if (value) ((all[`${labels.side} ${labels.transport}`] ??= {})[key] = value);
  return all;
}

/** mcpstat --json, --once and /metrics say the same, of every side and transport. */
async function sameEverywhere(gateway) {
  const scraped = new Metrics(await (await fetch(`${gateway.admin}/metrics`)).text());
  const { totals } = JSON.parse(await gateway.mcpstat('--json'));
  const table = (await gateway.mcpstat('--once')).split(/^Transports$/m)[1].split('\n\n')[0];
  let rows = 0;
  for (const side of ['client', 'upstream']) {
    for (const transport of ['http', 'sse', 'ws', 'stdio']) {
      const labels = { side, transport };
      for (const id of COUNTERS) assert.equal(totals[id][side]?.[transport] ?? 0, scraped.sum(id, labels), `${id} ${side} ${transport}`);
      for (const id of TIMES) assert.equal(totals[id][side]?.[transport]?.count ?? 0, scraped.sum(id, labels), `${id} ${side} ${transport}`);
      const counts = COUNTERS.some((id) => scraped.sum(id, labels) > 0);
      rows += counts;
      assert.equal(new RegExp(`^ +${side} +${transport} `, 'm').test(table), counts, `${side} ${transport} in\n${table}`);
    }
  }
  assert.ok(rows > 1);
  for (const side of ['client', 'upstream'])
    for (const way of ['received', 'sent'])
      assert.equal(['http', 'sse', 'ws', 'stdio'].reduce((sum, transport) => sum + scraped.sum(`transport_${way}`, { side, transport }), 0), scraped.sum(`${side}_${way}`), `${side}_${way} is the sum of its transports`);
}

promise('requests are counted as http, their streams as sse, on both sides', async (world) => {
  const upstream = await world.upstream(async (connection, asked) => {
    if (asked.method !== 'GET') return echo(connection, asked);
    await connection.send(STREAM);
    for (let i = 0; i < 5; i++) await connection.send(event(`number ${i}`));
    await connection.send('0\r\n\r\n');
  });
  const gateway = await world.gateway({ upstreams: { up: `${upstream.url}/mcp` }, args: ['--era-ttl', '0'] });
  const client = await world.connect(gateway);
  for (let i = 0; i < 10; i++) await client.ask(post('/mcp/up', call(i, 'echo')));
  await client.ask(get('/nothing'));
  for (let i = 0; i < 2; i++) assert.match((await client.ask(get('/mcp/up', 'Accept: text/event-stream'))).body.toString(), /number 4/);
  await gateway.untilQuiet();
  const metrics = await gateway.metrics();
  assert.deepEqual(messages(metrics), {
    'client http': { received: 13, sent: 11, errors: 1 },
    'client sse': { sent: 10 },
    'upstream http': { received: 10, sent: 12 },
    'upstream sse': { received: 10 },
  });
  assert.equal(metrics.sum('transport_first_byte', { side: 'client', transport: 'http' }), 11);
  assert.equal(metrics.sum('transport_first_byte', { side: 'client', transport: 'sse' }), 2);
  assert.equal(metrics.sum('transport_first_byte', { side: 'upstream', transport: 'sse' }), 2);
  assert.equal(metrics.sum('up_first_byte', { upstream: 'up' }), 12);
  assert.equal(metrics.sum('up_events', { upstream: 'up' }), 10);
  assert.ok(metrics.sum('up_in_gateway', { upstream: 'up' }) >= 12);
  assert.equal(metrics.sum('transport_jitter', { side: 'client', transport: 'sse' }), metrics.sum('event_jitter'));
  await sameEverywhere(gateway);
});

promise('calls over WebSocket to a process are counted as ws here and as stdio there', async (world) => {
  const gateway = await world.gateway({ upstreams: { s: STDIO }, workers: 1 });
  const { socket, said } = await open(world, wsUrl(gateway, '/ws/s'));
  socket.send(request(0, 'initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } }));
  await until('it is greeted', () => said.length === 1);
  socket.send(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' }));
  const before = await gateway.metrics();
  for (let i = 1; i <= 20; i++) socket.send(request(i, 'tools/call', { name: 'echo', arguments: { message: `m${i}` } }));
  await until('all are answered', () => said.length === 21);
  const after = await gateway.metrics();
  const grown = (id, labels) => after.sum(id, labels) - before.sum(id, labels);
  assert.equal(after.sum('transport_messages_received', { side: 'client', transport: 'ws' }), 22);
  assert.equal(after.sum('transport_messages_sent', { side: 'client', transport: 'ws' }), 21);
  assert.equal(after.sum('transport_first_byte', { side: 'client', transport: 'ws' }), 21, 'one for each that asks something');
  assert.equal(grown('transport_messages_received', { side: 'upstream', transport: 'stdio' }), 20);
  assert.equal(grown('transport_first_byte', { side: 'upstream', transport: 'stdio' }), 20);
  assert.equal(grown('up_latency', { upstream: 's' }), 20);
  assert.ok(grown('up_received', { upstream: 's' }) > 20 * 40 && grown('up_sent', { upstream: 's' }) > 20 * 40);
  assert.ok(after.sum('transport_received', { side: 'client', transport: 'ws' }) > 20 * 40);
  assert.ok(after.sum('transport_sent', { side: 'upstream', transport: 'stdio' }) > 20 * 40);
  socket.send(request(99, 'tools/call', { name: 'die' }));
  await until('it failed', () => said.length === 22);
  assert.equal(await gateway.metric('transport_errors', { side: 'upstream', transport: 'stdio' }), 1);
  assert.equal(await gateway.metric('transport_errors', { side: 'client', transport: 'ws' }), 1);
  assert.equal(await gateway.metric('up_failures', { upstream: 's' }), 1);
  socket.close();
  await gateway.untilQuiet();
  await sameEverywhere(gateway);
});

promise('messages of a relayed WebSocket are counted each way', async (world) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  world.serves(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  server.on('connection', (socket) => socket.on('message', (data) => [1, 2, 3].forEach(() => socket.send(data.toString()))));
  const gateway = await world.gateway({ routes: { '/chat': `ws://127.0.0.1:${server.address().port}` }, workers: 1 });
  const { socket, said } = await open(world, wsUrl(gateway, '/chat'));
  for (let i = 0; i < 10; i++) socket.send(`number ${i}`);
  await until('all are back', () => said.length === 30);
  await gateway.untilMetric('event_jitter', (n) => n === 29); // the last one is known a turn later
  const metrics = await gateway.metrics();
  const all = messages(metrics);
  assert.deepEqual(all['client ws'], { received: 10, sent: 30 });
  assert.deepEqual(all['upstream ws'], { received: 30, sent: 10 });
  assert.equal(metrics.sum('up_events', { upstream: '/chat' }), 30);
  assert.equal(metrics.sum('transport_jitter', { side: 'client', transport: 'ws' }), 29);
  assert.equal(metrics.sum('up_jitter', { upstream: '/chat' }), 29);
  socket.close();
  await gateway.untilQuiet();
  await sameEverywhere(gateway);
});

promise('calls to a server over WebSocket have a first byte each', async (world) => {
  const server = world.process(process.execPath, [join(here, 'servers/ws.mjs'), '--', program('mcpgate'), 'demo', '--stdio', '--revision', '2026-07-28'], { name: 'ws server' });
  const [, url] = await server.line(/listening on (wss?:\/\/\S+)/);
  const gateway = await world.gateway({ upstreams: { m: url }, workers: 1 });
  const ask = (i) => gateway.ask(post('/mcp/m', modernCall(i, 'echo', { text: 'hi' }), 'MCP-Protocol-Version: 2026-07-28', 'Mcp-Method: tools/call', 'Mcp-Name: echo'));
  assert.equal((await ask(0)).status, 200);
  const before = await gateway.metrics();
  for (let i = 1; i <= 10; i++) assert.equal((await ask(i)).status, 200);
  const after = await gateway.metrics();
  for (const id of ['transport_messages_received', 'transport_messages_sent', 'transport_first_byte'])
    assert.equal(after.sum(id, { side: 'upstream', transport: 'ws' }) - before.sum(id, { side: 'upstream', transport: 'ws' }), 10, id);
  await sameEverywhere(gateway);
});

promise('what waits for a reader that has stopped is queued on its transport, and its wait shows as jitter', async (world) => {
  let feed;
  const upstream = await world.upstream(async (connection) => {
    await connection.send(STREAM);
    feed = connection;
    await new Promise((resolve) => connection.socket.once('close', resolve));
  });
  const gateway = await world.gateway({ upstreams: { up: `${upstream.url}/mcp` }, args: ['--era-ttl', '0'], workers: 1 });
  const client = await world.connect(gateway);
  await client.send(get('/mcp/up', 'Accept: text/event-stream'));
  await client.response({ body: false });
  client.socket.pause();
  const some = Buffer.concat(Array.from({ length: 8 }, () => event('x'.repeat(8_000)))); // in each receive one ends at least
  const pushed = (async () => {
    for (let i = 0; i < 400; i++) await feed.send(some);
  })();
  await until('its source is stopped', async () => {
    const metrics = await gateway.metrics();
    return metrics.sum('pauses') > metrics.sum('resumes') && metrics.sum('transport_queued', { side: 'client', transport: 'sse' }) > 0;
  });
  const stopped = Date.now();
  await until('a while has passed', () => Date.now() - stopped > 500);
  const waited = (Date.now() - stopped) / 1000;
  client.socket.resume();
  await pushed;
  await gateway.untilMetric('transport_messages_sent', (n) => n === 3200, { labels: { side: 'client', transport: 'sse' } });
  await gateway.untilMetric('transport_queued', (n) => n === 0, { labels: { side: 'client', transport: 'sse' } });
  const { totals } = JSON.parse(await gateway.mcpstat('--json'));
  assert.ok(totals.transport_jitter.client.sse.max >= waited, `${totals.transport_jitter.client.sse.max} s after a stop of ${waited} s`);
  feed.close();
  client.close();
});

promise('a reload and the death of a worker take nothing away', async (world) => {
  const upstream = await world.upstream();
  const gateway = await world.gateway({ upstreams: { up: `${upstream.url}/mcp` }, args: ['--era-ttl', '0'] });
  for (let i = 0; i < 10; i++) await gateway.ask(post('/mcp/up', ping));
  await gateway.untilQuiet();
  const before = messages(await gateway.metrics());
  assert.equal(before['client http'].sent, 10);
  for (const { pid } of gateway.children('worker')) process.kill(pid, 'SIGKILL');
  await gateway.untilMetric('process_deaths', (n) => n === 2, { labels: { role: 'worker' } });
  assert.deepEqual(messages(await gateway.metrics()), before);
  const old = gateway.children('worker');
  gateway.process.kill('SIGHUP');
  await gateway.untilMetric('generation', (n) => n === 2);
  await gateway.untilGone(old, 40_000);
  await gateway.untilMetric('transport_messages_sent', (n) => n === 10, { labels: { side: 'client', transport: 'http' } });
  assert.deepEqual(messages(await gateway.metrics()), before);
  await sameEverywhere(gateway);
});
