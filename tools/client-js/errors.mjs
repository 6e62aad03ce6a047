// SPDX-License-Identifier: Apache-2.0
// What goes wrong, in two kinds: what the server answered, and what kept an answer from coming.

/** The server answered with a JSON-RPC error. */
export class McpError extends Error {
  name = 'McpError';

  constructor({ code, message, data }) {
    super(message ?? `the server answered with error ${code} and no message`);
    this.code = code;
    this.data = data;
  }
}

/**
 * There is no answer. `kind` is one of connection, session, lost, timeout, cancelled, overflow, protocol, closed;
 * `unsent`: it is certain that the server has not acted on the request, so that it may be sent again.
 */
export class McpClientError extends Error {
  name = 'McpClientError';

  constructor(kind, message, { cause, unsent = false } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
    this.unsent = unsent;
  }
}

/** Fetch hides the reason in `cause`, which for several addresses is an AggregateError without a message. */
export function reasonOf(error) {
  const cause = error?.cause;
  if (cause?.errors?.length) return reasonOf(cause.errors[0]);
  if (cause instanceof Error && cause.message) return cause.message;
  return error?.message || String(error);
}

const REFUSED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT']);

/** Whether fetch failed before there was a connection. Browsers do not say; then it is taken for sent. */
export function neverConnected(error) {
  const cause = error?.cause;
  return REFUSED.has(cause?.code) || (cause?.errors?.length > 0 && cause.errors.every(({ code }) => REFUSED.has(code)));
}
