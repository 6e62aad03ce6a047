// SPDX-License-Identifier: Apache-2.0
// mcpload's streams: paths of their own, bursts, lost events, jitter, slow readers, classes, mixes, the search for a rate.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { program } from './lib/gateway.mjs';
import { run } from './lib/process.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const quick = ['--duration', '400ms', '--warmup', '100ms', '--quiet', '--json', '-'];
const streams = ['--connections', '0', '--streams'];

/** Runs mcpload and gives its exit status and its JSON. */
async function mcpload(...args) {
  const { code, stdout, stderr } = await run(program('mcpload'), [...args]);
  assert.notEqual(code, 2, stderr);
  return { code, ...JSON.parse(stdout) };
}

const stats = async (server) => (await fetch(`${server.url}/stats`)).json();

/** An HTTP server of the test's own; `answer(request, response)`. */
async function http(world, answer) {
  const server = createServer(answer);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  world.serves(() => new Promise((resolve) => {
    server.closeAllConnections();
    server.close(resolve);
  }));
  return `http://127.0.0.1:${server.address().port}`;
}

/** Sends `pieces` of events again and again until the client leaves; the number of an event goes on. */
function stream(response, pieces) {
  let number = 0;
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const timer = setInterval(() => {
    const text = pieces(number, process.hrtime.bigint());
    number += 1;
    response.write(text);
  }, 20);
  response.on('close', () => clearInterval(timer));
}

const event = (ns, number) => `data: {"ns":"${String(ns).padStart(17, '0')}","n":"${String(number).padStart(10, '0')}"}\n\n`;

promise('streams take their paths in turn', async (world) => {
  const asked = [];
  const url = await http(world, (request, response) => {
    asked.push(request.url);
    stream(response, (n, ns) => event(ns, n));
  });
  const { code, result } = await mcpload(...quick, '--url', `${url}/c`, ...streams, '4', '--stream-path', '/a', '--stream-path', '/b');
  assert.equal(code, 0, JSON.stringify(result.errors));
  assert.deepEqual(asked.sort(), ['/a', '/a', '/b', '/b']);
});

promise('a rate without connections is that of the events: each stream asks for its share', async (world) => {
  const asked = [];
  const url = await http(world, (request, response) => {
    asked.push(request.url);
    stream(response, (n, ns) => event(ns, n));
  });
  await mcpload(...quick, '--url', `${url}/sse?x=1`, ...streams, '4', '--rate', '10', '--burst', '5');
  assert.deepEqual(new Set(asked), new Set(['/sse?x=1&rate=2.5&burst=5']));
});

promise('the mock sends the events of a burst back to back', async (world) => {
  const server = await world.load();
  const reply = await fetch(`${server.url}/sse?rate=0.001&burst=20&events=10`); // at an even pace this would take hours
  const text = await reply.text();
  assert.equal(text.match(/^data: /gm).length, 10);
});

promise('subscriptions of 2026-07-28 hear of changes, directly and through the merged server, which has one for all', async (world) => {
  const server = await world.load('--changes', '20');
  const flags = [...quick, '--kind', 'mcp-2026', ...streams, '5'];
  const direct = await mcpload(...flags, '--url', `${server.url}/mcp`);
  assert.equal(direct.code, 0, JSON.stringify(direct.result.errors));
  assert.ok(direct.result.event_delay.count >= 5, 'each of them hears');
  const before = (await stats(server)).streams;
  const gateway = await world.gateway({ upstreams: { load: `${server.url}/mcp` }, workers: 1, args: ['--mode', 'merged'] });
  const merged = await mcpload(...flags, '--url', `${gateway.url}/mcp`);
  assert.equal(merged.code, 0, JSON.stringify(merged.result.errors));
  assert.ok(merged.result.event_delay.count >= 5, 'what they hear has the server\'s stamps');
  assert.equal((await stats(server)).streams - before, 1);
});

promise('a mock that announces no changes refuses subscriptions', async (world) => {
  const server = await world.load();
  const { code, result } = await mcpload(...quick, '--kind', 'mcp-2026', ...streams, '1', '--url', `${server.url}/mcp`);
  assert.equal(code, 1);
  assert.ok(result.errors.bad_reply > 0, JSON.stringify(result.errors));
});

promise('an event whose number was skipped is lost, and the run has failed', async (world) => {
  const url = await http(world, (_, response) => stream(response, (n, ns) => event(ns, n < 2 ? n : n + 3)));
  const { code, result } = await mcpload(...quick, '--url', `${url}/`, ...streams, '1');
  assert.equal(code, 1);
  assert.equal(result.errors.lost, 3);
  assert.equal(result.failed, 3);
});

promise('jitter is the difference of an event\'s gaps, before and behind the way', async (world) => {
  const second = 1_000_000_000n;
  // Two events that arrive together and say that they left a second apart.
  const url = await http(world, (_, response) => stream(response, (n, ns) => event(ns - second, 2 * n) + event(ns, 2 * n + 1)));
  const { code, result } = await mcpload(...quick, '--url', `${url}/`, ...streams, '1');
  assert.equal(code, 0, JSON.stringify(result.errors));
  assert.ok(result.jitter.count >= 2 && result.jitter.p50_us > 900_000, JSON.stringify(result.jitter));
});

promise('slow readers with a rate go on reading', async (world) => {
  const server = await world.load('--sndbuf', '65536');
  const p = world.process(program('mcpload'), ['--url', `${server.url}/`, '--connections', '0', '--slow-readers', '2', '--slow-rate', '1m', '--slow-path', '/sse?rate=0&event-bytes=2k', '--duration', '60s', '--quiet']);
  await until('more was taken than buffers hold', async () => (await stats(server)).replies.stream.sent_bytes > 8 << 20);
  assert.equal((await p.stop('SIGINT')).code, 0, p.output);
});

promise('ws: slow readers stop their server beside those that read', async (world) => {
  const server = await world.load('--sndbuf', '65536');
  const url = server.url.replace('http', 'ws');
  const p = world.process(program('mcpload'), ['ws', '--url', url, '--connections', '2', '--rate', '100', '--slow-readers', '3', '--message-bytes', '4k', '--duration', '60s', '--quiet', '--json', '-']);
  await until('three connections stand still', async () => (await stats(server)).stopped_connections === 3);
  const before = (await stats(server)).replies.ws.requests;
  await until('the others go on', async () => (await stats(server)).replies.ws.requests > before + 10);
  assert.equal((await p.stop('SIGINT')).code, 0, p.output);
  const { result, plan } = JSON.parse(p.stdout);
  assert.equal(plan.slow_readers, 3);
  assert.ok(result.requests > 0 && result.failed === 0, JSON.stringify(result.errors));
});

promise('each request asks for the class that is its share, and the report has each class', async (world) => {
  const asked = {};
  const url = await http(world, (request, response) => {
    const { priority } = request.headers;
    asked[priority] = (asked[priority] ?? 0) + 1;
    response.end('fine');
  });
  const { code, plan, result } = await mcpload(...quick, '--warmup', '0', '--url', `${url}/`, '--connections', '1', '--priority', 'high=1,normal=2,low=1');
  assert.equal(code, 0, JSON.stringify(result.errors));
  assert.equal(plan.priority, 'high=1,normal=2,low=1');
  const { high, normal, low } = result.classes;
  assert.deepEqual(Object.keys(asked).sort(), ['u=1', 'u=3', 'u=6']);
  for (const [name, mine] of Object.entries({ 'u=1': high, 'u=3': normal, 'u=6': low })) assert.equal(asked[name], mine.latency.count, name);
  assert.ok(Math.abs(high.latency.count - low.latency.count) <= 1 && Math.abs(normal.latency.count - 2 * high.latency.count) <= 2, JSON.stringify(asked));
  assert.equal(high.latency.count + normal.latency.count + low.latency.count, result.requests);
});

const ws = (server) => server.url.replace('http', 'ws');

promise('ws: sessions of MCP, whose calls ask for classes', async (world) => {
  const server = await world.load();
  const { code, result } = await mcpload('ws', ...quick, '--url', `${ws(server)}/mcp`, '--kind', 'mcp', '--connections', '3', '--rate', '400', '--priority', 'high=1,low=3');
  assert.equal(code, 0, JSON.stringify(result.errors));
  const { high, low } = result.classes;
  assert.equal(high.latency.count + low.latency.count, result.requests);
  assert.ok(high.latency.count > 10 && low.latency.count > 2 * high.latency.count, JSON.stringify(result.classes));
});

promise('ws: calls go through the gateway to a server of HTTP', async (world) => {
  const server = await world.load();
  const gateway = await world.gateway({ upstreams: { load: `${server.url}/mcp` } });
  const { code, result } = await mcpload('ws', ...quick, '--url', `${gateway.url.replace('http', 'ws')}/ws`, '--kind', 'mcp', '--connections', '2', '--priority', 'normal');
  assert.equal(code, 0, JSON.stringify(result.errors));
  assert.ok(result.requests > 0 && result.classes.normal.latency.count === result.requests);
});

promise('ws: pings come before what else there is', async (world) => {
  const server = await world.load();
  const gateway = await world.gateway({ upstreams: { load: `${server.url}/mcp` } });
  const { code, result } = await mcpload('ws', ...quick, '--url', `${gateway.url.replace('http', 'ws')}/ws`, '--kind', 'mcp', '--ping', '--rate', '100');
  assert.equal(code, 0, JSON.stringify(result.errors));
  assert.ok(result.requests > 0 && (await gateway.metric('mcp_requests', { mcp_method: 'ping' })) >= result.requests);
  assert.ok((await gateway.metric('urgency', { priority: 'critical' })) >= result.requests);
});

promise('ws: a server that sends initialize back is no MCP server', async (world) => {
  const server = await world.load();
  const { code, result } = await mcpload('ws', ...quick, '--url', `${ws(server)}/x`, '--kind', 'mcp');
  assert.equal(code, 1);
  assert.equal(result.errors.bad_reply, 1);
});

promise('ws: after so many messages a connection is closed and another one opened', async (world) => {
  const server = await world.load();
  const { code, result } = await mcpload('ws', ...quick, '--url', ws(server), '--messages', '5', '--pipeline', '2');
  assert.equal(code, 0, JSON.stringify(result.errors));
  assert.ok(result.connects > 2 && result.requests <= 5 * result.connects, `${result.requests} messages, ${result.connects} connections`);
  assert.ok(result.first_event.count > 0 && result.first_byte.count >= result.first_event.count);
});

promise('ws: what makes no sense is refused in one line', async () => {
  for (const [args, why] of [[['--kind', 'x'], 'echo or mcp'], [['--priority', 'urgent'], 'high, normal or low'], [['--message-bytes', '10'], 'at least'], [['--priority', 'low', '--message-bytes', '100'], 'at least'], [['--messages', '3', '--rate', '5'], '--rate'], [['--burst', '0'], 'burst'], [['--ping'], '--kind mcp'], [['--ping', '--kind', 'mcp', '--priority', 'low'], '--priority']]) {
    const { code, stderr } = await run(program('mcpload'), ['ws', '--url', 'ws://127.0.0.1:1/', ...args]);
    assert.equal(code, 2, args.join(' '));
    assert.match(stderr, /^mcpload: [^\n]+\n$/, args.join(' '));
    assert.ok(stderr.includes(why), stderr);
  }
});

promise('a mix runs several loads at once and has a report for each', async (world) => {
  const server = await world.load();
  const { code, parts, plan } = await mcpload('mix', ...quick,
    '+', '--name', 'calls', '--url', `${server.url}/mcp`, '--connections', '2', '--rate', '100',
    '+', '--url', `${server.url}/sse?rate=50`, '--connections', '0', '--streams', '3',
    '+', 'ws', '--url', ws(server), '--connections', '2', '--rate', '200');
  assert.equal(code, 0, JSON.stringify(parts.map((p) => p.result.errors)));
  assert.deepEqual(parts.map((p) => p.name), ['calls', 'http 2', 'ws 3']);
  assert.deepEqual(parts.map((p) => p.plan.kind), ['mcp', 'http', 'ws']);
  assert.equal(plan.duration_s, 0.4);
  const [calls, events, messages] = parts.map((p) => p.result);
  assert.ok(calls.requests > 10 && calls.events === 0 && events.events > 10 && events.requests === 0 && messages.requests > 20);
  for (const p of parts) assert.equal(p.result.seconds, calls.seconds, 'one window for all');
});

promise('a mix fails when one of its parts does', async (world) => {
  const server = await world.load();
  const { code, parts } = await mcpload('mix', ...quick, '+', '--url', `${server.url}/`, '--connections', '1', '+', '--url', `${server.url}/x?status=500`, '--connections', '1');
  assert.equal(code, 1);
  assert.equal(parts[0].result.failed, 0);
  assert.ok(parts[1].result.errors.http_status > 0);
});

promise('a mix that makes no sense is refused in one line', async () => {
  for (const [args, why] of [[['--duration', '1s'], 'no part'], [['+'], 'part 1'], [['+', 'ws'], 'part 1: --url'], [['+', '--url', 'http://x:1/', '--duration', '1s'], '--duration'], [['--find-rate', '+', '--url', 'http://127.0.0.1:1/'], '--find-rate: no such flag']]) {
    const { code, stderr } = await run(program('mcpload'), ['mix', ...args]);
    assert.equal(code, 2, args.join(' '));
    assert.match(stderr, /^mcpload: [^\n]+\n$/, args.join(' '));
    assert.ok(stderr.includes(why), stderr);
  }
});

for (const [kind, args] of Object.entries({
  // One connection and 50 ms for a reply: 20 a second at most; the limit of 2 s lets a queue be.
  requests: (server) => ['--url', `${server.url}/?delay=50`, '--connections', '1'],
  events: (server) => ['--url', `${server.url}/sse`, '--connections', '0', '--streams', '2'],
  messages: (server) => ['ws', '--url', ws(server), '--pipeline', '64'],
}))
  promise(`the highest rate of ${kind} is found`, async (world) => {
    const server = await world.load();
    const [first, ...more] = args(server);
    const limits = kind === 'requests' ? ['--rate', '10', '--find-p99', '2s'] : ['--rate', '500000', '--find-p99', '1s'];
    const { find_rate: found, plan, result } = await mcpload(first, ...more, '--find-rate', ...limits, '--duration', '500ms', '--warmup', '0', '--quiet', '--json', '-');
    const rates = found.runs.map((r) => r.rate);
    assert.equal(rates[0], Number(limits[1]));
    const good = found.runs.filter((r) => !r.fault).map((r) => r.rate);
    const bad = rates.filter((rate) => !good.includes(rate)); // a run that is not good is done once more
    assert.equal(found.rate, good.length ? good.at(-1) : 0, JSON.stringify(found));
    assert.ok(bad.length > 0 && bad.every((rate) => rate > found.rate), JSON.stringify(found));
    if (kind === 'requests') assert.ok(found.rate < 40, `one connection does 20 a second, not ${found.rate}`);
    if (found.rate) assert.equal(plan.rate, found.rate);
    assert.ok(result.seconds > 0);
  });
