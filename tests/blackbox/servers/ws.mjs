// SPDX-License-Identifier: Apache-2.0
// An MCP server on stdin and stdout over WebSocket: each connection has a process of its own, each message is a line.
//
//     node ws.mjs [--tls CERT KEY] [--port N] [--deflate yes] -- COMMAND ARGS...

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createInterface } from 'node:readline';
import { WebSocketServer } from 'ws';

const args = process.argv.slice(2);
const [command, ...rest] = args.slice(args.indexOf('--') + 1);
const option = (name) => (args.includes(name) ? args.slice(args.indexOf(name) + 1) : undefined);
const tls = option('--tls');

const http = tls ? createTlsServer({ cert: readFileSync(tls[0]), key: readFileSync(tls[1]) }) : createServer();
const perMessageDeflate = option('--deflate') ? { threshold: 0 } : false;
const server = new WebSocketServer({ server: http, perMessageDeflate, handleProtocols: (names) => (names.has('mcp') ? 'mcp' : false) });

server.on('connection', (socket, request) => {
  console.error(`opened ${request.url} ${request.headers.authorization ?? ''} ${socket.extensions}`);
  const child = spawn(command, rest, { stdio: ['pipe', 'pipe', 'ignore'] });
  socket.on('message', (data) => child.stdin.write(`${data.toString()}\n`));
  createInterface({ input: child.stdout }).on('line', (line) => socket.readyState === socket.OPEN && socket.send(line));
  socket.on('close', (code) => {
    console.error(`closed ${code}`);
    child.kill('SIGKILL');
  });
  child.on('exit', () => socket.close(1011, 'the server has ended'));
});

http.listen(Number(option('--port')?.[0] ?? 0), '127.0.0.1', () => {
  console.error(`listening on ${tls ? 'wss' : 'ws'}://127.0.0.1:${http.address().port}/mcp`);
});
