// SPDX-License-Identifier: Apache-2.0
// Where the gateway is for this browser, and why a call of the page's did not get through.

import { McpClientError, McpError } from '../client-js/index.mjs';
import { endpointsOf } from '../client-js/urls.mjs';

const PROBE_LIMIT_MS = 3000;

/** A listener on all addresses is reached by the name that the admin listener was reached by. */
function reachable(listener) {
  const url = new URL(listener);
  if (url.hostname === '0.0.0.0' || url.hostname === '[::]') url.hostname = location.hostname;
  return url.origin;
}

/** { listening: origins of the gateway, admin: the one that the gateway lets in without being told }. */
export async function readAddresses() {
  const reply = await fetch('/addresses.json', { cache: 'no-store' });
  if (!reply.ok) throw new Error(`/addresses.json answered with status ${reply.status}`);
  const { listening, admin } = await reply.json();
  return { listening: listening.map(reachable), admin };
}

async function answers(url, mode) {
  try {
    await fetch(url, { mode, cache: 'no-store', signal: AbortSignal.timeout(PROBE_LIMIT_MS) });
    return true;
  } catch {
    return false;
  }
}

function originRefused(at, admin) {
  const ours = location.origin;
  const elsewhere = admin && admin !== ours && !/\/\/(0\.0\.0\.0|\[::\])(:|$)/.test(admin) ? `, or open this page as ${admin}/ui/` : '';
  return `${at} answers, but not to pages of ${ours}: start the gateway with --allow-origin ${ours}${elsewhere}.`;
}

/** One line with the way out, for what a client of this page ran into. */
export async function explain(error, url, { listening, admin }) {
  if (error instanceof McpError) return `${endpointsOf(url).http} answers: ${error.message}`;
  if (!(error instanceof McpClientError) || error.kind !== 'connection' || /\bstatus \d/.test(error.message)) return error.message;
  const { http } = endpointsOf(url);
  const at = new URL(http).origin;
  // A reply that this page may not read tells that it was the Origin; it shows in no other way.
  if (await answers(http, 'cors')) return error.message;
  if (await answers(http, 'no-cors')) return originRefused(at, admin);
  const known = listening.length > 0 ? ` This gateway listens on ${listening.join(' and ')}.` : ' This gateway listens on no TCP address: type the URL of the proxy in front of it.';
  return `Nothing answers at ${at}.${known}`;
}
