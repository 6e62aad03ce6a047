// SPDX-License-Identifier: Apache-2.0
// The official conformance suite (two pinned versions of @modelcontextprotocol/conformance) as a program that is run
// against a URL, and what its checks say. It needs Node 22.12; where the system's is older, the one of
// package.json's optionalDependencies is taken.

import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './process.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const [major, minor] = process.versions.node.split('.').map(Number);

function nodeOfSuite() {
  if (major > 22 || (major === 22 && minor >= 12)) return process.execPath;
  const manifest = createRequire(import.meta.url).resolve(`node-linux-${process.arch}/package.json`);
  return join(dirname(manifest), 'bin/node');
}

const RANK = { FAILURE: 4, WARNING: 3, SUCCESS: 2, INFO: 1, SKIPPED: 0 };

/** The statuses of one scenario: check id -> the worst that it was given, and why. */
function readChecks(file) {
  const checks = new Map();
  for (const { id, status, errorMessage } of JSON.parse(readFileSync(file, 'utf8'))) {
    const seen = checks.get(id);
    if (!seen || RANK[status] > RANK[seen.status]) checks.set(id, { status, why: errorMessage ?? '' });
  }
  return checks;
}

/** What is played: all scenarios of a revision; those that a revision requires, with those of extensions; or one. */
export const which = {
  revision: (revision) => ['--suite', 'all', '--spec-version', revision],
  requirements: (revision) => ['--requirements', revision],
  scenario: (scenario, revision, suite) => ['--scenario', scenario, ...(suite === '0.1' ? [] : ['--force']), '--spec-version', revision],
};

/** Runs one version of the suite against a URL; gives scenario -> checks. */
export async function conform(suite, played, url) {
  const dir = mkdtempSync(join(tmpdir(), 'mcpgate-conformance-'));
  const cli = join(here, `../node_modules/conformance-${suite}/dist/index.js`);
  try {
    const end = await run(nodeOfSuite(), [cli, 'server', '--url', url, ...played, '-o', dir], { ms: 90_000 });
    const results = new Map();
    for (const entry of readdirSync(dir)) {
      const [, name] = /^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/.exec(entry);
      results.set(name, readChecks(join(dir, entry, 'checks.json')));
    }
    if (!results.size) throw new Error(`the suite ran nothing against ${url}:\n${end.stdout}${end.stderr}`);
    return results;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const bad = ({ status }) => RANK[status] >= RANK.WARNING;

/** No check failed, and none warned. */
export const passes = (checks) => ![...checks.values()].some(bad);

/** The checks that pass directly and do not pass through the gateway, one line each. A check that is absent where all
 * others are fine is one that the suite itself holds to be not applicable (there is no stream to be resumed, say). */
export function lost(direct, through) {
  const lines = [];
  for (const [id, was] of direct) {
    const is = through.get(id);
    if (was.status === 'SUCCESS' && is && (bad(is) || is.status === 'SKIPPED')) lines.push(`${id}: ${is.status}: ${is.why}`);
  }
  for (const [id, is] of through) if (!direct.has(id) && bad(is)) lines.push(`${id}: ${is.status}: ${is.why}`);
  if (!through.size) lines.push('the scenario was not played');
  return lines;
}
