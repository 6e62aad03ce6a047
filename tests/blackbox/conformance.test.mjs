// SPDX-License-Identifier: Apache-2.0
// The official conformance suite: what passes against the reference servers themselves (servers/conformance/) passes
// through mcpgate, in path mode and in merged mode with one upstream, over HTTP and over stdio.

import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { conform, lost, passes, which } from './lib/conformance.mjs';
import { promise } from './lib/world.mjs';

const here = dirname(fileURLToPath(import.meta.url));

/** Servers: how each is started. `strict` speaks no older revision than 2026-07-28. */
const SERVERS = { legacy: ['legacy.mjs'], modern: ['modern.mjs'], strict: ['modern.mjs', '--strict'] };
const started = ([program, ...flags]) => [join(here, 'servers/conformance', program), ...flags];

/** Sanitizer builds play the newer suite against the two revisions that differ most. */
const reduced = Number(process.env.MCPGATE_TEST_SLOWNESS ?? 1) > 1;

/** What the suite calls the requirements of 2026-07-28 are all of its scenarios, and those of tasks; those of skills
 * have to be asked for one by one. */
const SKILLS = ['directory', 'enumeration', 'manifest'].map((name) => which.scenario(`sep-2640-skills-${name}`, '2026-07-28', '0.2'));
const of = (suite, revision, server = 'legacy', played = [which.revision(revision)]) => ({ suite, revision, server, played, own: `${suite} ${revision}`, title: `${suite} ${revision} ${server}` });
const RUNS = [
  of('0.1', '2025-06-18'),
  of('0.1', '2025-11-25'),
  of('0.2', '2025-03-26'),
  of('0.2', '2025-06-18'),
  of('0.2', '2025-11-25'),
  of('0.2', '2026-07-28', 'modern', [which.requirements('2026-07-28'), ...(reduced ? [] : SKILLS)]),
  // Across the eras: what passes with a server of the scenarios' own passes with one of the other.
  of('0.2', '2025-11-25', 'strict'),
  of('0.2', '2026-07-28', 'legacy'),
].filter(({ suite, revision }) => !reduced || (suite === '0.2' && revision >= '2025-11-25'));
const isAcross = ({ revision, server }) => (server === 'legacy') === (revision === '2026-07-28') && server !== 'modern';

/** What cannot pass across: a server of an older revision does not name its questions, and puts one at a time. */
const INHERENT = new Set(['basic-elicitation', 'ignore-extra-params', 'multiple-input-requests'].map((name) => `input-required-result-${name}`));

const TARGETS = ['path http', 'path stdio', 'merged http', 'merged stdio'];

/** What runs beside each other: a few gateways at a time, since their rings lock memory. */
const PHASES = [
  { targets: ['direct', 'path http', 'path stdio'], servers: ['modern', 'legacy', 'strict'] },
  { targets: ['merged http', 'merged stdio'], servers: ['modern'] },
  { targets: ['merged http', 'merged stdio'], servers: ['legacy'] },
  { targets: ['merged http', 'merged stdio'], servers: ['strict'] },
];

/** A process of 2026-07-28 is shared by the clients of one worker: what the suite changes with one call in the server
 * it wants to see in the next one, so there is one worker in front of processes. */
const workersFor = (transport) => (transport === 'stdio' ? 1 : 2);

async function serve(world, name, how) {
  const server = world.process(process.execPath, [...started(how), '--http'], { name });
  const [, url] = await server.line(/listening on (http:\/\/\S+)/);
  return url;
}

/** Starts what the targets need; gives 'target server' -> URL, and the gateways. */
async function start(world, { targets, servers }, upstreams) {
  const urls = new Map();
  const gateways = [];
  const gateway = async (transport, options) => {
    // The older suite leaves its sessions behind, each with a process; the newer one waits 600 ms for some replies,
    // which is no time to start one in.
    const args = transport === 'stdio' ? ['--stdio-max', '160', '--stdio-reserve', '2'] : [];
    gateways.push(await world.gateway({ workers: workersFor(transport), ...options, args: [...args, ...(options.args ?? [])] }));
    return gateways.at(-1).url;
  };
  for (const target of targets) {
    const [mode, transport] = target.split(' ');
    const path = mode === 'path' && (await gateway(transport, { upstreams: Object.fromEntries(Object.entries(upstreams).filter(([name]) => name.endsWith(transport))) }));
    for (const server of servers) {
      const name = `${server}-${transport}`;
      if (mode === 'direct') urls.set(`${target} ${server}`, upstreams[`${server}-http`]);
      else if (path) urls.set(`${target} ${server}`, `${path}/mcp/${name}`);
      else urls.set(`${target} ${server}`, `${await gateway(transport, { upstreams: { [name]: upstreams[name] }, args: ['--mode', 'merged'] })}/mcp`);
    }
  }
  return { urls, gateways };
}

/** Works off the jobs, so many at a time. */
async function inParallel(jobs, width) {
  const left = jobs.slice();
  const work = async () => {
    for (let job; (job = left.shift()); ) await job();
  };
  await Promise.all(Array.from({ length: width }, work));
}

/** What a target lost of a run: scenario -> lines, and the scenarios that are compared. */
function compare(results, target, run) {
  const across = isAcross(run);
  const through = results.get(`${target} ${run.title}`);
  const asked = results.get(`${TARGETS[0]} ${run.title}`);
  const mine = [...results.get(run.own)].filter(([scenario]) => !across || asked.has(scenario));
  return mine.map(([scenario, checks]) => ({
    scenario,
    checks,
    lines: lost(checks, through.get(scenario) ?? new Map()),
    expected: across && INHERENT.has(scenario) && run.revision === '2026-07-28',
  }));
}

const count = (results, of) => [...results.entries()].filter(([name]) => of(name)).length;

function table(rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) => row.map((cell, i) => (i < 3 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')).join('\n');
}

promise(
  'the conformance suite passes through mcpgate wherever it passes directly',
  async (world, t) => {
    const upstreams = {};
    for (const [server, how] of Object.entries(SERVERS)) {
      upstreams[`${server}-http`] = await serve(world, server, how);
      upstreams[`${server}-stdio`] = `stdio:${[process.execPath, ...started(how)].map((arg) => `'${arg}'`).join(' ')}`;
    }
    const results = new Map(); // 'target run' -> scenario -> checks
    for (const phase of PHASES) {
      const { urls, gateways } = await start(world, phase, upstreams);
      const play = (target, run, played) => async () => {
        const key = target === 'direct' ? run.own : `${target} ${run.title}`;
        const found = await conform(run.suite, played, urls.get(`${target} ${run.server}`));
        results.set(key, new Map([...(results.get(key) ?? []), ...found]));
      };
      const runs = RUNS.filter(({ server }) => phase.servers.includes(server)).reverse(); // the longest first
      const targetsOf = (run) => phase.targets.filter((target) => target !== 'direct' || !isAcross(run));
      await inParallel(runs.flatMap((run) => run.played.flatMap((played) => targetsOf(run).map((target) => play(target, run, played)))), 4);
      // The suite waits 600 ms for some replies, and four of them share this machine with the servers that they make
      // start: what got lost in the crowd is played once more with nothing beside it, and said.
      for (const run of runs)
        for (const target of targetsOf(run).filter((name) => name !== 'direct'))
          for (const { scenario, lines, expected } of compare(results, target, run)) {
            if (!lines.length || expected) continue;
            t.diagnostic(`again, alone: ${target} ${run.title} ${scenario}: ${lines.join('; ')}`);
            await play(target, run, which.scenario(scenario, run.revision, run.suite))();
          }
      for (const gateway of gateways) await gateway.finish();
    }

    const problems = [];
    const rows = [['suite', 'revision', 'server', 'scenarios', 'direct', ...TARGETS]];
    for (const run of RUNS) {
      const { suite, revision, title } = run;
      const direct = results.get(run.own);
      const rowOf = TARGETS.map((target) => ({ target, compared: compare(results, target, run) }));
      const row = [suite, revision, run.server, String(rowOf[0].compared.length), isAcross(run) ? '' : String(count(direct, (name) => passes(direct.get(name))))];
      for (const { target, compared } of rowOf) {
        for (const { scenario, lines, expected } of compared) {
          if (lines.length && !expected) problems.push(`${target} ${title} ${scenario}\n    ${lines.join('\n    ')}`);
          if (!lines.length && expected) problems.push(`${target} ${title} ${scenario} passes: it was thought to be impossible`);
        }
        row.push(String(compared.filter(({ lines, checks }) => !lines.length && passes(checks)).length));
      }
      rows.push(row);
    }
    for (const line of table(rows).split('\n')) t.diagnostic(line);
    assert.equal(problems.length, 0, problems.join('\n'));
  },
  { ms: 240_000 },
);
