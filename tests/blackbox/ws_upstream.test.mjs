// SPDX-License-Identifier: Apache-2.0
// Servers over WebSocket (the `ws` package, in front of the reference server and of the demo of 2026-07-28), with the
// official clients over HTTP and over WebSocket.

import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { WebSocketClientTransport } from '@modelcontextprotocol/sdk/client/websocket.js';
import { CreateMessageRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import WebSocket from 'ws';
import { Authority } from './lib/certificates.mjs';
import { program } from './lib/gateway.mjs';
import { modernCall } from './lib/mcp.mjs';
import { REFERENCE, referenceUrl, useReference } from './lib/reference.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

globalThis.WebSocket ??= WebSocket;

const here = dirname(fileURLToPath(import.meta.url));
const MODERN = [program('mcpgate'), 'demo', '--stdio', '--revision', '2026-07-28'];

async function serve(world, command, ...options) {
  const server = world.process(process.execPath, [join(here, 'servers/ws.mjs'), ...options, '--', ...command], { name: 'ws server' });
  const [, url] = await server.line(/listening on (wss?:\/\/\S+)/);
  return { server, url };
}

async function connect(world, transport) {
  const client = new Client({ name: 'blackbox', version: '1.0.0' }, { capabilities: { sampling: {} } });
  client.setRequestHandler(CreateMessageRequestSchema, () => ({ role: 'assistant', model: 'none', content: { type: 'text', text: 'said' } }));
  world.atEnd(() => client.close());
  await client.connect(transport);
  return client;
}

const overHttp = (gateway, path) => new StreamableHTTPClientTransport(new URL(`${gateway.url}${path}`));
const overWs = (gateway, path) => new WebSocketClientTransport(new URL(`${gateway.url.replace('http', 'ws')}${path}`));

const modern = (gateway, path, message) =>
  fetch(`${gateway.url}${path}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream', 'MCP-Protocol-Version': '2026-07-28', 'Mcp-Method': 'tools/call', 'Mcp-Name': 'echo' },
    body: modernCall(7, 'echo', { message }),
  });

for (const [form, transport] of [['HTTP', overHttp], ['WebSocket', overWs]]) {
  for (const deflate of ['off', 'on']) {
    promise(`the official client over ${form} has all of the reference server over WebSocket, --ws-deflate ${deflate}`, async (world) => {
      const { server, url } = await serve(world, REFERENCE, '--deflate', 'yes');
      const gateway = await world.gateway({ upstreams: { e: url }, args: ['--ws-deflate', deflate] });
      const client = await connect(world, transport(gateway, form === 'HTTP' ? '/mcp/e' : '/ws/e'));
      await useReference(client);
      await client.close();
      assert.equal(/opened .*permessage-deflate/.test(server.output), deflate === 'on');
      await gateway.untilQuiet();
    });
  }
}

promise('a server of 2026-07-28 over WebSocket serves clients of every era on one connection for each worker', async (world) => {
  const { server, url } = await serve(world, MODERN);
  const gateway = await world.gateway({ upstreams: { m: url }, workers: 1 });
  const client = await connect(world, overHttp(gateway, '/mcp/m'));
  assert.match((await client.callTool({ name: 'echo', arguments: { message: 'old' } })).content[0].text, /old/);
  const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => modern(gateway, '/mcp/m', `m${i}`).then((reply) => reply.text())));
  replies.forEach((text, i) => assert.match(text, new RegExp(`m${i}"`)));
  await gateway.untilMetric('up_connections', (n) => n <= 3);
  assert.ok(server.output.split('opened').length - 1 <= 4, server.output);
});

promise('servers over WebSocket and as programs are one server in merged mode', async (world) => {
  const { url } = await serve(world, REFERENCE);
  const gateway = await world.gateway({ upstreams: { w: url, p: referenceUrl } });
  const client = await connect(world, overHttp(gateway, '/mcp'));
  const names = (await client.listTools()).tools.map(({ name }) => name);
  assert.ok(names.includes('w__echo') && names.includes('p__echo'), names.join());
  assert.match((await client.callTool({ name: 'w__echo', arguments: { message: 'hi' } })).content[0].text, /hi$/);
});

promise('a wss:// server is checked by its certificate and gets the headers of its upstream', async (world) => {
  const ca = new Authority(world.directory());
  const leaf = ca.issue();
  const { server, url } = await serve(world, REFERENCE, '--tls', leaf.cert, leaf.key);
  const trusted = await world.gateway({ upstreams: { e: url }, args: ['--upstream-ca', ca.cert, '--upstream-header', 'e=Authorization: Bearer sesame'] });
  const client = await connect(world, overHttp(trusted, '/mcp/e'));
  assert.match((await client.callTool({ name: 'echo', arguments: { message: 'sealed' } })).content[0].text, /sealed$/);
  assert.match(server.output, /opened \/mcp Bearer sesame/);
  const wary = await world.gateway({ upstreams: { e: url }, args: ['--upstream-ca', new Authority(world.directory(), 'other').cert] });
  await assert.rejects(connect(world, overHttp(wary, '/mcp/e')), /certificate/);
});

promise('a server that dies fails what is open in words, and is found again by the next call', async (world) => {
  const { server, url } = await serve(world, REFERENCE);
  const gateway = await world.gateway({ upstreams: { e: url } });
  const client = await connect(world, overHttp(gateway, '/mcp/e'));
  const open = client.callTool({ name: 'trigger-long-running-operation', arguments: { duration: 30, steps: 30 } });
  await gateway.untilMetric('legs_open', (n) => n >= 1);
  await until('the call is there', () => server.output.includes('opened'));
  server.kill('SIGKILL');
  await assert.rejects(open, /upstream/);
  await serve(world, REFERENCE, '--port', new URL(url).port);
  await until('the next one works', async () => {
    try {
      return /again$/.test((await client.callTool({ name: 'echo', arguments: { message: 'again' } })).content[0].text);
    } catch {
      return false;
    }
  });
});

promise('a worker that is killed takes its connections along, and its sessions go on', async (world) => {
  const { server, url } = await serve(world, REFERENCE);
  const gateway = await world.gateway({ upstreams: { e: url }, workers: 1 });
  const client = await connect(world, overHttp(gateway, '/mcp/e'));
  await client.callTool({ name: 'echo', arguments: { message: 'before' } });
  process.kill(gateway.children('worker')[0].pid, 'SIGKILL');
  await until('its session works', async () => {
    try {
      return /after$/.test((await client.callTool({ name: 'echo', arguments: { message: 'after' } })).content[0].text);
    } catch {
      return false;
    }
  });
  assert.match(server.output, /closed 1006/);
});
