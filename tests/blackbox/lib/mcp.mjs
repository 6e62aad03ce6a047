// SPDX-License-Identifier: Apache-2.0
// MCP messages as bytes, for tests that do not want an SDK in between.

export const CRLF = '\r\n';

export const get = (target, ...fields) => [`GET ${target} HTTP/1.1`, 'Host: gate.test', ...fields, '', ''].join(CRLF);

export const post = (target, body, ...fields) =>
  [
    `POST ${target} HTTP/1.1`,
    'Host: gate.test',
    'Content-Type: application/json',
    'Accept: application/json, text/event-stream',
    `Content-Length: ${Buffer.byteLength(body)}`,
    ...fields,
    '',
    body,
  ].join(CRLF);

export const request = (id, method, params) => JSON.stringify({ jsonrpc: '2.0', id, method, params });
export const ping = request(7, 'ping');
export const call = (id, name, args = {}) => request(id, 'tools/call', { name, arguments: args });

/** The same of 2026-07-28. */
export const modernCall = (id, name, args = {}) => request(id, 'tools/call', {
  name,
  arguments: args,
  _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} },
});

/** The head of an SSE reply as a server of the SDK sends it. */
export const STREAM = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n';

export const chunk = (text) => {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from(CRLF)]);
};

export const event = (data, id) => chunk(`${id === undefined ? '' : `id: ${id}\n`}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
