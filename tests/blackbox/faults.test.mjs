// SPDX-License-Identifier: Apache-2.0
// What breaks, breaks alone: killed workers, killed upstreams, clients that stop in the middle. After each of them the
// counters add up.

import assert from 'node:assert/strict';
import { STREAM, call, event, get, modernCall, ping, post } from './lib/mcp.mjs';
import { bornAt, pss } from './lib/process.mjs';
import { echo, json } from './lib/raw.mjs';
import { long, sleep, until, within } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';
import { withoutProbes } from './lib/gateway.mjs';

withoutProbes();

async function setUp(world, handler, { args = [], ...rest } = {}) {
  const upstream = await world.upstream(handler);
  const gateway = await world.gateway({ upstreams: { up: `${upstream.url}/mcp` }, routes: { '/plain': upstream.url }, args, ...rest });
  return { upstream, gateway };
}

const read = (connection, request) => connection.reader.body(request.framing);

/** Opens an SSE stream through the gateway and reads its head. */
async function openStream(world, gateway, target = '/mcp/up') {
  const client = await world.connect(gateway, { ms: 30_000 });
  await client.send(get(target, 'Accept: text/event-stream'));
  const response = await client.response({ body: false });
  assert.equal(response.status, 200);
  return { client, response };
}

/** An upstream that answers POSTs and keeps GET streams open, each with one event at its start. */
function streaming(streams) {
  return async (connection, request) => {
    if (request.method !== 'GET') return echo(connection, request);
    streams.add(connection);
    connection.socket.on('close', () => streams.delete(connection));
    await connection.send(STREAM);
    await connection.send(event({ jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data: 'hello' } }));
  };
}

// --- workers ---

promise('a killed worker costs its own open requests only, and is back within a second', async (world, t) => {
  const { gateway } = await setUp(world);
  const before = gateway.children('worker');
  assert.equal(before.length, 2);
  const outcome = { answered: 0, broken: 0, refused: 0 };
  let stop = false;
  // Each turn is a connection of its own, so that new ones meet the dead worker's listener too.
  const load = Array.from({ length: 16 }, async () => {
    while (!stop) {
      let client;
      try {
        client = await gateway.connect();
      } catch {
        outcome.refused++;
        continue;
      }
      try {
        for (let i = 0; i < 3; i++) assert.equal((await client.ask(post('/mcp/up', ping))).status, 200);
        outcome.answered += 3;
      } catch (error) {
        if (/not within/.test(error.message)) throw error; // nobody may hang
        outcome.broken++;
      }
      client.close();
    }
  });
  await until('the load runs', () => outcome.answered > 300);
  process.kill(before[0].pid, 'SIGKILL');
  const killed = Date.now();
  await until('a new worker serves', async () => gateway.children('worker').length === 2 && bornAt(before[0].pid) !== before[0].born, 1000);
  const back = Date.now() - killed;
  const then = outcome.answered;
  await until('the load goes on', () => outcome.answered > then + 300);
  stop = true;
  await Promise.all(load);
  t.diagnostic(`${JSON.stringify(outcome)}, back after ${back} ms`);
  assert.equal(outcome.refused, 0, 'refused connections');
  assert.ok(outcome.broken <= 16, `${outcome.broken} requests failed, at most 16 were open`);
  assert.ok(gateway.children('worker').some(({ pid }) => pid === before[1].pid), 'the other worker lives on');
});

promise('a worker that is killed again and again is restarted again and again', async (world) => {
  const { gateway } = await setUp(world, undefined, { workers: 1 });
  for (let i = 0; i < 5; i++) {
    const [worker] = gateway.children('worker');
    process.kill(worker.pid, 'SIGKILL');
    await until('it is back', async () => {
      const now = gateway.children('worker');
      return now.length === 1 && now[0].pid !== worker.pid && (await gateway.ask(post('/mcp/up', ping))).status === 200;
    });
  }
});

promise('a worker that hangs is found by the watchdog and replaced', async (world) => {
  const { gateway } = await setUp(world, undefined, { workers: 1, args: ['--watchdog', '1s'] });
  const [worker] = gateway.children('worker');
  process.kill(worker.pid, 'SIGSTOP');
  await until('another worker serves', async () => {
    const now = gateway.children('worker');
    return now.length === 1 && now[0].pid !== worker.pid && (await gateway.ask(post('/mcp/up', ping), { ms: 2000 })).status === 200;
  }, 15_000);
  assert.equal(bornAt(worker.pid), undefined);
});

promise('the admin listener answers while the workers do not', async (world) => {
  const { gateway } = await setUp(world, undefined, { workers: 1, args: ['--watchdog', '0'] });
  const [worker] = gateway.children('worker');
  process.kill(worker.pid, 'SIGSTOP');
  try {
    const health = await fetch(`${gateway.admin}/healthz`);
    assert.equal(health.status, 200);
    assert.match(await (await fetch(`${gateway.admin}/metrics`)).text(), /mcpgate_connections_accepted_total/);
  } finally {
    process.kill(worker.pid, 'SIGCONT');
  }
});

promise('kill -9 of the supervisor leaves no process behind', async (world) => {
  const { gateway } = await setUp(world);
  const children = gateway.children();
  assert.ok(children.length >= 3);
  gateway.process.kill('SIGKILL');
  await gateway.process.exit;
  await gateway.untilGone(children);
});

// --- upstreams ---

promise('a dead upstream is 502 with a JSON-RPC error that carries the request\'s id', async (world) => {
  const { gateway, upstream } = await setUp(world);
  await upstream.die();
  for (const id of [7, 'seven', 0, '"quoted\\']) {
    const response = await gateway.ask(post('/mcp/up', call(id, 'echo')));
    assert.equal(response.status, 502);
    assert.match(response.head.get('content-type'), /^application\/json/);
    const body = JSON.parse(response.body);
    assert.equal(body.jsonrpc, '2.0');
    assert.equal(body.id, id);
    assert.equal(body.error.code, -32000);
    assert.ok(body.error.message.length > 10);
  }
  assert.ok((await gateway.metric('up_connect_errors', { upstream: 'up' })) >= 1);
});

promise('an upstream that dies in the middle of a call is 502 with the id, and the next call finds it again', async (world) => {
  let broken = true;
  const { gateway } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    if (broken) connection.reset();
    else connection.send(json({ jsonrpc: '2.0', id: 2, result: {} }));
  });
  const response = await gateway.ask(post('/mcp/up', call(1, 'echo')));
  assert.equal(response.status, 502);
  assert.equal(JSON.parse(response.body).id, 1);
  broken = false;
  await until('it is found again', async () => (await gateway.ask(post('/mcp/up', call(2, 'echo')))).status === 200);
});

promise('an idle connection that the upstream closed costs no request', async (world) => {
  const { gateway, upstream } = await setUp(world);
  const client = await world.connect(gateway);
  for (let i = 0; i < 20; i++) {
    assert.equal((await client.ask(post('/mcp/up', ping))).status, 200);
    for (const connection of upstream.connections) connection.finish();
    await gateway.untilMetric('up_connections', (n) => n === 0);
  }
});

promise('a call that may have been acted on is not sent twice', async (world) => {
  const seen = [];
  const { gateway } = await setUp(world, async (connection, request) => {
    const { body } = await read(connection, request);
    seen.push(JSON.parse(body).id);
    if (seen.length > 1) connection.close();
    else connection.send(json({ jsonrpc: '2.0', id: 1, result: {} }));
  });
  const client = await world.connect(gateway);
  assert.equal((await client.ask(post('/mcp/up', call(1, 'pay')))).status, 200);
  assert.equal((await client.ask(post('/mcp/up', call(2, 'pay')))).status, 502);
  assert.deepEqual(seen, [1, 2]);
});

promise('a stream whose upstream dies ends at the client, and is not made to look finished', async (world) => {
  const streams = new Set();
  const { gateway, upstream } = await setUp(world, streaming(streams));
  const { client, response } = await openStream(world, gateway);
  await client.queue.through('hello', 5000);
  await upstream.die();
  await client.ended();
  assert.equal(response.framing.kind, 'chunked');
  assert.ok(!client.queue.peek().toString().endsWith('0\r\n\r\n'), 'no last chunk');
});

promise('several endpoints share the load and one that dies is left out', async (world) => {
  const a = await world.upstream();
  const b = await world.upstream();
  const gateway = await world.gateway({ upstreams: { up: `${a.url}/mcp,${b.url}/mcp` }, workers: 1, args: ['--eject-after', '2', '--eject-time', '60s'] });
  const burst = async (n) => {
    const all = await Promise.all(Array.from({ length: n }, () => gateway.ask(post('/mcp/up', ping))));
    return all.filter((r) => r.status === 200).length;
  };
  assert.equal(await burst(40), 40);
  assert.ok(a.requests.length >= 5 && b.requests.length >= 5, `${a.requests.length} and ${b.requests.length}`);
  await a.die();
  await until('the dead one is left out', async () => {
    await burst(4);
    return (await gateway.metric('up_ejections')) >= 1;
  });
  assert.equal(await burst(40), 40);
  assert.equal(await gateway.metric('up_endpoints_healthy'), 1);
});

promise('an endpoint that comes back is used again', async (world) => {
  const upstream = await world.upstream();
  const gateway = await world.gateway({ upstreams: { up: `${upstream.url}/mcp` }, workers: 1, args: ['--eject-after', '1', '--eject-time', '500ms'] });
  assert.equal((await gateway.ask(post('/mcp/up', ping))).status, 200);
  await upstream.die();
  await until('it is missed', async () => (await gateway.ask(post('/mcp/up', ping))).status === 502);
  await world.upstream(undefined, { port: upstream.port });
  await until('it is back', async () => (await gateway.ask(post('/mcp/up', ping))).status === 200);
});

promise('the health check finds a dead endpoint without a request, and its return', async (world) => {
  const a = await world.upstream();
  const b = await world.upstream();
  const gateway = await world.gateway({ upstreams: { up: `${a.url}/mcp,${b.url}/mcp` }, workers: 1, args: ['--health-interval', '100ms', '--eject-after', '1', '--eject-time', '100ms'] });
  await gateway.untilMetric('up_endpoints_healthy', (n) => n === 2);
  await a.die();
  await gateway.untilMetric('up_endpoints_healthy', (n) => n === 1);
  await world.upstream(undefined, { port: a.port });
  await gateway.untilMetric('up_endpoints_healthy', (n) => n === 2);
});

promise('an upstream is found by its name, and a name that does not exist is 502', async (world) => {
  const upstream = await world.upstream();
  const gateway = await world.gateway({ upstreams: { up: `http://localhost:${upstream.port}/mcp`, lost: 'http://no-such-host.invalid/mcp' }, args: ['--mode', 'path'] });
  await until('the name is resolved', async () => (await gateway.ask(post('/mcp/up', ping), { ms: 5000 })).status === 200);
  assert.equal(upstream.requests[0].head.get('host'), `localhost:${upstream.port}`);
  const lost = await gateway.ask(post('/mcp/lost', call('x', 'echo')), { ms: 20_000 });
  assert.equal(lost.status, 502);
  assert.equal(JSON.parse(lost.body).error.code, -32000);
  assert.equal(await gateway.metric('process_deaths', {}), 0);
});

promise('a full pool is 503 with Retry-After and the request\'s id', async (world) => {
  const open = [];
  const { gateway } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    await new Promise((resolve) => open.push(resolve));
    await connection.send(json({ jsonrpc: '2.0', id: 1, result: {} }));
  }, { workers: 1, args: ['--upstream-max', '2', '--upstream-idle-max', '2', '--upstream-wait', '200ms'] });
  const first = [1, 2].map(() => gateway.ask(post('/mcp/up', call(1, 'slow')), { ms: 20_000 }));
  await until('the pool is full', () => open.length === 2);
  const refused = await gateway.ask(post('/mcp/up', call('third', 'slow')));
  assert.equal(refused.status, 503);
  assert.match(refused.head.get('retry-after'), /^\d+$/);
  assert.equal(JSON.parse(refused.body).id, 'third');
  assert.equal(await gateway.metric('up_exhausted'), 1);
  for (const answer of open) answer();
  for (const response of await Promise.all(first)) assert.equal(response.status, 200);
});

promise('a request that waits for a connection gets the next one that is free', async (world) => {
  let open = 0;
  const { gateway } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    open++;
    await sleep(20);
    open--;
    await connection.send(json({ jsonrpc: '2.0', id: 1, result: { open } }));
  }, { workers: 1, args: ['--upstream-max', '1', '--upstream-idle-max', '1', '--upstream-wait', '10s'] });
  const all = await Promise.all(Array.from({ length: 20 }, () => gateway.ask(post('/mcp/up', ping), { ms: 20_000 })));
  assert.ok(all.every((r) => r.status === 200 && JSON.parse(r.body).result.open === 0));
});

// --- clients ---

promise('a client that leaves in the middle of a reply is forgotten', async (world) => {
  const { gateway } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    await connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${32 << 20}\r\n\r\n`);
    for (let i = 0; i < 512 && !connection.gone; i++) await Promise.race([connection.send(Buffer.alloc(65536)), sleep(2000)]);
  });
  for (const how of ['close', 'reset']) {
    const client = await world.connect(gateway);
    await client.send(get('/plain/big'));
    await client.response({ body: false });
    await client.queue.exactly(100_000, 5000);
    client[how]();
  }
  await gateway.untilQuiet();
  assert.equal(await gateway.metric('closed', { reason: 'client_gone' }), 2);
});

promise('a client that half-closes still gets its reply', async (world) => {
  const { gateway } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    await sleep(200);
    connection.send(json({ jsonrpc: '2.0', id: 7, result: {} }));
  });
  const client = await world.connect(gateway);
  await client.send(post('/mcp/up', ping));
  client.finish();
  assert.equal((await client.response()).status, 200);
  await client.ended();
});

promise('a client that never finishes its head is 408 and gone', async (world) => {
  const { gateway, upstream } = await setUp(world, undefined, { args: ['--head-timeout', '500ms'] });
  const clients = await Promise.all(Array.from({ length: 50 }, () => world.connect(gateway)));
  for (const client of clients) await client.send('POST /mcp/up HTTP/1.1\r\nHost: x\r\nX-Slow: ');
  for (const client of clients) {
    assert.equal((await client.response()).status, 408);
    await client.ended();
  }
  assert.equal(upstream.accepted, 0);
  assert.equal(await gateway.metric('closed', { reason: 'head_timeout' }), 50);
});

promise('a client that drips its head is not kept longer than one that is silent', async (world) => {
  const { gateway } = await setUp(world, undefined, { args: ['--head-timeout', '500ms'] });
  const client = await world.connect(gateway);
  const dripping = client.sendSlowly(`GET /plain/x HTTP/1.1\r\nHost: x\r\nX-Slow: ${'a'.repeat(1000)}`, 1, 20).catch(() => {});
  assert.equal((await client.response({ ms: 3000 })).status, 408);
  client.close();
  await dripping;
});

promise('an old client that leaves does not stop its call, a new one does', async (world) => {
  let left = 0;
  let finished = 0;
  const { gateway } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    await connection.send(STREAM);
    connection.socket.once('close', () => left++);
    for (let i = 0; i < 30 && !connection.gone && !connection.halfClosed; i++) {
      await connection.send(event({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: i } }));
      await sleep(30);
    }
    if (connection.gone || connection.halfClosed) return connection.close();
    finished++;
    await connection.send(Buffer.concat([event({ jsonrpc: '2.0', id: 1, result: {} }), Buffer.from('0\r\n\r\n')]));
  });
  const leave = async (body, version, ...fields) => {
    const client = await world.connect(gateway);
    await client.send(post('/mcp/up', body, `MCP-Protocol-Version: ${version}`, ...fields));
    await client.queue.through('"progress":2', 5000);
    client.close();
  };
  await leave(call(1, 'slow'), '2025-06-18', 'Mcp-Session-Id: s');
  await until('the old one\'s call runs to its end', () => finished === 1);
  await leave(modernCall(1, 'slow'), '2026-07-28', 'Mcp-Method: tools/call', 'Mcp-Name: slow');
  await until('the new one\'s call is closed', () => left >= 1);
  assert.equal(finished, 1);
});

promise('a reader that stops does not hurt the others, and its source is stopped', async (world) => {
  let flooded = 0;
  const { gateway } = await setUp(world, async (connection, request) => {
    if (request.method === 'POST') return echo(connection, request);
    await connection.send(STREAM);
    while (!connection.gone) {
      await Promise.race([connection.send(event('x'.repeat(8000))), sleep(1000)]);
      flooded++;
    }
  }, { workers: 1 });
  const { client: stopped } = await openStream(world, gateway);
  stopped.pause();
  await gateway.untilMetric('pauses', (n) => n >= 1);
  let last;
  await until('the source stands still', async () => {
    const now = flooded;
    const same = now === last;
    last = now;
    await sleep(1500);
    return same || flooded - now <= 2;
  }, 30_000);
  const memory = pss(gateway.pids());
  for (let i = 0; i < 300; i++) assert.equal((await gateway.ask(post('/mcp/up', ping))).status, 200);
  const metrics = await gateway.metrics();
  assert.equal(metrics.sum('buffers_taken'), metrics.sum('buffers_returned'), 'no receive buffer waits for the stopped reader');
  assert.ok(metrics.sum('queued_bytes') <= 256 << 10, `${metrics.sum('queued_bytes')} bytes queued`);
  assert.ok(pss(gateway.pids()) - memory < 4 << 20);
  stopped.close();
});

for (const [policy, method, counter] of [['drop', 'notifications/message', 'notices_dropped'], ['combine', 'notifications/progress', 'notices_merged']]) {
  promise(`a reader that stops does not stop what says only what may be left out (--backpressure ${policy}), and hears the rest in order`, async (world) => {
    const notices = 3000;
    let said = 0;
    const { gateway } = await setUp(world, async (connection, request) => {
      await read(connection, request);
      await connection.send(STREAM);
      for (; said < notices && !connection.gone; said++) {
        await connection.send(event({ jsonrpc: '2.0', method, params: { progressToken: 1, progress: said, data: 'x'.repeat(8000) } }));
      }
      await connection.send(event({ jsonrpc: '2.0', id: 1, result: {} }));
      await connection.send('0\r\n\r\n');
    }, { args: ['--backpressure', policy] });
    const client = await world.connect(gateway, { ms: 30_000 });
    await client.send(post('/mcp/up', call(1)));
    client.pause();
    await until('the source has said all', () => said === notices, 30_000);
    await gateway.untilMetric(counter, (n) => n > 0);
    client.resume();
    const { body } = await client.response();
    const heard = body.toString().split('\n\n').filter(Boolean).map((one) => JSON.parse(one.replace('data: ', '')));
    assert.deepEqual(heard.pop(), { jsonrpc: '2.0', id: 1, result: {} });
    const numbers = heard.map(({ params }) => params.progress);
    assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
    if (policy === 'combine') assert.equal(numbers.at(-1), notices - 1);
    assert.equal(numbers.length + await gateway.metric(counter), notices);
  });
}

promise('a reader that takes nothing for --send-timeout is dropped', async (world) => {
  const { gateway } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    await connection.send(STREAM);
    while (!connection.gone) await Promise.race([connection.send(event('x'.repeat(8000))), sleep(1000)]);
  }, { args: ['--send-timeout', '1s'] });
  const { client } = await openStream(world, gateway);
  client.pause();
  await gateway.untilMetric('closed', (n) => n === 1, { labels: { reason: 'send_stalled' }, ms: 30_000 });
});

promise(`${long ? 5000 : 500} idle streams are held, get their events, and go`, async (world, t) => {
  const count = long ? 5000 : 500;
  const streams = new Set();
  const { gateway } = await setUp(world, streaming(streams), { args: ['--upstream-max', '6000', '--max-connections', '6000'] });
  const clients = [];
  for (let i = 0; i < count; i += 100) {
    clients.push(...(await Promise.all(Array.from({ length: 100 }, () => openStream(world, gateway)))));
  }
  assert.equal(await gateway.metric('streams_open'), count);
  await gateway.untilMetric('queued_bytes', (n) => n === 0);
  const metrics = await gateway.metrics();
  assert.equal(metrics.sum('buffers_taken'), metrics.sum('buffers_returned'), 'an idle stream holds no buffer');
  for (const connection of streams) connection.send(event('news'));
  for (const { client } of clients) await client.queue.through('news', 20_000);
  t.diagnostic(`${Math.round(pss(gateway.pids()) / 1024)} KiB for ${count} streams`);
  for (const { client } of clients) client.close();
  await gateway.untilMetric('streams_open', (n) => n === 0);
  await until('the upstream\'s side is gone as well', () => streams.size === 0);
}, { ms: 240_000 });

// --- ends and reloads ---

promise('SIGTERM: not ready, nothing new, what is open is finished, then exit 0', async (world) => {
  let answer;
  const { gateway } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    await new Promise((resolve) => (answer = resolve));
    await connection.send(json({ jsonrpc: '2.0', id: 7, result: {} }));
  }, { args: ['--drain-timeout', '30s'] });
  assert.equal((await fetch(`${gateway.admin}/readyz`)).status, 200);
  const client = await world.connect(gateway);
  const idle = await world.connect(gateway);
  assert.equal((await idle.ask(get('/nothing'))).status, 404); // it has had a request, so it is kept alive for no other
  await client.send(post('/mcp/up', ping));
  await until('the call is at the upstream', () => answer);
  gateway.process.kill('SIGTERM');
  await idle.ended();
  await until('no new connection is taken', async () => {
    const late = await gateway.connect().catch(() => undefined);
    if (!late) return true;
    await late.send(post('/mcp/up', ping)).catch(() => {});
    const refused = await within('the end of it', late.ended().then(() => true), 300).catch(() => false);
    late.close();
    return refused;
  });
  const ready = await fetch(`${gateway.admin}/readyz`).catch(() => undefined);
  assert.ok(!ready || ready.status === 503);
  answer();
  assert.equal((await client.response()).status, 200);
  await client.ended();
  assert.deepEqual(await within('mcpgate ends', gateway.process.exit), { code: 0, signal: null });
});

promise('streams get a proper end at SIGTERM, and the drain time is kept', async (world) => {
  const streams = new Set();
  const { gateway } = await setUp(world, streaming(streams), { args: ['--drain-timeout', '1s'] });
  const { client, response } = await openStream(world, gateway);
  const started = Date.now();
  gateway.process.kill('SIGTERM');
  const { body } = await client.reader.body(response.framing);
  assert.match(body.toString(), /hello/);
  assert.ok(body.toString().endsWith('\n\n'), 'it ends between two events');
  assert.deepEqual(await within('mcpgate ends', gateway.process.exit), { code: 0, signal: null });
  assert.ok(Date.now() - started < 5000);
});

promise('a second SIGTERM ends it at once', async (world) => {
  const streams = new Set();
  const { gateway } = await setUp(world, async (connection, request) => {
    await read(connection, request);
    streams.add(connection);
  }, { args: ['--drain-timeout', '60s'] });
  const client = await world.connect(gateway);
  await client.send(post('/mcp/up', ping));
  await until('the call is at the upstream', () => streams.size);
  const children = gateway.children();
  gateway.process.kill('SIGTERM');
  await until('it drains', async () => /drain/i.test(gateway.process.stderr));
  gateway.process.kill('SIGTERM');
  await within('mcpgate ends', gateway.process.exit, 3000);
  await gateway.untilGone(children);
});

promise('SIGHUP: a new generation serves, the old one finishes, no connection is refused', async (world) => {
  let answer;
  const { gateway } = await setUp(world, async (connection, request) => {
    const { body } = await read(connection, request);
    if (JSON.parse(body).id === 'slow') await new Promise((resolve) => (answer = resolve));
    await connection.send(json({ jsonrpc: '2.0', id: 7, result: {} }));
  }, { args: ['--drain-timeout', '30s'] });
  const before = gateway.children('worker');
  const client = await world.connect(gateway);
  await client.send(post('/mcp/up', call('slow', 'slow')));
  await until('the call is at the upstream', () => answer);
  let stop = false;
  let served = 0;
  const load = Array.from({ length: 4 }, async () => {
    while (!stop) {
      const response = await gateway.ask(post('/mcp/up', ping));
      assert.equal(response.status, 200);
      served++;
    }
  });
  gateway.process.kill('SIGHUP');
  await until('new workers are there', () => gateway.children('worker').filter((c) => !before.some((b) => b.pid === c.pid)).length === 2);
  const then = served;
  await until('they serve', () => served > then + 100);
  answer();
  assert.equal((await client.response()).status, 200, 'the old generation finishes its call');
  stop = true;
  await Promise.all(load);
  client.close();
  await gateway.untilGone(before, 40_000);
  assert.equal(await gateway.metric('generation'), 2);
  await gateway.untilMetric('requests', (n) => n > served); // totals go on
}, { ms: 90_000 });
