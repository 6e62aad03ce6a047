// SPDX-License-Identifier: Apache-2.0
// https:// upstreams: certificates are checked and shown, sessions resumed, connections pooled as plain ones, and what
// is wrong is said in one line.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { program, withoutProbes } from './lib/gateway.mjs';
import { run } from './lib/process.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';
import { Authority } from './lib/certificates.mjs';

withoutProbes();

const ping = (id) => JSON.stringify({ jsonrpc: '2.0', id, method: 'ping' });
const headers = { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream' };

/** A server that ends with the test; gives its port. */
async function listen(world, server) {
  const sockets = new Set();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  world.serves(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return server.address().port;
}

/** Answers each JSON-RPC request. */
function answer(req, res) {
  const pieces = [];
  req.on('data', (piece) => pieces.push(piece));
  req.on('end', () => {
    const { id } = JSON.parse(Buffer.concat(pieces));
    res.setHeader('Content-Type', 'application/json');
    res.end(JSON.stringify({ jsonrpc: '2.0', id, result: { resumed: req.socket.isSessionReused(), name: req.socket.servername, alpn: req.socket.alpnProtocol } }));
  });
}

async function setUp(world, { leaf, options = {}, handler = answer, host = '127.0.0.1', args = [], ...rest } = {}) {
  const ca = new Authority(world.directory());
  const made = leaf ? leaf(ca) : ca.issue();
  const port = await listen(world, https.createServer({ ...made.options, ...options }, handler));
  const gateway = await world.gateway({ upstreams: { up: `https://${host}:${port}/mcp` }, workers: 1, args: ['--upstream-ca', ca.cert, ...args], ...rest });
  const call = async (id = 1) => {
    const response = await fetch(`${gateway.url}/mcp/up`, { method: 'POST', headers, body: ping(id) });
    return { status: response.status, body: await response.json() };
  };
  return { ca, port, gateway, call };
}

promise('the SDK client reaches an https server: lists, calls, progress in a stream', async (world) => {
  const ca = new Authority(world.directory());
  const leaf = ca.issue('DNS:localhost,IP:127.0.0.1');
  const server = await world.modern({ MODERN_CERT: leaf.cert, MODERN_KEY: leaf.key });
  assert.match(server.url, /^https:/);
  const gateway = await world.gateway({ upstreams: { modern: server.url }, args: ['--upstream-ca', ca.cert] });
  const client = new Client({ name: 'blackbox', version: '1.0.0' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
  world.atEnd(() => client.close());
  await client.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp/modern`)));
  assert.ok((await client.listTools()).tools.some((tool) => tool.name === 'count'));
  const progress = [];
  const result = await client.callTool({ name: 'count', arguments: { to: 20, gap_ms: 5 } }, { onprogress: (p) => progress.push(p.progress) });
  assert.equal(progress.length, 20);
  assert.equal(result.content[0].text, 'counted to 20');
  assert.ok((await gateway.metric('up_tls_handshakes')) >= 1);
  assert.equal(await gateway.metric('up_tls_failures'), 0);
});

promise('a connection is kept alive and used again, and its session is resumed by the next', async (world) => {
  const { gateway, call } = await setUp(world, { leaf: (ca) => ca.issue('DNS:localhost'), host: 'localhost', args: ['--upstream-idle', '300ms'] });
  const first = await call();
  assert.deepEqual(first, { status: 200, body: { jsonrpc: '2.0', id: 1, result: { resumed: false, name: 'localhost', alpn: 'http/1.1' } } });
  for (let i = 2; i < 12; i++) assert.equal((await call(i)).body.id, i);
  assert.equal(await gateway.metric('up_reused'), 10);
  assert.equal(await gateway.metric('up_tls_handshakes'), 1);
  for (let i = 1; i <= 3; i++) {
    await gateway.untilMetric('up_connections', (n) => n === 0);
    assert.equal((await call()).body.result.resumed, true);
    assert.equal(await gateway.metric('up_tls_resumed'), i);
  }
  assert.equal(await gateway.metric('up_tls_handshakes'), 4);
});

promise('with --prewarm the first call finds its handshake done and its server known', async (world) => {
  const { gateway, call } = await setUp(world, { args: ['--prewarm', '2', '--upstream-idle', '1m'] });
  await gateway.untilMetric('up_idle', (n) => n === 2);
  const before = await gateway.metric('up_tls_handshakes');
  assert.equal((await call()).status, 200);
  assert.equal(await gateway.metric('up_tls_handshakes'), before);
  assert.ok((await gateway.metric('up_reused')) >= 1);
});

promise('many calls at once share the pool', async (world) => {
  const { gateway, call } = await setUp(world, { args: ['--upstream-max', '8', '--upstream-wait', '20s'] });
  const replies = await Promise.all(Array.from({ length: 200 }, (_, i) => call(i)));
  replies.forEach(({ status, body }, i) => assert.deepEqual([status, body.id], [200, i]));
  assert.ok((await gateway.metric('up_tls_handshakes')) <= 8 + 2);
});

const faults = {
  'has expired': { leaf: (ca) => ca.issue('IP:127.0.0.1', { to: 0 }), reason: 'cert_expired', text: 'certificate of 127.0.0.1 has expired' },
  'is for another address': { leaf: (ca) => ca.issue('IP:127.0.0.2'), reason: 'cert_name', text: 'certificate of 127.0.0.1 is for another name' },
  'is for another name': { leaf: (ca) => ca.issue('DNS:other.example'), host: 'localhost', reason: 'cert_name', text: 'certificate of localhost is for another name' },
  'is self-signed': { leaf: (ca) => ca.issue('IP:127.0.0.1', { selfSigned: true }), reason: 'cert_unknown_ca', text: 'certificate of 127.0.0.1 is self-signed: name it with --upstream-ca' },
  'is of an unknown CA': { leaf: (ca) => new Authority(ca.dir, 'other').issue(), reason: 'cert_unknown_ca', text: 'certificate of 127.0.0.1 is signed by an unknown CA: name it with --upstream-ca' },
};
for (const [name, { leaf, host, reason, text }] of Object.entries(faults)) {
  promise(`a certificate that ${name} is refused in words, in the error and in the log, and counted`, async (world) => {
    const { gateway, call } = await setUp(world, { leaf, host });
    const { status, body } = await call(7);
    assert.equal(status, 502);
    assert.deepEqual(body, { jsonrpc: '2.0', id: 7, error: { code: -32000, message: `upstream up: ${text}` } });
    assert.equal(await gateway.metric('closed', { reason }), 1);
    assert.ok((await gateway.metric('up_tls_failures')) >= 1);
    await until('the log says so', () => gateway.process.stderr.includes(text));
  });
}

promise('--upstream-verify off believes anybody', async (world) => {
  const { call } = await setUp(world, { leaf: (ca) => ca.issue('DNS:other.example', { selfSigned: true }), args: ['--upstream-verify', 'off'] });
  assert.equal((await call()).status, 200);
});

promise('the system CAs are believed when none are named', async (world) => {
  const ca = new Authority(world.directory());
  const port = await listen(world, https.createServer(ca.issue().options, answer));
  const gateway = await world.gateway({ upstreams: { up: `https://127.0.0.1:${port}/mcp` }, env: { SSL_CERT_FILE: ca.cert } });
  assert.equal((await fetch(`${gateway.url}/mcp/up`, { method: 'POST', headers, body: ping(1) })).status, 200);
});

for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
  promise(`a client certificate is shown to who asks for one (${maxVersion})`, async (world) => {
    const ca = new Authority(world.directory());
    const { cert, key } = ca.issue('DNS:gate');
    const options = { maxVersion, requestCert: true, rejectUnauthorized: true, ca: readFileSync(ca.cert) };
    const port = await listen(world, https.createServer({ ...ca.issue().options, ...options }, answer));
    const url = `https://127.0.0.1:${port}/mcp`;
    const config = { mcpServers: { none: { url }, own: { url, tls: { cert, key } } }, mcpgate: { 'upstream-ca': ca.cert, mode: 'path' } };
    const gateway = await world.gateway({ args: ['--config', world.file('mcp.json', JSON.stringify(config))] });
    const ask = (name) => fetch(`${gateway.url}/mcp/${name}`, { method: 'POST', headers, body: ping(1) });
    assert.equal((await ask('own')).status, 200);
    const refused = await ask('none');
    assert.equal(refused.status, 502);
    if (maxVersion === 'TLSv1.3') assert.match((await refused.json()).error.message, /127\.0\.0\.1 wants a client certificate: use --upstream-cert and --upstream-key/);
    const printed = await run(program('mcpgate'), ['--print-config', '--config', world.file('again.json', JSON.stringify(config))]);
    assert.deepEqual(JSON.parse(printed.stdout).mcpServers.own.tls, { cert, key });
  });
}

promise('bodies of any size pass both ways, also to a slow reader', async (world) => {
  const body = randomBytes(20 << 20);
  const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');
  const ca = new Authority(world.directory());
  const server = https.createServer(ca.issue().options, (req, res) => {
    const hash = createHash('sha256');
    req.on('data', (piece) => hash.update(piece));
    req.on('end', () => {
      res.setHeader('X-Digest', hash.digest('hex'));
      res.end(body);
    });
  });
  const port = await listen(world, server);
  const gateway = await world.gateway({ routes: { '/r': `https://127.0.0.1:${port}` }, workers: 1, args: ['--upstream-ca', ca.cert] });
  for (let i = 0; i < 3; i++) {
    const response = await fetch(`${gateway.url}/r/x`, { method: 'POST', body });
    assert.equal(response.headers.get('x-digest'), digest(body));
    assert.equal(digest(Buffer.from(await response.arrayBuffer())), digest(body));
  }
  const client = await world.connect(gateway);
  await client.send(`GET /r/x HTTP/1.1\r\nHost: x\r\n\r\n`);
  client.pause();
  await gateway.untilMetric('pauses', (n) => n > 0);
  assert.ok((await gateway.metric('slab_bytes')) < 1 << 20, 'what waits is bounded');
  client.resume();
  const { body: slow } = await client.response();
  assert.equal(digest(slow), digest(body));
});

promise('a stream that is cut short is no end of a close-delimited body, and no matter to the others', async (world) => {
  const ca = new Authority(world.directory());
  const server = tls.createServer(ca.issue().options, (socket) => {
    socket.on('error', () => {});
    socket.once('data', (bytes) => {
      const target = bytes.toString().split(' ')[1];
      const length = target.startsWith('/length') ? 'Content-Length: 5\r\n' : '';
      socket.write(`HTTP/1.1 200 OK\r\nConnection: close\r\n${length}\r\nwhole`, () => (target.endsWith('cut') ? setTimeout(() => socket.destroy(), 100) : socket.end()));
    });
  });
  const port = await listen(world, server);
  const gateway = await world.gateway({ routes: { '/r': `https://127.0.0.1:${port}` }, workers: 1, args: ['--upstream-ca', ca.cert] });
  const read = async (path) => (await fetch(`${gateway.url}/r${path}`)).text();
  assert.equal(await read('/close'), 'whole');
  assert.equal(await read('/length'), 'whole');
  assert.equal(await read('/length-cut'), 'whole');
  await assert.rejects(read('/close-cut'));
  assert.equal(await gateway.metric('closed', { reason: 'tls_truncated' }), 1);
});

promise('a server that does not speak TLS, and one that says nothing', async (world) => {
  const plain = await listen(world, net.createServer((socket) => socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))));
  const silent = await listen(world, net.createServer(() => {}));
  const leaves = await listen(world, net.createServer((socket) => socket.once('data', () => socket.destroy())));
  const ca = new Authority(world.directory());
  const upstreams = { plain: `https://127.0.0.1:${plain}/`, silent: `https://127.0.0.1:${silent}/`, leaves: `https://127.0.0.1:${leaves}/` };
  const gateway = await world.gateway({ upstreams, args: ['--mode', 'path', '--upstream-ca', ca.cert, '--connect-timeout', '300ms'] });
  const ask = async (name) => {
    const response = await fetch(`${gateway.url}/mcp/${name}`, { method: 'POST', headers, body: ping(3) });
    const { id, error } = await response.json();
    assert.equal(id, 3);
    return `${response.status} ${error.message}`;
  };
  assert.match(await ask('plain'), /^502 upstream plain: TLS handshake with 127\.0\.0\.1 failed: /);
  assert.match(await ask('silent'), /^504 upstream silent: .*--connect-timeout/);
  assert.match(await ask('leaves'), /^502 upstream leaves: 127\.0\.0\.1 closed the connection during the TLS handshake/);
});

promise('another endpoint serves when the first has a bad certificate', async (world) => {
  const ca = new Authority(world.directory());
  const bad = await listen(world, https.createServer(ca.issue('DNS:other.example').options, answer));
  const good = await listen(world, https.createServer(ca.issue().options, answer));
  const gateway = await world.gateway({ upstreams: { up: `https://127.0.0.1:${bad}/mcp,https://127.0.0.1:${good}/mcp` }, workers: 1, args: ['--upstream-ca', ca.cert] });
  for (let i = 0; i < 6; i++) assert.equal((await fetch(`${gateway.url}/mcp/up`, { method: 'POST', headers, body: ping(i) })).status, 200);
  assert.ok((await gateway.metric('up_retries')) >= 1);
});

promise('health checks go over TLS and see a bad certificate', async (world) => {
  const ca = new Authority(world.directory());
  const bad = await listen(world, https.createServer(ca.issue('DNS:other.example').options, answer));
  const good = await listen(world, https.createServer(ca.issue().options, (req, res) => res.end('fine')));
  const gateway = await world.gateway({
    upstreams: { bad: `https://127.0.0.1:${bad}/mcp`, good: `https://127.0.0.1:${good}/mcp` },
    workers: 1,
    args: ['--mode', 'path', '--upstream-ca', ca.cert, '--health-interval', '100ms', '--health-path', '/healthz'],
  });
  await gateway.untilMetric('up_endpoints_healthy', (n) => n === 0, { labels: { upstream: 'bad' } });
  await gateway.untilMetric('up_endpoints_healthy', (n) => n === 1, { labels: { upstream: 'good' } });
  await gateway.untilMetric('up_tls_resumed', (n) => n > 0, { labels: { upstream: 'good' } });
});

promise('a reload reads the files again, and one that is damaged leaves all as it was', async (world) => {
  const { ca, gateway, call } = await setUp(world);
  assert.equal((await call()).status, 200);
  writeFileSync(ca.cert, 'damaged\n');
  process.kill(gateway.pid, 'SIGHUP');
  await until('the reload is refused', () => /holds no certificate/.test(gateway.process.stderr));
  assert.equal((await call()).status, 200);
});

const refused = async (...args) => {
  const { code, stderr } = await run(program('mcpgate'), ['--upstream', 'a=https://127.0.0.1:1/', ...args]);
  assert.equal(code, 2);
  assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
  return stderr;
};

promise('files of no use are named at start and by --check, with the way out', async (world) => {
  const ca = new Authority(world.directory());
  const leaf = ca.issue();
  const nonsense = world.file('nonsense.pem', 'nonsense\n');
  for (const check of [[], ['--check']]) {
    assert.match(await refused('--upstream-ca', '/nonexistent/ca.pem', ...check), /--upstream-ca: \/nonexistent\/ca\.pem: cannot be opened: .*: name a PEM file/);
    assert.match(await refused('--upstream-ca', nonsense, ...check), /nonsense\.pem' holds no certificate: name a file/);
    assert.match(await refused('--upstream-ca', ca.cert, '--upstream-cert', leaf.cert, ...check), /set --upstream-key/);
    assert.match(await refused('--upstream-ca', ca.cert, '--upstream-cert', leaf.cert, '--upstream-key', nonsense, ...check), /nonsense\.pem' holds no private key/);
    assert.match(await refused('--upstream-ca', ca.cert, '--upstream-cert', leaf.cert, '--upstream-key', ca.key, ...check), /ca\.key' is not the key of/);
  }
  const good = await run(program('mcpgate'), ['--check', '--upstream', 'a=https://a/', '--upstream-ca', ca.cert, '--upstream-cert', leaf.cert, '--upstream-key', leaf.key]);
  assert.equal(good.code, 0, good.stderr);
});
