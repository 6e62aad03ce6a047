// SPDX-License-Identifier: Apache-2.0
// A small server of revision 2026-07-28 written on @modelcontextprotocol/server 2.x, which also answers older clients
// without sessions. POST /control?aborted tells how many calls were cancelled by their client's going.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { Readable } from 'node:stream';
import { McpServer, ResourceTemplate, createMcpHandler, fromJsonSchema } from '@modelcontextprotocol/server';

let aborted = 0;

const sleep = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(new Error('cancelled'));
    });
  });

const text = (value) => ({ content: [{ type: 'text', text: value }] });
const object = (properties, required = Object.keys(properties)) => fromJsonSchema({ type: 'object', properties, required });

function build() {
  const server = new McpServer(
    { name: 'modern', version: '1.0.0' },
    { capabilities: { logging: {}, tools: { listChanged: true } }, instructions: 'Echoes, adds and counts.' },
  );

  server.registerTool('echo', { description: 'Echoes', inputSchema: object({ message: { type: 'string' } }) }, ({ message }) => text(message));

  server.registerTool(
    'add',
    { description: 'Adds', inputSchema: object({ a: { type: 'number' }, b: { type: 'number' } }) },
    ({ a, b }) => text(String(a + b)),
  );

  server.registerTool(
    'region',
    {
      description: 'Has an argument that is mirrored in a header',
      inputSchema: object({ region: { type: 'string', 'x-mcp-header': 'Region' } }),
    },
    ({ region }) => text(`region ${region}`),
  );

  server.registerTool(
    'count',
    { description: 'Counts with progress', inputSchema: object({ to: { type: 'integer' }, gap_ms: { type: 'integer' } }) },
    async ({ to, gap_ms }, ctx) => {
      const progressToken = ctx.mcpReq._meta?.progressToken;
      try {
        for (let i = 1; i <= to; i++) {
          await sleep(gap_ms, ctx.mcpReq.signal);
          if (progressToken !== undefined) {
            await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: i, total: to } });
          }
        }
      } catch (error) {
        aborted++;
        throw error;
      }
      return text(`counted to ${to}`);
    },
  );

  server.registerTool('log', { description: 'Logs', inputSchema: object({ line: { type: 'string' } }) }, async ({ line }, ctx) => {
    await ctx.mcpReq.log('warning', line, 'modern');
    return text('logged');
  });

  server.registerTool('fail', { description: 'Fails', inputSchema: object({}) }, () => {
    throw new Error('it failed, as asked');
  });

  server.registerResource('note', 'note://one', { mimeType: 'text/plain' }, (uri) => ({ contents: [{ uri: uri.href, text: 'a note' }] }));
  server.registerResource(
    'numbered',
    new ResourceTemplate('note://n/{n}', { list: undefined }),
    { mimeType: 'text/plain' },
    (uri, { n }) => ({ contents: [{ uri: uri.href, text: `note ${n}` }] }),
  );

  server.registerPrompt('greet', { description: 'Greets', argsSchema: object({ name: { type: 'string' } }) }, ({ name }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Greet ${name}.` } }],
  }));
  return server;
}

const handler = createMcpHandler(build, { keepAliveMs: 0 });

/** Over TLS when it is given a certificate. */
const { MODERN_CERT, MODERN_KEY } = process.env;
const serve = MODERN_CERT
  ? (handle) => https.createServer({ cert: readFileSync(MODERN_CERT), key: readFileSync(MODERN_KEY) }, handle)
  : http.createServer;

const server = serve(async (req, res) => {
  const url = new URL(req.url, 'http://127.0.0.1');
  if (url.pathname === '/control') {
    if (url.searchParams.has('tools-changed')) handler.notify.toolsChanged();
    res.setHeader('Content-Type', 'application/json');
    return res.end(JSON.stringify({ aborted }));
  }
  const abort = new AbortController();
  res.on('close', () => abort.abort());
  const request = new Request(url, {
    method: req.method,
    headers: Object.entries(req.headers).flatMap(([name, value]) => [value].flat().map((v) => [name, v])),
    body: ['GET', 'HEAD'].includes(req.method) ? undefined : Readable.toWeb(req),
    duplex: 'half',
    signal: abort.signal,
  });
  const response = await handler.fetch(request);
  res.writeHead(response.status, Object.fromEntries(response.headers));
  res.flushHeaders();
  if (!response.body) return res.end();
  const body = Readable.fromWeb(response.body);
  body.on('error', () => res.destroy());
  res.on('close', () => body.destroy());
  body.pipe(res);
});

server.listen(0, '127.0.0.1', () => console.error(`listening on http${MODERN_CERT ? 's' : ''}://127.0.0.1:${server.address().port}/mcp`));
