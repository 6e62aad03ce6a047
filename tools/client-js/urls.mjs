// SPDX-License-Identifier: Apache-2.0
// Where a server is, from the one URL that a user gives.

import { McpClientError } from './errors.mjs';

const ENDPOINT = /(^|\/)(mcp|ws)(\/[^/]+)?\/?$/;

const withScheme = (url, scheme, secure) => {
  const copy = new URL(url);
  // The setter refuses to go from one kind of scheme to the other in some engines; a new URL does not.
  return new URL(`${secure ? `${scheme}s` : scheme}:${copy.href.slice(copy.protocol.length)}`);
};

/**
 * http://HOST is the gateway: /mcp and /ws on it. /mcp/NAME and /ws/NAME stand for each other, whichever is given, behind
 * any prefix. Any other path is taken as it is for both. A query goes along.
 */
export function endpointsOf(serverUrl) {
  let url;
  try {
    url = new URL(serverUrl, globalThis.location?.href);
  } catch (cause) {
    throw new McpClientError('protocol', `serverUrl is ${JSON.stringify(String(serverUrl))}, which is no URL: give one like http://localhost:8080`, { cause });
  }
  const secure = url.protocol === 'https:' || url.protocol === 'wss:';
  if (!secure && url.protocol !== 'http:' && url.protocol !== 'ws:') {
    throw new McpClientError('protocol', `serverUrl is ${url.href}: its scheme must be http, https, ws or wss`);
  }
  if (url.pathname === '/') url.pathname = '/mcp';
  url.hash = '';
  const at = (front, scheme) => {
    const turned = withScheme(url, scheme, secure);
    turned.pathname = turned.pathname.replace(ENDPOINT, (_, before, was, name) => `${before}${front}${name ?? ''}`);
    return turned.href;
  };
  return { http: at('mcp', 'http'), ws: at('ws', 'ws') };
}
