// SPDX-License-Identifier: Apache-2.0
// The official client 1.x (revisions up to 2025-11-25) gets through mcpgate exactly what it gets from the server:
// transcripts are compared message by message with @modelcontextprotocol/server-everything behind.

import assert from 'node:assert/strict';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { Recorder, compare } from './lib/transcript.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

async function connect(world, url, capabilities = {}) {
  const recorder = new Recorder();
  const client = new Client({ name: 'blackbox', version: '1.0.0' }, { capabilities });
  const transport = new StreamableHTTPClientTransport(new URL(url), { fetch: recorder.fetch });
  world.atEnd(() => client.close());
  const notes = [];
  client.setNotificationHandler(LoggingMessageNotificationSchema, (n) => void notes.push(n));
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, (n) => void notes.push(n));
  await client.connect(transport);
  // The client opens its GET stream by itself after `initialized`; later requests come after it.
  await until('the GET stream is open', () => recorder.of('GET')?.status);
  return { client, transport, recorder, notes };
}

async function leave({ client, transport, recorder }) {
  recorder.leaving = true;
  await transport.terminateSession();
  await client.close();
}

// Each scenario gets a connected client; it drives one promise of MCP.
const scenarios = {
  async 'tools are listed'({ client }) {
    const { tools } = await client.listTools();
    assert.ok(tools.some((tool) => tool.name === 'echo'));
  },

  async 'a tool is called'({ client }) {
    const sum = await client.callTool({ name: 'get-sum', arguments: { a: 19, b: 23 } });
    assert.match(sum.content[0].text, /42/);
    await client.callTool({ name: 'echo', arguments: { message: 'Grüße, 世界 \u{1f30d} "quoted" \\ \u0000 end' } });
    await client.callTool({ name: 'get-structured-content', arguments: { location: 'New York' } });
    await client.callTool({ name: 'get-annotated-message', arguments: { messageType: 'error', includeImage: true } });
  },

  async 'a large argument and a large result pass'({ client }) {
    const message = 'x'.repeat(1 << 20);
    const result = await client.callTool({ name: 'echo', arguments: { message } });
    assert.ok(result.content[0].text.includes(message));
  },

  async 'progress arrives before the result'({ client }) {
    const progress = [];
    const result = await client.callTool(
      { name: 'trigger-long-running-operation', arguments: { duration: 0.5, steps: 5 } },
      undefined,
      { onprogress: (p) => progress.push(p.progress) },
    );
    assert.deepEqual(progress, [1, 2, 3, 4, 5]);
    assert.match(result.content[0].text, /completed/);
  },

  async 'resources are listed, read and completed'({ client }) {
    const { resources } = await client.listResources();
    await client.listResourceTemplates();
    await client.readResource({ uri: resources[0].uri });
    await client.readResource({ uri: 'demo://resource/dynamic/text/7' });
    await client.readResource({ uri: 'demo://resource/dynamic/blob/8' });
  },

  async 'prompts are listed, filled in and completed'({ client }) {
    await client.listPrompts();
    await client.getPrompt({ name: 'simple-prompt' });
    await client.getPrompt({ name: 'args-prompt', arguments: { city: 'Bern' } });
    const { completion } = await client.complete({
      ref: { type: 'ref/prompt', name: 'completable-prompt' },
      argument: { name: 'name', value: 'A' },
      context: { arguments: { department: 'Engineering' } },
    });
    assert.deepEqual(completion.values, ['Alice']);
  },

  async 'log messages and resource updates come on the GET stream'({ client, recorder, notes }) {
    const uri = 'demo://resource/dynamic/text/1';
    await client.setLoggingLevel('debug');
    await client.subscribeResource({ uri });
    await recorder.events('GET', 1);
    await client.callTool({ name: 'toggle-subscriber-updates' });
    await recorder.events('GET', 2);
    await client.callTool({ name: 'toggle-subscriber-updates' });
    await client.unsubscribeResource({ uri });
    await recorder.events('GET', 3);
    await client.setLoggingLevel('emergency');
    await client.subscribeResource({ uri });
    await client.unsubscribeResource({ uri });
    assert.deepEqual(
      notes.map((n) => n.method),
      ['notifications/message', 'notifications/resources/updated', 'notifications/message'],
    );
  },

  async 'errors keep their codes and texts'({ client, recorder }) {
    const unknown = await client.callTool({ name: 'no-such-tool' });
    assert.equal(unknown.isError, true);
    await assert.rejects(client.readResource({ uri: 'demo://nothing' }));
    await assert.rejects(client.getPrompt({ name: 'no-such-prompt' }));
    await assert.rejects(client.request({ method: 'no/such/method' }, LoggingMessageNotificationSchema), { code: -32601 });
    await client.ping();
    assert.ok(recorder.exchanges.length > 5);
  },

  async 'a cancelled call is told to the server and its stream goes on'({ client, recorder }) {
    const abort = new AbortController();
    const call = client.callTool(
      { name: 'trigger-long-running-operation', arguments: { duration: 0.8, steps: 4 } },
      undefined,
      { onprogress: () => abort.abort('enough'), signal: abort.signal },
    );
    await assert.rejects(call);
    await until('the cancellation is acknowledged', () => recorder.of('notifications/cancelled')?.status);
    await recorder.events('tools/call', 4);
    await client.ping();
  },
};

const withCapabilities = {
  async 'sampling, elicitation and roots are asked for and answered'({ client, recorder }) {
    await until('the server asks for roots', () =>
      recorder.of('GET').events.some((e) => e.data?.includes('roots/list')));
    await until('the roots are sent', () => recorder.exchanges.some((e) => e.message?.result?.roots && e.status));
    const roots = await client.callTool({ name: 'get-roots-list' });
    assert.match(roots.content[0].text, /file:\/\/\/somewhere/);
    const sampled = await client.callTool({ name: 'trigger-sampling-request', arguments: { prompt: 'say', maxTokens: 9 } });
    assert.match(JSON.stringify(sampled), /said/);
    const elicited = await client.callTool({ name: 'trigger-elicitation-request' });
    assert.match(JSON.stringify(elicited), /declined|cancel|accept/i);
  },
};

async function drive(world, url, scenario, capabilities) {
  const session = await connect(world, url, capabilities);
  if (capabilities) {
    session.client.setRequestHandler(CreateMessageRequestSchema, () => ({
      role: 'assistant',
      model: 'none',
      content: { type: 'text', text: 'said' },
    }));
    session.client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'decline' }));
    session.client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: 'file:///somewhere', name: 'somewhere' }] }));
  }
  await scenario(session);
  await leave(session);
  return session.recorder;
}

function same(name, scenario, capabilities) {
  promise(name, async (world, t) => {
    const server = await world.everything();
    const gateway = await world.gateway({ upstreams: { everything: server.url } });
    const direct = await drive(world, server.url, scenario, capabilities);
    const through = await drive(world, `${gateway.url}/mcp/everything`, scenario, capabilities);
    t.diagnostic(`${compare(direct, through)} messages compared`);
  });
}

for (const [name, scenario] of Object.entries(scenarios)) same(name, scenario);
for (const [name, scenario] of Object.entries(withCapabilities)) {
  same(name, scenario, { sampling: {}, elicitation: {}, roots: { listChanged: true } });
}

promise('eight clients at once each get what they would get alone', async (world, t) => {
  const server = await world.everything();
  const gateway = await world.gateway({ upstreams: { everything: server.url } });
  const chosen = Object.entries(scenarios).slice(0, 8);
  assert.equal(chosen.length, 8);
  const direct = [];
  for (const [, scenario] of chosen) direct.push(await drive(world, server.url, scenario));
  const through = await Promise.all(chosen.map(([, scenario]) => drive(world, `${gateway.url}/mcp`, scenario)));
  const compared = direct.reduce((sum, recorder, i) => sum + compare(recorder, through[i]), 0);
  t.diagnostic(`${compared} messages compared`);
});

promise('an ended session, a wrong session and a wrong Accept get the server\'s own answers', async (world, t) => {
  const server = await world.everything();
  const gateway = await world.gateway({ upstreams: { everything: server.url } });
  const probe = async (url) => {
    const session = await connect(world, url);
    const id = session.transport.sessionId;
    await leave(session);
    const recorder = new Recorder();
    const ping = JSON.stringify({ jsonrpc: '2.0', id: 'p', method: 'ping' });
    const accept = 'application/json, text/event-stream';
    const post = (headers, body = ping) => recorder.fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body });
    for (const headers of [{ accept, 'mcp-session-id': id }, { accept }, { accept, 'mcp-session-id': 'wrong' }, {}]) await (await post(headers)).text();
    await (await recorder.fetch(url, { method: 'GET', headers: { accept } })).text();
    await (await recorder.fetch(url, { method: 'DELETE' })).text();
    return recorder;
  };
  const direct = await probe(server.url);
  const through = await probe(`${gateway.url}/mcp/everything`);
  assert.ok(direct.exchanges.some((e) => e.status === 400));
  t.diagnostic(`${compare(direct, through)} messages compared`);
});

promise('a stream that broke is resumed with Last-Event-ID', async (world, t) => {
  const server = await world.everything();
  const gateway = await world.gateway({ upstreams: { everything: server.url } });
  const probe = async (url) => {
    const session = await connect(world, url);
    const { recorder, client, transport } = session;
    await client.callTool(
      { name: 'trigger-long-running-operation', arguments: { duration: 0.2, steps: 4 } },
      undefined,
      { onprogress: () => {} },
    );
    const first = recorder.of('tools/call').events.find((e) => e.data).id;
    assert.ok(first);
    const again = await recorder.fetch(url, {
      method: 'GET',
      headers: { accept: 'text/event-stream', 'mcp-session-id': transport.sessionId, 'last-event-id': first },
    });
    const reading = again.text().catch(() => {});
    await recorder.events('GET', 4, 1);
    await leave(session);
    await reading;
    return recorder;
  };
  const direct = await probe(server.url);
  const through = await probe(`${gateway.url}/mcp/everything`);
  t.diagnostic(`${compare(direct, through)} messages compared`);
});
