// SPDX-License-Identifier: Apache-2.0
// @modelcontextprotocol/server-everything over streamable HTTP, or as "sse" over HTTP+SSE of 2024-11-05, on a port of
// 127.0.0.1 that the system picks, or the one named behind. The package listens on every interface at $PORT and offers
// no other way, so its listen() is bent here.

import net from 'node:net';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const port = Number(process.argv[3] ?? 0);
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (_port, listening) {
  return listen.call(this, port, '127.0.0.1', () => {
    console.error(`listening on http://127.0.0.1:${this.address().port}/${process.argv[2] === 'sse' ? 'sse' : 'mcp'}`);
    listening?.();
  });
};

process.argv[2] ??= 'streamableHttp';
const manifest = createRequire(import.meta.url).resolve('@modelcontextprotocol/server-everything/package.json');
await import(pathToFileURL(join(dirname(manifest), 'dist/index.js')).href);
