// SPDX-License-Identifier: Apache-2.0
// The official client 2.x gets through mcpgate exactly what it gets from the server: revision 2026-07-28 with
// servers/modern.mjs behind, the older revisions with @modelcontextprotocol/server-everything, and each client with
// the other's server as far as the SDKs themselves bridge.

import assert from 'node:assert/strict';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { Recorder, compare } from './lib/transcript.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const MODERN = '2026-07-28';

async function connect(world, url, mode = { pin: MODERN }) {
  const recorder = new Recorder();
  const client = new Client({ name: 'blackbox', version: '1.0.0' }, { versionNegotiation: { mode } });
  const transport = new StreamableHTTPClientTransport(new URL(url), { fetch: recorder.fetch });
  world.atEnd(() => client.close());
  await client.connect(transport);
  return { client, recorder };
}

const scenarios = {
  async 'the server is discovered and its lists are read'({ client, recorder }) {
    const { tools } = await client.listTools();
    assert.ok(tools.some((tool) => tool.name === 'count'));
    await client.listResources();
    await client.listResourceTemplates();
    await client.listPrompts();
    assert.equal(recorder.of('server/discover').sent['mcp-protocol-version'], MODERN);
  },

  async 'a tool is called, with its name and arguments in headers'({ client, recorder }) {
    await client.listTools();
    await client.callTool({ name: 'add', arguments: { a: 19, b: 23 } });
    await client.callTool({ name: 'echo', arguments: { message: 'Grüße, 世界 \u{1f30d}' } });
    const result = await client.callTool({ name: 'region', arguments: { region: 'Zürich' } });
    assert.equal(result.content[0].text, 'region Zürich');
    const { sent } = recorder.of('tools/call', 2);
    assert.equal(sent['mcp-name'], 'region');
    assert.match(sent['mcp-param-region'], /^=\?base64\?/);
  },

  async 'progress is streamed before the result'({ client, recorder }) {
    const progress = [];
    const result = await client.callTool(
      { name: 'count', arguments: { to: 20, gap_ms: 10 } },
      { onprogress: (p) => progress.push(p.progress) },
    );
    assert.equal(progress.length, 20);
    assert.equal(result.content[0].text, 'counted to 20');
    assert.match(recorder.of('tools/call').headers['content-type'], /^text\/event-stream/);
  },

  async 'resources are read and prompts filled in'({ client }) {
    await client.readResource({ uri: 'note://one' });
    await client.readResource({ uri: 'note://n/7' });
    await client.getPrompt({ name: 'greet', arguments: { name: 'Ada' } });
  },

  async 'errors keep their codes, texts and statuses'({ client, recorder }) {
    await assert.rejects(client.callTool({ name: 'no-such-tool' }));
    const failed = await client.callTool({ name: 'fail', arguments: {} });
    assert.equal(failed.isError, true);
    await assert.rejects(client.readResource({ uri: 'note://nothing' }));
    await assert.rejects(client.getPrompt({ name: 'no-such-prompt' }));
    assert.ok(recorder.exchanges.length >= 4);
  },
};

async function drive(world, url, scenario, mode) {
  const session = await connect(world, url, mode);
  await scenario(session);
  await session.client.close();
  return session.recorder;
}

for (const [name, scenario] of Object.entries(scenarios)) {
  promise(name, async (world, t) => {
    const server = await world.modern();
    const gateway = await world.gateway({ upstreams: { modern: server.url } });
    const direct = await drive(world, server.url, scenario);
    const through = await drive(world, `${gateway.url}/mcp/modern`, scenario);
    t.diagnostic(`${compare(direct, through)} messages compared`);
  });
}

promise('eight modern clients at once each get what they would get alone', async (world, t) => {
  const server = await world.modern();
  const gateway = await world.gateway({ upstreams: { modern: server.url } });
  const chosen = [...Object.values(scenarios), ...Object.values(scenarios)].slice(0, 8);
  const direct = [];
  for (const scenario of chosen) direct.push(await drive(world, server.url, scenario));
  const through = await Promise.all(chosen.map((scenario) => drive(world, `${gateway.url}/mcp`, scenario)));
  t.diagnostic(`${direct.reduce((sum, recorder, i) => sum + compare(recorder, through[i]), 0)} messages compared`);
});

promise('a modern client that goes away cancels its call at the server', async (world) => {
  const server = await world.modern();
  const gateway = await world.gateway({ upstreams: { modern: server.url } });
  const { client, recorder } = await connect(world, `${gateway.url}/mcp/modern`);
  const abort = new AbortController();
  const call = client.callTool(
    { name: 'count', arguments: { to: 1000, gap_ms: 20 } },
    { onprogress: () => abort.abort('enough'), signal: abort.signal },
  );
  await assert.rejects(call);
  await until('the server sees the cancellation', async () => {
    const { aborted } = await fetch(new URL('/control', server.url)).then((r) => r.json());
    return aborted === 1;
  });
  assert.equal(recorder.of('notifications/cancelled'), undefined, 'closing the stream is the cancellation');
  await client.callTool({ name: 'add', arguments: { a: 1, b: 2 } });
});

promise('notifications come on a subscription and end with it', async (world, t) => {
  const server = await world.modern();
  const gateway = await world.gateway({ upstreams: { modern: server.url } });
  const probe = async (url) => {
    const { client, recorder } = await connect(world, url);
    const subscription = await client.listen({ toolsListChanged: true });
    await recorder.events('subscriptions/listen', 1);
    await fetch(new URL('/control?tools-changed', server.url), { method: 'POST' });
    await recorder.events('subscriptions/listen', 2);
    await fetch(new URL('/control?tools-changed', server.url), { method: 'POST' });
    await recorder.events('subscriptions/listen', 3);
    await subscription.close();
    await client.close();
    return recorder;
  };
  const direct = await probe(server.url);
  const through = await probe(`${gateway.url}/mcp/modern`);
  t.diagnostic(`${compare(direct, through)} messages compared`);
});

const crossed = async ({ client }) => {
  await client.listTools();
  await client.callTool({ name: 'echo', arguments: { message: 'across' } });
  await client.listPrompts();
};

promise('a 2.x client in auto mode speaks 2026-07-28 with an old server', async (world) => {
  const server = await world.everything();
  const gateway = await world.gateway({ upstreams: { everything: server.url } });
  await drive(world, `${gateway.url}/mcp/everything`, async (session) => {
    assert.equal(session.recorder.of('server/discover').status, 200);
    await crossed(session);
    assert.equal(session.recorder.of('initialize'), undefined);
  }, 'auto');
});

promise('a 1.x client is served by a server of 2026-07-28 that still speaks the old form', async (world, t) => {
  const server = await world.modern();
  const gateway = await world.gateway({ upstreams: { modern: server.url } });
  const probe = async (url) => {
    const recorder = new Recorder();
    const client = new ClientV1({ name: 'blackbox', version: '1.0.0' });
    world.atEnd(() => client.close());
    await client.connect(new TransportV1(new URL(url), { fetch: recorder.fetch }));
    await until('GET is refused', () => recorder.of('GET')?.status === 405);
    await crossed({ client });
    await client.close();
    return recorder;
  };
  const direct = await probe(server.url);
  const through = await probe(`${gateway.url}/mcp/modern`);
  t.diagnostic(`${compare(direct, through)} messages compared`);
});
