// SPDX-License-Identifier: Apache-2.0
// Clients of every revision, over HTTP and over WebSocket, with servers of every revision, over HTTP, stdio and WebSocket: each cell
// of tests/matrix/expected.txt is played and must come out as it says there. Both sides are strict (lib/revision.mjs,
// servers/revision.mjs). Over HTTP, 2024-11-05 is HTTP+SSE at either end.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as revisions from './lib/revision.mjs';
import { limit, sleep, until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const program = join(here, 'servers/revision.mjs');
const SSE = '2024-11-05';
const TRANSPORTS = ['http', 'stdio', 'ws'];

/** Pairs whose cells do not do yet what they must: 'form transport client server' -> why. One that works is an error. */
const known = new Map([]);

/** Clients over HTTP, and over WebSocket. */
const FORMS = {
  http: { front: (revision) => (revision === SSE ? 'sse' : 'mcp'), clientOf: revisions.clientOf },
  ws: { front: () => 'ws', clientOf: revisions.wsClientOf },
};

function readExpected() {
  const lines = readFileSync(join(here, '../matrix/expected.txt'), 'utf8').split('\n').map((line) => line.trim()).filter((line) => line && !line.startsWith('#'));
  const [, ...revisions] = lines.shift().split(/\s+/);
  const rows = Object.keys(FORMS).flatMap((form) => lines.map((line) => [form, line]));
  const cells = rows.flatMap(([form, line]) => {
    const [feature, transport, client, ...outcomes] = line.split(/\s+/);
    assert.equal(outcomes.length, revisions.length, line);
    return outcomes.map((cell, i) => {
      const pair = `${form} ${transport} ${client} ${revisions[i]}`;
      return { form, feature, transport, client, server: revisions[i], expected: cell.split(':')[0], pair, key: `${feature} ${pair}` };
    });
  });
  return { revisions, cells };
}

/** What the servers have told. */
class Told {
  constructor(dir) {
    this.dir = dir;
  }

  all(server) {
    const text = readFileSync(join(this.dir, `${server}.log`), 'utf8');
    return text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  }

  has(server, key, value) {
    return until(() => `${server} tells ${key} ${value}`, () => this.all(server).some((entry) => entry[key] === value), 8_000);
  }
}

const textOf = ({ result, error }) => {
  assert.ok(result, JSON.stringify(error));
  return result.content[0].text;
};

/** Each plays a feature and gives the outcome that the client sees; whatever else it sees is an error. */
const features = {
  async list({ client, has }) {
    const { result, error } = await client.ask('tools/list');
    assert.ok(result, JSON.stringify(error));
    assert.deepEqual(result.tools.map(({ name }) => name), has);
    client.checkResult(result, true);
    return 'works';
  },

  async call({ client }) {
    for (const message of ['first', 'Grüße, 世界 "\\ \u0001']) {
      const answer = await client.ask('tools/call', { name: 'echo', arguments: { message } });
      assert.equal(textOf(answer), message);
      client.checkResult(answer.result);
    }
    return 'works';
  },

  async progress({ client }) {
    for (const progressToken of ['token', 7]) {
      const { id, messages } = await client.begin('tools/call', { name: 'count', arguments: {}, _meta: { progressToken } });
      assert.equal(textOf(await messages.answer(id)), 'counted');
      const seen = messages.all.filter((m) => m.method === 'notifications/progress').map(({ params }) => [params.progressToken, params.progress]);
      assert.deepEqual(seen, [1, 2, 3].map((progress) => [progressToken, progress]));
      messages.close();
    }
    return 'works';
  },

  async cancel({ client, server, told, tag }) {
    const hanging = await client.begin('tools/call', { name: 'hang', arguments: { tag }, _meta: { progressToken: tag } });
    await told.has(server, 'hanging', tag);
    await hanging.messages.find('progress of the call', (m) => m.params?.progressToken === tag);
    await client.cancel(hanging);
    await told.has(server, 'cancelled', tag);
    hanging.messages.close();
    assert.equal(textOf(await client.ask('tools/call', { name: 'echo', arguments: { message: 'on' } })), 'on');
    return 'works';
  },

  async elicitation({ client }) {
    const end = await client.answering('ask', { action: 'accept', content: { name: 'Ada' } });
    if (end.error?.code === -32602) return 'absent';
    client.checkResult(end.result);
    if (end.result.isError) {
      assert.match(textOf(end), /elicitation/);
      return 'refused';
    }
    assert.equal(textOf(end), 'hello Ada');
    assert.ok(end.asked);
    return 'works';
  },

  async 'change-notice'({ client, server, told }) {
    const { messages, check } = await client.listen();
    const end = Date.now() + limit(8_000);
    const is = (m) => m.method === 'notifications/tools/list_changed';
    while (!messages.all.some(is) && Date.now() < end) {
      writeFileSync(join(told.dir, `${server}.change`), ''); // again: the stream at the server may not be open yet
      await sleep(100);
    }
    check(await messages.find('the change notice', is, 0));
    messages.close();
    return 'works';
  },
};

const nameOf = (transport, revision) => `${transport}-${revision}`;

/** Every server that can be had, behind one gateway. */
async function build(world, revisions) {
  const dir = world.directory();
  const upstreams = {};
  for (const revision of revisions) {
    for (const transport of TRANSPORTS) {
      const name = nameOf(transport, revision);
      const args = ['--revision', revision, '--dir', dir, '--name', name];
      writeFileSync(join(dir, `${name}.log`), '');
      if (transport === 'stdio') {
        upstreams[name] = `stdio:'${process.execPath}' '${program}' ${args.join(' ')}`;
      } else {
        const server = world.process(process.execPath, [program, ...args, `--${transport}`], { name });
        [, upstreams[name]] = await server.line(/listening on (\S+)/);
      }
    }
  }
  const gateway = await world.gateway({ upstreams, args: ['--mode', 'path'] });
  return { gateway, told: new Told(dir) };
}

/** The cells by client and server. */
function pairsOf(cells) {
  const pairs = new Map();
  for (const cell of cells) {
    if (!pairs.has(cell.pair)) pairs.set(cell.pair, []);
    pairs.get(cell.pair).push(cell);
  }
  return [...pairs.values()];
}

/** All features of one client with one server. */
async function playPair({ gateway, told }, cells) {
  const [{ form, client: revision, transport, server: serverRevision }] = cells;
  const server = nameOf(transport, serverRevision);
  const { front, clientOf } = FORMS[form];
  const client = new (clientOf(revision))(gateway, `/${front(revision)}/${server}`, revision);
  const has = serverRevision >= '2025-06-18' ? ['echo', 'count', 'hang', 'ask'] : ['echo', 'count', 'hang'];
  let unopened;
  await client.open().catch((error) => (unopened = error));
  for (const cell of cells) {
    try {
      if (unopened) throw unopened;
      cell.seen = await features[cell.feature]({ client, server, told, has, tag: cell.key });
    } catch (error) {
      cell.seen = 'fails';
      cell.why = error.message;
    }
  }
  await client.close();
}

function table(revisions, cells) {
  const lines = [];
  for (const feature of Object.keys(features)) {
    for (const transport of TRANSPORTS) {
      lines.push(`${`${feature}, ${transport}`.padEnd(22)}${revisions.map((r) => r.padEnd(12)).join('')}`);
      for (const client of revisions) {
        const row = revisions.map((server) => cells.find((c) => c.key === `${feature} http ${transport} ${client} ${server}`));
        lines.push(`  client ${client.padEnd(13)}${row.map((c) => (c.seen ?? '-').padEnd(12)).join('')}`);
      }
    }
  }
  return lines;
}

promise('every client reaches every server as the matrix says', async (world, t) => {
  const { revisions, cells } = readExpected();
  const stage = await build(world, revisions);
  const pairs = pairsOf(cells);
  await Promise.all(Array.from({ length: 4 }, async () => {
    for (let pair; (pair = pairs.shift()); ) await playPair(stage, pair);
  }));

  const good = cells.filter((cell) => cell.seen === cell.expected);
  for (const line of table(revisions, cells)) t.diagnostic(line);
  const same = good.filter(({ form }) => form === 'ws').length;
  t.diagnostic(`${good.length - same} of ${cells.length / 2} cells are as they must be for clients over HTTP, ${same} for clients over WebSocket`);
  for (const [pair, why] of known) t.diagnostic(`known: ${pair}: ${why}`);

  const wrong = cells.filter((cell) => (cell.seen !== cell.expected) !== known.has(cell.pair));
  assert.deepEqual(wrong.map(({ key, expected, seen, why }) => `${key}: ${seen}, not ${expected}${why ? `: ${why}` : ''}`), []);
  const names = new Set(cells.map(({ transport, server }) => nameOf(transport, server)));
  const violations = [...names].flatMap((name) => stage.told.all(name).filter((entry) => entry.violation).map((entry) => `${name}: ${entry.violation}`));
  assert.deepEqual([...new Set(violations)], []);
}, { ms: 300_000 });
