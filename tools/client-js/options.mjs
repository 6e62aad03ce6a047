// SPDX-License-Identifier: Apache-2.0
// The options with what they are when nobody says. index.d.ts says what each is for.

import { CLASSES } from './queue.mjs';
import { McpClientError } from './errors.mjs';

const DEFAULTS = {
  preferWs: true,
  enableCompression: true,
  collectMetrics: true,
  performanceMarks: false,
  binary: false,
  headers: {},
  clientInfo: { name: 'mcpgate-client', version: '0.1.0' },
  capabilities: {},
  protocolVersion: '2025-11-25',
  connectTimeout: 10_000,
  timeout: 60_000,
  totalTimeout: 600_000,
  reconnect: true,
  maxReconnects: 10,
  wsRetry: 30_000,
  maxInFlight: 128,
  maxQueued: 1024,
  receiveHigh: 256,
  receiveLow: 64,
  receiveLimit: 4096,
  batchMessages: 10,
  batchWindow: 10,
  maxMessageBytes: 16 << 20,
};

const AT_LEAST_ONE = ['connectTimeout', 'timeout', 'totalTimeout', 'maxInFlight', 'maxQueued', 'receiveHigh', 'receiveLimit', 'batchMessages', 'maxMessageBytes'];

export function optionsOf(given) {
  if (!given?.serverUrl) throw new McpClientError('protocol', 'serverUrl is missing: new McpStreamingClient({ serverUrl: "http://localhost:8080" })');
  const options = { WebSocket: globalThis.WebSocket, fetch: globalThis.fetch?.bind(globalThis), ...DEFAULTS };
  for (const [name, value] of Object.entries(given)) if (value !== undefined) options[name] = value;
  for (const name of AT_LEAST_ONE) {
    if (!(options[name] >= 1)) throw new McpClientError('protocol', `${name} is ${options[name]}: it must be a number of at least 1`);
  }
  if (given.receiveLow === undefined) options.receiveLow = Math.min(options.receiveLow, options.receiveHigh >> 2);
  if (options.receiveLow >= options.receiveHigh || options.receiveHigh > options.receiveLimit) {
    throw new McpClientError('protocol', `receiveLow < receiveHigh <= receiveLimit must hold; they are ${options.receiveLow}, ${options.receiveHigh} and ${options.receiveLimit}`);
  }
  return options;
}

export function priorityOf(priority = 'normal') {
  if (!CLASSES.includes(priority)) throw new McpClientError('protocol', `priority is ${JSON.stringify(priority)}: use ${CLASSES.join(', ')}`);
  return priority;
}
