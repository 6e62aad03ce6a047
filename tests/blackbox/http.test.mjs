// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 between one byte-exact client and one byte-exact upstream: what must pass, passes unchanged; what must not,
// is refused before the upstream sees a byte of it.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { pss } from './lib/process.mjs';
import { json, reply } from './lib/raw.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';
import { withoutProbes } from './lib/gateway.mjs';

withoutProbes();

const CRLF = '\r\n';
const get = (target, ...fields) => [`GET ${target} HTTP/1.1`, 'Host: gate.test', ...fields, '', ''].join(CRLF);
const post = (target, body, ...fields) =>
  [`POST ${target} HTTP/1.1`, 'Host: gate.test', 'Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`, ...fields, '', body].join(CRLF);
const ping = JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'ping' });

/** A gateway with one mock upstream, as MCP server `up` and as plain route /plain. */
async function setUp(world, handler, { args = [], parse, ...rest } = {}) {
  const upstream = await world.upstream(handler, { parse });
  const gateway = await world.gateway({ upstreams: { up: `${upstream.url}/mcp` }, routes: { '/plain': `${upstream.url}/base` }, args, ...rest });
  return { upstream, gateway, client: await world.connect(gateway) };
}

const read = (connection, request) => connection.reader.body(request.framing);

promise('a connection is kept and serves one request after another', async (world) => {
  const { client, gateway, upstream } = await setUp(world);
  for (let i = 0; i < 50; i++) {
    const response = await client.ask(post('/mcp/up', ping));
    assert.equal(response.status, 200);
    assert.equal(JSON.parse(response.body).id, 7);
  }
  assert.equal(upstream.accepted, 1, 'and so is the one to the upstream');
  assert.equal(await gateway.metric('connections_accepted'), 1);
  assert.equal(await gateway.metric('requests'), 50);
});

promise('Connection: close is answered and then done', async (world) => {
  const { client } = await setUp(world);
  const response = await client.ask(post('/mcp/up', ping, 'Connection: close'));
  assert.equal(response.status, 200);
  assert.match(response.head.get('connection') ?? '', /close/i);
  await client.ended();
});

promise('an HTTP/1.0 client is served and its connection closed', async (world) => {
  const { client } = await setUp(world);
  await client.send(`POST /mcp/up HTTP/1.0\r\nHost: x\r\nContent-Length: ${ping.length}\r\n\r\n${ping}`);
  const response = await client.response();
  assert.equal(response.status, 200);
  await client.ended();
});

promise('a reply of unknown length reaches an HTTP/1.0 client without chunks', async (world) => {
  const { client } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    connection.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n');
  });
  await client.send('GET /plain/x HTTP/1.0\r\nHost: x\r\n\r\n');
  const response = await client.response();
  assert.equal(response.framing.kind, 'close');
  assert.equal(response.body.toString(), 'hello world');
});

promise('pipelined requests are answered in order', async (world) => {
  const { client, upstream } = await setUp(world, async (connection, request) => {
    const { body } = await read(connection, request);
    connection.send(json({ target: request.target, size: body.length }));
  });
  let bytes = '';
  for (let i = 0; i < 40; i++) bytes += i % 2 ? get(`/plain/${i}`) : post(`/plain/${i}`, 'x'.repeat(i * 100));
  client.send(bytes);
  for (let i = 0; i < 40; i++) {
    const response = await client.response();
    assert.deepEqual(JSON.parse(response.body), { target: `/base/${i}`, size: i % 2 ? 0 : i * 100 });
  }
  assert.equal(upstream.requests.length, 40);
});

promise('a request in single bytes is read like a whole one', async (world) => {
  const { client } = await setUp(world);
  await client.sendSlowly(post('/mcp/up', ping) + get('/plain/after'));
  assert.equal(JSON.parse((await client.response()).body).id, 7);
  assert.equal((await client.response()).status, 200);
});

promise('a reply in single bytes is passed on like a whole one', async (world) => {
  const { client } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    const bytes = Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-It: passes\r\n\r\n3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0\r\nT: 1\r\n\r\n');
    for (const byte of bytes) await connection.send(Buffer.of(byte));
  });
  const response = await client.ask(get('/plain/x'));
  assert.equal(response.body.toString(), 'abc0123456789');
  assert.equal(response.head.get('x-it'), 'passes');
});

promise('chunked bodies pass both ways, with their trailers', async (world) => {
  let seen;
  const { client } = await setUp(world, async (connection, request) => {
    seen = await read(connection, request);
    connection.send(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\nwiki\r\n0\r\nX-Sum: ${seen.body.length}\r\n\r\n`);
  });
  await client.send(['POST /plain/t HTTP/1.1', 'Host: x', 'Transfer-Encoding: chunked', 'Trailer: X-Check', '', '5', 'hello', '1;ext="v"', '!', '0', 'X-Check: yes', '', ''].join(CRLF));
  const response = await client.response();
  assert.equal(seen.body.toString(), 'hello!');
  assert.deepEqual(seen.trailers, [['X-Check', 'yes']]);
  assert.equal(response.body.toString(), 'wiki');
  assert.deepEqual(response.trailers, [['X-Sum', '6']]);
  assert.equal((await client.ask(get('/plain/again'))).status, 200);
});

promise('Expect: 100-continue is answered before the body is sent', async (world) => {
  const { client, upstream } = await setUp(world);
  await client.send(`POST /mcp/up HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: ${ping.length}\r\n\r\n`);
  const head = await client.reader.head();
  assert.match(head.start, /^HTTP\/1\.1 100 /);
  await client.send(ping);
  assert.equal((await client.response()).status, 200);
  assert.equal(upstream.requests.length, 1);
});

promise('a refusal comes instead of 100 Continue, and the body is not waited for', async (world) => {
  const { client, upstream } = await setUp(world, undefined, { args: ['--max-body', '1000'] });
  await client.send('POST /mcp/up HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n');
  const response = await client.response();
  assert.equal(response.status, 413);
  assert.equal(response.informational.length, 0);
  assert.equal(upstream.requests.length, 0);
});

promise('an unknown expectation is 417', async (world) => {
  const { client } = await setUp(world);
  assert.equal((await client.ask(post('/mcp/up', ping, 'Expect: 200-ok'))).status, 417);
});

promise('HEAD is answered with the head alone', async (world) => {
  const { client } = await setUp(world, async (connection) => {
    connection.send('HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-It: passes\r\n\r\n');
  });
  await client.send('HEAD /plain/x HTTP/1.1\r\nHost: x\r\n\r\n');
  const response = await client.response({ method: 'HEAD' });
  assert.equal(response.head.get('content-length'), '1234');
  assert.equal(response.head.get('x-it'), 'passes');
  await client.send('HEAD /plain/x HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.equal((await client.response({ method: 'HEAD' })).status, 200);
});

promise('204 and 304 have no body and keep the connection', async (world) => {
  const { client } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    if (request.target.endsWith('none')) connection.send('HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n');
    else connection.send('HTTP/1.1 304 Not Modified\r\nETag: "e"\r\nContent-Length: 77\r\n\r\n');
  });
  assert.equal((await client.ask(get('/plain/none'))).status, 204);
  const unchanged = await client.ask(get('/plain/same', 'If-None-Match: "e"'));
  assert.equal(unchanged.status, 304);
  assert.equal(unchanged.head.get('etag'), '"e"');
  assert.equal((await client.ask(get('/plain/none'))).status, 204);
});

promise('103 Early Hints passes before the reply', async (world) => {
  const { client } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    connection.send('HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n');
    connection.send(json({ ok: true }));
  });
  const response = await client.ask(get('/plain/x'));
  assert.deepEqual(response.informational.map((i) => i.status), [103]);
  assert.match(response.informational[0].head.get('link'), /style/);
  assert.equal(response.status, 200);
});

promise('a close-delimited reply is whole and does not end the client\'s connection', async (world) => {
  const { client } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    await connection.send('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n');
    for (let i = 0; i < 20; i++) await connection.send(`line ${i}\n`);
    connection.finish();
  });
  const response = await client.ask(get('/plain/x'));
  assert.equal(response.framing.kind, 'chunked');
  assert.equal(response.body.toString().split('\n').length, 21);
  assert.equal((await client.ask(get('/plain/x'))).status, 200);
});

promise('a reply that breaks off is not made to look whole', async (world) => {
  for (const head of ['Content-Length: 1000', 'Transfer-Encoding: chunked']) {
    const { client } = await setUp(world, async (connection, request) => {
      await read(connection, request);
      await connection.send(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n${head.startsWith('T') ? '5\r\nhello\r\n' : 'hello'}`);
      connection.close();
    });
    await client.send(get('/plain/x'));
    await assert.rejects(client.response(), /ended/);
  }
});

promise('a reply before the request\'s end is passed on at once', async (world) => {
  const { client } = await setUp(world, async (connection) => {
    await connection.send('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno');
    connection.finish();
  });
  await client.send('POST /plain/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\nfirst bytes');
  const response = await client.response();
  assert.equal(response.status, 403);
  assert.equal(response.body.toString(), 'no');
});

promise('Upgrade is passed through on plain routes, both ways', async (world) => {
  const { client, gateway } = await setUp(world, async (connection, request) => {
    assert.equal(request.head.get('upgrade'), 'echo/1');
    assert.match(request.head.get('connection'), /upgrade/i);
    await connection.send('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\nwelcome');
    const queue = connection.queue;
    while (queue.length || (await queue.more(60_000))) await connection.send(queue.take(queue.length));
    connection.finish();
    await once(connection.socket, 'close');
  });
  await client.send(get('/plain/ws', 'Connection: keep-alive, Upgrade', 'Upgrade: echo/1'));
  const response = await client.response();
  assert.equal(response.status, 101);
  assert.equal(response.head.get('upgrade'), 'echo/1');
  assert.equal((await client.queue.exactly(7, 5000)).toString(), 'welcome');
  assert.equal(await gateway.metric('tunnels_open'), 1);
  const big = Buffer.alloc(3 << 20, 'tunnel');
  client.send(big);
  assert.ok((await client.queue.exactly(big.length, 20_000)).equals(big));
  client.finish();
  await client.ended();
});

promise('Upgrade is not forwarded on MCP paths', async (world) => {
  const { client, upstream } = await setUp(world);
  const response = await client.ask(post('/mcp/up', ping, 'Connection: Upgrade', 'Upgrade: websocket'));
  assert.equal(response.status, 200);
  assert.equal(upstream.requests[0].head.has('upgrade'), false);
});

promise('what belongs to a connection stays on it', async (world) => {
  const { client, upstream } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    connection.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=9\r\nProxy-Connection: x\r\nX-Public: 2\r\n\r\n');
  });
  const response = await client.ask(get('/plain/x', 'Connection: X-Secret, keep-alive', 'X-Secret: 1', 'TE: trailers', 'Keep-Alive: 5', 'Proxy-Connection: keep-alive', 'X-Open: 2'));
  const { head } = upstream.requests[0];
  for (const name of ['x-secret', 'te', 'keep-alive', 'proxy-connection']) assert.equal(head.has(name), false, name);
  assert.equal(head.get('x-open'), '2');
  for (const name of ['x-private', 'proxy-connection']) assert.equal(response.head.has(name), false, name);
  assert.equal(response.head.get('x-public'), '2');
});

promise('Connection cannot take away what the message means', async (world) => {
  const { client, upstream } = await setUp(world);
  const response = await client.ask(post('/mcp/up', ping, 'Connection: Content-Length, Host, Authorization, Mcp-Session-Id', 'Authorization: Bearer t', 'Mcp-Session-Id: s'));
  assert.equal(response.status, 200);
  const { head } = upstream.requests[0];
  assert.equal(head.get('authorization'), 'Bearer t');
  assert.equal(head.get('mcp-session-id'), 's');
  assert.equal(upstream.requests[0].body.toString(), ping);
});

promise('repeated fields keep their order and their values', async (world) => {
  const { client, upstream } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    connection.send('HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nX-Text: caf\xe9\r\nContent-Length: 0\r\n\r\n');
  });
  const response = await client.ask(get('/plain/x?q=%20a&b=//../c', 'Cookie: x=1', 'X-Multi: one', 'X-Multi: two, three', 'X-Empty:'));
  const { head, target } = upstream.requests[0];
  assert.deepEqual(head.all('x-multi'), ['one', 'two, three']);
  assert.deepEqual(head.all('x-empty'), ['']);
  assert.equal(target, '/base/x?q=%20a&b=//../c');
  assert.deepEqual(response.head.all('set-cookie'), ['a=1; Path=/', 'b=2']);
});

promise('the upstream is told about the client, and a stranger is not believed', async (world) => {
  const { client, upstream } = await setUp(world);
  await client.ask(post('/mcp/up', ping, 'X-Forwarded-For: 6.6.6.6', 'X-Forwarded-Proto: https', 'X-Forwarded-Host: evil.test', 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'));
  const { head } = upstream.requests[0];
  assert.equal(head.get('x-forwarded-for'), '127.0.0.1');
  assert.equal(head.get('x-forwarded-proto'), 'http');
  assert.equal(head.get('x-forwarded-host'), 'gate.test');
  assert.equal(head.get('traceparent'), '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
  assert.match(head.get('x-request-id'), /^[\x21-\x7e]{8,}$/);
  assert.equal(head.get('host'), new URL(upstream.url).host);
});

promise('a trusted proxy is believed and added to', async (world) => {
  const { client, upstream } = await setUp(world, undefined, { args: ['--trusted-proxy', '127.0.0.0/8'] });
  await client.ask(post('/mcp/up', ping, 'X-Forwarded-For: 203.0.113.9', 'X-Forwarded-Proto: https', 'X-Forwarded-Host: public.test', 'X-Request-Id: from-the-proxy'));
  const { head } = upstream.requests[0];
  assert.equal(head.get('x-forwarded-for'), '203.0.113.9, 127.0.0.1');
  assert.equal(head.get('x-forwarded-proto'), 'https');
  assert.equal(head.get('x-forwarded-host'), 'public.test');
  assert.equal(head.get('x-request-id'), 'from-the-proxy');
});

promise('Forwarded is written instead when asked for, and neither when off', async (world) => {
  const rfc = await setUp(world, undefined, { args: ['--forwarded', 'forwarded'] });
  await rfc.client.ask(post('/mcp/up', ping, 'X-Forwarded-For: 6.6.6.6'));
  const forwarded = rfc.upstream.requests[0].head;
  assert.match(forwarded.get('forwarded'), /for="?127\.0\.0\.1/);
  assert.match(forwarded.get('forwarded'), /proto=http/);
  assert.match(forwarded.get('forwarded'), /host="?gate\.test/);
  assert.equal(forwarded.has('x-forwarded-for'), false);
  const off = await setUp(world, undefined, { args: ['--forwarded', 'off'] });
  await off.client.ask(post('/mcp/up', ping));
  for (const name of ['forwarded', 'x-forwarded-for']) assert.equal(off.upstream.requests[0].head.has(name), false, name);
});

promise('static headers of an upstream are sent to it and never logged', async (world) => {
  const { client, upstream, gateway } = await setUp(world, undefined, {
    args: ['--upstream-header', 'up=Authorization: Bearer very-secret-token', '--log-level', 'debug', '--access-log', 'on'],
  });
  await client.ask(post('/mcp/up', ping, 'Authorization: Bearer of-the-client'));
  assert.deepEqual(upstream.requests[0].head.all('authorization'), ['Bearer very-secret-token']);
  await until('the request is in the access log', () => /upstream=up/.test(gateway.process.stderr));
  assert.doesNotMatch(gateway.process.output, /very-secret/);
  assert.doesNotMatch(gateway.process.output, /of-the-client/);
});

promise('Accept-Encoding is not offered where events may come', async (world) => {
  const { client, upstream } = await setUp(world);
  await client.ask(post('/mcp/up', ping, 'Accept: application/json, text/event-stream', 'Accept-Encoding: gzip'));
  assert.equal(upstream.requests[0].head.has('accept-encoding'), false);
  await client.ask(get('/plain/x', 'Accept: text/html', 'Accept-Encoding: gzip'));
  assert.equal(upstream.requests[1].head.get('accept-encoding'), 'gzip');
});

// --- limits of heads and bodies ---

const limits = [
  ['a request line that is too long is 414', `GET /plain/${'a'.repeat(9000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 414],
  ['a head that is too large is 431', get('/plain/x', ...Array.from({ length: 40 }, (_, i) => `X-${i}: ${'v'.repeat(1000)}`)), 431],
  ['a head with too many fields is 431', get('/plain/x', ...Array.from({ length: 120 }, (_, i) => `X-${i}: v`)), 431],
  ['a request line without end is 414', `GET /${'a'.repeat(20_000)}`, 414],
  ['a head without end is 431', `GET / HTTP/1.1\r\nHost: x\r\n${'X-A: b\r\n'.repeat(6000)}`, 431],
  ['another HTTP version is 505', 'GET / HTTP/2.0\r\nHost: x\r\n\r\n', 505],
];
for (const [name, bytes, status] of limits) {
  promise(name, async (world) => {
    const { client, upstream } = await setUp(world);
    const response = await client.ask(bytes);
    assert.equal(response.status, status);
    await client.ended();
    assert.equal(upstream.accepted, 0);
  });
}

promise('a body above --max-body is 413 on MCP paths, however it is framed, and not on plain routes', async (world) => {
  const { gateway, upstream, client } = await setUp(world, undefined, { args: ['--max-body', '1000'] });
  const big = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping', params: { pad: 'x'.repeat(2000) } });
  const declared = await gateway.ask(post('/mcp/up', big));
  assert.equal(declared.status, 413);
  const chunked = await gateway.ask(`POST /mcp/up HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${big.length.toString(16)}\r\n${big}\r\n0\r\n\r\n`);
  assert.equal(chunked.status, 413);
  assert.equal(JSON.parse(declared.body).error.code, -32600);
  assert.equal((await client.ask(post('/plain/x', big))).status, 200);
  await until('no oversized body reached the upstream whole', () => upstream.requests.every((r) => r.target.startsWith('/base') || !r.body));
});

// --- smuggling and malformed heads: 400, the connection closed, nothing forwarded ---

const body = 'GET /plain/smuggled HTTP/1.1\r\nHost: x\r\n\r\n';
const smuggling = {
  'Content-Length and Transfer-Encoding': `POST /plain/x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${body}`,
  'two Content-Lengths that differ': `POST /plain/x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  'two Content-Lengths that agree': `POST /plain/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc`,
  'a list of Content-Lengths': 'POST /plain/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc',
  'a Content-Length with a sign': 'POST /plain/x HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc',
  'a negative Content-Length': 'POST /plain/x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
  'a hexadecimal Content-Length': 'POST /plain/x HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc',
  'a Content-Length with leading zeros': 'POST /plain/x HTTP/1.1\r\nHost: x\r\nContent-Length: 003\r\n\r\nabc',
  'an empty Content-Length': 'POST /plain/x HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n',
  'a Content-Length beyond 64 bits': 'POST /plain/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n',
  'chunked twice': `POST /plain/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n${body}`,
  'an unknown coding before chunked': `POST /plain/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
  'chunked not last': `POST /plain/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
  'two Transfer-Encodings': `POST /plain/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n`,
  'a vertical tab in Transfer-Encoding': `POST /plain/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`,
  'white space before the colon': `POST /plain/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
  'Transfer-Encoding in HTTP/1.0': `POST /plain/x HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'a folded field': `POST /plain/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`,
  'a field line that starts with a space': `GET /plain/x HTTP/1.1\r\n Host: y\r\nHost: x\r\n\r\n`,
  'a bare LF': 'GET /plain/x HTTP/1.1\nHost: x\n\n',
  'a bare LF between fields': 'GET /plain/x HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n',
  'a bare CR in a value': 'GET /plain/x HTTP/1.1\r\nHost: x\r\nX-A: a\rb\r\n\r\n',
  'a NUL in a value': 'GET /plain/x HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n',
  'a NUL in a name': 'GET /plain/x HTTP/1.1\r\nHost: x\r\nX\0A: b\r\n\r\n',
  'a field without a colon': 'GET /plain/x HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n',
  'a field without a name': 'GET /plain/x HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n',
  'two Hosts': 'GET /plain/x HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n',
  'no Host': 'GET /plain/x HTTP/1.1\r\nX-A: b\r\n\r\n',
  'a Host that is a list': 'GET /plain/x HTTP/1.1\r\nHost: x, y\r\n\r\n',
  'a target with a space': 'GET /plain/x y HTTP/1.1\r\nHost: x\r\n\r\n',
  'a target with a byte above 0x7e': 'GET /plain/\xff HTTP/1.1\r\nHost: x\r\n\r\n',
  'an absolute target for another host': 'GET http://other/plain/x HTTP/1.1\r\nHost: x\r\n\r\n',
  'CONNECT': 'CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n',
  'a request line with two spaces': 'GET  /plain/x HTTP/1.1\r\nHost: x\r\n\r\n',
  'no version': 'GET /plain/x\r\nHost: x\r\n\r\n',
  'TLS': Buffer.from('16030100a5010000a10303', 'hex'),
  'two session ids': `POST /mcp/up HTTP/1.1\r\nHost: x\r\nMcp-Session-Id: a\r\nMcp-Session-Id: b\r\nContent-Length: 0\r\n\r\n`,
};
promise('every request-smuggling form is 400, closes, and forwards nothing', async (world) => {
  const { gateway, upstream } = await setUp(world);
  for (const [name, bytes] of Object.entries(smuggling)) {
    const client = await world.connect(gateway);
    await client.send(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    client.finish();
    const response = await client.response().catch((error) => assert.fail(`${name}: ${error.message}`));
    assert.equal(response.status, 400, name);
    await client.ended();
    assert.equal(client.queue.length, 0, `${name}: nothing after the reply`);
  }
  assert.equal(upstream.accepted, 0, 'connections at the upstream');
  assert.ok((await gateway.metric('requests')) <= Object.keys(smuggling).length);
});

const chunks = {
  'a chunk size that is no number': 'xyz\r\n',
  'a negative chunk size': '-1\r\n',
  'a chunk size with a space before it': ' 5\r\nhello\r\n0\r\n\r\n',
  'a chunk size beyond 64 bits': 'fffffffffffffffff\r\n',
  'a chunk longer than it says': '3\r\nhello\r\n0\r\n\r\n',
  'a chunk ended by a bare LF': '5\r\nhello\n0\r\n\r\n',
  'a size line ended by a bare LF': '5\nhello\r\n0\r\n\r\n',
  'a bare CR in an extension': '5;a=\rb\r\nhello\r\n0\r\n\r\n',
  'a malformed trailer': '5\r\nhello\r\n0\r\nno colon\r\n\r\n',
};
promise('a malformed chunk ends the request, and what followed it is not a request', async (world) => {
  const { gateway, upstream } = await setUp(world);
  upstream.handler = async (connection, request) => {
    await read(connection, request).catch(() => {});
    if (!connection.gone && !connection.queue.ended) connection.send(json({ ok: true }));
  };
  for (const [name, bytes] of Object.entries(chunks)) {
    const client = await world.connect(gateway);
    await client.send(`POST /plain/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${bytes}${body}`);
    const response = await client.response().catch((error) => assert.fail(`${name}: ${error.message}`));
    assert.equal(response.status, 400, name);
    await client.ended();
    assert.equal(client.queue.length, 0, name);
  }
  assert.ok(upstream.requests.every((r) => !r.target.includes('smuggled')));
});

const badReplies = {
  'no HTTP at all': 'SSH-2.0-x\r\n\r\n',
  'both lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'two Content-Lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc',
  'a bare LF': 'HTTP/1.1 200 OK\nContent-Length: 0\n\n',
  'a folded field': 'HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 0\r\n\r\n',
  'another version': 'HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n',
  'a status of four digits': 'HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n',
};
promise('a malformed reply is 502 and its connection is not used again', async (world) => {
  const { client, upstream, gateway } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    await connection.send(badReplies[decodeURIComponent(request.target.split('/').pop())]);
  });
  for (const name of Object.keys(badReplies)) {
    const response = await client.ask(get(`/plain/${encodeURIComponent(name)}`));
    assert.equal(response.status, 502, name);
  }
  assert.equal(upstream.accepted, Object.keys(badReplies).length);
  assert.equal(await gateway.metric('closed', { reason: 'bad_reply' }), Object.keys(badReplies).length);
});

promise('bytes after a whole reply are not taken for the next one', async (world) => {
  let count = 0;
  const { client } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    count++;
    await connection.send(Buffer.concat([json({ count }), json({ count: 'smuggled' })]));
  });
  for (let i = 1; i <= 3; i++) assert.equal(JSON.parse((await client.ask(get('/plain/x'))).body).count, i);
});

// --- bodies of any size in bounded memory ---

const SIZE = 64 << 20;

promise('64 MiB bodies stream through both ways in bounded memory', async (world, t) => {
  const hash = createHash('sha256');
  const { client, gateway } = await setUp(world, async (connection, request) => {
    for await (const part of connection.reader.parts(request.framing)) hash.update(part);
    await connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n\r\n`);
    for (let sent = 0; sent < SIZE; sent += piece.length) await connection.send(piece);
  });
  const piece = Buffer.alloc(1 << 20);
  for (let i = 0; i < piece.length; i++) piece[i] = (i * 31 + (i >> 8)) & 255;
  const want = createHash('sha256');
  const got = createHash('sha256');
  const before = pss(gateway.pids());
  let peak = before;
  const sending = (async () => {
    await client.send(`POST /plain/big HTTP/1.1\r\nHost: x\r\nContent-Length: ${SIZE}\r\n\r\n`);
    for (let sent = 0; sent < SIZE; sent += piece.length) {
      want.update(piece);
      await client.send(piece);
      peak = Math.max(peak, pss(gateway.pids()));
    }
  })();
  const response = await client.response({ body: false });
  await sending;
  let size = 0;
  for await (const part of client.reader.parts(response.framing)) {
    size += part.length;
    got.update(part);
    if (size % (4 << 20) < part.length) peak = Math.max(peak, pss(gateway.pids()));
  }
  const sum = want.digest('hex');
  assert.equal(hash.digest('hex'), sum, 'the request\'s body');
  assert.equal(got.digest('hex'), sum, 'the reply\'s body');
  t.diagnostic(`memory grew by ${((peak - before) >> 10)} KiB while 2 x 64 MiB passed`);
  assert.ok(peak - before < 8 << 20, `memory grew by ${peak - before} bytes`);
}, { ms: 120_000 });

promise('a stopped upstream stops the client, and a stopped client the upstream', async (world) => {
  let sent = 0;
  let reading;
  const { client, gateway } = await setUp(world, async (connection, request) => {
    if (request.method === 'POST') {
      connection.socket.pause();
      await new Promise((resolve) => (reading = resolve));
      connection.socket.resume();
      const { body: all } = await read(connection, request);
      await connection.send(json({ size: all.length }));
      return;
    }
    await connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n\r\n`);
    const piece = Buffer.alloc(1 << 16, 'r');
    for (let i = 0; i < SIZE / piece.length; i++) {
      await connection.send(piece);
      sent += piece.length;
    }
  });
  const standsStill = (value) =>
    until('the sender stands still', async () => {
      const now = value();
      await new Promise((resolve) => setTimeout(resolve, 500));
      return now > 0 && value() === now;
    }, 30_000);

  // towards the upstream
  await client.send(`POST /plain/up HTTP/1.1\r\nHost: x\r\nContent-Length: ${SIZE}\r\n\r\n`);
  const all = client.send(Buffer.alloc(SIZE, 'q'));
  await gateway.untilMetric('pauses', (n) => n >= 1);
  await standsStill(() => client.socket.bytesWritten - client.socket.writableLength);
  assert.ok(client.socket.writableLength > SIZE / 2, 'most of it never left the client');
  const queued = await gateway.metric('queued_bytes');
  assert.ok(queued <= 1 << 20, `${queued} bytes queued above a high mark of 64 KiB`);
  reading();
  await all;
  assert.equal(JSON.parse((await client.response()).body).size, SIZE);

  // towards the client
  await client.send(get('/plain/down'));
  client.pause();
  await standsStill(() => sent);
  assert.ok(sent < SIZE / 2, `the upstream could send ${sent}`);
  client.resume();
  assert.equal((await client.response()).body.length, SIZE);
}, { ms: 120_000 });

// --- Origin and CORS ---

promise('no Origin, the Host\'s own and allowed ones may come; every other is 403 on every method', async (world) => {
  const { gateway, upstream } = await setUp(world, undefined, { args: ['--allow-origin', 'https://app.example', '--allow-origin', 'http://other.example:8000', '--trusted-proxy', '127.0.0.1/32'] });
  const ask = (method, origin) =>
    gateway.ask(`${method} /mcp/up HTTP/1.1\r\nHost: gate.test\r\n${origin ? `Origin: ${origin}\r\n` : ''}Content-Type: application/json\r\nContent-Length: ${method === 'POST' ? ping.length : 0}\r\n\r\n${method === 'POST' ? ping : ''}`);
  for (const origin of [undefined, 'http://gate.test', 'https://app.example', 'http://other.example:8000']) assert.equal((await ask('POST', origin)).status, 200, origin);
  const served = upstream.requests.length;
  for (const origin of ['https://evil.example', 'null', 'https://app.example.evil', 'http://app.example', 'https://app.example:444', 'http://gate.test:81', 'garbage']) {
    for (const method of ['POST', 'GET', 'DELETE', 'OPTIONS']) assert.equal((await ask(method, origin)).status, 403, `${method} ${origin}`);
  }
  assert.equal(upstream.requests.length, served, 'none of them reached the upstream');
});

promise('on a loopback address a Host of elsewhere is nobody\'s own, and the upstream never sees the Origin', async (world) => {
  const { gateway, upstream } = await setUp(world);
  const ask = (host, origin) => gateway.ask(post('/mcp/up', ping, `Origin: ${origin}`).replace('Host: gate.test', `Host: ${host}`));
  for (const host of ['localhost', 'localhost:8080', 'LOCALHOST', '127.0.0.1', '127.1.2.3:80', '[::1]', '[::1]:8080']) {
    assert.equal((await ask(host, `http://${host}`)).status, 200, host);
    assert.equal(upstream.requests.at(-1).head.get('origin'), undefined);
  }
  const served = upstream.requests.length;
  for (const host of ['evil.example', 'evil.example:8080', 'localhost.evil.example', '127.0.0.1.evil.example', '127.evil', '[::2]', '10.0.0.1'])
    assert.equal((await ask(host, `http://${host}`)).status, 403, host);
  assert.equal(upstream.requests.length, served);
});

promise('a browser\'s preflight is answered and its reply shows what MCP needs', async (world) => {
  const { gateway, upstream } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    connection.send(reply(200, { 'Content-Type': 'application/json', 'Mcp-Session-Id': 'abc', 'Access-Control-Allow-Origin': 'https://other.example' }, '{}'));
  }, { args: ['--allow-origin', 'https://app.example'] });
  const preflight = await gateway.ask(
    'OPTIONS /mcp/up HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n' +
      'Access-Control-Request-Headers: content-type, mcp-session-id, mcp-param-region, mcp-protocol-version, last-event-id, authorization, x-evil\r\n\r\n',
  );
  assert.ok([200, 204].includes(preflight.status));
  // Who may come was decided above, so that nothing is gained by naming the origin: '*', or the origin and Vary.
  const allows = ({ head }) => {
    const value = head.all('access-control-allow-origin').join();
    return value === '*' || (value === 'https://app.example' && /origin/i.test(head.get('vary')));
  };
  assert.ok(allows(preflight), preflight.head.text);
  assert.match(preflight.head.get('access-control-allow-methods'), /POST/);
  const allowed = preflight.head.get('access-control-allow-headers').toLowerCase();
  for (const name of ['content-type', 'mcp-session-id', 'mcp-param-region', 'mcp-protocol-version', 'last-event-id', 'authorization']) assert.ok(allowed.includes(name), name);
  assert.ok(!allowed.includes('x-evil'));
  assert.equal(upstream.requests.length, 0);
  const response = await gateway.ask(post('/mcp/up', ping, 'Origin: https://app.example'));
  assert.ok(allows(response), response.head.text);
  const exposed = response.head.get('access-control-expose-headers').toLowerCase();
  for (const name of ['mcp-session-id', 'www-authenticate']) assert.ok(exposed.includes(name), name);
});

promise('what is not served is 404 and what may not be done is 405', async (world) => {
  const { gateway, upstream } = await setUp(world);
  for (const target of ['/', '/mcp/nobody', '/plainer', '/mcpx', '/mcp/up/../nobody']) assert.equal((await gateway.ask(get(target))).status, 404, target);
  const put = await gateway.ask('PUT /mcp/up HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n');
  assert.equal(put.status, 405);
  assert.match(put.head.get('allow'), /POST/);
  assert.equal(upstream.requests.length, 0);
});
