// SPDX-License-Identifier: Apache-2.0
// A server of exactly one revision, over stdio, (--http) over HTTP (2024-11-05: HTTP+SSE) or (--ws) over WebSocket, strict about what
// reaches it: what its revision does not allow is refused and told in the log as a violation. Not a reference server: five tools, no
// resources.
//
// --revision R  --dir DIR  --name NAME  [--http | --ws]
// DIR/NAME.log gets a JSON line for each thing that a test wants to know; touching DIR/NAME.change changes its tools.

import { appendFileSync, watch } from 'node:fs';
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { WebSocketServer } from 'ws';

const flag = (name) => process.argv[process.argv.indexOf(`--${name}`) + 1];
const revision = flag('revision');
const name = flag('name');
const dir = flag('dir');
const overHttp = process.argv.includes('--http');
const modern = revision === '2026-07-28';
const hasElicitation = revision >= '2025-06-18';
const PREFIX = 'io.modelcontextprotocol/';
const STATE = 'state "é" +/= \\';
const CALLED_OFF = 'notifications/cancelled';
const CHANGED = 'notifications/tools/list_changed';

const log = (entry) => appendFileSync(join(dir, `${name}.log`), `${JSON.stringify(entry)}\n`);
const violation = (what) => log({ violation: what });

const serverInfo = { name, version: '1' };
const text = (value) => ({ content: [{ type: 'text', text: value }] });
const complete = (result) => (modern ? { resultType: 'complete', ...result } : result);
const cached = (result) => (modern ? complete({ ...result, ttlMs: 0, cacheScope: 'private' }) : result);
const failure = (code, message, data, status) => Object.assign(new Error(message), { code, data, status });
const NEVER = new Promise(() => {});

/** One client as the server sees it: a session, the process's pipe, or (2026-07-28) one request. */
class Peer {
  calls = new Map(); // id of an open call -> {tag, say}
  questions = new Map(); // id of our request -> what takes its answer
  listens = new Map(); // id of a listen -> say()
  initialized = undefined;
  next = 1;
}

const peers = new Set();

const question = { message: 'Who is there?', requestedSchema: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] } };
const questionParams = revision >= '2025-11-25' ? { mode: 'form', ...question } : question;

/** A tool is called with its call: {args, params, peer, say(message)}. */
const tools = {
  echo: ({ args }) => text(args.message),

  count({ params, say }) {
    const progressToken = params._meta?.progressToken;
    for (let progress = 1; progress <= 3; progress++)
      if (progressToken !== undefined) say({ method: 'notifications/progress', params: { progressToken, progress, total: 3 } });
    return text('counted');
  },

  hang({ args, params, say }) {
    say({ method: 'notifications/progress', params: { progressToken: params._meta.progressToken, progress: 1 } });
    log({ hanging: args.tag });
    return NEVER;
  },
};

if (hasElicitation)
  tools.ask = async ({ params, peer, say }) => {
    const capabilities = modern ? params._meta[`${PREFIX}clientCapabilities`] : peer.initialized.capabilities;
    if (!capabilities.elicitation) {
      if (modern) throw failure(-32021, 'needs a client with elicitation', { requiredCapabilities: { elicitation: {} } }, 400);
      return { ...text('needs a client with elicitation'), isError: true };
    }
    if (modern && !params.inputResponses)
      return { resultType: 'input_required', inputRequests: { who: { method: 'elicitation/create', params: questionParams } }, requestState: STATE };
    if (modern && params.requestState !== STATE) violation(`requestState is ${JSON.stringify(params.requestState)}`);
    const answer = modern ? params.inputResponses.who : await ask(peer, say, 'elicitation/create', questionParams);
    return text(answer.action === 'accept' ? `hello ${answer.content.name}` : answer.action);
  };

function ask(peer, say, method, params) {
  const id = `q${peer.next++}`;
  say({ id, method, params });
  return new Promise((resolve) => peer.questions.set(id, resolve));
}

/** The result of a request; undefined when it has none (yet). */
async function serve(peer, { id, method, params = {} }, say) {
  if (modern) checkModern(method, params);
  else if (Object.keys(params._meta ?? {}).some((key) => key.startsWith(PREFIX))) {
    if (method !== 'server/discover') violation(`${method} with _meta of 2026-07-28`);
  }
  switch (method) {
    case modern ? 'server/discover' : '':
      return cached({ supportedVersions: [revision], capabilities: { tools: { listChanged: true } }, _meta: { [`${PREFIX}serverInfo`]: serverInfo } });
    case modern ? '' : 'initialize':
      peer.initialized = params;
      return { protocolVersion: revision, capabilities: { tools: { listChanged: true } }, serverInfo };
    case modern ? '' : 'ping':
      return {};
    case 'tools/list':
      return cached({ tools: Object.keys(tools).map((tool) => ({ name: tool, inputSchema: { type: 'object' } })) });
    case 'tools/call': {
      if (!Object.hasOwn(tools, params.name)) throw failure(-32602, `unknown tool: ${params.name}`);
      peer.calls.set(id, { tag: params.arguments?.tag, say });
      try {
        return complete(await tools[params.name]({ args: params.arguments ?? {}, params, peer, say }));
      } finally {
        peer.calls.delete(id);
      }
    }
    case modern ? 'subscriptions/listen' : '':
      peer.listens.set(id, say);
      say({ method: 'notifications/subscriptions/acknowledged', params: stamped(id, { notifications: { toolsListChanged: true } }) });
      return NEVER;
    default:
      throw failure(-32601, `no such method: ${method}`, undefined, 404);
  }
}

function checkModern(method, { _meta = {} }) {
  if (method === 'initialize' || method === 'ping') return; // turned away below
  const version = _meta[`${PREFIX}protocolVersion`];
  if (version === undefined || typeof _meta[`${PREFIX}clientCapabilities`] !== 'object') {
    violation(`${method} without its _meta`);
    throw failure(-32602, '_meta lacks a key', undefined, 400);
  }
  if (version !== revision) throw failure(-32022, 'unsupported version', { supported: [revision], requested: version }, 400);
}

const stamped = (id, params) => ({ ...params, _meta: { [`${PREFIX}subscriptionId`]: id } });

function cancel(peer, id) {
  const call = peer.calls.get(id);
  if (!call) return violation(`cancelled ${JSON.stringify(id)}, which is no open call`);
  log({ cancelled: call.tag });
  peer.calls.delete(id);
  return call.say.end?.();
}

/** Handles one message; say() is where what belongs to it goes. Gives the HTTP status that an error has. */
async function take(peer, message, say) {
  const { id, method } = message;
  if (method === undefined) {
    const answered = peer.questions.get(id);
    if (!answered) return violation(`an answer to ${JSON.stringify(id)}, which was not asked`);
    peer.questions.delete(id);
    return answered(message.result);
  }
  if (id === undefined) {
    if (method === CALLED_OFF) {
      if (peer.listens.delete(message.params.requestId)) return;
      if (modern && overHttp) violation(`${CALLED_OFF} over HTTP`);
      else cancel(peer, message.params.requestId);
    } else if (method !== 'notifications/initialized' || modern) violation(`notification ${method}`);
    return;
  }
  if (!modern && !peer.initialized && !['initialize', 'ping', 'server/discover'].includes(method)) violation(`${method} before initialize`);
  try {
    say({ id, result: await serve(peer, message, say) }, 200);
  } catch (error) {
    say({ id, error: { code: error.code ?? -32603, message: error.message, data: error.data } }, error.status ?? 200);
  }
}

watch(dir, (_, file) => {
  if (file !== `${name}.change`) return;
  for (const peer of peers) {
    if (modern) for (const [id, say] of peer.listens) say({ method: CHANGED, params: stamped(id, {}) });
    else if (peer.initialized) peer.standalone?.({ method: CHANGED });
  }
});

function stdio() {
  const say = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  const peer = Object.assign(new Peer(), { standalone: say });
  peers.add(peer);
  createInterface({ input: process.stdin })
    .on('line', (line) => {
      if (line === '') violation('a line that is no message');
      else take(peer, JSON.parse(line), say);
    })
    .on('close', () => process.exit(0));
}

/** Each connection is what a process's pipe is. */
function webSocket() {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => 'mcp' });
  server.on('listening', () => console.error(`listening on ws://127.0.0.1:${server.address().port}/mcp`));
  server.on('connection', (socket) => {
    const say = (message) => socket.send(JSON.stringify({ jsonrpc: '2.0', ...message }));
    const peer = Object.assign(new Peer(), { standalone: say });
    peers.add(peer);
    socket.on('message', (data) => take(peer, JSON.parse(data.toString()), say));
    socket.on('close', () => peers.delete(peer));
  });
}

const STREAM = { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' };
const sse = (res) => (message) => {
  if (!res.headersSent) res.writeHead(200, STREAM);
  res.write(`event: message\ndata: ${JSON.stringify({ jsonrpc: '2.0', ...message })}\n\n`);
};

/** Says what belongs to one POST: as JSON when it is the answer alone, else as a stream that the answer ends. */
function replyTo(res, id, fields = {}) {
  for (const [field, value] of Object.entries(fields)) res.setHeader(field, value);
  const event = sse(res);
  const say = (message, status) => {
    const last = message.id === id && message.method === undefined;
    if (!last || res.headersSent) event(message);
    else res.writeHead(status, { 'Content-Type': 'application/json' }).write(JSON.stringify({ jsonrpc: '2.0', ...message }));
    if (last) res.end();
  };
  return Object.assign(say, { end: () => res.end() });
}

const sessions = new Map();

const refuse = (res, status, message) => res.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', error: { code: -32000, message } }));

function ofSession(req, res, method) {
  const peer = sessions.get(req.headers['mcp-session-id']);
  if (peer === undefined) {
    if (req.headers['mcp-session-id'] === undefined) refuse(res, 400, 'no session: not initialized');
    else refuse(res, 404, 'no such session');
    return undefined;
  }
  const version = req.headers['mcp-protocol-version'];
  const must = revision >= '2025-06-18';
  if (version === revision || (version === undefined && !must)) return peer;
  violation(`${method} with MCP-Protocol-Version: ${version}`);
  refuse(res, 400, `unsupported protocol version ${version}`);
  return undefined;
}

function legacyPost(req, res, message) {
  if (message.method === 'initialize') {
    const peer = new Peer();
    const session = randomUUID();
    sessions.set(session, peer);
    peers.add(peer);
    return take(peer, message, replyTo(res, message.id, { 'Mcp-Session-Id': session }));
  }
  const peer = ofSession(req, res, message.method ?? 'an answer');
  if (!peer) return undefined;
  if (message.id === undefined || message.method === undefined) res.writeHead(202).end();
  return take(peer, message, replyTo(res, message.id));
}

function modernPost(req, res, message) {
  const { method, params = {}, id } = message;
  const wants = { 'mcp-protocol-version': params._meta?.[`${PREFIX}protocolVersion`], 'mcp-method': method, 'mcp-name': method === 'tools/call' ? params.name : undefined };
  if (id === undefined) res.writeHead(202).end();
  else if (method !== 'initialize')
    for (const [field, value] of Object.entries(wants))
      if (req.headers[field] !== value) {
        violation(`${method} with ${field}: ${req.headers[field]}, not ${value}`);
        return replyTo(res, id)({ id, error: { code: -32020, message: `${field} differs from the body` } }, 400);
      }
  if (req.headers['mcp-session-id'] !== undefined) violation(`${method} with a session`);
  const peer = new Peer();
  peers.add(peer);
  res.on('close', () => {
    peers.delete(peer);
    if (!res.writableFinished) for (const call of [...peer.calls.keys()]) cancel(peer, call);
  });
  return take(peer, message, replyTo(res, id));
}

/** HTTP+SSE of 2024-11-05: a stream is a session, and its first event says where to post to. */
async function handleSse(req, res) {
  const { pathname, searchParams } = new URL(req.url, 'http://localhost');
  for (const field of ['mcp-session-id', 'mcp-protocol-version', 'mcp-method'])
    if (req.headers[field] !== undefined && pathname !== '/sse') violation(`${field}: ${req.headers[field]}`);
  if (req.method === 'GET' && pathname === '/sse') {
    const session = randomUUID();
    const say = sse(res);
    const peer = Object.assign(new Peer(), { standalone: say });
    sessions.set(session, peer);
    peers.add(peer);
    res.writeHead(200, STREAM).write(`event: endpoint\ndata: /messages?session=${session}\n\n`);
    return res.on('close', () => {
      sessions.delete(session);
      peers.delete(peer);
    });
  }
  const peer = sessions.get(searchParams.get('session'));
  if (pathname !== '/messages' || req.method !== 'POST') return res.writeHead(pathname === '/sse' ? 405 : 404).end('no such thing');
  if (!peer) return res.writeHead(404).end('no such session');
  let body = '';
  for await (const part of req.setEncoding('utf8')) body += part;
  res.writeHead(202).end('Accepted');
  return take(peer, JSON.parse(body), peer.standalone);
}

async function handle(req, res) {
  if (req.method === 'POST') {
    if (!/application\/json/.test(req.headers.accept) || !/text\/event-stream/.test(req.headers.accept)) violation(`Accept: ${req.headers.accept}`);
    let body = '';
    for await (const part of req.setEncoding('utf8')) body += part;
    return (modern ? modernPost : legacyPost)(req, res, JSON.parse(body));
  }
  if (modern) return res.writeHead(405, { Allow: 'POST' }).end();
  const peer = ofSession(req, res, req.method);
  if (!peer) return undefined;
  if (req.method === 'DELETE') {
    sessions.delete(req.headers['mcp-session-id']);
    peers.delete(peer);
    return res.writeHead(200).end();
  }
  res.writeHead(200, STREAM).flushHeaders();
  peer.standalone = sse(res);
  return res.on('close', () => (peer.standalone = undefined));
}

if (overHttp) {
  const isSse = revision === '2024-11-05';
  const server = http.createServer(isSse ? handleSse : handle);
  server.listen(0, '127.0.0.1', () => console.error(`listening on http://127.0.0.1:${server.address().port}/${isSse ? 'sse' : 'mcp'}`));
} else if (process.argv.includes('--ws')) webSocket();
else stdio();
