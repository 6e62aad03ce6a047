// SPDX-License-Identifier: Apache-2.0
// Puts the parts of the page together: which element is whose.

import { readAddresses } from './addresses.mjs';
import { BenchTab } from './bench_tab.mjs';
import { Live } from './live.mjs';
import { watch } from './statistics.mjs';
import { OwnStream } from './stream.mjs';
import { startTabs } from './tabs.mjs';
import { element } from './tiles.mjs';

const by = (id) => document.getElementById(id);

/** The gateway that the page calls, as it was offered or typed. */
function urlOf() {
  const url = by('gateway-url').value.trim();
  if (!url) throw new Error('Type the URL of the gateway at the top of this page: http://HOST:PORT, as its clients reach it.');
  if (!by('gateway-url').validity.valid) throw new Error(`${url} is no URL: type one like http://127.0.0.1:8080.`);
  return url;
}

/** Offers the gateway's listeners, and the servers that it has at each. */
function offer(listening, upstreams = []) {
  const servers = upstreams.filter((name) => !name.startsWith('/') && !name.startsWith('~'));
  const urls = listening.flatMap((url) => [url, ...servers.map((name) => `${url}/mcp/${name}`)]);
  by('gateway-urls').replaceChildren(...urls.map((value) => element('option', { value })));
  if (!by('gateway-url').value) by('gateway-url').value = listening[0] ?? '';
}

/** The elements of one part, which are named PREFIX-NAME. */
const part = (prefix, ...names) => Object.fromEntries(names.map((name) => [name, by(`${prefix}-${name}`)]));

function startForms(addresses) {
  const common = ['tool', 'arguments', 'start', 'stop', 'state', 'trouble'];
  new OwnStream({ form: by('own'), ...part('own', ...common, 'transport', 'tiles', 'text') }, urlOf, addresses);
  const bench = part('bench', ...common, 'tools', 'calls', 'concurrency', 'size', 'all', 'progress', 'results');
  new BenchTab({ form: by('bench'), ...bench }, urlOf, addresses);
}

async function start() {
  startTabs(document.querySelector('[role=tablist]'));
  const live = new Live({ rows: by('streams').tBodies[0], tiles: by('tiles'), ...part('live', 'state', 'filter', 'count', 'chosen', 'title', 'figures') });
  const addresses = await readAddresses().catch((error) => {
    live.trouble(error);
    return { listening: [], admin: '' };
  });
  let offered;
  const onChange = (change) => {
    live.show(change);
    const upstreams = Object.keys(change.now.upstreams);
    if (String(upstreams) !== offered) offer(addresses.listening, upstreams);
    offered = String(upstreams);
  };
  offer(addresses.listening);
  startForms(addresses);
  watch(onChange, (error) => live.trouble(error));
}

start();
