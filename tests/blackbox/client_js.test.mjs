// SPDX-License-Identifier: Apache-2.0
// The JavaScript client (tools/client-js) with the real gateway, over both transports.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, request as forward } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import WebSocket, { WebSocketServer } from 'ws';
import { McpClientPool, McpStreamingClient } from '../../tools/client-js/index.mjs';
import { SseParser } from '../../tools/client-js/sse.mjs';
import { program } from './lib/gateway.mjs';
import { sleep, until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const MODULE = fileURLToPath(new URL('../../tools/client-js/index.mjs', import.meta.url));
const upstreams = { demo: `stdio:${program('mcpgate')} demo --stdio --revision 2025-11-25` };
const text = (result) => result.content.map((part) => part.text).join('');

/** Both transports, each with what makes a client use it. */
const FORMS = { ws: { WebSocket }, http: { preferWs: false } };

async function connect(world, serverUrl, options) {
  const states = [];
  const client = new McpStreamingClient({ serverUrl, onStateChange: (change) => states.push(change), ...options });
  world.atEnd(() => client.close());
  await client.connect();
  return Object.assign(client, { states });
}

/** Runs a module in a Node of its own. */
async function runModule(world, source, ...flags) {
  const run = world.process(process.execPath, [...flags, world.file('module.mjs', source)], { name: 'module' });
  const { code } = await run.exit;
  assert.equal(code, 0, `${run.stderr}${run.stdout}`);
  return run.stdout;
}

// The snippets of the seed, with only the import path changed, and with the port of the test's gateway.
const SNIPPETS = {
  'with all its options': `
const client = new McpStreamingClient({
  serverUrl: 'http://localhost:8080',
  preferWs: true,
  enableCompression: true,
  collectMetrics: true
});

await client.connect();
await client.initialize();

// Send a request with high priority
const result = await client.callTool('generate_text', { prompt: 'Hello world' },
  (token, value) => {
    console.log('Progress:', token, value);
  }
);

console.log('Result:', result);

// Get performance metrics
const metrics = client.getMetrics();
console.log('TTFB:', metrics.ttfb, 'ms');
console.log('Avg Jitter:', metrics.avgJitter, 'ms');
`,
  'with the URL alone': `
const client = new McpStreamingClient({
  serverUrl: 'http://localhost:8080'
});

await client.connect();
await client.initialize();
`,
};

/** As on Node 20; later ones have one of their own. */
const WITHOUT = 'delete globalThis.WebSocket;\n';

for (const [name, snippet] of Object.entries(SNIPPETS))
  for (const form of ['http', 'ws'])
    promise(`the seed's snippet ${name} runs as it stands, ${form === 'ws' ? 'over WebSocket' : 'without a WebSocket'}`, async (world) => {
      const gateway = await world.gateway();
      const prelude = form === 'ws' ? `import { createRequire } from 'node:module';\nglobalThis.WebSocket = createRequire(${JSON.stringify(import.meta.url)})('ws');\n` : WITHOUT;
      const body = snippet.replace('localhost:8080', `localhost:${gateway.port}`);
      const out = await runModule(world, `import { McpStreamingClient } from ${JSON.stringify(MODULE)};\n${prelude}${body}\nconsole.log('transport', client.transport);\nawait client.close();\n`);
      assert.match(out, new RegExp(`transport ${form}$`, 'm'));
      if (!snippet.includes('callTool')) return;
      assert.equal(out.match(/^Progress: \d+ \{/gm)?.length, 50, out);
      assert.match(out, /^Result: \{[^]*content: \[\s*\{\s*type: 'text'/m);
      assert.match(out, /^TTFB: [\d.]+ ms$/m);
      assert.match(out, /^Avg Jitter: [\d.]+ ms$/m);
    });

for (const [form, options] of Object.entries(FORMS)) {
  const both = (name, body, more) =>
    promise(`over ${form}: ${name}`, async (world) => {
      const gateway = await world.gateway({ upstreams });
      const client = await connect(world, gateway.url, { ...options, ...more });
      assert.equal(client.transport, form);
      await body({ client, gateway, world });
    });

  both('progress comes in order, each once, all of it before the result', async ({ client }) => {
    const pieces = [];
    const result = await client.callTool('generate_text', { prompt: 'x', words: 40, tokens_per_second: 1000 }, (token, value) => pieces.push([token, value]));
    assert.deepEqual(pieces.map(([, { progress }]) => progress), Array.from({ length: 40 }, (_, i) => i + 1));
    assert.equal(new Set(pieces.map(([token]) => token)).size, 1);
    assert.equal(pieces.map(([, { message }]) => message).join(''), text(result));
    const { ttfb, avgJitter } = client.getMetrics();
    assert.ok(ttfb > 0 && avgJitter > 0, `${ttfb}, ${avgJitter}`);
  });

  both('a hundred calls at once get each its own answer and its own progress', async ({ client }) => {
    const seen = [];
    const results = await Promise.all(
      Array.from({ length: 100 }, (_, i) => {
        seen[i] = 0;
        return i % 2 ? client.callTool('echo', { text: `m${i}` }) : client.callTool('slow_count', { to: i % 10 + 1, interval_ms: 5 }, () => seen[i]++);
      }),
    );
    results.forEach((result, i) => (i % 2 ? assert.equal(text(result), `m${i}`) : assert.equal(seen[i], i % 10 + 1)));
    const { calls, errors, p50, p95, p99, throughput } = client.getStats();
    assert.deepEqual([calls, errors], [100, 0]);
    assert.ok(p50 > 0 && p50 <= p95 && p95 <= p99 && throughput > 0);
  });
}

for (const [form, options] of Object.entries(FORMS)) {
  promise(`over ${form}: a tool's and the protocol's errors are told apart, and waits end`, async (world) => {
    const gateway = await world.gateway({ upstreams });
    const client = await connect(world, gateway.url, options);
    assert.equal((await client.callTool('add', { a: 'x' })).isError, true);
    await assert.rejects(client.request('no/such'), { name: 'McpError', code: -32601 });
    await assert.rejects(client.callTool('slow_count', { to: 2, interval_ms: 10_000 }, undefined, { timeout: 100 }), { kind: 'timeout', message: /slow_count.*100 ms \(timeout\); it was sent and cancelled/ });
    await assert.rejects(client.callTool('slow_count', { to: 1000, interval_ms: 20 }, () => {}, { timeout: 200, totalTimeout: 500 }), { kind: 'timeout', message: /500 ms \(totalTimeout\)/ });
    const abort = new AbortController();
    await assert.rejects(client.callTool('slow_count', { to: 1000, interval_ms: 20 }, () => abort.abort('enough'), { signal: abort.signal }), { kind: 'cancelled', message: /enough/ });
    assert.equal(text(await client.callTool('echo', { text: 'still here' })), 'still here');
    assert.deepEqual([client.getStats().calls, client.getStats().errors], [6, 4]);
  });

  promise(`over ${form}: a slow callback holds the stream back and loses nothing`, async (world) => {
    const gateway = await world.gateway({ upstreams });
    const client = await connect(world, gateway.url, { ...options, receiveHigh: 8, receiveLow: 2 });
    let busy = 0;
    const seen = [];
    const result = await client.callTool('generate_text', { prompt: 'x', words: 300, tokens_per_second: 1000 }, async (_, { progress }) => {
      assert.equal(busy++, 0, 'one at a time');
      await sleep(2);
      seen.push(progress);
      busy--;
    });
    assert.deepEqual(seen, Array.from({ length: 300 }, (_, i) => i + 1));
    assert.ok(text(result).length > 0);
    const { pauses, dropped, queuePeak } = client.getMetrics();
    assert.ok(pauses > 0, 'it was paused');
    assert.equal(dropped, 0);
    assert.ok(form === 'http' ? queuePeak <= 8 : queuePeak < 300, `${queuePeak} waited`);
  });

  promise(`over ${form}: progress in batches, of a call and of everything`, async (world) => {
    const gateway = await world.gateway({ upstreams });
    const all = [];
    const client = await connect(world, gateway.url, { ...options, onBatch: (messages) => all.push(messages), batchMessages: 16, batchWindow: 50 });
    const batches = [];
    await client.callTool('generate_text', { prompt: 'x', words: 100, tokens_per_second: 1000 }, { onBatch: (batch) => batches.push(batch) });
    assert.deepEqual(batches.flat().map(({ value }) => value.progress), Array.from({ length: 100 }, (_, i) => i + 1));
    assert.ok(batches.length <= 20 && batches.every(({ length }) => length <= 16), batches.map(({ length }) => length).join());
    await until('the rest of everything', () => all.flat().length === 100);
    assert.ok(all.length <= 20 && all.flat().every(({ method }) => method === 'notifications/progress'));
    assert.ok(client.getMetrics().batches >= 14);
  });

  promise(`over ${form}: a killed worker ends the call that was open in words, and the client comes back`, async (world) => {
    const gateway = await world.gateway({ upstreams, workers: 1 });
    const client = await connect(world, gateway.url, options);
    const open = client.callTool('slow_count', { to: 1000, interval_ms: 20 }, (_, { progress }) => {
      if (progress !== 3) return;
      process.kill(gateway.children('worker')[0].pid, 'SIGKILL');
    });
    await assert.rejects(open, (error) => {
      assert.match(error.message, /worker.*died|slow_count.*(idempotent|call again)/);
      return true;
    });
    const again = await client.callTool('echo', { text: 'again' }, undefined, { idempotent: true });
    assert.equal(text(again), 'again');
    if (form === 'ws') {
      assert.deepEqual(client.states.map(({ state }) => state), ['connecting', 'connected', 'reconnecting', 'connected']);
      assert.equal(client.getMetrics().reconnects, 1);
    }
  });

  promise(`over ${form}: a call that may be repeated outlives the worker`, async (world) => {
    const gateway = await world.gateway({ workers: 1 });
    const client = await connect(world, gateway.url, options);
    let killed = false;
    const seen = [];
    const result = client.callTool(
      'slow_count',
      { to: 10, interval_ms: 20 },
      (_, { progress }) => {
        seen.push(progress);
        if (progress !== 3 || killed) return;
        killed = true;
        process.kill(gateway.children('worker')[0].pid, 'SIGKILL');
      },
      { idempotent: true },
    );
    assert.match(text(await result), /10/);
    assert.deepEqual(seen.slice(-10), Array.from({ length: 10 }, (_, i) => i + 1));
    assert.ok(seen.length > 10, 'it began twice');
  });
}

/** A fetch whose replies can be broken off. */
function fragile() {
  const requests = [];
  return {
    requests,
    async fetch(url, init) {
      const own = new AbortController();
      init.signal?.addEventListener('abort', () => own.abort());
      requests.push({ method: init.method, lastEventId: init.headers['Last-Event-ID'], body: init.body, cut: () => own.abort() });
      return fetch(url, { ...init, signal: own.signal });
    },
  };
}

promise('a stream that breaks off over HTTP goes on where it stopped, with Last-Event-ID', async (world) => {
  const gateway = await world.gateway({ upstreams });
  const wire = fragile();
  const client = await connect(world, gateway.url, { preferWs: false, fetch: wire.fetch });
  const seen = [];
  const result = await client.callTool('slow_count', { to: 60, interval_ms: 30 }, (_, { progress }) => {
    seen.push(progress);
    if (progress === 3 || progress === 50) wire.requests.at(-1).cut();
  });
  assert.deepEqual(seen, Array.from({ length: 60 }, (_, i) => i + 1), 'each once, in order');
  assert.match(text(result), /60/);
  assert.equal(wire.requests.filter(({ lastEventId }) => lastEventId).length, 2);
  assert.equal(client.getMetrics().resumptions, 2);
});

/** A proxy in front of the gateway that knows nothing of upgrades. */
async function proxy(world, gateway) {
  const server = createServer((request, response) => {
    const { connection, upgrade, ...headers } = request.headers;
    const onward = forward({ port: gateway.port, path: request.url, method: request.method, headers }, (reply) => {
      response.writeHead(reply.statusCode, reply.headers);
      reply.pipe(response);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  world.serves(() => server.close(server.closeAllConnections()));
  return `http://127.0.0.1:${server.address().port}`;
}

promise('where a proxy lets no WebSocket through, HTTP is used', async (world) => {
  const gateway = await world.gateway();
  assert.equal((await connect(world, gateway.url, { WebSocket })).transport, 'ws', 'without the proxy it would be WebSocket');
  const client = await connect(world, await proxy(world, gateway), { WebSocket });
  assert.equal(client.transport, 'http');
  assert.match(client.states.at(-1).reason.message, /no WebSocket at ws:.*426/);
  assert.equal(text(await client.callTool('echo', { text: 'hi' })), 'hi');
  assert.equal(client.getMetrics().fallbacks, 1);
});

promise('it goes back to WebSocket when that works again, and calls under way end where they began', async (world) => {
  const gateway = await world.gateway({ upstreams });
  let blocked = true;
  class Blockable extends WebSocket {
    constructor(url, ...rest) {
      super(blocked ? `${url}-blocked` : url, ...rest);
    }
  }
  const client = await connect(world, gateway.url, { WebSocket: Blockable, wsRetry: 50 });
  assert.equal(client.transport, 'http');
  const seen = [];
  const slow = client.callTool('slow_count', { to: 20, interval_ms: 50 }, (_, { progress }) => seen.push(progress));
  await until('it runs', () => seen.length > 0);
  blocked = false;
  await until('it is on WebSocket', () => client.transport === 'ws');
  assert.equal(text(await client.callTool('echo', { text: 'up' })), 'up');
  assert.ok(seen.length < 20, 'the slow call is still open');
  await slow;
  assert.equal(seen.length, 20);
  assert.equal(client.getMetrics().upgrades, 1);
});

promise('when the WebSocket goes and does not come back, HTTP takes its place', async (world) => {
  const gateway = await world.gateway({ upstreams, workers: 1 });
  let blocked = false;
  class Blockable extends WebSocket {
    constructor(url, ...rest) {
      super(blocked ? `${url}-blocked` : url, ...rest);
    }
  }
  const client = await connect(world, gateway.url, { WebSocket: Blockable, wsRetry: 60_000 });
  assert.equal(client.transport, 'ws');
  blocked = true;
  process.kill(gateway.children('worker')[0].pid, 'SIGKILL');
  await until('it is on HTTP', () => client.transport === 'http');
  assert.equal(text(await client.callTool('echo', { text: 'down' })), 'down');
});

promise('binary frames carry messages both ways', async (world) => {
  const kinds = [];
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => 'mcp' });
  world.serves(() => server.close());
  server.on('connection', (socket) =>
    socket.on('message', (data, binary) => {
      kinds.push(binary);
      const { id, method, params } = JSON.parse(data.toString());
      if (id === undefined) return;
      const result = method === 'initialize' ? { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 'b', version: '1' } } : { content: [{ type: 'text', text: params.arguments.text }] };
      socket.send(Buffer.from(JSON.stringify({ jsonrpc: '2.0', id, result })));
    }),
  );
  await new Promise((resolve) => server.once('listening', resolve));
  const client = await connect(world, `ws://127.0.0.1:${server.address().port}/ws`, { WebSocket, binary: true });
  assert.equal(text(await client.callTool('echo', { text: 'Grüße 🌍' })), 'Grüße 🌍');
  assert.deepEqual(kinds, [true, true, true]);
  await client.close();

  const gateway = await world.gateway({ upstreams });
  const real = await connect(world, gateway.url, { WebSocket, binary: true });
  assert.equal(text(await real.callTool('echo', { text: 'Grüße' })), 'Grüße');
});

promise('a socket that cannot be paused: the queue keeps to its limit, the result is whole, and what went is counted', async (world) => {
  class Browserlike extends WebSocket {
    pause = undefined;
    resume = undefined;
  }
  const gateway = await world.gateway({ upstreams });
  const client = await connect(world, gateway.url, { WebSocket: Browserlike, receiveHigh: 4, receiveLimit: 16 });
  const seen = [];
  const result = await client.callTool('generate_text', { prompt: 'x', words: 200, tokens_per_second: 1000 }, async (_, { progress }) => {
    seen.push(progress);
    await sleep(5);
  });
  const { queuePeak, dropped } = client.getMetrics();
  assert.ok(queuePeak <= 16, `${queuePeak}`);
  assert.ok(dropped > 0 && seen.length + dropped === 200, `${seen.length} seen, ${dropped} dropped`);
  assert.equal(seen.at(-1), 200, 'the latest is never what goes');
  assert.equal(text(result).split(' ').length, 200);
});

promise('the more urgent calls go first, the queue has an end, and low ones get their turn', async (world) => {
  const gateway = await world.gateway({ upstreams });
  const bodies = [];
  const spy = async (url, init) => {
    if (init.body?.includes('tools/call')) bodies.push({ message: JSON.parse(init.body), priority: init.headers.Priority });
    return fetch(url, init);
  };
  const client = await connect(world, gateway.url, { preferWs: false, fetch: spy, maxInFlight: 1, maxQueued: 30 });
  const calls = [client.callTool('slow_count', { to: 2, interval_ms: 50 })];
  const call = (name, priority) => calls.push(client.callTool('echo', { text: name }, undefined, { priority }));
  call('l', 'low');
  for (let i = 0; i < 10; i++) call('n');
  for (let i = 0; i < 18; i++) call('h', 'high');
  call('c', 'critical');
  await assert.rejects(client.callTool('echo', { text: 'x' }), { kind: 'overflow', message: /30 calls are waiting.*maxQueued/ });
  await assert.rejects(client.callTool('echo', { text: 'x' }, undefined, { priority: 'urgent' }), /overflow|30 calls|priority is "urgent"/);
  await Promise.all(calls);
  const order = bodies.slice(1).map(({ message }) => message.params.arguments.text).join('');
  assert.match(order, /^ch/);
  assert.ok(order.indexOf('l') < 10, order);
  assert.ok(order.indexOf('n') > order.indexOf('h') && order.endsWith('n'), order);
  const high = bodies.find(({ message }) => message.params.arguments.text === 'h');
  assert.deepEqual([high.priority, high.message.params._meta['mcpgate/priority']], ['u=1', 'high']);
});

promise('a pool spreads calls over two gateways, and does without one that dies', async (world) => {
  const [a, b] = [await world.gateway({ upstreams }), await world.gateway({ upstreams })];
  const pool = new McpClientPool({ servers: [a.url, b.url], WebSocket, connections: 2 });
  world.atEnd(() => pool.close());
  await pool.connect();
  await until('all are connected', () => pool.getMetrics().every(({ state }) => state === 'connected'));
  const echo = (i) => pool.callTool('echo', { text: `m${i}` }, undefined, { idempotent: true }).then((result) => assert.equal(text(result), `m${i}`));
  await Promise.all(Array.from({ length: 100 }, (_, i) => echo(i)));
  assert.deepEqual(pool.getMetrics().map(({ calls }) => calls), [25, 25, 25, 25]);
  for (const gateway of [a, b]) assert.ok((await gateway.metric('ws_messages')) >= 50);
  const before = pool.getMetrics().map(({ calls }) => calls);
  const busy = pool.callTool('slow_count', { to: 1000, interval_ms: 20 }, null, { timeout: 500 });
  const [chosen] = pool.getMetrics().map(({ calls }, i) => [calls - before[i], i]).find(([more]) => more > 0).slice(1);
  for (let i = 0; i < 30; i++) await echo(i);
  assert.equal(pool.getMetrics()[chosen].calls, before[chosen] + 1, 'none went where one is under way');
  await assert.rejects(busy, { kind: 'timeout' });
  process.kill(a.pid, 'SIGTERM');
  for (let i = 0; i < 200; i++) await echo(i);
  await a.process.exit;
  await Promise.all(Array.from({ length: 100 }, (_, i) => echo(i)));
  const { calls, errors, p99 } = pool.getStats();
  assert.deepEqual([calls, errors], [431, 1]);
  assert.ok(p99 > 0);
});

promise('a session that the server has forgotten is opened anew, and the call is sent again', async (world) => {
  const gateway = await world.gateway({ upstreams });
  let session;
  const client = await connect(world, gateway.url, {
    preferWs: false,
    async fetch(url, init) {
      session = init.headers['Mcp-Session-Id'] ?? session;
      return fetch(url, init);
    },
  });
  await client.callTool('echo', { text: 'before' });
  const bye = await fetch(`${gateway.url}/mcp`, { method: 'DELETE', headers: { 'Mcp-Session-Id': session } });
  assert.ok(bye.ok);
  assert.equal(text(await client.callTool('echo', { text: 'after' })), 'after');
  assert.equal(client.getMetrics().reconnects, 1);
});

promise('the first attempt fails in words where nothing listens, and calls with it', async () => {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  const client = new McpStreamingClient({ serverUrl: `http://127.0.0.1:${port}`, WebSocket });
  await assert.rejects(client.connect(), { kind: 'connection', message: /no connection to http:\/\/127.0.0.1:\d+: no WebSocket at ws:.*ECONNREFUSED.*POST http:.*ECONNREFUSED.*Is the gateway running there/ });
  await assert.rejects(client.callTool('echo', {}), { kind: 'connection', unsent: true });
  await client.close();
  await assert.rejects(client.connect(), { kind: 'closed' });
  assert.throws(() => new McpStreamingClient({}), /serverUrl is missing/);
  assert.throws(() => new McpStreamingClient({ serverUrl: 'ftp://x' }), /scheme/);
});

promise('a server that says nothing is given up after connectTimeout', async (world) => {
  const server = createServer(() => {}).on('upgrade', () => {});
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  world.serves(() => server.close(server.closeAllConnections()));
  const client = new McpStreamingClient({ serverUrl: `http://127.0.0.1:${server.address().port}`, WebSocket, connectTimeout: 200 });
  world.atEnd(() => client.close());
  await assert.rejects(client.connect(), { kind: 'connection', message: /200 ms \(connectTimeout\).*initialize: .*200 ms/ });
});

for (const [form, options] of Object.entries(FORMS)) {
  promise(`over ${form}: what is larger than maxMessageBytes is refused in words`, async (world) => {
    const gateway = await world.gateway();
    const client = await connect(world, gateway.url, { ...options, maxMessageBytes: 10_000 });
    assert.equal(text(await client.callTool('echo', { text: 'x'.repeat(5_000) })).length, 5_000);
    await assert.rejects(client.callTool('echo', { text: 'x'.repeat(20_000) }), { name: 'McpClientError', message: /maxMessageBytes|closed with 1006.*[Mm]ax payload/ });
    assert.equal(text(await client.callTool('echo', { text: 'still here' }, null, { idempotent: true })), 'still here');
  });

  promise(`over ${form}: close() rejects what is open and what waits, and ends the session`, async (world) => {
    const gateway = await world.gateway({ upstreams });
    const client = await connect(world, gateway.url, { ...options, maxInFlight: 1 });
    const calls = [client.callTool('slow_count', { to: 1000, interval_ms: 20 }), client.callTool('echo', { text: 'x' })];
    const ends = Promise.all(calls.map((call) => assert.rejects(call, { kind: 'closed' })));
    await client.close();
    await ends;
    await assert.rejects(client.callTool('echo', {}), { kind: 'closed' });
    await gateway.untilMetric('sessions_live', (n) => n === 0);
  });

  promise(`over ${form}: attempts to come back have an end, which calls are told of, and the next call begins anew`, async (world) => {
    const gateway = await world.gateway();
    const client = await connect(world, gateway.url, { ...options, maxReconnects: 2 });
    await gateway.process.stop('SIGTERM', 10_000);
    await assert.rejects(client.callTool('echo', { text: 'x' }), { kind: 'connection', unsent: true, message: /ECONNREFUSED.*Is the gateway running/ });
    assert.equal(client.state, 'idle');
    await world.gateway({ listen: [`127.0.0.1:${gateway.port}`] });
    assert.equal(text(await client.callTool('echo', { text: 'back' })), 'back');
  });
}

promise('enableCompression decides what is offered', async (world) => {
  const gateway = await world.gateway({ args: ['--ws-deflate', 'on'] });
  let socket;
  class Watched extends WebSocket {
    constructor(...args) {
      super(...args);
      socket = this;
    }
  }
  const encodings = [];
  const spy = (url, init) => {
    encodings.push(init.headers['Accept-Encoding']);
    return fetch(url, init);
  };
  for (const enableCompression of [true, false]) {
    const client = await connect(world, gateway.url, { WebSocket: Watched, enableCompression });
    assert.equal(socket.extensions, enableCompression ? 'permessage-deflate' : '');
    assert.equal(text(await client.callTool('echo', { text: 'x'.repeat(5000) })).length, 5000);
    await connect(world, gateway.url, { preferWs: false, fetch: spy, enableCompression });
    assert.equal(encodings.at(-1), enableCompression ? undefined : 'identity');
  }
});

promise('a WebSocket on which nothing comes any more is given up, and replaced', async (world) => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => 'mcp' });
  world.serves(() => server.close());
  let connections = 0;
  server.on('connection', (socket) => {
    const deaf = ++connections === 1;
    socket.on('message', (data) => {
      const { id, method } = JSON.parse(data.toString());
      const say = (result) => socket.send(JSON.stringify({ jsonrpc: '2.0', id, result }));
      if (method === 'initialize') say({ protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 'deaf', version: '1' } });
      else if (id !== undefined && !deaf) say({ content: [] });
    });
  });
  await new Promise((resolve) => server.once('listening', resolve));
  const client = await connect(world, `ws://127.0.0.1:${server.address().port}/ws`, { WebSocket, timeout: 100, connectTimeout: 300 });
  const { setTimeout } = globalThis;
  // as a busy machine's may: almost a millisecond early
  globalThis.setTimeout = (f, ms) => {
    const due = performance.now() + ms - 0.9;
    return setTimeout(() => {
      while (performance.now() < due);
      f();
    }, ms - 20);
  };
  try {
    await assert.rejects(client.callTool('echo'), { kind: 'timeout' });
  } finally {
    globalThis.setTimeout = setTimeout;
  }
  await until('it is replaced', () => client.getMetrics().reconnects === 1);
  assert.deepEqual(await client.callTool('echo'), { content: [] });
  assert.match(client.states.find(({ state }) => state === 'reconnecting').reason.message, /nothing comes/);
});

promise('the README says what its first example says', async (world) => {
  const gateway = await world.gateway();
  const readme = readFileSync(new URL('../../tools/client-js/README.md', import.meta.url), 'utf8');
  const [, example, said] = readme.match(/```javascript\n([^]*?)```[^]*?```\n([^]*?)```/);
  const out = await runModule(world, WITHOUT + example.replace("'./tools/client-js/index.mjs'", JSON.stringify(MODULE)).replace('localhost:8080', `localhost:${gateway.port}`));
  const withoutTimes = (lines) => lines.replace(/\d+\.\d+/g, 'N');
  assert.equal(withoutTimes(out), withoutTimes(said));
});

promise('it needs nothing but what browsers have, where timers are numbers', async (world) => {
  const gateway = await world.gateway();
  const out = await runModule(world, `
    import { readFileSync } from 'node:fs';
    import vm from 'node:vm';
    const timers = new Map();
    let last = 0;
    const page = vm.createContext({
      AbortController, TextDecoder, TextEncoder, URL, fetch, performance, queueMicrotask,
      setTimeout: (f, ms) => { timers.set(++last, setTimeout(f, ms)); return last; },
      clearTimeout: (id) => clearTimeout(timers.get(id)),
      AbortSignal, location: new URL('http://elsewhere.test/page'),
    });
    const modules = new Map();
    const load = (url) => {
      if (!modules.has(url)) modules.set(url, new vm.SourceTextModule(readFileSync(new URL(url), 'utf8'), { identifier: url, context: page }));
      return modules.get(url);
    };
    const index = load(${JSON.stringify(pathToFileURL(MODULE).href)});
    await index.link((specifier, from) => load(new URL(specifier, from.identifier).href));
    await index.evaluate();
    const client = new index.namespace.McpStreamingClient({ serverUrl: '${gateway.url}', performanceMarks: true });
    let pieces = 0;
    await client.callTool('generate_text', { prompt: 'x', words: 9, tokens_per_second: 1000 }, () => pieces++, { priority: 'high' });
    await client.close();
    console.log(pieces);
  `, '--experimental-vm-modules', '--no-warnings');
  assert.equal(out, '9\n');
});

promise('statistics are of the last 1,000 calls, and the marks of each are in the timeline', async (world) => {
  const gateway = await world.gateway({ upstreams });
  const client = await connect(world, gateway.url, { WebSocket, performanceMarks: true });
  for (let i = 0; i < 5; i++) await assert.rejects(client.request('no/such'));
  assert.equal(client.getStats().errors, 5);
  for (let i = 0; i < 10; i++) await Promise.all(Array.from({ length: 105 }, () => client.callTool('echo', { text: 'x' })));
  const { calls, errors } = client.getStats();
  assert.deepEqual([calls, errors], [1000, 0]);
  const ours = performance.getEntriesByType('measure').filter(({ name }) => name.startsWith('mcpgate:call tools/call echo'));
  assert.equal(ours.length, 1000);
  assert.deepEqual(ours[0].detail, { transport: 'ws', priority: 'normal', failed: false });
  assert.equal(performance.getEntriesByType('mark').filter(({ name }) => name.startsWith('mcpgate:')).length, 0);
});

/** A gateway with a server that writes down what it hears; `change()` makes it tell that its tools have changed. */
async function diary(world, options) {
  const dir = world.directory();
  const server = fileURLToPath(new URL('servers/revision.mjs', import.meta.url));
  const gateway = await world.gateway({ upstreams: { old: `stdio:'${process.execPath}' '${server}' --revision 2025-11-25 --dir ${dir} --name old` }, ...options });
  const log = () => (existsSync(join(dir, 'old.log')) ? readFileSync(join(dir, 'old.log'), 'utf8') : '');
  return { gateway, log, change: () => writeFileSync(join(dir, 'old.change'), String(Math.random())) };
}

for (const [form, options] of Object.entries(FORMS)) {
  promise(`over ${form}: what the server asks is answered`, async (world) => {
    const { gateway } = await diary(world);
    const asked = [];
    const client = await connect(world, `${gateway.url}/mcp/old`, {
      ...options,
      capabilities: { elicitation: {} },
      onRequest(method) {
        asked.push(method);
        return { action: 'accept', content: { name: 'Ada' } };
      },
    });
    assert.equal(text(await client.callTool('ask')), 'hello Ada');
    assert.deepEqual(asked, ['elicitation/create']);
  });

  promise(`over ${form}: the server is told of a call that is given up`, async (world) => {
    const { gateway, log } = await diary(world);
    const client = await connect(world, `${gateway.url}/mcp/old`, options);
    const abort = new AbortController();
    await assert.rejects(client.callTool('hang', { tag: 'a' }, () => abort.abort('enough'), { signal: abort.signal }), { kind: 'cancelled' });
    await assert.rejects(client.callTool('hang', { tag: 'b' }, () => {}, { timeout: 100 }), { kind: 'timeout' });
    await until('both were cancelled', () => log().includes('"cancelled":"a"') && log().includes('"cancelled":"b"'));
    assert.doesNotMatch(log(), /violation/);
  });

  promise(`over ${form}: notices of the server's own arrive, also after a worker was killed`, async (world) => {
    const { gateway, change } = await diary(world, { workers: 1 });
    const notices = [];
    const client = await connect(world, `${gateway.url}/mcp/old`, { ...options, onNotification: ({ method }) => notices.push(method) });
    const heard = (more) => until('a notice', () => { change(); return notices.length > more; });
    await client.callTool('echo', { message: 'x' });
    await heard(0);
    assert.equal(notices[0], 'notifications/tools/list_changed');
    process.kill(gateway.children('worker')[0].pid, 'SIGKILL');
    const before = notices.length;
    await until('it is connected again', () => client.callTool('echo', { message: 'x' }, undefined, { idempotent: true }));
    await heard(before);
  });
}

promise('events are found however their bytes are cut', () => {
  const stream = '\ufeff: hello\r\nid: 1\ndata: a\r\ndata:b\r\rretry: 20\nevent: x\r\ndata\n\nid: 2\ndata: {"x": "y"}\r\n\r\n:\n';
  const expected = [
    { event: 'message', data: 'a\nb', id: '1' },
    { event: 'x', data: '', id: '1' },
    { event: 'message', data: '{"x": "y"}', id: '2' },
  ];
  for (let size = 1; size <= stream.length; size++) {
    const parser = new SseParser(1000);
    const events = [];
    for (let at = 0; at < stream.length; at += size) events.push(...parser.push(stream.slice(at, at + size)));
    assert.deepEqual(events, expected, `pieces of ${size}`);
    assert.equal(parser.retry, 20);
  }
  assert.throws(() => { const parser = new SseParser(1000); for (;;) parser.push('data: xxxxxxxxxxxxx'); }, /more than 1000/);
  const heartbeats = new SseParser(100);
  for (let i = 0; i < 1000; i++) heartbeats.push(': still here\n');
});
