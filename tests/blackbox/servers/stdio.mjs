// SPDX-License-Identifier: Apache-2.0
// A small MCP server on stdin and stdout that misbehaves on request. Each tool is a way to do so; `whoami` tells the
// process and how many calls it has had.

import { createInterface } from 'node:readline';

const write = (line) => process.stdout.write(`${line}\n`);
const say = (message) => write(JSON.stringify({ jsonrpc: '2.0', ...message }));
let calls = 0;

if (process.argv.includes('--deaf')) {
  process.on('SIGTERM', () => console.error('not listening to SIGTERM'));
  setInterval(() => {}, 1000);
}
if (process.argv.includes('--die')) {
  console.error('cannot find my configuration');
  process.exit(3);
}
console.error(`started in ${process.cwd()} with KEY=${process.env.KEY} SECRET=${process.env.SECRET}`);

const text = (id, value) => say({ id, result: { content: [{ type: 'text', text: value }] } });

const tools = {
  whoami: (id) => text(id, JSON.stringify({ pid: process.pid, calls })),
  echo: (id, { message }) => text(id, message),
  // The answer comes between and behind lines that are none, in pieces, and ends with CRLF.
  junk: (id) => {
    write('Debugger listening on ws://127.0.0.1:9229');
    write('');
    write('[not, json');
    process.stdout.write(`{"jsonrpc":"2.0",\t"id":${id},`);
    setTimeout(() => process.stdout.write(`"result":{"content":[]}}\r\nand more junk\n`), 20);
  },
  long: (id) => write(JSON.stringify({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text: 'x'.repeat(11 << 20) }] } })),
  large: (id) => text(id, 'y'.repeat(9 << 20)),
  hang: () => {},
  stall: () => {
    for (;;);
  },
  die: () => process.exit(7),
  // Twenty thousand notifications that nobody has asked for, then the answer.
  flood: (id) => {
    for (let i = 0; i < 20_000; i++) say({ method: 'notifications/message', params: { level: 'info', data: `line ${i}` } });
    text(id, 'done');
  },
  babble: () => {
    for (let i = 0; i < 20_000; i++) write('babble');
  },
  progress: (id, _, token) => {
    for (let i = 1; i <= 3; i++) say({ method: 'notifications/progress', params: { progressToken: token, progress: i, total: 3 } });
    text(id, 'done');
  },
  late: (id) => setTimeout(() => text(id, 'late'), 300),
};

createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === '') return;
  const { id, method, params } = JSON.parse(line);
  if (method === 'initialize')
    say({ id, result: { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'stdio.mjs', version: '1' } } });
  else if (method === 'tools/call') {
    calls++;
    tools[params.name](id, params.arguments ?? {}, params._meta?.progressToken);
  } else if (method === 'notifications/cancelled') console.error(`cancelled ${params.requestId}`);
  else if (id !== undefined) say({ id, error: { code: -32601, message: method } });
});
