// SPDX-License-Identifier: Apache-2.0
// What a client of the official SDK 1.x does with the reference server (@modelcontextprotocol/server-everything),
// whichever way it reaches it.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const everything = join(dirname(createRequire(import.meta.url).resolve('@modelcontextprotocol/server-everything/package.json')), 'dist/index.js');

/** How it is started on stdin and stdout. */
export const REFERENCE = [process.execPath, everything, 'stdio'];
export const referenceUrl = `stdio:${REFERENCE.map((arg) => `'${arg}'`).join(' ')}`;

/** Lists, calls, progress, a large message, many at once, a question that the client answers with "said". */
export async function useReference(client) {
  assert.ok((await client.listTools()).tools.some(({ name }) => name === 'echo'));
  const progress = [];
  await client.callTool({ name: 'trigger-long-running-operation', arguments: { duration: 0.4, steps: 4 } }, undefined, { onprogress: (p) => progress.push(p.progress) });
  assert.deepEqual(progress.slice(0, 3), [1, 2, 3]);
  const message = 'Grüße '.repeat(50_000);
  assert.ok((await client.callTool({ name: 'echo', arguments: { message } })).content[0].text.includes(message));
  const many = await Promise.all(Array.from({ length: 100 }, (_, i) => client.callTool({ name: 'echo', arguments: { message: `number ${i}` } })));
  many.forEach((result, i) => assert.match(result.content[0].text, new RegExp(`number ${i}$`)));
  assert.match(JSON.stringify(await client.callTool({ name: 'trigger-sampling-request', arguments: { prompt: 'say', maxTokens: 9 } })), /said/);
  await client.ping();
}
