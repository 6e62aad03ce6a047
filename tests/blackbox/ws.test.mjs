// SPDX-License-Identifier: Apache-2.0
// MCP over WebSocket towards clients: the official client 1.x with the transport that it has for it, on the `ws` package,
// and frames by hand where no client would send them; and WebSockets of any kind on plain routes.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { WebSocketClientTransport } from '@modelcontextprotocol/sdk/client/websocket.js';
import { CreateMessageRequestSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import WebSocket, { WebSocketServer } from 'ws';
import { modernCall } from './lib/mcp.mjs';
import { referenceUrl, useReference } from './lib/reference.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

globalThis.WebSocket ??= WebSocket;


const wsUrl = (gateway, path) => `${gateway.url.replace('http', 'ws')}${path}`;

async function connect(world, url) {
  const client = new Client({ name: 'blackbox', version: '1.0.0' }, { capabilities: { sampling: {}, elicitation: {} } });
  client.setRequestHandler(CreateMessageRequestSchema, () => ({ role: 'assistant', model: 'none', content: { type: 'text', text: 'said' } }));
  client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'decline' }));
  world.atEnd(() => client.close());
  await client.connect(new WebSocketClientTransport(new URL(url)));
  return client;
}

/** A connection of the `ws` package, and what it has said so far. */
async function open(world, url, options) {
  const socket = new WebSocket(url, options);
  const said = [];
  socket.on('message', (data) => said.push(JSON.parse(data.toString())));
  world.atEnd(() => socket.terminate());
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  return { socket, said, closed: new Promise((resolve) => socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }))) };
}

promise('the official WebSocket client does what the server can', async (world) => {
  const gateway = await world.gateway({ upstreams: { e: referenceUrl } });
  const client = await connect(world, wsUrl(gateway, '/ws/e'));
  await useReference(client);
  await client.close();
  await gateway.untilQuiet();
});

promise('/ws is the merged server where there are several', async (world) => {
  const gateway = await world.gateway({ upstreams: { a: referenceUrl, b: referenceUrl } });
  const client = await connect(world, wsUrl(gateway, '/ws'));
  const names = (await client.listTools()).tools.map(({ name }) => name);
  assert.ok(names.includes('a__echo') && names.includes('b__echo'), names.join());
  assert.match((await client.callTool({ name: 'b__echo', arguments: { message: 'hi' } })).content[0].text, /hi$/);
});

promise('/ws is the demo server where there is no other', async (world) => {
  const gateway = await world.gateway({ upstreams: {} });
  const client = await connect(world, wsUrl(gateway, '/ws'));
  assert.ok((await client.listTools()).tools.some(({ name }) => name === 'slow_count'));
  const progress = [];
  await client.callTool({ name: 'slow_count', arguments: { to: 3, interval_ms: 10 } }, undefined, { onprogress: (p) => progress.push(p.progress) });
  assert.deepEqual(progress, [1, 2, 3]);
  const many = await Promise.all(Array.from({ length: 100 }, (_, i) => client.callTool({ name: 'echo', arguments: { text: `number ${i}` } })));
  many.forEach((result, i) => assert.equal(result.content[0].text, `number ${i}`));
  const { socket, said } = await open(world, wsUrl(gateway, '/ws/demo'));
  socket.send(modernCall('new', 'echo', { text: 'hi' }));
  await until('it is answered', () => said.some(({ id, result }) => id === 'new' && result.content[0].text === 'hi'));
  await client.close();
  socket.close();
  await gateway.untilQuiet();
});

promise('a client of 2026-07-28 needs nothing but its messages, in text or binary, and may have many open', async (world) => {
  const gateway = await world.gateway({ upstreams: { e: referenceUrl } });
  const { socket, said } = await open(world, wsUrl(gateway, '/ws/e'), { perMessageDeflate: false });
  for (let i = 0; i < 50; i++) socket.send(modernCall(i, 'echo', { message: `m${i}` }), { binary: i % 2 === 1 });
  await until('all are answered', () => said.length === 50);
  for (const { id, result } of said) assert.match(result.content[0].text, new RegExp(`m${id}$`));
  assert.deepEqual(said.map(({ id }) => id).sort((x, y) => x - y), Array.from({ length: 50 }, (_, i) => i));
});

promise('a question of an older server is answered in a retry, on the same connection or on another, of whichever worker', async (world) => {
  const dir = world.directory();
  const program = fileURLToPath(new URL('servers/revision.mjs', import.meta.url));
  const gateway = await world.gateway({ upstreams: { old: `stdio:'${process.execPath}' '${program}' --revision 2025-06-18 --dir ${dir} --name old` }, workers: 2 });
  const call = (id, more) => {
    const message = JSON.parse(modernCall(id, 'ask'));
    message.params._meta['io.modelcontextprotocol/clientCapabilities'] = { elicitation: {} };
    return JSON.stringify({ ...message, params: { ...message.params, ...more } });
  };
  // Which worker a connection comes to is the kernel's choice: there are as many as it takes, and 64 at most.
  const seen = async () => (await gateway.metric('requests_forwarded_home')) > 0;
  for (let i = 0; i < 12 || (i < 64 && !(await seen())); i++) {
    const first = await open(world, wsUrl(gateway, '/ws/old'), { perMessageDeflate: false });
    first.socket.send(call(`a${i}`));
    await until('the question', () => first.said.length === 1);
    const { inputRequests, requestState } = first.said[0].result;
    const inputResponses = { [Object.keys(inputRequests)[0]]: { action: 'accept', content: { name: 'Ada' } } };
    const second = i % 2 ? first : await open(world, wsUrl(gateway, '/ws/old'), { perMessageDeflate: false });
    second.socket.send(call(`b${i}`, { inputResponses, requestState }));
    await until(() => `the result, after ${JSON.stringify(second.said)}`, () => second.said.some(({ id }) => id === `b${i}`));
    assert.equal(second.said.at(-1).result?.content[0].text, 'hello Ada', JSON.stringify(second.said));
    first.socket.close();
    second.socket.close();
  }
  assert.ok(await seen(), 'some came to the other worker');
  await gateway.untilQuiet();
});

promise('closes are answered with the code, and faults closed with the right one', async (world) => {
  const gateway = await world.gateway({ upstreams: { e: referenceUrl }, args: ['--ws-max-message', '10k'] });
  const url = wsUrl(gateway, '/ws/e');
  const polite = await open(world, url);
  polite.socket.close(4001, 'enough');
  assert.equal((await polite.closed).code, 4001);
  const large = await open(world, url);
  large.socket.send('x'.repeat(20_000));
  assert.equal((await large.closed).code, 1009);
  const garbled = await open(world, url);
  garbled.socket._socket.write(Buffer.concat([Buffer.from([0x81, 0x82, 0, 0, 0, 0]), Buffer.from([0xc3, 0x28])]));
  assert.equal((await garbled.closed).code, 1007);
  const wild = await open(world, url);
  wild.socket._socket.write(randomBytes(1000));
  assert.ok([1002, 1006, 1007, 1009].includes((await wild.closed).code));
  await gateway.untilQuiet();
});

promise('a worker that is killed ends its WebSockets, and clients come back', async (world) => {
  const gateway = await world.gateway({ upstreams: { e: referenceUrl } });
  const before = await open(world, wsUrl(gateway, '/ws/e'));
  for (const { pid } of gateway.children('worker')) process.kill(pid, 'SIGKILL');
  assert.equal((await before.closed).code, 1006);
  const { socket, said } = await open(world, wsUrl(gateway, '/ws/e'));
  socket.send(modernCall('again', 'echo', { message: 'hi' }));
  await until('it is answered', () => said.some(({ id }) => id === 'again'));
});

promise('at SIGTERM each WebSocket is told to go elsewhere', async (world) => {
  const gateway = await world.gateway({ upstreams: { e: referenceUrl } });
  const { closed } = await open(world, wsUrl(gateway, '/ws/e'));
  process.kill(gateway.process.pid, 'SIGTERM');
  assert.equal((await closed).code, 1001);
});

promise('messages are compressed where both want it, and a bomb ends its own connection only', async (world) => {
  const gateway = await world.gateway({ upstreams: { e: referenceUrl }, args: ['--ws-deflate', 'on', '--ws-max-message', '100k'] });
  const url = wsUrl(gateway, '/ws/e');
  const message = JSON.stringify({ words: Array.from({ length: 1000 }, (_, i) => `word ${i % 7}`) });
  for (const perMessageDeflate of [{ threshold: 0 }, { threshold: 0, serverNoContextTakeover: true, serverMaxWindowBits: 10 }, { threshold: 0, clientMaxWindowBits: 9 }]) {
    const { socket, said } = await open(world, url, { perMessageDeflate });
    assert.match(socket.extensions, /permessage-deflate/);
    for (let i = 0; i < 5; i++) socket.send(modernCall(i, 'echo', { message }));
    socket.send('"torn'); // no message, but compressed all right
    await until('all are answered', () => said.length === 6);
    for (const { id, result, error } of said) assert.ok(error ?? result.content[0].text.includes(message), String(id));
    assert.ok(socket._socket.bytesRead < message.length, `${socket._socket.bytesRead} bytes for 5 of ${message.length}`);
  }
  const bomb = await open(world, url, { perMessageDeflate: { threshold: 0 } });
  bomb.socket.send(' '.repeat(10 << 20));
  assert.equal((await bomb.closed).code, 1009);
  const garbled = await open(world, url, { perMessageDeflate: { threshold: 0 } });
  garbled.socket._socket.write(Buffer.from([0xc1, 0x83, 0, 0, 0, 0, 0xff, 0xff, 0xff]));
  assert.equal((await garbled.closed).code, 1007);
  const plain = await open(world, url, { perMessageDeflate: false });
  assert.equal(plain.socket.extensions, '');
});

/** An echo server of the `ws` package; gives its URL and the sockets of its connections. */
async function echo(world, options) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, ...options });
  const sockets = [];
  server.on('connection', (socket) => {
    sockets.push(socket);
    socket.on('message', (data, binary) => socket.send(data, { binary }));
  });
  await new Promise((resolve) => server.once('listening', resolve));
  world.atEnd(() => {
    for (const socket of sockets) socket.terminate();
    server.close();
  });
  return { url: `ws://127.0.0.1:${server.address().port}`, sockets };
}

promise('a plain route relays the WebSockets of its upstream, compressed or not, and their closes', async (world) => {
  const upstream = await echo(world, { perMessageDeflate: { threshold: 0 } });
  const gateway = await world.gateway({ upstreams: { e: referenceUrl }, routes: { '/chat': upstream.url, '/http': upstream.url.replace('ws', 'http') } });
  for (const [path, perMessageDeflate] of [['/chat', false], ['/chat', { threshold: 0 }], ['/http', { threshold: 0 }]]) {
    const socket = new WebSocket(wsUrl(gateway, path), { perMessageDeflate });
    const got = [];
    socket.on('message', (data, binary) => got.push(binary ? data : data.toString()));
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    assert.equal(socket.extensions, perMessageDeflate ? 'permessage-deflate' : '');
    const sent = [...Array.from({ length: 100 }, (_, i) => `Grüße ${i}`), 'x'.repeat(500_000), randomBytes(100_000)];
    for (const message of sent) socket.send(message);
    await until('all are back', () => got.length === sent.length);
    assert.deepEqual(got, sent);
    const closed = new Promise((resolve) => socket.once('close', (code, reason) => resolve([code, reason.toString()])));
    upstream.sockets.at(-1).close(4321, 'why');
    assert.deepEqual(await closed, [4321, 'why']);
  }
  assert.equal(await gateway.metric('ws_messages'), 306, 'what the clients sent');
  assert.equal((await fetch(`${gateway.url}/chat`)).status, 426);
  await gateway.untilQuiet();
});

promise('a relayed WebSocket is told when its upstream dies, when it says too much, and when the gateway ends', async (world) => {
  const upstream = await echo(world, {});
  const gateway = await world.gateway({ upstreams: { e: referenceUrl }, routes: { '/chat': upstream.url }, args: ['--ws-max-message', '10k', '--drain-timeout', '500ms'] });
  const orphan = await open(world, wsUrl(gateway, '/chat'));
  upstream.sockets.at(-1).terminate();
  assert.equal((await orphan.closed).code, 1014);
  const large = await open(world, wsUrl(gateway, '/chat'));
  const goodbye = new Promise((resolve) => upstream.sockets.at(-1).once('close', resolve));
  large.socket.send('x'.repeat(20_000));
  assert.equal((await large.closed).code, 1009);
  assert.equal(await goodbye, 1001);
  const last = await open(world, wsUrl(gateway, '/chat'));
  process.kill(gateway.process.pid, 'SIGTERM');
  assert.equal((await last.closed).code, 1012);
});
