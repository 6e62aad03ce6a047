// SPDX-License-Identifier: Apache-2.0
// HTTP+SSE of 2024-11-05 towards clients: the official client 1.x through /sse/NAME, and what it does not do, byte by byte.

import assert from 'node:assert/strict';
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { call, get, post, request } from './lib/mcp.mjs';
import { json, reply } from './lib/raw.mjs';
import { SseClient } from './lib/revision.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const EVERYTHING = { sampling: {}, elicitation: {}, roots: { listChanged: true } };

async function connect(world, url, capabilities = {}) {
  const client = new Client({ name: 'blackbox', version: '1.0.0' }, { capabilities });
  const Transport = new URL(url).pathname.startsWith('/sse') ? SSEClientTransport : StreamableHTTPClientTransport;
  const transport = new Transport(new URL(url));
  const notes = [];
  const errors = [];
  client.onerror = (error) => errors.push(error);
  client.setNotificationHandler(LoggingMessageNotificationSchema, (n) => void notes.push(n));
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, (n) => void notes.push(n));
  if (capabilities.sampling) {
    client.setRequestHandler(CreateMessageRequestSchema, () => ({ role: 'assistant', model: 'none', content: { type: 'text', text: 'said' } }));
    client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'decline' }));
    client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: 'file:///somewhere', name: 'somewhere' }] }));
  }
  world.atEnd(() => client.close());
  await client.connect(transport);
  return { client, transport, notes, errors };
}

/** What a client does with the reference server, whichever way it is reached. */
async function drive({ client, notes }) {
  const { tools } = await client.listTools();
  assert.ok(tools.some((tool) => tool.name === 'echo'));
  const sum = await client.callTool({ name: 'get-sum', arguments: { a: 19, b: 23 } });
  assert.match(sum.content[0].text, /42/);
  const message = 'x'.repeat(1 << 20);
  const large = await client.callTool({ name: 'echo', arguments: { message } });
  assert.ok(large.content[0].text.includes(message));

  const progress = [];
  await client.callTool({ name: 'trigger-long-running-operation', arguments: { duration: 0.4, steps: 4 } }, undefined, { onprogress: (p) => progress.push(p.progress) });
  assert.deepEqual(progress.slice(0, 3), [1, 2, 3]); // the client forgets who wants the last one when the answer comes in the same piece

  const many = await Promise.all(Array.from({ length: 20 }, (_, i) => client.callTool({ name: 'echo', arguments: { message: `number ${i}` } })));
  many.forEach((result, i) => assert.match(result.content[0].text, new RegExp(`number ${i}$`)));

  const uri = 'demo://resource/dynamic/text/1';
  await client.setLoggingLevel('debug');
  await client.subscribeResource({ uri });
  await client.callTool({ name: 'toggle-subscriber-updates' });
  await until('the resource is updated', () => notes.some((n) => n.method === 'notifications/resources/updated' && n.params.uri === uri));
  await client.callTool({ name: 'toggle-subscriber-updates' });
  await client.unsubscribeResource({ uri });

  const abort = new AbortController();
  const call = client.callTool({ name: 'trigger-long-running-operation', arguments: { duration: 0.8, steps: 4 } }, undefined, { onprogress: () => abort.abort('enough'), signal: abort.signal });
  await assert.rejects(call);
  await assert.rejects(client.readResource({ uri: 'demo://nothing' }));
  await client.ping();

  await until('the server has the roots', async () => {
    const roots = await client.callTool({ name: 'get-roots-list' });
    return /file:\/\/\/somewhere/.test(roots.content[0].text);
  });
  assert.match(JSON.stringify(await client.callTool({ name: 'trigger-sampling-request', arguments: { prompt: 'say', maxTokens: 9 } })), /said/);
  assert.match(JSON.stringify(await client.callTool({ name: 'trigger-elicitation-request' })), /declined|cancel|accept/i);
}

promise('the official SSE client does over HTTP+SSE what the server can', async (world) => {
  const server = await world.everything();
  const gateway = await world.gateway({ upstreams: { everything: server.url } });
  const session = await connect(world, `${gateway.url}/sse/everything`, EVERYTHING);
  await drive(session);
  assert.deepEqual(session.errors.filter(({ message }) => !/progress notification for an unknown token/.test(message)), []);
  await session.client.close();
  await gateway.untilMetric('sessions_ended', (n) => n === 1);
});

promise('the official SSE client reaches the merged server of two', async (world) => {
  const [one, two] = [await world.everything(), await world.everything()];
  const gateway = await world.gateway({ upstreams: { one: one.url, two: two.url } });
  const { client } = await connect(world, `${gateway.url}/sse`, EVERYTHING);
  const { tools } = await client.listTools();
  for (const name of ['one__echo', 'two__echo']) {
    assert.ok(tools.some((tool) => tool.name === name), name);
    assert.match((await client.callTool({ name, arguments: { message: name } })).content[0].text, new RegExp(name));
  }
  const { resources } = await client.listResources();
  await client.readResource({ uri: resources.at(-1).uri });
  assert.match(JSON.stringify(await client.callTool({ name: 'two__trigger-sampling-request', arguments: { prompt: 'say', maxTokens: 9 } })), /said/);
  await assert.rejects(client.callTool({ name: 'three__echo', arguments: { message: 'x' } }), { code: -32602 });
});

const greeting = { protocolVersion: '2024-11-05', capabilities: {}, clientInfo: { name: 'raw', version: '1' } };

promise('what is no message of a live session is turned away with a status', async (world) => {
  const server = await world.everything();
  const gateway = await world.gateway({ upstreams: { everything: server.url } });
  const status = async (bytes) => (await gateway.ask(bytes)).status;
  const client = new SseClient(gateway, '/sse/everything', '2024-11-05');
  await client.connect();
  assert.match(client.target, /^\/messages\?sessionId=[\w-]+$/);

  const early = await client.ask('tools/call', { name: 'echo', arguments: { message: 'early' } });
  assert.equal(early.result.content[0].text, 'Echo: early', 'as with the official server, initialize may be missed out');
  assert.equal(await status(post(client.target, '{"jsonrpc":')), 400);
  assert.equal(await status(post(client.target, '{"id":1}')), 400);
  assert.equal(await status(post(client.target, '')), 400);
  assert.equal(await status(post(client.target, '{}').replace('application/json\r\n', 'text/plain\r\n')), 415);
  assert.equal(await status(post(`${client.target}x`, call(1, 'echo'))), 404);
  assert.equal(await status(post('/messages?sessionId=4711', call(1, 'echo'))), 404);
  assert.equal(await status(post('/messages', call(1, 'echo'))), 404);
  assert.equal(await status(get(client.target)), 405);
  assert.equal(await status(post('/sse/everything', request(1, 'initialize', greeting))), 405);
  assert.equal(await status(get('/sse/nobody')), 404);
  assert.equal(await status(get('/sse/everything', 'Origin: http://evil.test')), 403);
  assert.equal(await status(post(client.target, call(1, 'echo'), 'Origin: http://evil.test')), 403);
  const token = client.target.split('=')[1];
  assert.equal(await status(post('/mcp/everything', call(1, 'echo'), `Mcp-Session-Id: ${token}`)), 404, 'it is no session of /mcp');

  const greeted = await client.begin('initialize', greeting);
  assert.equal((await greeted.messages.answer(greeted.id)).result.protocolVersion, '2024-11-05');
  assert.equal(await status(post(client.target, request(9, 'initialize', greeting))), 400, 'twice');
  await client.tell({ method: 'notifications/initialized' });
  assert.equal((await client.ask('tools/call', { name: 'echo', arguments: { message: 'still' } })).result.content[0].text, 'Echo: still');
  const reply = await gateway.ask(post(client.target, request('p', 'ping')));
  assert.equal(reply.status, 202);
  assert.equal(String(reply.body), 'Accepted');

  client.close();
  await gateway.untilMetric('sessions_ended', (n) => n === 1);
  assert.equal(await status(post(client.target, call(1, 'echo'))), 404, 'its stream is gone');
});

promise('messages may come to any worker', async (world) => {
  const server = await world.everything();
  const gateway = await world.gateway({ upstreams: { everything: server.url }, workers: 4 });
  const client = new SseClient(gateway, '/sse/everything', '2024-11-05');
  await client.open();
  for (let i = 0; i < 40; i++) assert.equal((await client.ask('tools/call', { name: 'echo', arguments: { message: `${i}` } })).result.content[0].text, `Echo: ${i}`);
  assert.ok((await gateway.metric('requests_forwarded_home')) > 0);
  client.close();
});

promise('when the worker dies its streams end, and what is posted to them is not found', async (world) => {
  const server = await world.everything();
  const gateway = await world.gateway({ upstreams: { everything: server.url }, workers: 1 });
  const client = new SseClient(gateway, '/sse/everything', '2024-11-05');
  await client.open();
  process.kill(gateway.children('worker')[0].pid, 'SIGKILL');
  await until('the stream ends', () => client.stream.ended);
  await until('a new worker serves', async () => (await gateway.ask(post(client.target, call(1, 'echo')))).status === 404);
  const again = new SseClient(gateway, '/sse/everything', '2024-11-05');
  await again.open();
  await again.ask('tools/list');
  again.close();
});

promise('the official client goes on by itself after its worker died', async (world) => {
  const server = await world.everything();
  const gateway = await world.gateway({ upstreams: { everything: server.url }, workers: 1 });
  const { client } = await connect(world, `${gateway.url}/sse/everything`, EVERYTHING);
  process.kill(gateway.children('worker')[0].pid, 'SIGKILL');
  const { content } = await until('the client is back', () => client.callTool({ name: 'echo', arguments: { message: 'again' } }, undefined, { timeout: 1000 }), 15_000);
  assert.equal(content[0].text, 'Echo: again');
});

promise('a stream that comes again with the id of the last event has what its client had agreed on', async (world) => {
  const server = await world.everything();
  const gateway = await world.gateway({ upstreams: { everything: server.url }, workers: 1 });
  const client = new SseClient(gateway, '/sse/everything', '2024-11-05');
  await client.connect();
  const { id, messages } = await client.begin('initialize', { ...greeting, protocolVersion: '2025-06-18', capabilities: { sampling: {} } });
  await messages.answer(id);
  assert.match(client.stream.lastId, /^[\w-]+$/);
  client.close();
  const again = new SseClient(gateway, '/sse/everything', '2025-06-18');
  await again.connect([`Last-Event-ID: ${client.stream.lastId}`]);
  const call = await again.begin('tools/call', { name: 'trigger-sampling-request', arguments: { prompt: 'say', maxTokens: 9 } });
  const question = await call.messages.find('the question', (m) => m.method === 'sampling/createMessage');
  await again.tell({ id: question.id, result: { role: 'assistant', model: 'none', content: { type: 'text', text: 'said' } } });
  assert.match(JSON.stringify(await call.messages.answer(call.id)), /said/);
  again.close();
});

for (const front of ['mcp', 'sse']) {
  promise(`a server of HTTP+SSE is found out, and does at /${front} what it can`, async (world) => {
    const server = await world.everything('sse');
    const gateway = await world.gateway({ upstreams: { everything: server.url } });
    const session = await connect(world, `${gateway.url}/${front}/everything`, EVERYTHING);
    await drive(session);
    assert.match(gateway.process.stderr, /upstream everything: speaks HTTP\+SSE of 2024-11-05/);
  });
}

promise('the demo server speaks HTTP+SSE, too', async (world) => {
  const gateway = await world.gateway({});
  const { client } = await connect(world, `${gateway.url}/sse/demo`);
  const { tools } = await client.listTools();
  assert.ok(tools.some((tool) => tool.name === 'slow_count'));
  assert.equal((await client.callTool({ name: 'echo', arguments: { text: 'hello' } })).content[0].text, 'hello');
  const abort = new AbortController();
  const call = { name: 'slow_count', arguments: { to: 1000, delay_ms: 20 } };
  await assert.rejects(client.callTool(call, undefined, { onprogress: () => abort.abort('enough'), signal: abort.signal }));
  await gateway.untilMetric('exchanges_open', (n) => n === 1);
  await client.ping();

  const raw = new SseClient(gateway, '/sse', '2024-11-05');
  await raw.open();
  const refused = await gateway.ask(post(raw.target, '{"jsonrpc":'));
  assert.equal(refused.status, 400);
  await raw.begin('tools/call', call);
  await gateway.untilMetric('exchanges_open', (n) => n === 3);
  raw.close();
  await gateway.untilMetric('exchanges_open', (n) => n === 1);
  assert.equal((await gateway.ask(post(raw.target, request(1, 'ping')))).status, 404);
});

promise('servers of HTTP+SSE are among the merged ones, to a client of 2026-07-28, too', async (world) => {
  const [one, two] = [await world.everything('sse'), await world.modern()];
  const file = world.file('mcp.json', JSON.stringify({ mcpServers: { one: { type: 'sse', url: one.url }, two: { url: two.url } } }));
  const gateway = await world.gateway({ args: ['--config', file] });
  const client = new ModernClient({ name: 'blackbox', version: '1' }, { versionNegotiation: { mode: { pin: '2026-07-28' } }, capabilities: { elicitation: {}, sampling: {} } });
  client.setRequestHandler('sampling/createMessage', () => ({ role: 'assistant', model: 'none', content: { type: 'text', text: 'said' } }));
  world.atEnd(() => client.close());
  await client.connect(new ModernTransport(new URL(`${gateway.url}/mcp`)));
  const { tools } = await client.listTools();
  for (const name of ['one__echo', 'two__add']) assert.ok(tools.some((tool) => tool.name === name), name);
  const many = await Promise.all(Array.from({ length: 20 }, (_, i) => client.callTool({ name: 'one__echo', arguments: { message: `number ${i}` } })));
  many.forEach(({ content }, i) => assert.equal(content[0].text, `Echo: number ${i}`));
  assert.match(JSON.stringify(await client.callTool({ name: 'one__trigger-sampling-request', arguments: { prompt: 'say', maxTokens: 9 } })), /said/);
  assert.doesNotMatch(gateway.process.stderr, /one: speaks/, 'it was not asked what it is');
});

promise('a server of HTTP+SSE that dies fails what is open, and is greeted when it is back', async (world) => {
  const server = await world.everything('sse');
  const gateway = await world.gateway({ upstreams: { one: server.url }, workers: 1 });
  const { client } = await connect(world, `${gateway.url}/sse/one`);
  await client.listTools();
  const failed = assert.rejects(client.callTool({ name: 'trigger-long-running-operation', arguments: { duration: 20, steps: 2 } }), { code: -32000 });
  await gateway.untilMetric('exchanges_open', (n) => n === 2);
  await server.stop('SIGKILL');
  await failed;
  await assert.rejects(client.callTool({ name: 'echo', arguments: { message: 'x' } }), /upstream one/);
  await world.everything('sse', new URL(server.url).port);
  const { content } = await until('it is greeted anew', () => client.callTool({ name: 'echo', arguments: { message: 'back' } }));
  assert.equal(content[0].text, 'Echo: back');
});

promise('an upstream that wants credentials says so to the POST of initialize', async (world) => {
  const greet = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 's', version: '1' } };
  const server = await world.upstream(async (connection, { headers, head, method, framing }) => {
    const { body } = await connection.reader.body(framing);
    const message = body.length ? JSON.parse(body) : {};
    const fields = { 'WWW-Authenticate': 'Bearer resource_metadata="https://auth.test/x"' };
    if ((head ?? headers).get('authorization') !== 'Bearer right') return connection.send(reply(401, fields));
    if (method === 'GET') return connection.send(reply(405, {}));
    if (message.method === 'initialize') return connection.send(json({ jsonrpc: '2.0', id: message.id, result: greet }));
    return connection.send(message.id === undefined ? reply(202, {}) : json({ jsonrpc: '2.0', id: message.id, error: { code: -32601, message: 'no' } }));
  });
  const gateway = await world.gateway({ upstreams: { one: `${server.url}/mcp` } });
  const client = new SseClient(gateway, '/sse/one', '2024-11-05');
  await client.connect();
  const refused = await gateway.ask(post(client.target, request(1, 'initialize', greeting), 'Authorization: Bearer wrong'));
  assert.equal(refused.status, 401);
  assert.equal(refused.head.get('www-authenticate'), 'Bearer resource_metadata="https://auth.test/x"');
  const { status } = await gateway.ask(post(client.target, request(2, 'initialize', greeting), 'Authorization: Bearer right'));
  assert.equal(status, 202);
  await client.stream.find('the answer', (m) => m.id === 2 && m.result);
  client.close();
});
