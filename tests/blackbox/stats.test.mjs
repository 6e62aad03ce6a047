// SPDX-License-Identifier: Apache-2.0
// What mcpstat and the admin listener say is what happened.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import zlib from 'node:zlib';
import WebSocket from 'ws';
import { McpStreamingClient } from '../../tools/client-js/index.mjs';
import { program } from './lib/gateway.mjs';
import { STREAM, call, event, get, ping, post } from './lib/mcp.mjs';
import { Metrics } from './lib/metrics.mjs';
import { run } from './lib/process.mjs';
import { RawClient, echo } from './lib/raw.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

async function busy(world) {
  const upstream = await world.upstream(async (connection, request) => {
    if (request.method !== 'GET') return echo(connection, request);
    await connection.send(STREAM);
    await connection.send(event('hello'));
  });
  const gateway = await world.gateway({ upstreams: { up: `${upstream.url}/mcp` }, routes: { '/plain': upstream.url }, args: ['--era-ttl', '0'] }); // no requests but the test's
  const client = await world.connect(gateway);
  for (let i = 0; i < 10; i++) await client.ask(post('/mcp/up', call(i, 'echo')));
  for (let i = 0; i < 5; i++) await client.ask(post('/mcp/up', ping));
  await client.ask(post('/plain/x', 'abc'));
  await client.ask(get('/nothing'));
  return { upstream, gateway, client };
}

const names = () => {
  const text = readFileSync(join(root, 'include/mcpgate/metrics.def'), 'latin1').replace(/\/\*.*?\*\//gs, '').replace(/^\s*#.*$/gm, '');
  return [...text.matchAll(/METRIC(?:_UPSTREAM|_TRANSPORT|_FAMILY)?\((?:(?:COUNTER|GAUGE|HISTOGRAM), )?(\w+),/g)].map(([, id]) => id);
};

promise('requests are counted by method, status, MCP method and upstream', async (world) => {
  const { gateway } = await busy(world);
  const metrics = await gateway.metrics();
  assert.equal(metrics.sum('requests', { method: 'POST', status: '200' }), 16);
  assert.equal(metrics.sum('requests', { method: 'GET', status: '404' }), 1);
  assert.equal(metrics.sum('mcp_requests', { mcp_method: 'tools/call' }), 10);
  assert.equal(metrics.sum('mcp_requests', { mcp_method: 'ping' }), 5);
  assert.equal(metrics.sum('up_requests', { upstream: 'up' }), 15);
  assert.equal(metrics.sum('up_requests', { upstream: '/plain' }), 1);
  assert.equal(metrics.sum('exchanges_finished'), 17);
  assert.equal(metrics.sum('local_replies'), 1);
  assert.ok(metrics.sum('client_received') > 0 && metrics.sum('client_sent') > 0);
});

promise('mcpstat shows every metric of the table, in text, JSON and Prometheus form, with help', async (world) => {
  const { gateway } = await busy(world);
  const list = await gateway.mcpstat('--list');
  const all = names();
  assert.ok(all.length > 60);
  for (const id of all) assert.ok(list.includes(id), `${id} in --list`);
  const parsed = JSON.parse(await gateway.mcpstat('--json'));
  const flat = JSON.stringify(parsed);
  for (const id of all) assert.ok(flat.includes(`"${id}"`), `${id} in --json`);
  const prom = await gateway.mcpstat('--prom');
  for (const id of all) assert.match(prom, new RegExp(`^# TYPE mcpgate_${id}(_bytes|_seconds)?(_total)? `, 'm'), `${id} in --prom`);
  const once = await gateway.mcpstat('--once');
  for (const word of ['worker', 'up', '/plain']) assert.ok(once.includes(word), `${word} in --once:\n${once}`);
  assert.ok(!once.includes('\x1b'), 'no colour on a pipe');
});

promise('/metrics is what promtool accepts, plain and gzip', async (world) => {
  const { gateway } = await busy(world);
  const plain = await fetch(`${gateway.admin}/metrics`, { headers: { 'accept-encoding': 'identity' } });
  assert.equal(plain.status, 200);
  assert.match(plain.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
  const text = await plain.text();
  assert.equal(new Metrics(text).sum('mcp_requests', { mcp_method: 'tools/call' }), 10);
  const promtool = await run('sh', ['-c', 'promtool check metrics <"$0"', world.file('metrics', text)]);
  assert.equal(promtool.code, 0, promtool.stdout + promtool.stderr);
  const { hostname, port } = new URL(gateway.admin);
  const raw = await RawClient.connect({ host: hostname, port: Number(port) });
  world.atEnd(() => raw.close());
  const packed = await raw.ask('GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n');
  assert.equal(packed.head.get('content-encoding'), 'gzip');
  assert.match(zlib.gunzipSync(packed.body).toString(), /mcpgate_connections_accepted_total/);
});

promise('on a loopback address a name of somebody else is told nothing (DNS rebinding)', async (world) => {
  const statuses = async (args, hosts, path = '/metrics') => {
    const gateway = await world.gateway({ args });
    const { hostname, port } = new URL(gateway.admin);
    const raw = await RawClient.connect({ host: hostname, port: Number(port) });
    world.atEnd(() => raw.close());
    const answers = [];
    for (const host of hosts) answers.push((await raw.ask(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).status);
    const refused = answers.filter((status) => status === 403).length;
    const admin = JSON.parse(await gateway.mcpstat('--json')).workers.find((slot) => slot.role === 'admin');
    assert.equal(admin.metrics.closed.host ?? 0, refused);
    return answers;
  };
  const strangers = ['evil.example', 'evil.example:8081', '127.0.0.1.evil.example', 'localhost.evil.example', '10.0.0.1'];
  const own = ['localhost', 'LOCALHOST:8081', '127.0.0.1:8081', '127.8.9.1', '[::1]:8081'];
  assert.deepEqual(new Set(await statuses([], strangers)), new Set([403]));
  assert.deepEqual(new Set(await statuses([], own)), new Set([200]));
  assert.deepEqual(await statuses([], ['evil.example'], '/ui/'), [403]);
  assert.deepEqual(await statuses([], ['balancer.example'], '/healthz'), [200], 'which shows nothing');
  assert.deepEqual(await statuses(['--allow-origin', 'https://gate.example'], ['gate.example:8081', 'evil.example']), [200, 403]);
  assert.deepEqual(await statuses(['--trusted-proxy', '127.0.0.0/8'], ['evil.example']), [200], 'the proxy has looked');
});

promise('who names no host, as HTTP/1.0 may, is told as much as ever', async (world) => {
  const gateway = await world.gateway({ args: [] });
  const { hostname, port } = new URL(gateway.admin);
  const raw = await RawClient.connect({ host: hostname, port: Number(port) });
  world.atEnd(() => raw.close());
  assert.equal((await raw.ask('GET /metrics HTTP/1.0\r\n\r\n')).status, 200);
});

promise('/healthz and /readyz answer, and nothing else is served there', async (world) => {
  const { gateway } = await busy(world);
  assert.equal((await fetch(`${gateway.admin}/healthz`)).status, 200);
  assert.equal((await fetch(`${gateway.admin}/readyz`)).status, 200);
  assert.equal((await fetch(`${gateway.admin}/mcp/up`)).status, 404);
  assert.equal((await fetch(`${gateway.admin}/metrics`, { headers: { origin: 'https://evil.example' } })).status, 403);
});

promise('mcpstat reads a gateway that has ended, and one that was killed', async (world) => {
  const { gateway, client } = await busy(world);
  client.close();
  gateway.process.kill('SIGKILL');
  await gateway.process.exit;
  const metrics = await gateway.metrics();
  assert.equal(metrics.sum('mcp_requests', { mcp_method: 'tools/call' }), 10);
  assert.equal(metrics.sum('running'), 0);
  assert.match(await gateway.mcpstat('--once'), /not running|ended|dead/i);
});

promise('a restarted worker goes on counting where the dead one stopped', async (world) => {
  const { gateway } = await busy(world);
  for (const { pid } of gateway.children('worker')) process.kill(pid, 'SIGKILL');
  await until('both are back', async () => {
    const metrics = await gateway.metrics();
    return metrics.sum('process_deaths', { role: 'worker' }) === 2 && (await gateway.ask(post('/mcp/up', ping)).catch(() => ({}))).status === 200;
  });
  assert.equal(await gateway.metric('mcp_requests', { mcp_method: 'tools/call' }), 10);
});

promise('open streams are listed with their age and their events', async (world) => {
  const { gateway } = await busy(world);
  const client = await world.connect(gateway);
  await client.send(get('/mcp/up', 'Accept: text/event-stream'));
  await client.response({ body: false });
  await client.queue.through('hello', 5000);
  await gateway.untilMetric('streams_open', (n) => n === 1);
  assert.equal(await gateway.metric('up_streams', { upstream: 'up' }), 1);
  const parsed = JSON.parse(await gateway.mcpstat('--json'));
  const streams = parsed.streams ?? parsed.slots.flatMap((slot) => slot.streams ?? []);
  assert.equal(streams.length, 1);
  assert.equal(streams[0].upstream, 'up');
});

promise('a stream that the gateway makes itself is listed with what went over it, under an id that stays', async (world) => {
  const gateway = await world.gateway();
  const client = new McpStreamingClient({ serverUrl: gateway.url, WebSocket });
  world.atEnd(() => client.close());
  await client.connect();
  const listed = async () => JSON.parse(await gateway.mcpstat('--json')).streams;
  const [before] = await listed();
  await client.callTool('slow_count', { to: 7, interval_ms: 1 }, () => {});
  const [after, ...others] = await listed();
  assert.deepEqual(others, []);
  assert.equal(after.id, before.id);
  assert.equal(after.events - before.events, 8, 'seven of progress, and the result');
  assert.ok(after.bytes > before.bytes + 8 * 50, `${after.bytes}`);
  await client.close();
  const second = new McpStreamingClient({ serverUrl: gateway.url, WebSocket });
  world.atEnd(() => second.close());
  await gateway.untilMetric('streams_open', (n) => n === 0);
  await second.connect();
  assert.notEqual((await listed())[0].id, before.id, 'one that takes the same row has another id');
});

promise('--watch prints again and again until it is told to stop', async (world) => {
  const { gateway } = await busy(world);
  const p = world.process(program('mcpstat'), ['--watch', '0.2', '--run-dir', gateway.runDir]);
  await until('it has printed twice', () => p.stdout.split(/requests/i).length > 4 || p.stdout.split('\n').length > 40);
  await p.stop('SIGTERM');
  assert.equal(p.stderr, '');
});

promise('mcpstat without a gateway says where it looked', async (world) => {
  const dir = world.directory();
  const { code, stderr } = await run(program('mcpstat'), ['--once', '--run-dir', dir]);
  assert.notEqual(code, 0);
  assert.equal(stderr.trimEnd().split('\n').length, 1);
  assert.ok(stderr.includes(dir), stderr);
});

promise('the access log has one line per request, as text and as JSON', async (world) => {
  const upstream = await world.upstream();
  for (const format of ['text', 'json']) {
    const gateway = await world.gateway({ upstreams: { up: `${upstream.url}/mcp` }, args: ['--access-log', 'on', '--log-format', format, '--era-ttl', '0'] });
    for (let i = 0; i < 2; i++) await gateway.ask(post('/mcp/up', call(i, 'echo')));
    await gateway.ask(post('/mcp/up', call(2, 'echo'), 'X-Request-Id: mine "1"'));
    const lines = () => gateway.process.stderr.split('\n').filter((line) => /\baccess\b/.test(line) && (format === 'json' ? /"status":200,"request_id":"[^"]+","upstream":"up"/ : /"POST \/mcp\/up" 200 id=\S+ upstream=up /).test(line));
    await until('three lines are there', () => lines().length === 3);
    if (format === 'json') for (const line of gateway.process.stderr.trim().split('\n').filter((l) => l.startsWith('{'))) JSON.parse(line);
    assert.ok(lines().every((line) => line.includes('tools/call')), lines()[0]);
    const ids = lines().map((line) => (format === 'json' ? /"request_id":"([^"]+)"/ : / id=(\S+)/).exec(line)[1]);
    const told = upstream.requests.slice(-3).map((request) => request.head.get('x-request-id'));
    assert.equal(told[2], 'mine "1"', 'the client\'s own is passed on');
    assert.notEqual(told[0], told[1]);
    assert.deepEqual(ids.sort(), [told[0], told[1], 'mine__1_'].sort(), 'each worker has a log of its own: in any order');
  }
});
