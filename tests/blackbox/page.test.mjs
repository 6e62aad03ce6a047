// SPDX-License-Identifier: Apache-2.0
// The page of the admin listener, in a real Chromium: what it shows is what happens, and what it says helps.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';
import { McpStreamingClient } from '../../tools/client-js/index.mjs';
import { Browser } from './lib/browser.mjs';
import { RawClient } from './lib/raw.mjs';
import { until } from './lib/wait.mjs';
import { promise } from './lib/world.mjs';

let browser;
before(async () => (browser = await Browser.start()));
after(() => browser?.close());

/** The page of this gateway in a tab of its own; by default where the admin listener says it is. */
async function open(world, gateway, at = `${gateway.admin}/ui/`) {
  const page = await browser.page();
  world.atEnd(() => page.close());
  await page.open(at);
  await page.shows('#live-state', /generation 1, up .* 2 workers/);
  return page;
}

const number = (text) => Number(text.replaceAll(',', ''));

const TYPES = { html: 'text/html; charset=utf-8', css: 'text/css; charset=utf-8', mjs: 'text/javascript; charset=utf-8', svg: 'image/svg+xml' };

promise('every file of the page and of the client is served as it is in the tree', async (world) => {
  const gateway = await world.gateway();
  let served = 0;
  for (const [prefix, directory] of [['ui', 'page'], ['client-js', 'client-js']]) {
    const path = fileURLToPath(new URL(`../../tools/${directory}/`, import.meta.url));
    for (const name of readdirSync(path)) {
      const type = TYPES[name.split('.')[1]];
      if (!type) continue;
      const reply = await fetch(`${gateway.admin}/${prefix}/${name}`);
      assert.equal(reply.status, 200, `${prefix}/${name}: is it in src/gate/meson.build?`);
      assert.equal(reply.headers.get('content-type'), type);
      assert.equal(reply.headers.get('cache-control'), 'no-cache');
      assert.equal(await reply.text(), readFileSync(path + name, 'utf8'), name);
      served++;
    }
  }
  assert.ok(served > 20, `${served} files`);
  const page = await fetch(gateway.admin);
  assert.equal(page.url, `${gateway.admin}/ui/`);
  assert.match(await page.text(), /<title>mcpgate<\/title>/);
  assert.match(page.headers.get('content-security-policy'), /default-src 'self'.*frame-ancestors 'none'/);
});

promise('a copy that still holds is confirmed, other methods and names are refused', async (world) => {
  const gateway = await world.gateway();
  const { hostname, port } = new URL(gateway.admin);
  const raw = await RawClient.connect({ host: hostname, port: Number(port) });
  world.atEnd(() => raw.close());
  const ask = (line, ...fields) => raw.ask([`${line} HTTP/1.1`, 'Host: localhost', ...fields, '', ''].join('\r\n'), { method: line.split(' ')[0] });
  const first = await ask('GET /ui/main.mjs');
  const etag = first.head.get('etag');
  assert.match(etag, /^"[0-9a-f]{16}"$/);
  for (const same of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const again = await ask('GET /ui/main.mjs', `If-None-Match: ${same}`);
    assert.equal(again.status, 304, same);
    assert.equal(again.head.get('etag'), etag);
    assert.equal(again.body.length, 0);
  }
  for (const other of ['"other"', etag.slice(1, -1)]) assert.equal((await ask('GET /ui/main.mjs', `If-None-Match: ${other}`)).status, 200, other);
  const head = await ask('HEAD /ui/main.mjs');
  assert.equal(head.status, 200);
  assert.equal(Number(head.head.get('content-length')), first.body.length);
  assert.equal((await ask('GET /ui/embed')).status, 404);
  assert.equal((await ask('GET /ui/../main.mjs')).status, 404);
  const post = await ask('POST /ui/', 'Content-Length: 0');
  assert.equal(post.status, 405);
  assert.equal(post.head.get('allow'), 'GET, HEAD');
});

promise('/stats.json is what mcpstat --json says, /addresses.json where clients connect', async (world) => {
  const socket = `${world.directory()}/clients.sock`;
  const gateway = await world.gateway({ listen: ['127.0.0.1:0', `unix:${socket}`, '127.0.0.2:0'] });
  const reply = await fetch(`${gateway.admin}/stats.json`);
  assert.equal(reply.headers.get('content-type'), 'application/json');
  const shape = (value) => (value !== null && typeof value === 'object' && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, shape(one)])) : typeof value);
  const { gateway: said, totals } = await reply.json();
  const direct = JSON.parse(await gateway.mcpstat('--json'));
  assert.deepEqual(shape(said), shape(direct.gateway));
  assert.deepEqual(Object.keys(totals), Object.keys(direct.totals));
  const addresses = await (await fetch(`${gateway.admin}/addresses.json`)).json();
  assert.deepEqual(addresses, { listening: gateway.listening.filter((url) => url.startsWith('http:')), admin: gateway.admin });
  assert.equal(addresses.listening.length, 2);
  for (const path of ['stats.json', 'addresses.json', 'ui/']) {
    assert.equal((await fetch(`${gateway.admin}/${path}`, { headers: { origin: 'https://evil.example' } })).status, 403, path);
  }
});

promise('Live shows what the workers count, and the stream that is chosen, until it ends', async (world) => {
  const gateway = await world.gateway();
  const page = await open(world, gateway);
  await page.shows('#live-count', /none is open/);
  const client = new McpStreamingClient({ serverUrl: gateway.url, WebSocket });
  world.atEnd(() => client.close());
  await client.connect();
  const done = new AbortController();
  const call = client.callTool('slow_count', { to: 1000, interval_ms: 20 }, () => {}, { signal: done.signal }).catch((error) => error);
  await page.shows('#tiles-streams', /^1$/);
  await page.shows('#tiles-events', /^[1-9][\d.,]*\/s$/);
  await page.shows('#tiles-gateway', /(µs|ms)$/);
  assert.match(await page.run(() => document.querySelector('#tiles svg').getAttribute('aria-label')), /^Requests: highest .* of \d+ values$/);
  const [{ id }] = JSON.parse(await gateway.mcpstat('--json')).streams;
  assert.match(await page.text('#streams tbody'), new RegExp(`^${id}\\s+demo\\s`));
  await page.click('#streams tbody button');
  await page.shows('#live-title', new RegExp(`^Stream ${id}: demo, `));
  await page.shows('#live-figures-events', /^[1-9][\d.,]*\/s$/);
  const [, events] = await page.shows('#live-figures-sum', /^([1-9][\d,]*)$/);
  await until('its events grow', async () => number(await page.text('#live-figures-sum')) > number(events) + 10);
  await page.fill('#live-filter', 'no such stream');
  await page.run(() => document.querySelector('#live-filter').dispatchEvent(new Event('input')));
  await page.shows('#live-count', /^0 of 1/);
  done.abort();
  await call;
  await client.close();
  await page.shows('#live-title', new RegExp(`^Stream ${id} has ended$`));
  assert.deepEqual(page.problems, []);
});

promise('a stream of one\'s own shows what its client measures, over either transport, and can be stopped', async (world) => {
  const gateway = await world.gateway();
  const page = await open(world, gateway);
  assert.equal(await page.run(() => document.querySelector('#gateway-url').value), gateway.url);
  for (const [transport, shown] of [['any', 'WebSocket'], ['http', 'HTTP with SSE']]) {
    await page.run((value) => (document.querySelector('#own-transport').value = value), transport);
    await page.fill('#own-arguments', '{"prompt": "x", "words": 40, "tokens_per_second": 200}');
    await page.click('#own-start');
    await page.shows('#own-state', /^ended$/);
    assert.equal(await page.text('#own-tiles-transport'), shown);
    assert.equal(await page.text('#own-tiles-messages'), '40');
    for (const figure of ['ttfb', 'jitter', 'p50', 'p95', 'p99']) assert.match(await page.text(`#own-tiles-${figure}`), /^[\d.]+ (µs|ms|s)$/, figure);
    assert.ok((await page.text('#own-text')).split(' ').length >= 40);
  }
  await page.fill('#own-arguments', '{"prompt": "x", "words": 2000, "tokens_per_second": 10}');
  await page.click('#own-start');
  await page.shows('#own-tiles-messages', /^[1-9]/);
  await page.click('#own-stop');
  await page.shows('#own-state', /^stopped$/);
  assert.deepEqual(page.problems, []);
});

promise('Benchmark runs a tool over both transports and shows them side by side', async (world) => {
  const gateway = await world.gateway();
  const page = await open(world, gateway, `${gateway.admin}/ui/#benchmark`);
  await page.fill('#bench-calls', '60');
  await page.fill('#bench-size', '5000');
  await page.click('#bench-start');
  await page.shows('#bench-state', /^done$/);
  const table = () => page.run(() => [...document.querySelectorAll('#bench-results tbody tr')].map((row) => [...row.cells].map((cell) => cell.innerText)));
  const of = Object.fromEntries((await table()).map(([name, ...values]) => [name, values]));
  assert.deepEqual(of.Calls, ['60', '60']);
  assert.deepEqual(of.Failed, ['0', '0']);
  for (const name of ['Duration', 'Time to first message, mean', 'A call, p50', 'A call, p95', 'A call, p99']) for (const value of of[name]) assert.match(value, /^[\d.]+ (µs|ms|s)$/, name);
  for (const value of of['Calls per second']) assert.ok(number(value.replace('/s', '')) > 0, value);
  assert.match(await page.text('#bench-results caption'), /^echo, 60 calls, 4 at a time, 5,000 bytes, http:/);
  assert.equal(await gateway.metric('mcp_requests', { mcp_method: 'tools/call' }), 120);
  assert.ok((await gateway.metric('client_received')) > 120 * 5000);

  await page.fill('#bench-tool', 'slow_count');
  assert.match(await page.run(() => document.querySelector('#bench-arguments').value), /"to": 20/);
  await page.fill('#bench-calls', '10');
  await page.click('[name=transport][value=http]');
  await page.click('#bench-start');
  await page.shows('#bench-results caption', /^slow_count/);
  await page.shows('#bench-state', /^done$/);
  const streamed = Object.fromEntries((await table()).map(([name, ...values]) => [name, values]));
  assert.match(streamed['Jitter, mean'][0], /(µs|ms)$/);
  assert.deepEqual(streamed.Calls, ['10', '–'], 'only what was chosen');
  assert.deepEqual(page.problems, []);
});

promise('Run all plays each case over both transports', async (world) => {
  const gateway = await world.gateway();
  const page = await open(world, gateway, `${gateway.admin}/ui/#benchmark`);
  await page.click('#bench-all');
  await page.shows('#bench-state', /^done$/, 40_000);
  const tables = await page.run(() => [...document.querySelectorAll('#bench-results table')].map(({ caption, rows }) => [caption.innerText, ...[...rows].slice(1).map((row) => [...row.cells].map((cell) => cell.innerText))]));
  assert.deepEqual(tables.map(([caption]) => caption.split(',')[0]), ['echo', 'echo', 'echo', 'slow_count']);
  for (const [caption, calls, failed, ...figures] of tables) {
    assert.deepEqual(calls.slice(1), Array(2).fill(caption.match(/, ([\d,]+) calls/)[1]), caption);
    assert.deepEqual(failed, ['Failed', '0', '0'], caption);
    for (const [name, ...values] of figures) {
      if (name !== 'Jitter, mean' || caption.startsWith('slow_count')) assert.ok(values.every((value) => /^[\d.,]+( (µs|ms|s)|\/s)$/.test(value)), `${caption}: ${name} ${values}`);
    }
  }
  assert.deepEqual(page.problems, []);
});

promise('a benchmark can be stopped, and says what was done', async (world) => {
  const gateway = await world.gateway();
  const page = await open(world, gateway, `${gateway.admin}/ui/#benchmark`);
  await page.fill('#bench-calls', '100000');
  await page.click('#bench-start');
  await page.shows('#bench-state', /^echo over WebSocket/);
  await gateway.untilMetric('mcp_requests', (n) => n > 10, { labels: { mcp_method: 'tools/call' } });
  await page.click('#bench-stop');
  await page.shows('#bench-state', /^stopped$/);
  const [, calls] = await page.shows('#bench-results tbody', /^Calls\s+([\d,]+)\s+–/);
  assert.ok(number(calls) < 100_000, calls);
  assert.equal(await gateway.metric('mcp_requests', { mcp_method: 'tools/call' }), number(calls));
});

promise('what keeps the page from calling is said with the way out', async (world) => {
  const gateway = await world.gateway();
  const { port } = new URL(gateway.admin);
  const elsewhere = `http://localhost:${port}`;
  const page = await open(world, gateway, `${elsewhere}/ui/#benchmark`);
  const trouble = async (pattern) => {
    await page.click('#bench-start');
    await page.shows('#bench-trouble', pattern);
  };
  await trouble(new RegExp(`answers, but not to pages of ${elsewhere}: start the gateway with --allow-origin ${elsewhere}, or open this page as ${gateway.admin}/ui/`));
  await page.click('#tab-live');
  await page.click('#own-start');
  await page.shows('#own-trouble', new RegExp(`--allow-origin ${elsewhere}`));

  const allowed = await world.gateway({ args: ['--allow-origin', elsewhere] });
  await page.click('#tab-benchmark');
  await page.fill('#gateway-url', allowed.url);
  await page.fill('#bench-calls', '5');
  await page.click('#bench-start');
  await page.shows('#bench-state', /^done$/);
  assert.equal(await page.text('#bench-trouble'), '');

  await page.fill('#bench-tool', 'nothing');
  await trouble(/The server has no tool "nothing"\. It has: .*echo/);
  await page.fill('#bench-arguments', '{"text": ');
  await trouble(/^The arguments are no JSON: .*Type an object like/);
  await page.fill('#gateway-url', `${allowed.url}/mcp/nobody`);
  await page.fill('#bench-arguments', '{}');
  await trouble(/\/mcp\/nobody answers: no route, upstream or session has this name/);
  await page.fill('#gateway-url', 'http://127.0.0.1:1');
  await trouble(new RegExp(`^Nothing answers at http://127\\.0\\.0\\.1:1\\. This gateway listens on ${gateway.url}\\.$`));
  await page.fill('#gateway-url', 'localhost');
  await trouble(/^localhost is no URL: type one like/);
  await page.fill('#gateway-url', '');
  await trouble(/^Type the URL of the gateway/);
});

promise('a gateway on all addresses is offered by the name that the page has', async (world) => {
  const upstream = await world.load();
  const gateway = await world.gateway({ listen: ['0.0.0.0:0', '127.0.0.1:0'], upstreams: { search: `${upstream.url}/mcp` } });
  const page = await open(world, gateway);
  const offered = () => page.run(() => [...document.querySelectorAll('#gateway-urls option')].map(({ value }) => value));
  const [all, local] = gateway.listening.map((url) => url.replace('0.0.0.0', '127.0.0.1'));
  await until('the servers are offered, too', async () => (await offered()).length === 4);
  assert.deepEqual(await offered(), [all, `${all}/mcp/search`, local, `${local}/mcp/search`]);
  assert.equal(await page.run(() => document.querySelector('#gateway-url').value), all);
});

promise('the page goes on through a reload, and offers what is new', async (world) => {
  const upstream = await world.load();
  const servers = (...names) => JSON.stringify({ mcpServers: Object.fromEntries(names.map((name) => [name, { url: `${upstream.url}/mcp` }])) });
  const config = world.file('mcp.json', servers('first'));
  const gateway = await world.gateway({ args: ['--config', config] });
  const page = await open(world, gateway);
  writeFileSync(config, servers('first', 'second'));
  gateway.process.kill('SIGHUP');
  await page.shows('#live-state', /generation 2, up .* 2 workers/);
  await until('the new server is offered', () => page.run((value) => document.querySelector(`#gateway-urls option[value="${value}"]`) !== null, `${gateway.url}/mcp/second`));
  await page.shows('#tiles-requests', /\/s$/);
});

promise('the page says when the gateway is gone', async (world) => {
  const gateway = await world.gateway();
  const page = await open(world, gateway);
  const { code } = await gateway.process.stop('SIGTERM', 40_000);
  assert.equal(code, 0);
  await page.shows('#live-state', /^No statistics: .*Is mcpgate running\? The page goes on trying\.$/);
});

promise('the keyboard is enough', async (world) => {
  const gateway = await world.gateway();
  const page = await open(world, gateway);
  const focused = () => page.run(() => document.activeElement.id);
  const visible = () => page.run(() => [...document.querySelectorAll('[role=tabpanel]')].filter((panel) => panel.checkVisibility()).map(({ id }) => id));
  const tabTo = async (id) => {
    for (let i = 0; i < 40 && (await focused()) !== id; i++) await page.key('Tab');
    assert.equal(await focused(), id);
  };
  await tabTo('tab-live');
  await page.key('ArrowRight');
  assert.equal(await focused(), 'tab-benchmark');
  assert.deepEqual(await visible(), ['benchmark']);
  assert.equal(await page.run(() => location.hash), '#benchmark');
  await page.key('ArrowRight');
  assert.deepEqual(await visible(), ['live'], 'around');
  await page.key('End');
  assert.deepEqual(await visible(), ['benchmark']);
  await tabTo('bench-calls');
  await page.run(() => document.activeElement.select());
  await page.send('Input.insertText', { text: '3' });
  await page.key('Enter');
  await page.shows('#bench-state', /^done$/);
  await page.shows('#bench-results caption', /^echo, 3 calls/);
});

promise('it can be read in light and in dark', async (world) => {
  const gateway = await world.gateway();
  const page = await open(world, gateway);
  const grounds = new Set();
  for (const scheme of ['light', 'dark']) {
    await page.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
    const colours = await page.run(() => {
      const style = getComputedStyle(document.documentElement);
      return Object.fromEntries(['ground', 'raised', 'text', 'faint', 'accent', 'trouble'].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    });
    grounds.add(colours.ground);
    // WCAG 2.2, 1.4.3: 4.5 to 1 for text.
    for (const ink of ['text', 'faint', 'accent', 'trouble']) {
      for (const paper of ['ground', 'raised']) assert.ok(contrast(colours[ink], colours[paper]) >= 4.5, `${scheme}: ${ink} on ${paper} is ${contrast(colours[ink], colours[paper])}`);
    }
  }
  assert.equal(grounds.size, 2);
  const names = await page.run(() => [...document.querySelectorAll('input, select, textarea, button')].filter((one) => !one.labels?.length && !one.textContent.trim()).map(({ id }) => id));
  assert.deepEqual(names, [], 'every control has a name');
});

/** WCAG's, of two colours like #1f6a93. */
function contrast(one, other) {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[0-9a-f]{2}/g).map((part) => parseInt(part, 16) / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}
