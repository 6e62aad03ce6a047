// SPDX-License-Identifier: Apache-2.0
// mcpgate alone: the built-in demo server, with the official clients of both generations.

import assert from 'node:assert/strict';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { Client as ClientV2, StreamableHTTPClientTransport as TransportV2 } from '@modelcontextprotocol/client';
import { program } from './lib/gateway.mjs';
import { call, post, request } from './lib/mcp.mjs';
import { Recorder } from './lib/transcript.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const info = { name: 'blackbox', version: '1.0.0' };

const clients = {
  '1.x': async (url, recorder) => {
    const client = new ClientV1(info);
    await client.connect(new TransportV1(new URL(url), { fetch: recorder.fetch }));
    return { client, call: (params, options) => client.callTool(params, undefined, options) };
  },
  '2.x (2026-07-28)': async (url, recorder) => {
    const client = new ClientV2(info, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
    await client.connect(new TransportV2(new URL(url), { fetch: recorder.fetch }));
    return { client, call: (params, options) => client.callTool(params, options) };
  },
  '2.x in auto mode': async (url, recorder) => {
    const client = new ClientV2(info, { versionNegotiation: { mode: 'auto' } });
    await client.connect(new TransportV2(new URL(url), { fetch: recorder.fetch }));
    return { client, call: (params, options) => client.callTool(params, options) };
  },
};

const text = (result) => result.content.map((part) => part.text).join('');

for (const [name, connect] of Object.entries(clients)) {
  const demo = (what, body) =>
    promise(`client ${name}: ${what}`, async (world) => {
      const gateway = await world.gateway();
      const recorder = new Recorder();
      const session = await connect(`${gateway.url}/mcp`, recorder);
      world.atEnd(() => session.client.close());
      await body(session, recorder, gateway);
    });

  demo('the tools are there and described', async ({ client }) => {
    const { tools } = await client.listTools();
    assert.deepEqual(tools.map((tool) => tool.name).sort(), ['add', 'echo', 'generate_text', 'slow_count']);
    for (const tool of tools) {
      assert.ok(tool.description);
      assert.equal(tool.inputSchema.type, 'object');
    }
  });

  demo('echo and add', async ({ call: callTool }) => {
    const odd = 'Grüße, 世界 \u{1f30d} "quoted" \\ \n\t end';
    assert.equal(text(await callTool({ name: 'echo', arguments: { text: odd } })), odd);
    assert.match(text(await callTool({ name: 'add', arguments: { a: 19, b: 23 } })), /^42(\.0*)?$/);
  });

  demo('slow_count tells its progress', async ({ call: callTool }) => {
    const progress = [];
    const result = await callTool({ name: 'slow_count', arguments: { to: 5, delay_ms: 20 } }, { onprogress: (p) => progress.push(p) });
    assert.deepEqual(progress.map((p) => p.progress), [1, 2, 3, 4, 5]);
    assert.ok(progress.every((p) => p.total === 5));
    assert.ok(text(result).length > 0);
  });

  demo('generate_text streams its text as progress and gives it whole at the end', async ({ call: callTool }) => {
    const pieces = [];
    const result = await callTool({ name: 'generate_text', arguments: { prompt: 'a gateway' } }, { onprogress: (p) => pieces.push(p.message) });
    assert.ok(pieces.length >= 3, `${pieces.length} pieces`);
    assert.equal(pieces.join(''), text(result));
  });

  demo('a resource is read and a prompt filled in', async ({ client }) => {
    const { resources } = await client.listResources();
    const { contents } = await client.readResource({ uri: resources[0].uri });
    assert.ok(contents[0].text.length > 0);
    const { prompts } = await client.listPrompts();
    const args = Object.fromEntries((prompts[0].arguments ?? []).map(({ name: argument }) => [argument, 'x']));
    const { messages } = await client.getPrompt({ name: prompts[0].name, arguments: args });
    assert.ok(messages.length > 0);
  });

  demo('errors are told apart', async ({ client, call: callTool }) => {
    await assert.rejects(callTool({ name: 'no_such_tool', arguments: {} }).then((r) => { if (r.isError) throw new Error('isError'); }));
    await assert.rejects(client.readResource({ uri: 'demo://no/such' }));
    await assert.rejects(callTool({ name: 'add', arguments: { a: 'x' } }).then((r) => { if (r.isError) throw new Error('isError'); }));
  });

  demo('a cancelled count stops', async ({ call: callTool }, recorder, gateway) => {
    const abort = new AbortController();
    await assert.rejects(
      callTool({ name: 'slow_count', arguments: { to: 1000, delay_ms: 20 } }, { onprogress: () => abort.abort('enough'), signal: abort.signal }),
    );
    await gateway.untilMetric('streams_open', (n) => n <= 1);
    const count = recorder.of('tools/call').events.length;
    assert.ok(count < 1000, `${count}: it went on to its end`); // how soon the cancellation came is the machine's matter
  });
}

promise('eight clients at once', async (world) => {
  const gateway = await world.gateway();
  await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      const session = await Object.values(clients)[i % 3](`${gateway.url}/mcp`, new Recorder());
      world.atEnd(() => session.client.close());
      for (let n = 0; n < 20; n++) assert.equal(text(await session.call({ name: 'echo', arguments: { text: `${i}.${n}` } })), `${i}.${n}`);
    }),
  );
});

promise('the demo server is not there when there is an upstream or a route', async (world) => {
  const upstream = await world.upstream();
  const gateway = await world.gateway({ routes: { '/plain': upstream.url } });
  assert.equal((await gateway.ask(post('/mcp', call(1, 'echo')))).status, 404);
  assert.equal((await gateway.ask(post('/mcp/demo', call(1, 'echo')))).status, 404);
});

promise('the 2026-07-28 rules hold: headers must be there and agree with the body', async (world) => {
  const gateway = await world.gateway();
  const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} };
  const body = request(1, 'tools/call', { name: 'echo', arguments: { text: 'x' }, _meta: meta });
  const ask = async (...fields) => {
    const response = await gateway.ask(post('/mcp', body, ...fields));
    return [response.status, JSON.parse(response.body).error?.code];
  };
  const version = 'MCP-Protocol-Version: 2026-07-28';
  assert.deepEqual(await ask(version, 'Mcp-Method: tools/call', 'Mcp-Name: echo'), [200, undefined]);
  assert.deepEqual(await ask(version, 'Mcp-Name: echo'), [400, -32020]);
  assert.deepEqual(await ask(version, 'Mcp-Method: tools/call'), [400, -32020]);
  assert.deepEqual(await ask(version, 'Mcp-Method: tools/list', 'Mcp-Name: echo'), [400, -32020]);
  assert.deepEqual(await ask(version, 'Mcp-Method: tools/call', 'Mcp-Name: add'), [400, -32020]);
  const unknown = await gateway.ask(post('/mcp', request(2, 'no/such', { _meta: meta }), version, 'Mcp-Method: no/such'));
  assert.equal(unknown.status, 404);
  assert.equal(JSON.parse(unknown.body).error.code, -32601);
});

promise('a session is needed, is as good as its seal, ends with DELETE, and is unknown afterwards', async (world) => {
  const gateway = await world.gateway();
  const initialize = request(1, 'initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: info });
  const opened = await gateway.ask(post('/mcp', initialize));
  assert.equal(opened.status, 200);
  const session = opened.head.get('mcp-session-id');
  assert.match(session, /^[\x21-\x7e]+$/);
  const list = (...fields) => gateway.ask(post('/mcp', request(2, 'tools/list'), 'MCP-Protocol-Version: 2025-06-18', ...fields));
  assert.equal((await list(`Mcp-Session-Id: ${session}`)).status, 200);
  assert.equal((await list()).status, 400);
  assert.equal((await list(`Mcp-Session-Id: ${session.slice(0, -2)}xx`)).status, 404);
  const ended = await gateway.ask(`DELETE /mcp HTTP/1.1\r\nHost: x\r\nMcp-Session-Id: ${session}\r\n\r\n`);
  assert.ok([200, 204].includes(ended.status));
  await until('it is unknown', async () => (await list(`Mcp-Session-Id: ${session}`)).status === 404);
});

promise('mcpgate demo --listen is the gateway in front of the demo server', async (world) => {
  const dir = world.directory();
  const gateway = world.process(program('mcpgate'), ['demo', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--run-dir', dir, '--state-dir', dir], { name: 'mcpgate demo' });
  const [, url] = await gateway.line(/ready: listening on (http:\/\/[^ ]+)/);
  const client = new ClientV1(info);
  world.atEnd(() => client.close());
  await client.connect(new TransportV1(new URL(`${url}/mcp`)));
  assert.equal(text(await client.callTool({ name: 'echo', arguments: { text: 'hi' } })), 'hi');
  await client.close();
  await gateway.stop('SIGTERM', 10_000);
});
