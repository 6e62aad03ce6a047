// SPDX-License-Identifier: Apache-2.0
// The official conformance suite: what passes against the reference servers themselves (servers/conformance/) passes
// through mcpgate, in path mode and in merged mode with one upstream, over HTTP and over stdio.

import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { conform, lost, passes } from './lib/conformance.mjs';
import { promise } from './lib/world.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const program = (era) => join(here, `servers/conformance/${era}.mjs`);

/** Sanitizer builds play the newer suite against the two revisions that differ most. */
const reduced = Number(process.env.MCPGATE_TEST_SLOWNESS ?? 1) > 1;

const RUNS = [
  ['0.1', '2025-06-18', 'legacy'],
  ['0.1', '2025-11-25', 'legacy'],
  ['0.2', '2025-03-26', 'legacy'],
  ['0.2', '2025-06-18', 'legacy'],
  ['0.2', '2025-11-25', 'legacy'],
  ['0.2', '2026-07-28', 'modern'],
].filter(([suite, revision]) => !reduced || (suite === '0.2' && revision >= '2025-11-25'));

/** Of extensions, which belong to no revision. */
const EXTENSIONS = ['directory', 'enumeration', 'manifest'].map((name) => `sep-2640-skills-${name}`);

const TARGETS = ['path http', 'path stdio', 'merged http', 'merged stdio'];

async function serve(world, era) {
  const server = world.process(process.execPath, [program(era), '--http'], { name: era });
  const [, url] = await server.line(/listening on (http:\/\/\S+)/);
  return url;
}

/** What runs beside each other: a few gateways at a time, since their rings lock memory. */
const PHASES = [['direct', 'path http'], ['path stdio'], ['merged http'], ['merged stdio']];

/** A process of 2026-07-28 is shared by the clients of one worker: what the suite changes with one call in the server
 * it wants to see in the next one, so there is one worker in front of processes. */
const workersFor = (transport) => (transport === 'stdio' ? 1 : 2);

/** Starts what the targets need; gives 'target era' -> URL, and the gateways. */
async function start(world, targets, upstreams) {
  const urls = new Map();
  const gateways = [];
  for (const target of targets) {
    const [mode, transport] = target.split(' ');
    for (const era of ['legacy', 'modern']) {
      const name = `${era}-${transport}`;
      if (mode === 'direct') urls.set(`${target} ${era}`, upstreams[`${era}-http`]);
      else if (mode === 'path') {
        if (!gateways.length) gateways.push(await world.gateway({ upstreams, workers: workersFor(transport) }));
        urls.set(`${target} ${era}`, `${gateways[0].url}/mcp/${name}`);
      } else {
        gateways.push(await world.gateway({ upstreams: { [name]: upstreams[name] }, workers: workersFor(transport), args: ['--mode', 'merged'] }));
        urls.set(`${target} ${era}`, `${gateways.at(-1).url}/mcp`);
      }
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
    const results = new Map(); // 'target suite revision' -> Map of scenario -> checks
    for (const targets of PHASES) {
      const { urls, gateways } = await start(world, targets, upstreams);
      const play = (target, [suite, revision, era], scenario) => async () => {
        const key = `${target} ${suite} ${revision}`;
        const found = await conform(suite, revision, urls.get(`${target} ${era}`), scenario);
        results.set(key, new Map([...(results.get(key) ?? []), ...found]));
      };
      const jobs = targets.flatMap((target) => [
        ...RUNS.map((of) => play(target, of)),
        ...(reduced ? [] : EXTENSIONS.map((scenario) => play(target, RUNS.at(-1), scenario))),
      ]);
      await inParallel(jobs, 4);
      for (const gateway of gateways) await gateway.finish();
    }

    const problems = [];
    const rows = [['suite', 'revision', 'scenarios', 'direct', ...TARGETS]];
    for (const [suite, revision] of RUNS) {
      const direct = results.get(`direct ${suite} ${revision}`);
      const row = [suite, revision, String(direct.size), String(count(direct, (name) => passes(direct.get(name))))];
      for (const target of TARGETS) {
        const through = results.get(`${target} ${suite} ${revision}`);
        let passed = 0;
        for (const [scenario, checks] of direct) {
          const lines = lost(checks, through.get(scenario) ?? new Map());
          if (lines.length) problems.push(`${target} ${suite} ${revision} ${scenario}\n    ${lines.join('\n    ')}`);
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
