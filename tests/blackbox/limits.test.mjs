// SPDX-License-Identifier: Apache-2.0
// Every wait and every queue has a limit, and reaching it has the status that close_reason.def says.

import assert from 'node:assert/strict';
import { STREAM, call, event, get, ping, post } from './lib/mcp.mjs';
import { json } from './lib/raw.mjs';
import { EventReader } from './lib/transcript.mjs';
import { sleep, until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';
import { withoutProbes } from './lib/gateway.mjs';

withoutProbes();

const read = (connection, request) => connection.reader.body(request.framing);
const silence = () => new Promise(() => {});

async function setUp(world, handler, { args = [], ...rest } = {}) {
  const upstream = await world.upstream(handler);
  const gateway = await world.gateway({ upstreams: { up: `${upstream.url}/mcp` }, routes: { '/plain': upstream.url }, workers: 1, args, ...rest });
  return { upstream, gateway, client: await world.connect(gateway, { ms: 20_000 }) };
}

const reason = (gateway, name) => gateway.metric('closed', { reason: name });

function rpcError(response, status, id) {
  assert.equal(response.status, status);
  const body = JSON.parse(response.body);
  assert.equal(body.id, id);
  assert.equal(body.error.code, -32000);
}

// --- times ---

promise('an upstream that sends no head in time is 504 with the id', async (world) => {
  const { gateway, client, upstream } = await setUp(world, silence, { args: ['--first-byte-timeout', '300ms'] });
  rpcError(await client.ask(post('/mcp/up', call(11, 'slow'))), 504, 11);
  assert.equal(await reason(gateway, 'first_byte_timeout'), 1);
  await until('its connection is closed', () => upstream.connections.size === 0 || [...upstream.connections].every((c) => c.halfClosed));
});

promise('an upstream that cannot be reached in time is 504', async (world) => {
  // A listener whose queue is full answers no SYN.
  const { gateway, fill } = await unreachable(world);
  rpcError(await gateway.ask(post('/mcp/up', call(12, 'slow')), { ms: 20_000 }), 504, 12);
  assert.equal(await reason(gateway, 'connect_timeout'), 1);
  for (const client of fill) client.destroy();
});

async function unreachable(world) {
  const net = await import('node:net');
  const p = world.process('python3', [
    '-c',
    'import socket,sys,time\ns=socket.socket()\ns.bind(("127.0.0.1",0))\ns.listen(0)\nprint("port",s.getsockname()[1],flush=True)\ntime.sleep(600)',
  ]);
  const port = Number((await p.line(/port (\d+)/))[1]);
  const fill = Array.from({ length: 8 }, () => net.connect(port, '127.0.0.1').on('error', () => {}));
  await until('the queue is full', () => fill.filter((s) => !s.connecting).length >= 1);
  await sleep(300);
  const gateway = await world.gateway({ upstreams: { up: `http://127.0.0.1:${port}/mcp` }, workers: 1, args: ['--connect-timeout', '500ms'] });
  return { gateway, fill };
}

promise('a reply that stands still is cut off', async (world) => {
  const { gateway, client } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    await connection.send('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{');
    await silence();
  }, { args: ['--reply-idle', '300ms'] });
  await client.send(post('/mcp/up', ping));
  await assert.rejects(client.response(), /ended/);
  assert.equal(await reason(gateway, 'upstream_idle'), 1);
});

promise('a reply that takes too long in all is cut off, however alive it is', async (world) => {
  const { gateway, client } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    await connection.send('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n');
    while (!connection.gone) {
      await connection.send('.');
      await sleep(20);
    }
  }, { args: ['--total-timeout', '1s'] });
  await client.send(get('/plain/x'));
  await assert.rejects(client.response(), /ended/);
  assert.equal(await reason(gateway, 'total_timeout'), 1);
});

promise('a stream has an idle limit of its own and no total', async (world) => {
  const { gateway, client } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    await connection.send(STREAM);
    for (let i = 0; i < 15; i++) {
      await connection.send(event(`n${i}`));
      await sleep(100);
    }
    await silence();
  }, { args: ['--total-timeout', '500ms', '--reply-idle', '200ms', '--stream-idle', '1s', '--heartbeat', '0'] });
  await client.send(get('/mcp/up', 'Accept: text/event-stream'));
  const response = await client.response({ body: false });
  const started = Date.now();
  let text = '';
  try {
    for await (const part of client.reader.parts(response.framing)) text += part;
  } catch {
    // whether it is cut off or ended well is not said; that it ends is
  }
  assert.match(text, /n14/);
  assert.ok(Date.now() - started >= 2000);
  assert.ok((await reason(gateway, 'upstream_idle')) + (await reason(gateway, 'done')) >= 1);
});

promise('a kept-alive connection without requests is closed without a word', async (world) => {
  const { gateway, client } = await setUp(world, undefined, { args: ['--client-idle', '300ms'] });
  assert.equal((await client.ask(post('/mcp/up', ping))).status, 200);
  await client.ended();
  assert.equal(client.queue.length, 0);
  assert.equal(await reason(gateway, 'client_idle'), 1);
});

promise('a request body that stands still is 408', async (world) => {
  const { gateway, client } = await setUp(world, async (connection, request) => {
    await read(connection, request).catch(() => {});
  }, { args: ['--body-timeout', '300ms'] });
  await client.send('POST /mcp/up HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{');
  assert.equal((await client.response()).status, 408);
  await client.ended();
  assert.equal(await reason(gateway, 'body_timeout'), 1);
});

promise('an idle upstream connection is closed after --upstream-idle', async (world) => {
  const { gateway, client, upstream } = await setUp(world, undefined, { args: ['--upstream-idle', '300ms'] });
  await client.ask(post('/mcp/up', ping));
  assert.equal(upstream.connections.size, 1);
  await until('it is closed', () => upstream.connections.size === 0);
  assert.equal(await gateway.metric('up_connections'), 0);
});

promise('a shorter Keep-Alive of the upstream wins', async (world) => {
  const { client, upstream } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    connection.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=1\r\n\r\n');
  }, { args: ['--upstream-idle', '600s'] });
  await client.ask(post('/mcp/up', ping));
  await until('it is closed', () => upstream.connections.size === 0, 5000);
});

// --- numbers ---

promise('--max-connections: one more is turned away, and counted', async (world) => {
  const { gateway } = await setUp(world, undefined, { args: ['--max-connections', '5'] });
  const rest = await Promise.all(Array.from({ length: 4 }, () => world.connect(gateway)));
  assert.equal((await rest[0].ask(post('/mcp/up', ping))).status, 200);
  await gateway.untilMetric('connections_open', (n) => n === 5);
  const sixth = await world.connect(gateway).catch((error) => assert.equal(error.code, 'ECONNRESET'));
  if (sixth) {
    await sixth.send(post('/mcp/up', ping)).catch(() => {});
    await sixth.ended();
    const answer = sixth.queue.peek().toString('latin1');
    assert.ok(answer === '' || answer.startsWith('HTTP/1.1 503 '), answer);
  }
  await gateway.untilMetric('connections_refused', (n) => n === 1);
  rest[1].close();
  await gateway.untilMetric('connections_open', (n) => n === 4);
  assert.equal((await gateway.ask(post('/mcp/up', ping))).status, 200);
});

promise('--max-exchanges: one more request is 503', async (world) => {
  const answers = [];
  const { gateway } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    await new Promise((resolve) => answers.push(resolve));
    await connection.send(json({ jsonrpc: '2.0', id: 7, result: {} }));
  }, { args: ['--max-exchanges', '3'] });
  const open = Array.from({ length: 3 }, () => gateway.ask(post('/mcp/up', ping), { ms: 20_000 }));
  await until('three are open', () => answers.length === 3);
  const refused = await gateway.ask(post('/mcp/up', call(8, 'more')));
  assert.equal(refused.status, 503);
  assert.equal(await reason(gateway, 'too_many_exchanges'), 1);
  for (const answer of answers) answer();
  for (const response of await Promise.all(open)) assert.equal(response.status, 200);
});

promise('--upstream-idle-max: no more idle connections than that are kept', async (world) => {
  const { gateway, upstream } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    await until('all are here', () => upstream.requests.length >= 10);
    connection.send(json({ jsonrpc: '2.0', id: 7, result: {} }));
  }, { args: ['--upstream-idle-max', '3', '--upstream-idle', '600s'] });
  await Promise.all(Array.from({ length: 10 }, () => gateway.ask(post('/mcp/up', ping))));
  assert.equal(upstream.accepted, 10);
  await gateway.untilMetric('up_idle', (n) => n === 3);
  await until('the others are closed', () => upstream.connections.size === 3);
});

promise('out of descriptors: accepting stops, goes on, and nobody spins', async (world) => {
  const { gateway } = await setUp(world, undefined, {
    args: ['--max-connections', '100000'],
    through: ['prlimit', '--nofile=120:120'],
  });
  const clients = await Promise.all(Array.from({ length: 150 }, () => world.connect(gateway)));
  await gateway.untilMetric('accept_errors', (n) => n >= 1);
  const before = await gateway.metric('turns');
  await sleep(1000);
  assert.ok((await gateway.metric('turns')) - before < 500, 'turns in a second of being out of descriptors');
  for (const client of clients) client.close();
  await until('it serves again', async () => (await gateway.ask(post('/mcp/up', ping))).status === 200);
});

// --- streams ---

promise('heartbeats come into a quiet stream, between events only', async (world) => {
  const { gateway, client } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    await connection.send(STREAM);
    const whole = event({ jsonrpc: '2.0', method: 'x', params: { text: 'y'.repeat(200) } });
    // an event in two halves with a pause longer than the heartbeat between them
    const text = 'data: {"half":1,\ndata: "other":2}\n\n';
    await connection.send(whole);
    await sleep(500);
    await connection.send(`9\r\n${text.slice(0, 9)}\r\n`);
    await sleep(500);
    await connection.send(`${(text.length - 9).toString(16)}\r\n${text.slice(9)}\r\n`);
    await sleep(500);
    await connection.send('0\r\n\r\n');
  }, { args: ['--heartbeat', '100ms'] });
  await client.send(get('/mcp/up', 'Accept: text/event-stream'));
  const { body, head } = await client.response();
  const text = body.toString();
  assert.ok(text.includes('data: {"half":1,\ndata: "other":2}\n\n'), `the event is whole in ${text}`);
  const reader = new EventReader();
  reader.push(text);
  assert.equal(reader.events.length, 2);
  assert.ok(text.split('\n').filter((line) => line.startsWith(':')).length >= 6, text);
  assert.ok((await gateway.metric('heartbeats')) >= 6);
  assert.equal(head.get('x-accel-buffering'), 'no');
  assert.equal(head.get('cache-control'), 'no-cache, no-transform');
});

promise('no heartbeat goes into a reply that has a length or an encoding', async (world) => {
  const text = 'data: one\n\ndata: two\n\n';
  const { client, gateway } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    const field = request.target.endsWith('length') ? `Content-Length: ${text.length}` : 'Content-Encoding: br\r\nTransfer-Encoding: chunked';
    await connection.send(`HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n${field}\r\n\r\n`);
    const halves = [text.slice(0, 11), text.slice(11)];
    for (const half of halves) {
      await connection.send(field.startsWith('Content-L') ? half : `${half.length.toString(16)}\r\n${half}\r\n`);
      await sleep(400);
    }
    if (!field.startsWith('Content-L')) await connection.send('0\r\n\r\n');
  }, { args: ['--heartbeat', '100ms'] });
  for (const kind of ['length', 'encoding']) {
    assert.equal((await client.ask(get(`/plain/${kind}`, 'Accept: text/event-stream'))).body.toString(), text, kind);
  }
  assert.equal(await gateway.metric('heartbeats'), 0);
});

promise('--early-stream commits to SSE, beats, and turns a late JSON reply or error into one event with its id', async (world) => {
  let fail = false;
  const { gateway, client } = await setUp(world, async (connection, request) => {
    const { body } = await read(connection, request);
    await sleep(700);
    if (fail) connection.close();
    else connection.send(json({ jsonrpc: '2.0', id: JSON.parse(body).id, result: { late: true } }));
  }, { args: ['--early-stream', '200ms', '--heartbeat', '100ms'] });
  const ask = async (id, accept) => {
    const response = await client.ask(post('/mcp/up', call(id, 'slow')).replace('Accept: application/json, text/event-stream', `Accept: ${accept}`));
    return response;
  };
  const plain = await ask(1, 'application/json');
  assert.match(plain.head.get('content-type'), /^application\/json/);
  const late = await ask(2, 'application/json, text/event-stream');
  assert.match(late.head.get('content-type'), /^text\/event-stream/);
  const reader = new EventReader();
  reader.push(late.body.toString());
  assert.equal(reader.events.length, 1);
  assert.deepEqual(JSON.parse(reader.events[0].data), { jsonrpc: '2.0', id: 2, result: { late: true } });
  assert.ok(late.body.toString().includes('\n:') || late.body.toString().startsWith(':'), 'heartbeats before it');
  fail = true;
  const failed = await ask(3, 'application/json, text/event-stream');
  assert.equal(failed.status, 200);
  const errors = new EventReader();
  errors.push(failed.body.toString());
  assert.equal(JSON.parse(errors.events[0].data).id, 3);
  assert.equal(JSON.parse(errors.events[0].data).error.code, -32000);
  assert.ok((await gateway.metric('heartbeats')) >= 2);
});
