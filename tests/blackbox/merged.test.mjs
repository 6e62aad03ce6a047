// SPDX-License-Identifier: Apache-2.0
// Several real servers as one at /mcp: server-everything and a reference server of 2025-11-25 as processes, one of
// 2026-07-28 over HTTP, for the official clients of either line. One that is dead and one that never answers cost
// their own entries.

import assert from 'node:assert/strict';
import net from 'node:net';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client';
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import * as t from '@modelcontextprotocol/sdk/types.js';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const everything = join(dirname(createRequire(import.meta.url).resolve('@modelcontextprotocol/server-everything/package.json')), 'dist/index.js');
const command = (...args) => `stdio:${[process.execPath, ...args].map((arg) => `'${arg}'`).join(' ')}`;

async function start(world, { upstreams = {}, args = [], workers = 2 } = {}) {
  const modern = await world.modern();
  const gateway = await world.gateway({
    upstreams: { every: command(everything, 'stdio'), modern: modern.url, ref: command(join(here, 'servers/conformance/legacy.mjs')), ...upstreams },
    args,
    workers,
  });
  return { gateway, modern };
}

const answers = { elicit: { action: 'accept', content: { username: 'ada', email: 'ada@example.com', name: 'Ada' } } };

/** A client of 2025-11-25; `heard` collects what it is told unasked. */
async function legacy(world, gateway) {
  const client = new LegacyClient({ name: 'blackbox', version: '1' }, { capabilities: { elicitation: {}, sampling: {} } });
  const heard = [];
  client.setRequestHandler(t.ElicitRequestSchema, () => answers.elicit);
  client.fallbackNotificationHandler = async ({ method, params }) => heard.push([method, params?.uri]);
  world.atEnd(() => client.close());
  await client.connect(new LegacyTransport(new URL(`${gateway.url}/mcp`)));
  return Object.assign(client, { heard });
}

async function modernClient(world, gateway) {
  const client = new ModernClient({ name: 'blackbox', version: '1' }, { versionNegotiation: { mode: { pin: '2026-07-28' } }, capabilities: { elicitation: {} } });
  client.setRequestHandler('elicitation/create', () => answers.elicit);
  world.atEnd(() => client.close());
  await client.connect(new ModernTransport(new URL(`${gateway.url}/mcp`)));
  return client;
}

const text = ({ content }) => content[0].text;
const kinds = { 'a client of 2025-11-25': legacy, 'a client of 2026-07-28': modernClient };

for (const [kind, connect] of Object.entries(kinds)) {
  promise(`${kind} sees three servers as one`, async (world) => {
    const { gateway } = await start(world);
    const client = await connect(world, gateway);

    const { tools } = await client.listTools();
    for (const name of ['every__echo', 'modern__region', 'ref__test_simple_text']) assert.ok(tools.some((tool) => tool.name === name), name);
    assert.ok(tools.every(({ name }) => /^(every|modern|ref)__/.test(name)));
    assert.deepEqual(tools.map(({ name }) => name), (await client.listTools()).tools.map(({ name }) => name), 'in one order');

    const message = 'Grüße "quoted" \\ \u0001';
    assert.match(text(await client.callTool({ name: 'every__echo', arguments: { message } })), /Grüße "quoted"/);
    assert.equal(text(await client.callTool({ name: 'modern__add', arguments: { a: 19, b: 23 } })), '42');
    assert.equal(text(await client.callTool({ name: 'modern__region', arguments: { region: 'Zürich' } })), 'region Zürich');
    assert.equal(text(await client.callTool({ name: 'ref__test_simple_text', arguments: {} })), 'This is a simple text response for testing.');
    assert.equal((await client.callTool({ name: 'modern__fail', arguments: {} })).isError, true);
    for (const name of ['echo', 'every__nothing', 'nobody__echo']) {
      const refused = await client.callTool({ name, arguments: {} }).then(({ isError }) => isError, () => true);
      assert.ok(refused, name);
    }

    const prompts = (await client.listPrompts()).prompts.map(({ name }) => name);
    for (const name of ['every__simple-prompt', 'modern__greet', 'ref__test_simple_prompt']) assert.ok(prompts.includes(name), name);
    assert.equal((await client.getPrompt({ name: 'modern__greet', arguments: { name: 'Ada' } })).messages[0].content.text, 'Greet Ada.');
    assert.match((await client.getPrompt({ name: 'ref__test_prompt_with_arguments', arguments: { arg1: 'a', arg2: 'b' } })).messages[0].content.text, /arg1='a', arg2='b'/);

    const { resources } = await client.listResources();
    for (const suffix of ['=every', '=modern', '=ref']) assert.ok(resources.some(({ uri }) => uri.endsWith(suffix)), suffix);
    for (const { uri } of [resources.find(({ uri: at }) => at.startsWith('note://one')), resources.find(({ uri: at }) => at.startsWith('test://static-text'))]) {
      const { contents } = await client.readResource({ uri });
      assert.equal(contents[0].uri, uri, 'what is read is what was listed');
    }
    const { resourceTemplates } = await client.listResourceTemplates();
    const template = resourceTemplates.find(({ uriTemplate }) => uriTemplate.startsWith('test://template/{id}/data'));
    const { contents } = await client.readResource({ uri: template.uriTemplate.replace('{id}', '7') });
    assert.equal(JSON.parse(contents[0].text).id, '7');

    const complete = async (ref, name, value) => (await client.complete({ ref, argument: { name, value } })).completion.values;
    assert.deepEqual(await complete({ type: 'ref/prompt', name: 'every__completable-prompt' }, 'department', 'S'), ['Sales', 'Support']);
    assert.deepEqual(await complete({ type: 'ref/resource', uri: template.uriTemplate }, 'id', 'par'), ['paris', 'park', 'party']);
  });

  promise(`${kind} is told progress, asked questions and obeyed when it cancels`, async (world) => {
    const { gateway, modern } = await start(world);
    const client = await connect(world, gateway);
    for (const [name, args, steps] of [
      ['every__trigger-long-running-operation', { duration: 0.3, steps: 3 }, [1, 2, 3]],
      ['modern__count', { to: 3, gap_ms: 5 }, [1, 2, 3]],
      ['ref__test_tool_with_progress', {}, [0, 50, 100]],
    ]) {
      const seen = [];
      const options = { onprogress: ({ progress }) => seen.push(progress) };
      const request = { name, arguments: args };
      await (client instanceof LegacyClient ? client.callTool(request, undefined, options) : client.callTool(request, options));
      assert.deepEqual(seen, steps, name);
    }
    const answered = await client.callTool({ name: 'ref__test_elicitation', arguments: { message: 'Who?' } });
    assert.match(text(answered), /action=accept.*ada@example\.com/);

    const abort = new AbortController();
    const options = { signal: abort.signal, onprogress: () => abort.abort() };
    const request = { name: 'modern__count', arguments: { to: 1000, gap_ms: 20 } };
    await assert.rejects(client instanceof LegacyClient ? client.callTool(request, undefined, options) : client.callTool(request, options));
    await until('the server hears that the call was cancelled', async () => (await (await fetch(new URL('/control', modern.url), { method: 'POST' })).json()).aborted === 1);
  });
}

promise('a question of a process reaches the client whose call it is about, whoever calls beside it', async (world) => {
  const { gateway } = await start(world, { workers: 1 });
  let asked = 0;
  const clients = await Promise.all([0, 1, 2].map(() => modernClient(world, gateway)));
  for (const client of clients)
    client.setRequestHandler('elicitation/create', async ({ params }) => {
      asked++;
      await until('all are asked', () => asked === clients.length);
      return { action: 'accept', content: { username: params.message, email: 'x@example.com' } };
    });
  const said = await Promise.all(clients.map((client, i) => client.callTool({ name: 'ref__test_elicitation', arguments: { message: `who are you, ${i}?` } })));
  for (const [i, result] of said.entries()) assert.match(text(result), new RegExp(`"username":"who are you, ${i}\\?"`));
});

promise('changes of any server reach clients of either line', async (world) => {
  const { gateway, modern } = await start(world);
  const old = await legacy(world, gateway);
  const young = await modernClient(world, gateway);
  let changes = 0;
  young.setNotificationHandler('notifications/tools/list_changed', () => changes++);
  await Promise.all([old.listTools(), young.listTools()]);
  await young.listen({ toolsListChanged: true });
  await until('the gateway listens to the server itself', async () => {
    await fetch(new URL('/control?tools-changed', modern.url), { method: 'POST' });
    return changes > 0 && old.heard.some(([method]) => method === 'notifications/tools/list_changed');
  });

  const { resources } = await old.listResources();
  const { uri } = resources.find((resource) => resource.uri.startsWith('test://watched-resource'));
  await old.subscribeResource({ uri });
  assert.equal(text(await old.callTool({ name: 'ref__test_touch_resource', arguments: { uri: 'test://watched-resource' } })), 'told');
  await until('the update names the resource as the merged server does', () => old.heard.some(([method, at]) => method === 'notifications/resources/updated' && at === uri));
  await old.unsubscribeResource({ uri });
  assert.equal(text(await old.callTool({ name: 'ref__test_touch_resource', arguments: { uri: 'test://watched-resource' } })), 'nobody subscribed');
});

promise('a dead server and one that never answers cost only their own entries', async (world) => {
  const silent = net.createServer(() => {});
  await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const held = new Set();
  silent.on('connection', (socket) => held.add(socket.on('error', () => {})));
  world.serves(() => {
    for (const socket of held) socket.destroy();
    silent.close();
  });
  const dead = net.createServer();
  await new Promise((resolve) => dead.listen(0, '127.0.0.1', resolve));
  const { port } = dead.address();
  await new Promise((resolve) => dead.close(resolve));

  const upstreams = { dead: `http://127.0.0.1:${port}/mcp`, silent: `http://127.0.0.1:${silent.address().port}/mcp` };
  const { gateway } = await start(world, { upstreams, args: ['--merge-deadline', '1s', '--first-byte-timeout', '3s'], workers: 1 });
  for (const connect of Object.values(kinds)) {
    const client = await connect(world, gateway);
    const { tools } = await client.listTools();
    assert.deepEqual([...new Set(tools.map(({ name }) => name.split('__')[0]))], ['every', 'modern', 'ref']);
    assert.equal(text(await client.callTool({ name: 'modern__echo', arguments: { message: 'here' } })), 'here');
    for (const name of ['dead__anything', 'silent__anything']) await assert.rejects(client.callTool({ name, arguments: {} }), name);
    assert.equal(text(await client.callTool({ name: 'every__echo', arguments: { message: 'still here' } })), 'Echo: still here');
  }
  assert.ok((await gateway.metric('merges_late')) > 0, 'it was waited for no longer than the deadline');
  assert.ok((await gateway.metric('lists_failed')) > 0, 'and counted');
});
