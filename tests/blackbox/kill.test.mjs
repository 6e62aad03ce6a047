// SPDX-License-Identifier: Apache-2.0
// Sessions of the merged server call their upstreams all the time while a worker is killed every second. A kill costs
// the calls that are open at that moment, at most; no session, and no call twice.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { program } from './lib/gateway.mjs';
import { Load } from './lib/calls.mjs';
import { long, until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const everything = join(dirname(createRequire(import.meta.url).resolve('@modelcontextprotocol/server-everything/package.json')), 'dist/index.js');
const demo = (revision) => `exec '${program('mcpgate')}' demo --stdio --revision ${revision}`;
const counts = long ? { own: 240, shared: 235, http: 475, node: 50 } : { own: 24, shared: 24, http: 46, node: 6 };
const [calls, rate] = long ? [100_000, 2000] : [4_000, 400];
const MS = long ? 600_000 : 60_000;

/** A server on stdin and stdout that logs every line that reaches it, in a file of its own. */
const logged = (dir, name, command) => `stdio:sh -c "tee -a '${dir}/${name}'.$$.log | ${command}"`;

/** What reached the processes of an upstream: the messages of one each. */
const told = (dir, name) =>
  readdirSync(dir).filter((file) => file.startsWith(name)).map((file) => readFileSync(join(dir, file), 'utf8').split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line)));

/** How often each token's call was made at an upstream. */
function executions(dir) {
  const ran = new Map();
  for (const { method, params } of told(dir, '').flat()) if (method === 'tools/call') ran.set(params.arguments.message, (ran.get(params.arguments.message) ?? 0) + 1);
  return ran;
}

async function open(load, count) {
  const sessions = [];
  await Promise.all(Array.from({ length: Math.min(count, 16) }, async () => {
    while (sessions.length < count) {
      const at = sessions.push(undefined) - 1;
      sessions[at] = await load.session('/mcp');
    }
  }));
  return sessions;
}

promise('sessions live on while a worker is killed every second, and no call is made twice', async (world) => {
  const dir = world.directory();
  const remote = await world.gateway({ upstreams: { d: logged(dir, 'http', demo('2025-11-25')) }, workers: 1, args: ['--stdio-share', 'shared'] });
  // A process of its own for each session, one for all, one behind HTTP, and a real one for each session.
  const upstreams = {
    own: logged(dir, 'own', demo('2025-11-25')),
    shared: logged(dir, 'shared', demo('2026-07-28')),
    http: `${remote.url}/mcp/d`,
    node: logged(dir, 'node', `'${process.execPath}' '${everything}' stdio | exec cat`), // cat: node would make its stdout, and so tee's stdin, non-blocking
  };
  const gateway = await world.gateway({ upstreams, workers: 4, args: ['--stdio-max', '600'] });
  const load = new Load(gateway.port);
  world.atEnd(() => load.close());
  const made = await Promise.all(Object.keys(upstreams).map((name) => open(load, counts[name])));
  const sessions = Object.keys(upstreams).flatMap((name, i) => made[i].map((session) => [session, `${name}__echo`, name === 'node' ? 'Echo: ' : '']));
  for (let at = 0; at < sessions.length; at += 50) await Promise.all(sessions.slice(at, at + 50).map((s) => load.call(...s)));
  assert.deepEqual({ failed: load.failed, faults: load.faults }, { failed: [], faults: [] }, 'before any kill');

  let kills = 0;
  let broken = 0;
  const killing = setInterval(async () => {
    const workers = gateway.children('worker');
    if (workers.length) broken += await load.kill(workers[kills++ % workers.length].pid);
  }, 1000);
  try {
    await load.run(calls, rate, () => sessions[Math.floor(Math.random() * sessions.length)]);
  } finally {
    clearInterval(killing);
  }
  await until('all workers are back', () => load.dying === 0 && gateway.children('worker').length === 4);
  const failed = load.failed.splice(0);
  console.log(`# ${load.answered} answered in ${load.took.toFixed(1)} s; ${kills} kills broke ${broken} connections; ${load.inFlight} calls were in flight, ${failed.length} failed`);
  assert.deepEqual(load.faults, []);
  assert.ok(kills >= Math.floor(calls / rate) - 1, `${kills} kills`);
  assert.deepEqual(failed.filter(({ wasKilled }) => !wasKilled), [], 'only what was in flight at a kill has failed');
  assert.ok(failed.length <= load.inFlight);
  assert.ok(broken >= kills, 'connections are spread over all workers');

  for (let at = 0; at < sessions.length; at += 50) await Promise.all(sessions.slice(at, at + 50).map((s) => load.call(...s)));
  assert.deepEqual({ failed: load.failed, faults: load.faults }, { failed: [], faults: [] }, 'at the end every session is usable');
  await load.close();
  for (const name of ['own', 'node']) {
    const greetings = told(dir, `${name}.`).map((messages) => messages.filter(({ method }) => method === 'initialize').length).filter((n) => n > 0);
    // Besides those of the sessions there is one of each worker, for its lists.
    assert.ok(greetings.every((n) => n === 1), 'no process is greeted twice');
    // A worker that cannot start on a busy machine lends its sessions to a sibling, which has none of its processes.
    const deaths = gateway.process.stderr.match(/worker \d+ \(pid \d+\) died after/g).length;
    assert.ok(greetings.length >= counts[name] && (deaths > kills || greetings.length <= counts[name] + 4), `${name}: ${greetings.length} processes for ${counts[name]} sessions`);
  }
  const ran = executions(dir);
  assert.deepEqual([...ran].filter(([, times]) => times > 1), [], 'nothing ran twice');
  assert.ok(ran.size >= load.answered && ran.size <= load.issued, `${load.answered} answered, ${ran.size} ran, ${load.issued} were made`);
}, { ms: MS });
