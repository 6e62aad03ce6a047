// SPDX-License-Identifier: Apache-2.0
// A streaming MCP client for browsers and Node 20. README.md shows its use, index.d.ts says what everything is.

export { McpStreamingClient } from './client.mjs';
export { McpClientPool } from './pool.mjs';
export { McpClientError, McpError } from './errors.mjs';
