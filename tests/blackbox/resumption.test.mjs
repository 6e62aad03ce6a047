// SPDX-License-Identifier: Apache-2.0
// Streams that the gateway makes itself are resumed by the official client 1.x: its connection breaks in the middle of
// a call, it goes away and another takes its place, or the worker that served it is killed.

import assert from 'node:assert/strict';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { program } from './lib/gateway.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

/** Connections of a client that can be broken: each is a request of its own. */
class Wire {
  requests = [];

  fetch = async (url, init = {}) => {
    const aborter = new AbortController();
    init.signal?.addEventListener('abort', () => aborter.abort());
    const headers = new Headers(init.headers);
    const entry = { method: init.method ?? 'GET', body: init.body, lastEventId: headers.get('last-event-id'), aborter };
    this.requests.push(entry);
    headers.set('connection', 'close'); // so that any worker may get the next
    const response = await fetch(url, { ...init, headers, signal: aborter.signal });
    entry.status = response.status;
    return response;
  };

  /** The client's side of the call's connection closes without a word. */
  breakCall() {
    const entry = this.requests.filter((r) => r.method === 'POST' && r.body.includes('tools/call')).at(-1);
    entry.aborter.abort();
  }

  resumptions() {
    return this.requests.filter((r) => r.lastEventId);
  }
}

const QUICK = { initialReconnectionDelay: 50, maxReconnectionDelay: 200, reconnectionDelayGrowFactor: 1.5, maxRetries: 20 };

async function connect(world, url, options = {}) {
  const wire = new Wire();
  const client = new Client({ name: 'blackbox', version: '1' });
  const transport = new StreamableHTTPClientTransport(new URL(url), { fetch: wire.fetch, reconnectionOptions: QUICK, ...options });
  const errors = [];
  client.onerror = (error) => void errors.push(error.message);
  world.atEnd(() => client.close());
  await client.connect(transport);
  return { client, transport, wire, errors };
}

const STEPS = 8;

/** Servers whose calls take a while, each with the call's form and the text that it ends with. */
const servers = {
  async 'a stdio server'(world) {
    const gateway = await world.gateway({ upstreams: { s: `stdio:${program('mcpgate')} demo --stdio --revision 2025-06-18` }, args: ['--access-log', 'on'] });
    return { gateway, call: { name: 'slow_count', arguments: { to: STEPS, interval_ms: 40 } } };
  },
  async 'an HTTP server of 2026-07-28'(world) {
    const gateway = await world.gateway({ upstreams: { s: (await world.modern()).url }, args: ['--mode', 'merged', '--access-log', 'on'] });
    return { gateway, call: { name: 'count', arguments: { to: STEPS, gap_ms: 40 } } };
  },
};

const target = (gateway) => `${gateway.url}/mcp`;

for (const [name, start] of Object.entries(servers)) {
  promise(`a call goes on when the client's connection breaks: ${name}`, async (world) => {
    const { gateway, call } = await start(world);
    const { client, wire } = await connect(world, target(gateway));
    const progress = [];
    const result = await client.callTool(call, undefined, {
      onprogress(p) {
        progress.push(p.progress);
        if (p.progress === 3 || p.progress === 6) wire.breakCall();
      },
    });
    assert.ok(result.content[0].text.includes(String(STEPS)), JSON.stringify(result));
    assert.deepEqual(progress, Array.from({ length: STEPS }, (_, i) => i + 1), 'each once, in order');
    assert.ok(wire.resumptions().some((r) => r.status === 200));
    assert.ok((await gateway.metric('streams_resumed')) >= 1);
  });

  promise(`another client takes a call over with the resumption token of the first: ${name}`, async (world) => {
    const { gateway, call } = await start(world);
    const first = await connect(world, target(gateway));
    let token;
    const lost = first.client
      .request({ method: 'tools/call', params: { ...call, _meta: { progressToken: 'p' } } }, CallToolResultSchema, { onresumptiontoken: (t) => (token = t), onprogress: () => {} })
      .catch((error) => error);
    await until('an event has an id', () => token);
    const { sessionId } = first.transport;
    await first.client.close();
    assert.ok((await lost) instanceof Error);

    const second = await connect(world, target(gateway), { sessionId });
    const result = await second.client.request({ method: 'tools/call', params: call }, CallToolResultSchema, { resumptionToken: token });
    assert.ok(result.content[0].text.includes(String(STEPS)), JSON.stringify(result));
    assert.equal(await gateway.metric('streams_resumed'), 1);
    await until('the access log names the last event', () => gateway.process.stderr.includes(` last_id=${token.split('.')[0]}.`));
  });

  promise(`a call whose worker is killed ends with an error, and the session goes on: ${name}`, async (world) => {
    const { gateway, call } = await start(world);
    const { client, wire, errors } = await connect(world, target(gateway));
    const progress = [];
    let killed;
    const failed = client.callTool(call, undefined, {
      onprogress(p) {
        progress.push(p.progress);
        if (p.progress !== 3 || killed) return;
        killed = true;
        for (const { pid } of gateway.children('worker')) process.kill(pid, 'SIGKILL');
      },
    });
    await assert.rejects(failed, /worker.*died/);
    assert.deepEqual(progress, Array.from({ length: progress.length }, (_, i) => i + 1), 'no event twice');
    await until('the client is told to stop', () => wire.resumptions().some((r) => r.status === 204));
    const again = await client.callTool({ ...call, arguments: { ...call.arguments, to: 1 } });
    assert.ok(again.content[0].text.includes('1'), `${JSON.stringify(again)}; ${errors}`);
  });
}

promise('a stream outlives a reload, and its events the worker that wrote them', async (world) => {
  const { gateway, call } = await servers['an HTTP server of 2026-07-28'](world);
  const { client, transport, wire } = await connect(world, target(gateway));
  const old = gateway.children('worker');
  const tokens = [];
  const progress = [];
  const request = (onprogress) =>
    client.request({ method: 'tools/call', params: call }, CallToolResultSchema, { onresumptiontoken: (t) => tokens.push(t), onprogress });
  await request((p) => {
    progress.push(p.progress);
    if (p.progress !== 2) return;
    gateway.process.kill('SIGHUP');
    gateway.untilMetric('generation', (n) => n === 2).then(() => wire.breakCall(), () => {});
  });
  assert.deepEqual(progress, Array.from({ length: STEPS }, (_, i) => i + 1));
  await gateway.untilGone(old, 20_000);

  const [first] = tokens;
  const replayed = await wire.fetch(target(gateway), {
    headers: { accept: 'text/event-stream', 'mcp-session-id': transport.sessionId, 'last-event-id': first },
  });
  assert.equal(replayed.status, 200);
  assert.match(await replayed.text(), /"result":/);

  tokens.length = 0;
  await request(() => {});
  const lane = (token) => token.split('.')[0];
  const was = new Set([lane(first)]);
  assert.ok(tokens.length > 0 && tokens.every((t) => !was.has(lane(t))), `two generations do not share a ring: ${first}, ${tokens[0]}`);
});
