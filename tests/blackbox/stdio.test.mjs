// SPDX-License-Identifier: Apache-2.0
// Servers on stdin and stdout: started, shared, kept over the death of a worker and of the spawn process, and bounded
// whatever they do. None is left when the gateway has ended, in whichever way.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { post, request } from './lib/mcp.mjs';
import { program } from './lib/gateway.mjs';
import { alive, descendants } from './lib/process.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const server = join(dirname(fileURLToPath(import.meta.url)), 'servers/stdio.mjs');
const everything = join(dirname(createRequire(import.meta.url).resolve('@modelcontextprotocol/server-everything/package.json')), 'dist/index.js');
const command = (...args) => `stdio:'${process.execPath}' '${server}' ${args.join(' ')}`;

const LEGACY = 'MCP-Protocol-Version: 2025-11-25';
const initialize = request(0, 'initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } });

/** A session on a connection of its own for each request. */
async function open(gateway) {
  const response = await gateway.ask(post('/mcp/s', initialize));
  assert.equal(response.status, 200, response.body.toString());
  const session = response.head.get('mcp-session-id');
  const fields = [LEGACY, `Mcp-Session-Id: ${session}`];
  return {
    session,
    ask: (body) => gateway.ask(post('/mcp/s', body, ...fields)),
    call: async (name, args = {}, id = 1) => {
      const reply = await gateway.ask(post('/mcp/s', request(id, 'tools/call', { name, arguments: args }), ...fields));
      return { status: reply.status, text: reply.body.toString(), json: () => JSON.parse(reply.body.toString()) };
    },
    async whoami() {
      const reply = await this.call('whoami');
      assert.equal(reply.status, 200, reply.text);
      return JSON.parse(reply.json().result.content[0].text);
    },
  };
}

const start = (world, { args = [], workers = 1, env, with: given = [] } = {}) =>
  world.gateway({ upstreams: { s: command(...given) }, workers, args, env });
const servers = (gateway) => gateway.children(server);

promise('the official client 1.x speaks with the reference server over stdio', async (world) => {
  const gateway = await world.gateway({ upstreams: { e: `stdio:'${process.execPath}' '${everything}' stdio` } });
  const client = new Client({ name: 'blackbox', version: '1' });
  const transport = new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp/e`));
  world.atEnd(() => client.close());
  await client.connect(transport);
  assert.ok((await client.listTools()).tools.some(({ name }) => name === 'echo'));
  const message = 'Grüße "quoted" \\ \u0000 '.repeat(50_000);
  const { content } = await client.callTool({ name: 'echo', arguments: { message } });
  assert.ok(content[0].text.includes(message));
  const progress = [];
  await client.callTool({ name: 'trigger-long-running-operation', arguments: { duration: 0.4, steps: 4 } }, undefined, { onprogress: (p) => progress.push(p.progress) });
  assert.deepEqual(progress, [1, 2, 3, 4]);
  await transport.terminateSession();
  await gateway.untilMetric('up_servers', (n) => n === 0);
});

promise('each session has a process of its own, and DELETE ends it', async (world) => {
  const began = performance.now();
  const gateway = await start(world, { workers: 3 });
  const sessions = await Promise.all(Array.from({ length: 6 }, () => open(gateway)));
  const waited = await gateway.metric('up_latency_seconds_sum');
  assert.ok(waited > 0 && waited < (6 + 3) * (performance.now() - began) / 1000, `six greetings and a probe a worker took ${waited} s`);
  const pids = new Set(await Promise.all(sessions.map(async (s) => (await s.whoami()).pid)));
  assert.equal(pids.size, 6);
  assert.equal(await gateway.metric('up_servers'), 6);
  const reply = await gateway.ask(['DELETE /mcp/s HTTP/1.1', 'Host: x', LEGACY, `Mcp-Session-Id: ${sessions[0].session}`, '', ''].join('\r\n'));
  assert.equal(reply.status, 200);
  await gateway.untilMetric('up_servers', (n) => n === 5);
  assert.equal((await sessions[0].call('whoami')).status, 404);
  await sessions[1].whoami();
});

promise('with --stdio-share shared, and for 2026-07-28, one process serves all clients of a worker', async (world) => {
  const gateway = await start(world, { args: ['--stdio-share', 'shared'] });
  const sessions = await Promise.all(Array.from({ length: 5 }, () => open(gateway)));
  const pids = new Set(await Promise.all(sessions.map(async (s) => (await s.whoami()).pid)));
  assert.equal(pids.size, 1);
  assert.equal(new Set(sessions.map((s) => s.session)).size, 5);
  const modern = request('m', 'tools/call', { name: 'echo', arguments: { message: 'hi' }, _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} } });
  for (let i = 0; i < 3; i++) {
    const reply = await gateway.ask(post('/mcp/s', modern, 'MCP-Protocol-Version: 2026-07-28', 'Mcp-Method: tools/call', 'Mcp-Name: echo'));
    assert.equal(JSON.parse(reply.body.toString()).id, 'm');
    assert.equal(reply.head.get('mcp-session-id'), undefined);
  }
  await gateway.untilMetric('up_servers', (n) => n === 1);
});

promise('ids and progress tokens of clients that share a process do not meet', async (world) => {
  const gateway = await start(world, { args: ['--stdio-share', 'shared'] });
  const sessions = await Promise.all(Array.from({ length: 8 }, () => open(gateway)));
  const replies = await Promise.all(
    sessions.map((s, i) => s.ask(JSON.stringify({ jsonrpc: '2.0', id: '1', method: 'tools/call', params: { name: 'progress', _meta: { progressToken: i % 2 ? 7 : 'p' } } }))),
  );
  replies.forEach((reply, i) => {
    const events = reply.body.toString().split('\n\n').filter((e) => e.includes('data: {')).map((e) => JSON.parse(e.slice(e.indexOf('data: ') + 6)));
    assert.deepEqual(events.map((e) => e.params?.progress ?? e.id), [1, 2, 3, '1'], reply.body.toString());
    for (const e of events.slice(0, 3)) assert.equal(e.params.progressToken, i % 2 ? 7 : 'p');
  });
});

promise('a reserve is there before a session asks for it', async (world) => {
  const gateway = await start(world, { args: ['--stdio-reserve', '2', '--stdio-max', '3'] });
  await gateway.untilMetric('up_servers_started', (n) => n === 2);
  await until('both run their program', () => servers(gateway).length === 2);
  const waiting = servers(gateway).map(({ pid }) => pid);
  assert.ok(waiting.includes((await (await open(gateway)).whoami()).pid));
  await gateway.untilMetric('up_servers', (n) => n === 3);
});

promise('what a process writes to stderr is in the log, and its environment is what it was given', async (world) => {
  const dir = world.directory();
  const config = world.file('mcp.json', JSON.stringify({ mcpServers: { s: { command: process.execPath, args: [server], env: { KEY: '${GIVEN}' }, cwd: dir } } }));
  const gateway = await world.gateway({ args: ['--config', config], env: { GIVEN: 'k3y', SECRET: 'hidden' } });
  await open(gateway);
  await gateway.process.line(new RegExp(`upstream s: pid \\d+: started in ${dir} with KEY=k3y SECRET=undefined`));
});

promise('lines that are no messages, pieces and CRLF do not disturb an answer', async (world) => {
  const gateway = await start(world);
  const s = await open(gateway);
  assert.equal((await s.call('junk')).status, 200);
  await gateway.untilMetric('up_junk_lines', (n) => n === 3);
  await s.whoami();
});

promise('a line of 9 MiB passes, one of 11 MiB costs the call and not the process', async (world) => {
  const gateway = await start(world);
  const s = await open(gateway);
  const { pid } = await s.whoami();
  assert.equal((await s.call('large')).json().result.content[0].text.length, 9 << 20);
  const reply = await s.call('long');
  assert.equal(reply.status, 502);
  assert.match(reply.text, /--stdio-line/);
  assert.equal((await s.whoami()).pid, pid);
  assert.equal(await gateway.metric('up_lost_lines'), 1);
});

promise('a process that does not answer costs the call its time limit, and hears that it was cancelled', async (world) => {
  const gateway = await start(world, { args: ['--first-byte-timeout', '500ms'] });
  const s = await open(gateway);
  const reply = await s.call('hang');
  assert.equal(reply.status, 504, reply.text);
  await gateway.process.line(/pid \d+: cancelled \d+/);
  await s.whoami();
});

promise('a process that dies fails its calls with a reason, and its session goes on with another one', async (world) => {
  const gateway = await start(world);
  const s = await open(gateway);
  const [hangs, dies] = await Promise.all([s.call('hang', {}, 1), s.call('die', {}, 2)]);
  for (const reply of [hangs, dies]) {
    assert.equal(reply.status, 502, reply.text);
    assert.match(reply.text, /ended before it answered/);
  }
  await s.whoami();
  await gateway.process.line(/upstream s: pid \d+ ended with exit status 7/);
  await (await open(gateway)).whoami();
});

promise('a flood of notifications passes by, and one of junk ends the process', async (world) => {
  const gateway = await start(world);
  const s = await open(gateway);
  assert.match((await s.call('flood')).text, /done/);
  const reply = await s.call('babble');
  assert.equal(reply.status, 502, reply.text);
  assert.match(reply.text, /no messages/);
  await gateway.untilMetric('up_servers', (n) => n === 0);
});

promise('a program that keeps dying is started less and less often, and clients are told', async (world) => {
  const gateway = await start(world, { with: ['--die'] });
  const statuses = [];
  for (let i = 0; i < 6; i++) statuses.push((await gateway.ask(post('/mcp/s', initialize))).status);
  assert.ok(statuses.every((status) => status === 502 || status === 503), statuses.join());
  assert.equal(statuses.at(-1), 503);
  assert.ok((await gateway.metric('up_servers_started')) < 6);
  await gateway.process.line(/pid \d+: cannot find my configuration/);
});

promise('a program that is not there says so', async (world) => {
  const gateway = await world.gateway({ upstreams: { s: 'stdio:/nonexistent/program' } });
  assert.equal((await gateway.ask(post('/mcp/s', initialize))).status, 502);
  await gateway.process.line(/upstream s: pid \d+: cannot execute \/nonexistent\/program: No such file/);
});

promise('no more processes than --stdio-max are started', async (world) => {
  const gateway = await start(world, { args: ['--stdio-max', '2'] });
  await open(gateway);
  await open(gateway);
  const reply = await gateway.ask(post('/mcp/s', initialize));
  assert.equal(reply.status, 503);
  assert.match(reply.body.toString(), /--stdio-max/);
});

promise('an idle process is ended, and started again for its session', async (world) => {
  const gateway = await start(world, { args: ['--stdio-idle', '600ms'] });
  const s = await open(gateway);
  await gateway.untilMetric('up_servers', (n) => n === 0);
  assert.equal(await gateway.metric('closed', { reason: 'stdio_idle' }), 1);
  await s.whoami();
});

promise('a process that ignores the end of its input and SIGTERM is killed', async (world) => {
  const gateway = await start(world, { with: ['--deaf'], args: ['--stdio-idle', '500ms', '--stdio-grace', '300ms'] });
  await open(gateway);
  await gateway.untilMetric('up_servers', (n) => n === 1);
  const [{ pid, born }] = servers(gateway);
  await gateway.untilGone([{ pid, born }]);
  for (const what of ['has not ended with its input: SIGTERM', 'not listening to SIGTERM', '.*SIGKILL'])
    await gateway.process.line(new RegExp(`pid ${pid}:? ${what}`));
});

promise('processes and their sessions outlive the death of their worker', async (world) => {
  const gateway = await start(world, { workers: 2 });
  const sessions = await Promise.all(Array.from({ length: 6 }, () => open(gateway)));
  const before = await Promise.all(sessions.map((s) => s.whoami()));
  const late = sessions[0].call('late', {}, 5).catch((error) => error);
  for (const { pid } of gateway.children('mcpgate: worker')) process.kill(pid, 'SIGKILL');
  await late;
  await until('every session is usable again, with its own process', async () => {
    for (const [i, s] of sessions.entries()) {
      const reply = await s.call('whoami').catch(() => ({ status: 0 }));
      assert.notEqual(reply.status, 404, 'the session is not lost');
      if (reply.status !== 200) return false;
      assert.equal(JSON.parse(reply.json().result.content[0].text).pid, before[i].pid);
    }
    return true;
  });
  assert.equal(await gateway.metric('up_servers'), 6);
});

promise('processes outlive the death of the spawn process, which is then in charge of them', async (world) => {
  const gateway = await start(world);
  const s = await open(gateway);
  const { pid } = await s.whoami();
  const [spawn] = gateway.children('mcpgate: spawn');
  process.kill(spawn.pid, 'SIGKILL');
  assert.equal((await s.whoami()).pid, pid);
  await until('there is another spawn process', () => gateway.children('mcpgate: spawn').some((p) => p.pid !== spawn.pid));
  assert.equal((await s.whoami()).pid, pid);
  await (await open(gateway)).whoami();
  const kept = descendants(gateway.pid).find((p) => p.pid === pid);
  await gateway.ask(['DELETE /mcp/s HTTP/1.1', 'Host: x', LEGACY, `Mcp-Session-Id: ${s.session}`, '', ''].join('\r\n'));
  await gateway.untilGone([kept]);
});

promise('nothing is left when the supervisor is killed', async (world) => {
  const gateway = await start(world, { with: ['--deaf'] });
  await open(gateway);
  await open(gateway);
  const all = descendants(gateway.pid);
  assert.ok(all.filter(({ command: c }) => c.includes(server)).length >= 2);
  gateway.process.kill('SIGKILL');
  await gateway.process.exit;
  await until('every process is gone', () => !all.some(alive));
});

for (const revision of ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25', undefined]) {
  promise(`the official client 1.x speaks with mcpgate demo --stdio ${revision ? `of ${revision}` : 'of every revision'}`, async (world) => {
    const gateway = await world.gateway({ upstreams: { d: `stdio:'${program('mcpgate')}' demo --stdio ${revision ? `--revision ${revision}` : ''}` } });
    const client = new Client({ name: 'blackbox', version: '1' });
    const transport = new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp/d`));
    world.atEnd(() => client.close());
    await client.connect(transport);
    assert.equal(transport.protocolVersion, '2025-11-25'); // the client's own, whatever the server speaks
    const progress = [];
    const { content } = await client.callTool({ name: 'slow_count', arguments: { to: 3, interval_ms: 5 } }, undefined, { onprogress: (p) => progress.push(p.progress) });
    assert.deepEqual(progress, [1, 2, 3]);
    assert.equal(content[0].type, 'text');
  });
}
