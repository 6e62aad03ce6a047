// SPDX-License-Identifier: Apache-2.0
// The official conformance suite: what passes against the reference servers themselves (servers/conformance/) passes
// through mcpgate, in path mode and in merged mode with one upstream, over HTTP and over stdio.

import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { conform, lost, passes, which } from './lib/conformance.mjs';
import { promise } from './lib/world.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const program = (era) => join(here, `servers/conformance/${era}.mjs`);

/** Sanitizer builds play the newer suite against the two revisions that differ most. */
const reduced = Number(process.env.MCPGATE_TEST_SLOWNESS ?? 1) > 1;

/** What the suite calls the requirements of 2026-07-28 are all of its scenarios, and those of tasks; those of skills
 * have to be asked for one by one. */
const SKILLS = ['directory', 'enumeration', 'manifest'].map((name) => which.scenario(`sep-2640-skills-${name}`, '2026-07-28'));
const of = (suite, revision, era = 'legacy', played = [which.revision(revision)]) => ({ suite, revision, era, played, title: `${suite} ${revision}` });
const RUNS = [
  of('0.1', '2025-06-18'),
  of('0.1', '2025-11-25'),
  of('0.2', '2025-03-26'),
  of('0.2', '2025-06-18'),
  of('0.2', '2025-11-25'),
  of('0.2', '2026-07-28', 'modern', [which.requirements('2026-07-28'), ...(reduced ? [] : SKILLS)]),
].filter(({ suite, revision }) => !reduced || (suite === '0.2' && revision >= '2025-11-25'));

const TARGETS = ['path http', 'path stdio', 'merged http', 'merged stdio'];

/** What runs beside each other: a few gateways at a time, since their rings lock memory. */
const PHASES = [
  { targets: ['direct', 'path http', 'path stdio'], eras: ['modern', 'legacy'] },
  { targets: ['merged http', 'merged stdio'], eras: ['modern'] },
  { targets: ['merged http', 'merged stdio'], eras: ['legacy'] },
];

/** A process of 2026-07-28 is shared by the clients of one worker: what the suite changes with one call in the server
 * it wants to see in the next one, so there is one worker in front of processes. */
const workersFor = (transport) => (transport === 'stdio' ? 1 : 2);

async function serve(world, era) {
  const server = world.process(process.execPath, [program(era), '--http'], { name: era });
  const [, url] = await server.line(/listening on (http:\/\/\S+)/);
  return url;
}

/** Starts what the targets need; gives 'target era' -> URL, and the gateways. */
async function start(world, { targets, eras }, upstreams) {
  const urls = new Map();
  const gateways = [];
  const gateway = async (transport, options) => {
    gateways.push(await world.gateway({ workers: workersFor(transport), ...options }));
    return gateways.at(-1).url;
  };
  for (const target of targets) {
    const [mode, transport] = target.split(' ');
    const path = mode === 'path' && (await gateway(transport, { upstreams }));
    for (const era of eras) {
      const name = `${era}-${transport}`;
      if (mode === 'direct') urls.set(`${target} ${era}`, upstreams[`${era}-http`]);
      else if (path) urls.set(`${target} ${era}`, `${path}/mcp/${name}`);
      else urls.set(`${target} ${era}`, `${await gateway(transport, { upstreams: { [name]: upstreams[name] }, args: ['--mode', 'merged'] })}/mcp`);
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

const count = (results, of) => [...results.entries()].filter(([name]) => of(name)).length;

function table(rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) => row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')).join('\n');
}

promise(
  'the conformance suite passes through mcpgate wherever it passes directly',
  async (world, t) => {
    const upstreams = {};
    for (const era of ['legacy', 'modern']) {
      upstreams[`${era}-http`] = await serve(world, era);
      upstreams[`${era}-stdio`] = `stdio:'${process.execPath}' '${program(era)}'`;
    }
    const results = new Map(); // 'target suite revision' -> scenario -> checks
    for (const phase of PHASES) {
      const { urls, gateways } = await start(world, phase, upstreams);
      const play = (target, { suite, era, title }, played) => async () => {
        const key = `${target} ${title}`;
        const found = await conform(suite, played, urls.get(`${target} ${era}`));
        results.set(key, new Map([...(results.get(key) ?? []), ...found]));
      };
      const runs = RUNS.filter(({ era }) => phase.eras.includes(era));
      runs.reverse(); // the longest first
      await inParallel(runs.flatMap((run) => run.played.flatMap((played) => phase.targets.map((target) => play(target, run, played)))), 4);
      for (const gateway of gateways) await gateway.finish();
    }

    const problems = [];
    const rows = [['suite', 'revision', 'scenarios', 'direct', ...TARGETS]];
    for (const { suite, revision, title } of RUNS) {
      const direct = results.get(`direct ${title}`);
      const row = [suite, revision, String(direct.size), String(count(direct, (name) => passes(direct.get(name))))];
      for (const target of TARGETS) {
        const through = results.get(`${target} ${title}`);
        let passed = 0;
        for (const [scenario, checks] of direct) {
          const lines = lost(checks, through.get(scenario) ?? new Map());
          if (lines.length) problems.push(`${target} ${title} ${scenario}\n    ${lines.join('\n    ')}`);
          else if (passes(checks)) passed++;
        }
        row.push(String(passed));
      }
      rows.push(row);
    }
    for (const line of table(rows).split('\n')) t.diagnostic(line);
    assert.equal(problems.length, 0, problems.join('\n'));
  },
  { ms: 240_000 },
);
