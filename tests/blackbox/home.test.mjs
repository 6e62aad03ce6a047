// SPDX-License-Identifier: Apache-2.0
// A stream that belongs to a session is served by the worker that holds the session, whichever worker the client's
// connection reached.

import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { get, post, request } from './lib/mcp.mjs';
import { RawClient } from './lib/raw.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

async function open(gateway) {
  const response = await gateway.ask(
    post('/mcp', request(1, 'initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } })),
  );
  assert.equal(response.status, 200);
  return response.head.get('mcp-session-id');
}

const stream = (session) => get('/mcp', 'Accept: text/event-stream', `Mcp-Session-Id: ${session}`, 'MCP-Protocol-Version: 2025-11-25');

promise('a GET stream reaches its home worker from every other', async (world) => {
  const gateway = await world.gateway({ workers: 3, args: ['--heartbeat', '200ms'] });
  // The kernel spreads connections over the workers: each try has a session and a connection of its own.
  const clients = [];
  for (let i = 0; i < 24; i++) {
    const session = await open(gateway);
    const client = await world.connect(gateway);
    await client.send(stream(session));
    const response = await client.response({ body: false });
    assert.equal(response.status, 200);
    assert.match(response.head.get('content-type'), /^text\/event-stream/);
    clients.push({ client, session });
  }
  const metrics = await gateway.metrics();
  const forwarded = metrics.sum('requests_forwarded_home');
  assert.ok(forwarded >= 1, 'one of 24 reached another worker than its home');
  assert.ok(forwarded < 24, 'and one reached its home at once');
  assert.equal(metrics.sum('requests_from_siblings'), forwarded);
  for (const { client } of clients) await client.queue.through(':', 5000); // a heartbeat came through all the way
  for (const { client, session } of clients) {
    await gateway.ask(`DELETE /mcp HTTP/1.1\r\nHost: x\r\nMcp-Session-Id: ${session}\r\n\r\n`);
    client.close();
  }
});

promise('a client that leaves a forwarded stream ends it at its home', async (world) => {
  const gateway = await world.gateway({ workers: 3 });
  for (let i = 0; i < 24; i++) {
    const session = await open(gateway);
    const client = await world.connect(gateway);
    await client.send(stream(session));
    await client.response({ body: false });
    client.close();
  }
  await gateway.untilMetric('streams_open', (n) => n === 0);
  await gateway.untilMetric('exchanges_open', (n) => n === 0);
  assert.ok((await gateway.metric('requests_from_siblings')) >= 1);
});

promise('a home worker that dies ends its forwarded streams and nothing hangs', async (world) => {
  const gateway = await world.gateway({ workers: 2 });
  const clients = [];
  for (let i = 0; i < 12; i++) {
    const session = await open(gateway);
    const client = await world.connect(gateway);
    await client.send(stream(session));
    await client.response({ body: false });
    clients.push(client);
  }
  const [worker] = gateway.children('worker');
  process.kill(worker.pid, 'SIGKILL');
  await until('its streams end', () => clients.filter((client) => client.queue.ended).length >= 1);
  await until('it is back', () => gateway.children('worker').length === 2);
  for (const client of clients) client.close();
});

promise('the slots\' listeners are closed to others and to what carries no seal', async (world) => {
  const gateway = await world.gateway({ workers: 2 });
  const sockets = readdirSync(gateway.runDir, { recursive: true }).map((name) => join(gateway.runDir, name)).filter((path) => statSync(path).isSocket());
  assert.ok(sockets.length >= 2, sockets.join());
  for (const path of sockets) {
    assert.equal(statSync(path).mode & 0o777, 0o600, path);
    const client = await RawClient.connect({ path });
    world.atEnd(() => client.close());
    const response = await client.ask(get('/mcp', 'Accept: text/event-stream', 'Mcpgate-Forward: forged'));
    assert.ok(response.status >= 400, response.head.text);
  }
});
