// SPDX-License-Identifier: Apache-2.0
// The JavaScript client (tools/client-js) in a real Chromium, as the admin listener serves it; and Chromium's own WebSocket
// and EventSource.

import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { WebSocketServer } from 'ws';
import { Browser } from './lib/browser.mjs';
import { promise } from './lib/world.mjs';

let browser;
before(async () => (browser = await Browser.start()));
after(() => browser?.close());

/** The admin listener's page: the client may be imported from there, and the gateway lets it in. */
async function open(world, gateway) {
  const page = await browser.page();
  world.atEnd(() => page.close());
  await page.open(`${gateway.admin}/ui/`);
  return page;
}

const FORMS = ['ws', 'http'];

promise('the seed\'s snippet runs as it stands', async (world) => {
  const gateway = await world.gateway();
  const page = await open(world, gateway);
  const seen = await page.run(async (url) => {
    const { McpStreamingClient } = await import('/client-js/index.mjs');
    const progress = [];
    const client = new McpStreamingClient({ serverUrl: url, preferWs: true, enableCompression: true, collectMetrics: true });
    await client.connect();
    await client.initialize();
    const result = await client.callTool('generate_text', { prompt: 'Hello world' }, (token, value) => progress.push([token, value]));
    const metrics = client.getMetrics();
    await client.close();
    return { progress, result, metrics };
  }, gateway.url);
  assert.equal(seen.metrics.transport, 'ws');
  assert.equal(seen.progress.length, 50);
  assert.equal(seen.progress.map(([, { message }]) => message).join(''), seen.result.content[0].text);
  assert.ok(seen.metrics.ttfb > 0 && seen.metrics.avgJitter > 0, JSON.stringify(seen.metrics));
  assert.deepEqual(page.problems, []);
});

for (const form of FORMS)
  promise(`over ${form}: progress comes in order, and a hundred calls at once get each its own answer`, async (world) => {
    const gateway = await world.gateway();
    const page = await open(world, gateway);
    const seen = await page.run(async (url, transport) => {
      const { McpStreamingClient } = await import('/client-js/index.mjs');
      const client = new McpStreamingClient({ serverUrl: url, preferWs: transport === 'ws' });
      await client.connect();
      const counts = [];
      await client.callTool('slow_count', { to: 200, interval_ms: 1 }, (token, { progress }) => counts.push(progress));
      const echoes = await Promise.all(Array.from({ length: 100 }, (_, i) => client.callTool('echo', { text: `m${i}` })));
      const { transport: used } = client;
      const stats = client.getStats();
      await client.close();
      return { used, counts, stats, echoes: echoes.map(({ content }) => content[0].text) };
    }, gateway.url, form);
    assert.equal(seen.used, form);
    assert.deepEqual(seen.counts, Array.from({ length: 200 }, (_, i) => i + 1));
    assert.deepEqual(seen.echoes, Array.from({ length: 100 }, (_, i) => `m${i}`));
    assert.equal(seen.stats.calls, 101);
    assert.ok(seen.stats.p50 <= seen.stats.p95 && seen.stats.p95 <= seen.stats.p99, JSON.stringify(seen.stats));
    assert.deepEqual(page.problems, []);
  });

/** What a client of the page echoes, over a socket that it keeps at hand: the extensions, and whether all came back. */
async function echoing(url, binary) {
  const { McpStreamingClient } = await import('/client-js/index.mjs');
  let socket;
  class Kept extends WebSocket {
    constructor(...args) {
      super(...args);
      socket = this;
    }
  }
  const client = new McpStreamingClient({ serverUrl: url, WebSocket: Kept, binary });
  await client.connect();
  const noise = Array.from(crypto.getRandomValues(new Uint16Array(4000)), (n) => String.fromCharCode(n & 0x7ff)).join('');
  const texts = ['', 'x', 'Grüße, 世界, 🌍 '.repeat(500), 'a'.repeat(60_000), noise, 'a'.repeat(60_000)];
  const wrong = [];
  for (const text of texts) {
    const { content } = await client.callTool('echo', { text });
    if (content[0].text !== text) wrong.push(text.slice(0, 20));
  }
  const together = await Promise.all(Array.from({ length: 50 }, (_, i) => client.callTool('echo', { text: `${i} ${texts[2]}` })));
  together.forEach(({ content }, i) => content[0].text === `${i} ${texts[2]}` || wrong.push(i));
  const { extensions, protocol } = socket;
  const { transport, fallbacks, reconnects } = client.getMetrics();
  await client.close();
  return { extensions, protocol, transport, fallbacks, reconnects, wrong };
}

for (const deflate of ['on', 'off'])
  for (const binary of [false, true])
    promise(`with --ws-deflate ${deflate}, ${binary ? 'binary' : 'text'} messages of every kind pass both ways`, async (world) => {
      const gateway = await world.gateway({ args: ['--ws-deflate', deflate] });
      const page = await open(world, gateway);
      const { extensions, ...seen } = await page.run(echoing, gateway.url, binary);
      assert.match(extensions, deflate === 'on' ? /^permessage-deflate/ : /^$/);
      assert.deepEqual(seen, { protocol: 'mcp', transport: 'ws', fallbacks: 0, reconnects: 0, wrong: [] });
      // Of texts like these deflate leaves a small part, the random one aside.
      const sent = await gateway.metric('client_sent');
      assert.ok(deflate === 'on' ? sent < 200_000 : sent > 600_000, `${sent} bytes sent`);
      assert.deepEqual(page.problems, []);
    });

promise('a worker that dies costs the open call, and the next one goes over a new WebSocket', async (world) => {
  const gateway = await world.gateway({ workers: 1 });
  const page = await open(world, gateway);
  await page.run(async (url) => {
    const { McpStreamingClient } = await import('/client-js/index.mjs');
    globalThis.client = new McpStreamingClient({ serverUrl: url });
    await client.connect();
    globalThis.begun = new Promise((resolve) => (globalThis.begin = resolve));
    globalThis.open = client.callTool('slow_count', { to: 1000, interval_ms: 20 }, () => begin()).catch(({ kind, unsent }) => ({ kind, unsent }));
    await begun;
  }, gateway.url);
  for (const { pid } of gateway.children('worker')) process.kill(pid, 'SIGKILL');
  const seen = await page.run(async () => {
    const lost = await open;
    const { content } = await client.callTool('echo', { text: 'again' });
    const { transport, reconnects } = client.getMetrics();
    await client.close();
    return { lost, said: content[0].text, transport, reconnects };
  });
  assert.deepEqual(seen, { lost: { kind: 'connection', unsent: false }, said: 'again', transport: 'ws', reconnects: 1 });
});

promise('a callback that is slow costs messages over WebSocket, which cannot be paused there, and none over http', async (world) => {
  const gateway = await world.gateway();
  const page = await open(world, gateway);
  for (const form of FORMS) {
    const seen = await page.run(async (url, transport) => {
      const { McpStreamingClient } = await import('/client-js/index.mjs');
      const client = new McpStreamingClient({ serverUrl: url, preferWs: transport === 'ws', receiveHigh: 8, receiveLimit: 16 });
      const counts = [];
      let go;
      const gate = new Promise((resolve) => (go = resolve));
      const call = client.callTool('slow_count', { to: 300, interval_ms: 1 }, async (token, { progress }) => {
        counts.push(progress);
        await gate;
      });
      // Over WebSocket nothing holds the server back: all has come before the callback goes on, behind the handshake's answer.
      const enough = ({ messagesReceived, pauses }) => (transport === 'ws' ? messagesReceived > 300 : pauses > 0);
      while (!enough(client.getMetrics())) await new Promise((resolve) => setTimeout(resolve, 5));
      go();
      const { content } = await call;
      const { dropped, queuePeak, pauses } = client.getMetrics();
      await client.close();
      return { counts, said: content[0].text, dropped, queuePeak, pauses };
    }, gateway.url, form);
    assert.match(seen.said, /300/, 'the result is whole');
    assert.deepEqual(seen.counts, [...seen.counts].sort((a, b) => a - b), 'in order');
    assert.ok(seen.queuePeak <= 16, `${seen.queuePeak} waited`);
    if (form === 'http') assert.deepEqual({ dropped: seen.dropped, count: seen.counts.length }, { dropped: 0, count: 300 });
    else assert.deepEqual({ dropped: seen.dropped > 0, sum: seen.dropped + seen.counts.length }, { dropped: true, sum: 300 });
    assert.equal(seen.pauses > 0, form === 'http');
  }
});

promise('the performance timeline has the calls, and aborting one tells the server', async (world) => {
  const gateway = await world.gateway();
  const page = await open(world, gateway);
  const seen = await page.run(async (url) => {
    const { McpStreamingClient } = await import('/client-js/index.mjs');
    const client = new McpStreamingClient({ serverUrl: url, performanceMarks: true });
    await client.callTool('echo', { text: 'x' });
    const aborter = new AbortController();
    const error = await client.callTool('slow_count', { to: 1000, interval_ms: 20 }, () => aborter.abort(), { signal: aborter.signal }).catch(({ kind }) => kind);
    const names = performance.getEntriesByType('measure').map(({ name }) => name);
    await client.callTool('echo', { text: 'y' });
    await client.close();
    return { error, names };
  }, gateway.url);
  assert.equal(seen.error, 'cancelled');
  for (const name of ['call tools/call echo', 'ttfb tools/call echo', 'call tools/call slow_count']) assert.ok(seen.names.some((one) => one.startsWith(`mcpgate:${name} #`)), `${name} in ${seen.names.join(', ')}`);
  assert.equal(await gateway.metric('mcp_requests', { mcp_method: 'notifications/cancelled' }), 1);
});

/** A server that says back what it hears; `perMessageDeflate` as the ws package has it. */
async function echoServer(world, perMessageDeflate) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate });
  server.on('connection', (socket) => socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })));
  world.serves(() => new Promise((resolve) => {
    for (const socket of server.clients) socket.terminate();
    server.close(resolve);
  }));
  await new Promise((resolve) => server.once('listening', resolve));
  return `ws://127.0.0.1:${server.address().port}`;
}

for (const perMessageDeflate of [true, { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 0 }, false])
  promise(`a WebSocket on a route carries what Chromium and the ws package make of it: ${perMessageDeflate === false ? 'no compression' : perMessageDeflate === true ? 'compression' : 'compression of each message alone'}`, async (world) => {
    const gateway = await world.gateway({ routes: { '/chat': await echoServer(world, perMessageDeflate) } });
    const page = await open(world, gateway);
    const seen = await page.run(async (url) => {
      const socket = new WebSocket(url);
      socket.binaryType = 'arraybuffer';
      const heard = [];
      const bytes = crypto.getRandomValues(new Uint8Array(50_000));
      const sent = ['', 'x', 'Grüße, 世界, 🌍 '.repeat(500), bytes, 'a'.repeat(200_000), new Uint8Array(0)];
      await new Promise((resolve, reject) => {
        socket.onopen = () => sent.forEach((one) => socket.send(one));
        socket.onmessage = ({ data }) => heard.push(data) === sent.length && resolve();
        socket.onclose = ({ code, reason }) => reject(new Error(`${code} ${reason}`));
      });
      const same = heard.map((one, i) => (typeof one === 'string' ? one === sent[i] : String(new Uint8Array(one)) === String(sent[i])));
      const closed = new Promise((resolve) => (socket.onclose = ({ code, wasClean }) => resolve({ code, wasClean })));
      socket.close(4321, 'enough');
      return { extensions: socket.extensions, same, ...(await closed) };
    }, `${gateway.url.replace('http', 'ws')}/chat`);
    assert.match(seen.extensions, perMessageDeflate ? /^permessage-deflate/ : /^$/);
    assert.deepEqual(seen.same, Array(6).fill(true));
    assert.deepEqual([seen.code, seen.wasClean], [4321, true]);
    assert.deepEqual(page.problems, []);
  });

promise('an EventSource opens a session of 2024-11-05, and hears the answers to what is posted', async (world) => {
  const gateway = await world.gateway();
  const page = await open(world, gateway);
  const seen = await page.run(async (url) => {
    const source = new EventSource(`${url}/sse`);
    const next = (type) => new Promise((resolve, reject) => {
      source.addEventListener(type, ({ data }) => resolve(data), { once: true });
      source.onerror = () => reject(new Error('the stream failed'));
    });
    const endpoint = new URL(await next('endpoint'), url);
    const ask = async (message) => {
      const answer = next('message');
      const { status } = await fetch(endpoint, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ jsonrpc: '2.0', ...message }) });
      return { status, ...JSON.parse(await answer) };
    };
    const first = await ask({ id: 1, method: 'initialize', params: { protocolVersion: '2024-11-05', capabilities: {}, clientInfo: { name: 'chromium', version: '1' } } });
    const second = await ask({ id: 2, method: 'tools/call', params: { name: 'echo', arguments: { text: 'Grüße' } } });
    source.close();
    return { first, second };
  }, gateway.url);
  assert.deepEqual([seen.first.status, seen.first.id, seen.first.result.protocolVersion], [202, 1, '2024-11-05']);
  assert.deepEqual([seen.second.status, seen.second.id, seen.second.result.content[0].text], [202, 2, 'Grüße']);
  assert.deepEqual(page.problems, []);
});
