// SPDX-License-Identifier: Apache-2.0
// Clients and upstreams that mean harm, many at a time and at random: no worker dies of it, and after each of them the
// counters add up (world.mjs checks both). What is random is repeatable: MCPGATE_TEST_SEED.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { constants, deflateRawSync } from 'node:zlib';
import { CRLF, get, modernCall, ping, post, request } from './lib/mcp.mjs';
import { run } from './lib/process.mjs';
import { program } from './lib/gateway.mjs';
import { json, reply } from './lib/raw.mjs';
import { long, sleep, until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const seed = Number(process.env.MCPGATE_TEST_SEED ?? 1);

/** Small numbers that look random (mulberry32). */
function dice(start) {
  let state = start >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
  const below = (n) => next() % n;
  return { below, pick: (list) => list[below(list.length)] };
}

/** The same bytes with none to three small damages. */
function damaged(bytes, { below, pick }) {
  let all = Buffer.from(bytes, 'latin1');
  for (let n = pick([0, 0, 1, 1, 3]); n > 0 && all.length > 0; n--) {
    const at = below(all.length);
    const to = Math.min(all.length, at + 1 + below(20));
    const kind = below(5);
    if (kind === 0) all[at] ^= 1 << below(8);
    else if (kind === 1) all = Buffer.concat([all.subarray(0, at), all.subarray(to)]);
    else if (kind === 2) all = Buffer.concat([all.subarray(0, to), all.subarray(at)]);
    else if (kind === 3) all[at] = pick([13, 10, 32, 58, 48, 59, 0]);
    else all = all.subarray(0, at);
  }
  return all;
}

const chunked = (...texts) => texts.map((s) => `${s.length.toString(16)}${CRLF}${s}${CRLF}`).join('') + `0${CRLF}${CRLF}`;

const lengthOf = (bytes) => (bytes.length < 126 ? [bytes.length] : [126, bytes.length >> 8, bytes.length & 255]);

/** Frames of a WebSocket server. */
const said = (first, payload) => Buffer.from([first, ...lengthOf(payload)]).toString('latin1') + payload;

/** Frames of a client, masked with 0x01020304. */
const frame = (first, payload) => {
  const bytes = Buffer.from(payload, 'latin1');
  const length = lengthOf(bytes);
  const head = Buffer.from([first, 0x80 | length[0], ...length.slice(1), 1, 2, 3, 4]);
  return Buffer.concat([head, bytes.map((b, i) => b ^ ((i & 3) + 1))]).toString('latin1');
};
const handshake = (path) => `GET ${path} HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;

const requests = [
  handshake('/ws') + frame(0x81, modernCall('a', 'echo', { text: 'hi' })).repeat(5) + frame(0x89, 'ping') + frame(0x88, '\x03\xe8'),
  handshake('/ws/up') + frame(0x01, ping.slice(0, 9)) + frame(0x8a, '') + frame(0x80, ping.slice(9)) + frame(0x82, `[${ping},${ping}]`),
  post('/mcp', ping),
  post('/mcp', modernCall('a', 'echo', { text: 'hi' }), 'MCP-Protocol-Version: 2026-07-28', 'Mcp-Method: tools/call', 'Mcp-Name: echo'),
  post('/plain/x', 'b'.repeat(100_000)),
  post('/mcp', 'x'.repeat(3000), 'Expect: 100-continue'),
  `POST /mcp HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n${chunked('one', 'x'.repeat(5000), ping)}`,
  `POST /plain HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n3;a="b"\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n`,
  `GET /plain HTTP/1.1\r\nHost: g\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nearly bytes`,
  get('/mcp', 'Accept: text/event-stream'),
  'GET /plain HTTP/1.0\r\n\r\n',
  get('/nowhere').repeat(20),
];

const replies = [
  json({ jsonrpc: '2.0', id: 7, result: {} }),
  `HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n${chunked('data: 1\n', '\n', 'data: 2\n\n')}`,
  'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nto the end',
  'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(50) + 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello',
  'HTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n',
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;${'x'.repeat(4000)}\r\nhello\r\n0\r\n\r\n`,
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more than was promised',
  `HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n${'z'.repeat(200_000)}`,
  `HTTP/1.1 200 OK\r\nX-Fill: ${'y'.repeat(40_000)}\r\nContent-Length: 0\r\n\r\n`,
  'nothing like HTTP\r\n\r\n',
];

/** An upstream that answers whatever comes with something damaged, in pieces, early, or not at all. */
async function hostile(world, random) {
  return world.upstream(
    async (connection) => {
      while (!connection.gone && (await connection.queue.more(3_600_000))) {
        connection.queue.take(1 << 20);
        const bytes = damaged(random.pick(replies), random);
        if (random.below(4) === 0) for (let at = 0; at < bytes.length && !connection.gone; at += 4000) await connection.send(bytes.subarray(at, at + 4000));
        else if (!connection.gone) await connection.send(bytes);
        const end = random.below(8);
        if (end === 0) return connection.reset();
        if (end === 1) return connection.close();
        if (end === 2) connection.finish();
      }
    },
    { parse: false },
  );
}

const socketRequests = [
  handshake('/chat') + frame(0x81, 'hi').repeat(30) + frame(0x89, 'ping') + frame(0x88, '\x03\xe8'),
  handshake('/chat') + frame(0x02, 'x'.repeat(5000)) + frame(0x8a, '') + frame(0x80, 'y'),
  handshake('/ws/up') + frame(0x81, modernCall('a', 'echo', { text: 'hi' })).repeat(5) + frame(0x88, '\x03\xe8'),
  handshake('/ws/up') + frame(0x81, ping),
  post('/mcp/up', ping),
  post('/mcp/up', modernCall('a', 'echo', { text: 'hi' }), 'MCP-Protocol-Version: 2026-07-28', 'Mcp-Method: tools/call', 'Mcp-Name: echo'),
];

const socketReplies = [
  said(0x81, JSON.stringify({ jsonrpc: '2.0', id: 1, result: { supportedVersions: ['2026-07-28'], capabilities: {}, serverInfo: { name: 'x', version: '1' } } })),
  said(0x81, JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code: -32601, message: 'no' } })),
  said(0x82, JSON.stringify({ jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data: 'x' } })).repeat(20),
  said(0x01, '{"jsonrpc":') + said(0x89, 'within') + said(0x80, '"2.0","id":2,"result":{}}'),
  said(0x89, 'p'.repeat(125)).repeat(10),
  said(0x81, 'Gr\xc3\xbc\xc3\x9fe').repeat(100),
  said(0xc1, '\xf2\x48\xcd\xc9\xc9\x07\x00'),
  said(0xc1, deflateRawSync(JSON.stringify({ jsonrpc: '2.0', id: 1, result: { text: 'y'.repeat(9000) } }), { finishFlush: constants.Z_SYNC_FLUSH }).toString('latin1')),
  said(0x88, '\x03\xe9away'),
  said(0x82, '') + said(0x02, 'z'.repeat(30_000)),
];

/** The same as a WebSocket server, whose handshake is mostly right. */
async function hostileSocket(world, random) {
  return world.upstream(
    async (connection) => {
      while (!connection.queue.peek().includes(CRLF + CRLF)) if (!(await connection.queue.more(3_600_000))) return;
      const asked = connection.queue.take(1 << 20).toString('latin1');
      const key = /sec-websocket-key: *(\S+)/i.exec(asked)?.[1] ?? '';
      const agreed = /permessage-deflate/.test(asked) && random.below(3) ? 'Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n' : '';
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      const welcome = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n${agreed}\r\n`;
      await connection.send(random.below(5) ? Buffer.from(welcome) : damaged(welcome, random));
      while (!connection.gone && (await connection.queue.more(3_600_000))) {
        connection.queue.take(1 << 20);
        if (!connection.gone) await connection.send(damaged(random.pick(socketReplies), random));
        const end = random.below(12);
        if (end === 0) return connection.reset();
        if (end === 1) return connection.close();
        if (end === 2) connection.finish();
      }
    },
    { parse: false },
  );
}

const impatient = ['--client-idle', '2s', '--head-timeout', '1s', '--body-timeout', '1s', '--first-byte-timeout', '1s', '--reply-idle', '1s', '--send-timeout', '2s', '--upstream-wait', '200ms', '--orphan-timeout', '2s', '--stream-idle', '3s'];

async function attack(gateway, random, conversations, all = requests) {
  let left = conversations;
  const attacker = async () => {
    while (left-- > 0) {
      const client = await gateway.connect();
      const parts = Array.from({ length: random.pick([1, 1, 2, 8]) }, () => damaged(random.pick(all), random));
      const bytes = Buffer.concat(parts);
      const size = random.pick([bytes.length, 1 + random.below(30), 3000]);
      const torn = random.below(6) === 0 ? random.below(bytes.length + 1) : bytes.length;
      for (let at = 0, n = 0; at < torn && !client.gone && n < 300; at += size, n++) await client.send(bytes.subarray(at, Math.min(at + size, torn)));
      const end = random.below(5);
      if (end === 0) client.finish();
      if (end < 3) await sleep(random.pick([0, 5, 50]));
      if (end === 4) client.reset();
      else client.close();
    }
  };
  await Promise.all(Array.from({ length: 20 }, attacker));
}

const rounds = long ? 20_000 : 1_500;

for (const [what, args] of Object.entries({
  'as configured by default': [],
  'with early streams and heartbeats': ['--early-stream', '3ms', '--heartbeat', '4ms', '--backpressure', 'drop'],
  'with little memory and few connections': ['--max-memory', '1m', '--upstream-max', '2', '--upstream-idle-max', '2', '--max-exchanges', '15'],
})) {
  promise(`${rounds} random conversations between clients and upstreams that lie, ${what}`, async (world) => {
    const random = dice(seed);
    const upstream = await hostile(world, random);
    const gateway = await world.gateway({ upstreams: { up: `${upstream.url}/mcp` }, routes: { '/plain': upstream.url }, args: [...impatient, ...args] });
    const workers = gateway.children('worker').map(({ pid }) => pid);
    await attack(gateway, random, rounds);
    await gateway.untilQuiet(30_000);
    assert.deepEqual(gateway.children('worker').map(({ pid }) => pid), workers, 'no worker has died');
  }, { ms: 300_000 });
}

for (const [what, args] of Object.entries({ 'as configured by default': [], 'with pings and little memory': ['--ws-ping', '20ms', '--max-memory', '1m'], 'with batching and compression': ['--batch-window', '2ms', '--backpressure', 'combine', '--ws-deflate', 'on'] }))
  promise(`${rounds} random conversations over WebSocket between clients and servers that lie, ${what}`, async (world) => {
    const random = dice(seed + 2);
    const { url } = await hostileSocket(world, random);
    const socket = url.replace('http', 'ws');
    const gateway = await world.gateway({ upstreams: { up: `${socket}/mcp` }, routes: { '/chat': socket }, args: [...impatient, '--era-ttl', '50ms', ...args] });
    const workers = gateway.children('worker').map(({ pid }) => pid);
    await attack(gateway, random, rounds, socketRequests);
    await gateway.untilQuiet(30_000);
    assert.ok((await gateway.metric('ws_messages')) > 0 && (await gateway.metric('closed', { reason: 'ws_protocol' })) > 0);
    assert.deepEqual(gateway.children('worker').map(({ pid }) => pid), workers, 'no worker has died');
  }, { ms: 300_000 });

promise(`${rounds} random conversations with the demo server`, async (world) => {
  const random = dice(seed + 1);
  const gateway = await world.gateway({ args: [...impatient, '--heartbeat', '5ms'] });
  const workers = gateway.children('worker').map(({ pid }) => pid);
  await attack(gateway, random, rounds);
  await gateway.untilQuiet(30_000);
  assert.deepEqual(gateway.children('worker').map(({ pid }) => pid), workers, 'no worker has died');
}, { ms: 300_000 });

promise('a reply that is cut off at any byte is an error or cut off at the client, and the next one is whole', async (world) => {
  const whole = Buffer.from('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{"a":1\r\n1\r\n}\r\n0\r\n\r\n');
  let cut = 0;
  const upstream = await world.upstream(async (connection, r) => {
    await connection.reader.body(r.framing);
    await connection.send(whole.subarray(0, cut));
    if (cut < whole.length) connection[cut % 2 ? 'reset' : 'finish']();
  });
  const gateway = await world.gateway({ workers: 1, upstreams: { up: `${upstream.url}/mcp` } });
  for (cut = 1; cut < whole.length; cut++) {
    const client = await world.connect(gateway);
    const answer = await client.ask(post('/mcp', ping)).catch((error) => error);
    assert.ok(answer instanceof Error || answer.status === 502, `cut after ${cut} bytes: ${answer.status}`);
    client.close();
    const all = cut;
    cut = whole.length;
    assert.equal((await gateway.ask(post('/mcp', ping))).body.toString(), '{"a":1}');
    cut = all;
  }
});

promise('reloads under load cost no request and refuse no connection', async (world) => {
  const upstream = await world.load();
  const gateway = await world.gateway({ routes: { '/plain': upstream.url } });
  const load = run(program('mcpload'), ['--url', `${gateway.url}/plain/x`, '--connections', '16', '--duration', '4s', '--warmup', '0', '--quiet']);
  let reloads = 0;
  const timer = setInterval(() => (reloads++, gateway.process.kill('SIGHUP')), 400);
  const { code, stdout, stderr } = await load;
  clearInterval(timer);
  assert.ok(reloads > 3);
  assert.equal(code, 0, stdout + stderr);
});

promise('clients that reset before they are accepted are not counted as refused', async (world) => {
  const gateway = await world.gateway({ workers: 1 });
  await Promise.all(
    Array.from({ length: 200 }, async () => {
      const client = await gateway.connect();
      client.reset();
    }),
  );
  await gateway.untilMetric('connections_accepted', (n) => n >= 200);
  assert.equal(await gateway.metric('connections_refused'), 0);
});

promise('a session that is deleted ends its stream', async (world) => {
  const gateway = await world.gateway();
  const begun = await gateway.ask(post('/mcp', request(1, 'initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'x', version: '1' } })));
  const session = `Mcp-Session-Id: ${begun.head.get('mcp-session-id')}`;
  const client = await world.connect(gateway);
  await client.send(get('/mcp', 'Accept: text/event-stream', session));
  const stream = await client.response({ body: false });
  assert.equal(stream.status, 200);
  assert.equal((await gateway.ask(`DELETE /mcp HTTP/1.1\r\nHost: g\r\n${session}\r\n\r\n`)).status, 200);
  await client.reader.body(stream.framing);
  await until('its session is unknown', async () => (await gateway.ask(post('/mcp', ping, session))).status === 404);
});

promise('a thousand pipelined requests are answered in order', async (world) => {
  const upstream = await world.upstream(async (connection, r) => {
    await connection.reader.body(r.framing);
    await connection.send(reply(200, {}, r.target));
  });
  const gateway = await world.gateway({ workers: 1, routes: { '/plain': upstream.url } });
  const client = await world.connect(gateway);
  await client.send(Array.from({ length: 1000 }, (_, i) => get(`/plain/${i}`)).join(''));
  for (let i = 0; i < 1000; i++) assert.equal((await client.response()).body.toString(), `/${i}`);
});
