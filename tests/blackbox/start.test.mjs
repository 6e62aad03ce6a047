// SPDX-License-Identifier: Apache-2.0
// What keeps mcpgate from starting is told in one line that names the thing, the value and the way out.

import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { program } from './lib/gateway.mjs';
import { ping, post } from './lib/mcp.mjs';
import { run } from './lib/process.mjs';
import { RawClient } from './lib/raw.mjs';
import { promise } from './lib/world.mjs';

const here = dirname(fileURLToPath(import.meta.url));

/** Starts mcpgate where it must not start; gives its one line. */
async function refused(world, args, { through = [] } = {}) {
  const dir = world.directory();
  chmodSync(dir, 0o777);
  const all = [program('mcpgate'), '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--workers', '1', '--run-dir', join(dir, 'run'), '--state-dir', join(dir, 'state'), ...args];
  const command = [...through, ...all];
  const { code, stdout, stderr } = await run(command[0], command.slice(1), { ms: 20_000 });
  assert.notEqual(code, 0, `it started\n${stderr}`);
  assert.equal(stdout, '');
  const lines = stderr.trimEnd().split('\n');
  assert.equal(lines.length, 1, `more than one line:\n${stderr}`);
  return lines[0];
}

promise('a port in use is named', async (world) => {
  const taken = net.createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  world.atEnd(() => taken.close());
  const { port } = taken.address();
  const line = await refused(world, ['--listen', `127.0.0.1:${port}`]);
  assert.match(line, new RegExp(String(port)));
  assert.match(line, /in use/i);
});

promise('a second gateway in the run directory is refused, and the first does not notice', async (world) => {
  const gateway = await world.gateway();
  const line = await refused(world, ['--run-dir', gateway.runDir]);
  assert.ok(line.includes(gateway.runDir), line);
  assert.match(line, /--run-dir/);
  assert.equal((await gateway.ask(post('/mcp', ping))).status, 200);
});

const wrong = {
  'an unknown flag': [['--lisen', '127.0.0.1:1'], /--lisen/],
  'a value out of range': [['--workers', '0'], /--workers.*0/],
  'a value that is no duration': [['--heartbeat', 'soon'], /--heartbeat.*soon/],
  'an address that is none': [['--listen', 'nonsense'], /nonsense/],
  'a missing file': [['--config', '/nonexistent/mcp.json'], /\/nonexistent\/mcp\.json/],
  'an upstream without a URL': [['--upstream', 'x'], /--upstream.*x/],
  'CAs that are not there': [['--upstream', 'x=https://127.0.0.1/mcp', '--upstream-ca', '/nonexistent/ca.pem'], /\/nonexistent\/ca\.pem/],
  'a stdio upstream without a program': [['--upstream', 'x=stdio:'], /no program/],
  'an upstream name that cannot be in a path': [['--upstream', 'a/b=http://127.0.0.1/mcp'], /a\/b/],
};
for (const [name, [args, pattern]] of Object.entries(wrong)) {
  promise(`refused at start: ${name}`, async (world) => assert.match(await refused(world, args), pattern));
}

promise('a file that is no JSON is named with line and column', async (world) => {
  const file = world.file('mcp.json', '{\n  "mcpServers": {,}\n}\n');
  const line = await refused(world, ['--config', file]);
  assert.ok(line.includes(file), line);
  assert.match(line, /2/);
});

promise('io_uring forbidden by seccomp', async (world) => {
  const line = await refused(world, [], { through: ['python3', join(here, 'lib/no_io_uring.py')] });
  assert.match(line, /io_uring/);
  assert.match(line, /seccomp/);
});

promise('too few descriptors', async (world) => {
  const line = await refused(world, [], { through: ['prlimit', '--nofile=24:24'] });
  assert.match(line, /descriptors|RLIMIT_NOFILE|LimitNOFILE|nofile/i);
});

// Only a kernel that charges rings to RLIMIT_MEMLOCK can refuse for it; on others an unprivileged start works.
promise('too little locked memory, as an unprivileged user: one line, or it serves', async (world) => {
  const dir = world.directory();
  mkdirSync(join(dir, 'run'));
  chmodSync(dir, 0o777);
  if (process.getuid() === 0) chownSync(join(dir, 'run'), 65534, 65534);
  const unprivileged = process.getuid() === 0 ? ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'] : [];
  const command = ['prlimit', '--memlock=16384:16384', ...unprivileged, program('mcpgate'), '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--workers', '1', '--run-dir', join(dir, 'run'), '--state-dir', join(dir, 'state')];
  const p = world.process(command[0], command.slice(1));
  const [line] = await p.line(/.*(memlock|MEMLOCK|locked memory|ready: listening).*/);
  if (line.includes('ready')) return;
  const { code } = await p.exit;
  assert.notEqual(code, 0);
  assert.equal(p.stderr.trimEnd().split('\n').length, 1, p.stderr);
});

for (const [admin, address] of Object.entries({ 'with an admin process': '127.0.0.1:0', 'without one': 'off' })) {
  promise(`an OpenSSL without the sessions' cipher is named, ${admin}`, async (world) => {
    const file = world.file('openssl.cnf', 'openssl_conf = all\n[all]\nproviders = some\n[some]\nbase = base\n[base]\nactivate = 1\n');
    const line = await refused(world, ['--admin', address], { through: ['env', `OPENSSL_CONF=${file}`] });
    assert.match(line, /AES-256-GCM/);
    assert.match(line, /openssl\.cnf/);
  });
}

promise('--check tells whether a configuration is good, and starts nothing', async (world) => {
  const file = world.file('mcp.json', JSON.stringify({ mcpServers: { a: { url: 'http://127.0.0.1:1/mcp' } } }));
  const good = await run(program('mcpgate'), ['--check', '--config', file]);
  assert.equal(good.code, 0, good.stderr);
  writeFileSync(file, JSON.stringify({ mcpServers: { a: { url: 'gopher://x' } } }));
  const bad = await run(program('mcpgate'), ['--check', '--config', file]);
  assert.notEqual(bad.code, 0);
  assert.match(bad.stderr, /gopher/);
});

promise('what --print-config prints can be read back', async (world) => {
  const args = ['--listen', '127.0.0.1:1234', '--heartbeat', '7s', '--upstream', 'a=http://127.0.0.1:1/mcp,http://127.0.0.1:2/mcp', '--route', '/r=http://127.0.0.1:3/x'];
  const first = await run(program('mcpgate'), [...args, '--print-config']);
  assert.equal(first.code, 0, first.stderr);
  const file = world.file('mcp.json', first.stdout);
  const second = await run(program('mcpgate'), ['--config', file, '--print-config']);
  assert.equal(second.code, 0, second.stderr);
  assert.equal(second.stdout, first.stdout);
});

promise('a file in the ecosystem\'s form starts a gateway', async (world) => {
  const upstream = await world.upstream();
  const file = world.file('mcp.json', JSON.stringify({ mcpServers: { a: { type: 'http', url: `${upstream.url}/mcp`, headers: { Authorization: 'Bearer s' } } }, mcpgate: { heartbeat: '7s' } }));
  const gateway = await world.gateway({ args: ['--config', file] });
  assert.equal((await gateway.ask(post('/mcp/a', ping))).status, 200);
  assert.equal(upstream.requests[0].head.get('authorization'), 'Bearer s');
});

promise('--help and --version go to stdout and end with 0', async () => {
  for (const name of ['mcpgate', 'mcpstat', 'mcpload']) {
    for (const flag of ['--help', '--version']) {
      const { code, stdout, stderr } = await run(program(name), [flag]);
      assert.equal(code, 0, `${name} ${flag}: ${stderr}`);
      assert.ok(stdout.length > 5, `${name} ${flag}`);
      assert.equal(stderr, '');
    }
  }
});

promise('it listens on several addresses at once: IPv4, IPv6 and unix', async (world) => {
  const path = join(world.directory(), 'gate.sock');
  const gateway = await world.gateway({ listen: ['127.0.0.1:0', '[::1]:0', `unix:${path}`] });
  const six = gateway.listening.find((url) => url.includes('[::1]'));
  for (const target of [gateway.port, { host: '::1', port: Number(new URL(six).port) }, { path }]) {
    const client = await RawClient.connect(target);
    world.atEnd(() => client.close());
    assert.equal((await client.ask(post('/mcp', ping))).status, 200);
  }
});

promise('ps shows each process\'s role and slot', async (world) => {
  const gateway = await world.gateway();
  const roles = gateway.children().map(({ command }) => command);
  for (const role of ['worker', 'admin', 'resolve']) assert.ok(roles.some((command) => command.includes(role)), `${role} in\n${roles.join('\n')}`);
  assert.equal(new Set(roles).size, roles.length, 'they can be told apart');
});

promise('ps shows the supervisor by its title, whatever it was executed as, with all its arguments behind', async (world) => {
  const gateway = await world.gateway({ through: ['bash', '-c', 'exec -a m "$@"', 'bash'], args: ['--heartbeat', '7s'] });
  const line = readFileSync(`/proc/${gateway.pid}/cmdline`, 'utf8').replace(/\0+$/, '');
  assert.ok(line.startsWith('mcpgate: supervisor --'), line);
  assert.ok(line.endsWith('--heartbeat 7s'), line);
  assert.equal((await gateway.ask(post('/mcp', ping))).status, 200);
});
