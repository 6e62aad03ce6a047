// SPDX-License-Identifier: Apache-2.0
// Replies are compressed for clients that take it, and nobody notices but the network: fetch() and SDK clients, which
// decode by themselves, and a client that decodes as the bytes come.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import zlib from 'node:zlib';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CreateMessageRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { STREAM, call, event, get, post, request } from './lib/mcp.mjs';
import { reply } from './lib/raw.mjs';
import { referenceUrl, useReference } from './lib/reference.mjs';
import { until, within } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const on = ['--compress', 'on'];

/** Decodes what arrives as it arrives; text() gives what was decoded since the last call once `enough` says so. */
function decoder(stream = zlib.createGunzip()) {
  let text = '';
  stream.on('data', (bytes) => (text += bytes));
  return {
    stream,
    write: (bytes) => stream.write(bytes),
    async text(enough) {
      await until(() => `${enough} in what was decoded: ${JSON.stringify(text)}`, () => text.includes(enough));
      const all = text;
      text = '';
      return all;
    },
  };
}

/** A stream whose events the test sends one by one. */
function scripted() {
  const script = { streams: [] };
  script.handler = async (connection, { framing }) => {
    await connection.reader.body(framing);
    connection.send(STREAM);
    await new Promise((done) => script.streams.push({ send: (bytes) => connection.send(bytes), end: () => (connection.send('0\r\n\r\n'), done()) }));
  };
  script.stream = (n = 0) => until('the stream is open', () => script.streams[n]);
  return script;
}

for (const [coding, stream] of [['gzip', () => zlib.createGunzip()], ['deflate', () => zlib.createInflate()]]) {
  promise(`each event of a ${coding} stream is decoded before the next one is sent, and so are heartbeats`, async (world) => {
    const script = scripted();
    const upstream = await world.upstream(script.handler);
    const gateway = await world.gateway({ upstreams: { up: `${upstream.url}/mcp` }, args: [...on, '--heartbeat', '300ms', '--era-ttl', '0'] });
    const client = await world.connect(gateway);
    await client.send(post('/mcp/up', call(1, 'x'), `Accept-Encoding: ${coding}`));
    const { head, framing } = await client.response({ body: false });
    assert.equal(head.get('content-encoding'), coding);
    assert.equal(head.get('vary'), 'Accept-Encoding');
    assert.match(head.get('content-type'), /^text\/event-stream/);
    const decoded = decoder(stream());
    const all = (async () => {
      for await (const part of client.reader.parts(framing)) decoded.write(part);
    })();
    const { send, end } = await script.stream();
    for (let i = 0; i < 20; i++) {
      await send(event({ jsonrpc: '2.0', method: 'notifications/progress', params: { progress: i } }));
      await decoded.text(`"progress":${i}}}\n\n`);
    }
    await decoded.text(':\n\n');
    await send(event({ jsonrpc: '2.0', id: 1, result: {} }));
    end();
    await within('the end of the chunks', all);
    const ended = new Promise((resolve, reject) => decoded.stream.on('end', resolve).on('error', reject));
    decoded.stream.end();
    await decoded.text('"result":{}}\n\n');
    await within('the end of the content, whole', ended);
    const metrics = await gateway.metrics();
    assert.ok(metrics.sum('compress_out') < metrics.sum('compress_in') / 2);
    assert.equal(metrics.sum('compress_contexts'), 0);
  });
}

promise('fetch() reads each event of a compressed stream before the next one is sent', async (world) => {
  const script = scripted();
  const upstream = await world.upstream(script.handler);
  const gateway = await world.gateway({ upstreams: { up: `${upstream.url}/mcp` }, args: [...on, '--era-ttl', '0'] });
  const response = await fetch(`${gateway.url}/mcp/up`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    body: call(1, 'x'),
  });
  assert.equal(response.headers.get('content-encoding'), 'gzip');
  const { send, end } = await script.stream();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let i = 0; i < 20; i++) {
    await send(event(`number ${i}`));
    const { value } = await within(`event ${i}`, reader.read());
    assert.equal(value, `data: number ${i}\n\n`);
  }
  end();
  assert.equal((await within('the end', reader.read())).done, true);
});

promise('a client that does not ask for it gets plain bytes, and a cache learns that others may not', async (world) => {
  const body = JSON.stringify({ list: Array.from({ length: 500 }, (_, i) => `entry ${i}`) });
  const upstream = await world.upstream(async (connection, { target, framing }) => {
    await connection.reader.body(framing);
    connection.send(reply(200, target.includes('fixed') ? { 'Content-Type': 'application/json', 'Cache-Control': 'no-transform' } : { 'Content-Type': 'application/json' }, body));
  });
  const gateway = await world.gateway({ routes: { '/': upstream.url }, args: on });
  for (const fields of [[], ['Accept-Encoding: br'], ['Accept-Encoding: gzip;q=0']]) {
    const plain = await gateway.ask(get('/list', ...fields));
    assert.equal(plain.head.has('content-encoding'), false);
    assert.equal(plain.head.get('vary'), 'Accept-Encoding');
    assert.equal(plain.head.get('content-length'), String(body.length));
    assert.equal(String(plain.body), body);
  }
  const packed = await gateway.ask(get('/list', 'Accept-Encoding: gzip, deflate'));
  assert.equal(packed.head.get('content-encoding'), 'gzip');
  assert.equal(String(zlib.gunzipSync(packed.body)), body);
  const fixed = await gateway.ask(get('/fixed', 'Accept-Encoding: gzip'));
  assert.equal(fixed.head.has('content-encoding'), false);
  assert.equal(fixed.head.has('vary'), false);
  assert.equal(String(fixed.body), body);
});

promise('merged lists are the same packed and plain', async (world) => {
  const gateway = await world.gateway({ upstreams: { a: referenceUrl, b: referenceUrl }, args: on, workers: 1 });
  const hello = post('/mcp', request(1, 'initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } }));
  const session = (await gateway.ask(hello)).head.get('mcp-session-id');
  const list = (...fields) => gateway.ask(post('/mcp', request(2, 'tools/list', {}), `Mcp-Session-Id: ${session}`, 'MCP-Protocol-Version: 2025-11-25', ...fields));
  const plain = await list();
  const packed = await list('Accept-Encoding: gzip');
  assert.equal(packed.head.get('content-encoding'), 'gzip');
  assert.ok(packed.body.length < plain.body.length / 2, `${packed.body.length} of ${plain.body.length} bytes`);
  const tools = (text) => JSON.parse(text).result.tools;
  assert.deepEqual(tools(zlib.gunzipSync(packed.body)), tools(plain.body));
  assert.ok(tools(plain.body).some(({ name }) => name === 'b__echo'));
});

promise('a client of the SDK 1.x does all it does with compressed streams of the gateway\'s own', async (world) => {
  const gateway = await world.gateway({ upstreams: { e: referenceUrl }, args: on });
  const client = new ClientV1({ name: 'x', version: '1' }, { capabilities: { sampling: {} } });
  client.setRequestHandler(CreateMessageRequestSchema, async () => ({ model: 'm', role: 'assistant', content: { type: 'text', text: 'said' } }));
  world.atEnd(() => client.close());
  await client.connect(new TransportV1(new URL(`${gateway.url}/mcp`)));
  await useReference(client);
  const metrics = await gateway.metrics();
  assert.ok(metrics.sum('compressed_replies') >= 4, `${metrics.sum('compressed_replies')}: lists, progress, the large echo, the question`);
  assert.ok(metrics.sum('compress_out') < metrics.sum('compress_in') / 4);
});

/** The same server without the no-transform that the SDK puts on its streams. */
async function without(field, world, url) {
  const proxy = http.createServer((request, response) => {
    const onward = http.request(url, { method: request.method, path: request.url, headers: request.headers }, (reply) => {
      delete reply.headers[field];
      response.writeHead(reply.statusCode, reply.headers);
      reply.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  world.serves(() => (proxy.closeAllConnections(), new Promise((done) => proxy.close(done))));
  return `http://127.0.0.1:${proxy.address().port}${new URL(url).pathname}`;
}

for (const [what, coding] of [['compressed streams that pass', 'gzip'], ['the streams that must not be transformed', null]]) {
  promise(`a client of the SDK 2.x reads ${what}`, async (world) => {
    const { url } = await world.modern();
    const gateway = await world.gateway({ upstreams: { m: coding ? await without('cache-control', world, url) : url }, args: on });
    const client = new Client({ name: 'x', version: '1' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
    const streams = [];
    const noted = async (...args) => {
      const response = await fetch(...args);
      if (response.headers.get('content-type')?.startsWith('text/event-stream')) streams.push(response.headers.get('content-encoding'));
      return response;
    };
    world.atEnd(() => client.close());
    await client.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`), { fetch: noted }));
    await client.listTools();
    const progress = [];
    const result = await client.callTool({ name: 'count', arguments: { to: 20, gap_ms: 10 } }, { onprogress: (p) => progress.push(p.progress) });
    assert.equal(progress.length, 20);
    assert.equal(result.content[0].text, 'counted to 20');
    assert.ok(streams.length >= 1);
    assert.ok(streams.every((one) => one === coding), streams.join());
  });
}

promise('the worker that the client is connected to compresses what the session\'s home sends', async (world) => {
  const gateway = await world.gateway({ workers: 3, args: [...on, '--heartbeat', '200ms'] });
  for (let i = 0; i < 24; i++) {
    const hello = await gateway.ask(post('/mcp', request(1, 'initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } })));
    const client = await world.connect(gateway);
    await client.send(get('/mcp', 'Accept: text/event-stream', `Mcp-Session-Id: ${hello.head.get('mcp-session-id')}`, 'MCP-Protocol-Version: 2025-11-25', 'Accept-Encoding: gzip'));
    const { head, framing } = await client.response({ body: false });
    assert.equal(head.get('content-encoding'), 'gzip');
    assert.equal(head.get('vary'), 'Accept-Encoding');
    assert.equal(head.get('cache-control'), 'no-cache, no-transform');
    const decoded = decoder();
    void (async () => {
      for await (const part of client.reader.parts(framing)) decoded.write(part);
    })().catch(() => {});
    await decoded.text(':\n\n');
    client.close();
  }
  const forwarded = await gateway.metric('requests_forwarded_home');
  assert.ok(forwarded >= 1 && forwarded < 24, `${forwarded} of 24 were forwarded`);
});
