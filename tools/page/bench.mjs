// SPDX-License-Identifier: Apache-2.0
// Many calls of one tool over one transport, and what came of them. No page, so that it runs wherever the client does.

import { McpClientError, McpStreamingClient } from '../client-js/index.mjs';

/**
 * Makes `calls` calls, at most `concurrency` at a time, over `transport` ('ws' or 'http') and nothing else. Gives
 * { transport, calls, errors, messages, seconds, callsPerSecond, messagesPerSecond, ttfb, jitter, p50, p95, p99, why }: times in
 * ms, those of the last 1,000 calls; `why` is the first error's text. `onStep(done)` hears of each call. After
 * `signal` no call is begun. Throws what keeps it from beginning.
 */
export async function bench({ url, transport, tool, args, calls, concurrency, signal, onStep, ...more }) {
  const client = new McpStreamingClient({ serverUrl: url, preferWs: transport === 'ws', wsRetry: 0, reconnect: false, maxInFlight: concurrency, ...more });
  try {
    await client.connect();
    if (client.transport !== transport) {
      throw new McpClientError('connection', `no WebSocket to ${url}, though HTTP gets through: a proxy in front must pass Upgrade on`);
    }
    return { transport, ...(await run(client, { tool, args, calls, concurrency, signal, onStep })) };
  } finally {
    await client.close();
  }
}

/** The names of the server's tools; with a client of its own, so that this call is none of those that are measured. */
export async function toolsOf(url) {
  const client = new McpStreamingClient({ serverUrl: url, wsRetry: 0, reconnect: false });
  try {
    return (await client.listTools()).map(({ name }) => name);
  } finally {
    await client.close();
  }
}

async function run(client, { tool, args, calls, concurrency, signal, onStep }) {
  const sum = { begun: 0, done: 0, errors: 0, messages: 0, why: undefined };
  const one = async () => {
    try {
      const result = await client.callTool(tool, args, () => sum.messages++);
      sum.messages++;
      if (result.isError) throw new Error(`the tool failed: ${result.content?.map(({ text }) => text).join(' ')}`);
    } catch (error) {
      sum.errors++;
      sum.why ??= error.message;
    }
    onStep?.(++sum.done);
  };
  const line = async () => {
    while (sum.begun < calls && !signal?.aborted) {
      sum.begun++;
      await one();
    }
  };
  const begin = performance.now();
  await Promise.all(Array.from({ length: concurrency }, line));
  return figures(client, sum, (performance.now() - begin) / 1000);
}

function figures(client, { done, errors, messages, why }, seconds) {
  const { p50, p95, p99 } = client.getStats();
  const { ttfb, avgJitter } = client.getMetrics();
  return { calls: done, errors, messages, seconds, callsPerSecond: (done - errors) / seconds, messagesPerSecond: messages / seconds, ttfb, jitter: avgJitter, p50, p95, p99, why };
}
