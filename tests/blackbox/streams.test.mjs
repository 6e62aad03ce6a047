// SPDX-License-Identifier: Apache-2.0
// What the engine does with streams: whose messages go first, what waits for others, what clients that do not keep up miss.

import assert from 'node:assert/strict';
import { program } from './lib/gateway.mjs';
import { run } from './lib/process.mjs';
import { Hopeless, until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const META = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} };

/** One call of the demo server's echo; `said`: what it says of its own priority. */
async function call(gateway, { path = '/mcp', headers = {}, said, progressToken } = {}) {
  const _meta = { ...META, ...(said !== undefined && { 'mcpgate/priority': said }), ...(progressToken !== undefined && { progressToken }) };
  const reply = await fetch(`${gateway.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'echo', ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: { message: 'x' }, _meta } }),
  });
  assert.equal(reply.status, 200);
  await reply.text();
}

promise('how urgent a request is: what it says, its field, its upstream, its kind, in that order', async (world) => {
  const plain = (await world.modern()).url;
  const gateway = await world.gateway({ upstreams: { plain, slow: plain }, args: ['--mode', 'path', '--priority', 'slow=low'] });
  const seen = async (priority) => gateway.metric('urgency', { priority });
  const adds = async (priority, options) => {
    const before = await seen(priority);
    await call(gateway, options);
    await until(`one more is ${priority}`, async () => (await seen(priority)) === before + 1);
  };
  await adds('normal', { path: '/mcp/plain' });
  await adds('high', { path: '/mcp/plain', progressToken: 1 });
  await adds('low', { path: '/mcp/slow' });
  await adds('high', { path: '/mcp/slow', headers: { priority: 'u=1, i' } });
  await adds('normal', { path: '/mcp/slow', headers: { priority: 'u=3' } });
  await adds('low', { path: '/mcp/plain', headers: { priority: 'u=1' }, said: 'low' });
  await adds('high', { path: '/mcp/plain', headers: { priority: 'u=7' }, said: 0 });
  await gateway.untilQuiet();
});

promise('a page may send Priority', async (world) => {
  const gateway = await world.gateway({ args: ['--allow-origin', 'https://app.example'] });
  const reply = await fetch(`${gateway.url}/mcp`, {
    method: 'OPTIONS',
    headers: { origin: 'https://app.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'priority, x-other' },
  });
  assert.equal(reply.headers.get('access-control-allow-headers'), 'priority');
});

promise('messages of busy streams leave together, and none is lost', async (world) => {
  const server = await world.load();
  const gateway = await world.gateway({ routes: { '/s': server.url }, workers: 1, args: ['--batch-window', '5ms'] });
  // Load that comes and goes by itself: as long as it takes for the worker to be busy.
  await until('some waited for others', async () => {
    const { code, stdout, stderr } = await run(program('mcpload'), ['--url', `${gateway.url}/s/`, '--connections', '16', '--streams', '8', '--stream-path', '/s/sse?rate=2000', '--duration', '1s', '--warmup', '100ms', '--quiet', '--json', '-']);
    if (code !== 0 || JSON.parse(stdout).result.failed) throw new Hopeless(stderr + stdout);
    return (await gateway.metric('batched')) > 0;
  });
  assert.ok((await gateway.metric('batches')) > 0);
  await gateway.untilQuiet();
});
