// SPDX-License-Identifier: Apache-2.0
// What everything is. Times are milliseconds.

export type Priority = 'critical' | 'high' | 'normal' | 'low';
export type TransportKind = 'ws' | 'http';
export type State = 'idle' | 'connecting' | 'connected' | 'reconnecting' | 'closed';
export type ProgressToken = string | number;

export interface ProgressValue {
  progress: number;
  total?: number;
  message?: string;
  [key: string]: unknown;
}

export interface Notification {
  jsonrpc: '2.0';
  method: string;
  params?: Record<string, unknown>;
}

export interface ContentPart {
  type: string;
  text?: string;
  data?: string;
  mimeType?: string;
  [key: string]: unknown;
}

export interface ToolResult {
  content: ContentPart[];
  structuredContent?: unknown;
  /** The tool itself failed; what it says of that is the content. No error is thrown. */
  isError?: boolean;
  _meta?: Record<string, unknown>;
  [key: string]: unknown;
}

export interface Tool {
  name: string;
  title?: string;
  description?: string;
  inputSchema: Record<string, unknown>;
  outputSchema?: Record<string, unknown>;
  [key: string]: unknown;
}

export interface InitializeResult {
  protocolVersion: string;
  capabilities: Record<string, unknown>;
  serverInfo: { name: string; version: string; [key: string]: unknown };
  instructions?: string;
  [key: string]: unknown;
}

/** A constructor with the interface of the browser's WebSocket: that of the `ws` package, for one. */
export type WebSocketConstructor = new (url: string, protocols?: string | string[], ...more: any[]) => {
  readonly readyState: number;
  readonly bufferedAmount: number;
  send(data: any): void;
  close(code?: number, reason?: string): void;
};

/** Called with what came; where it gives a promise, the next comes when that is settled. */
type Receiver<Args extends unknown[]> = (...args: Args) => void | PromiseLike<void>;

/** What every client of a pool has in common. */
export interface SharedOptions {
  /** WebSocket first, HTTP where that does not work. Default true; without a WebSocket implementation it is HTTP. */
  preferWs?: boolean;
  /** Offer compression. Default true. Browsers decide for themselves. */
  enableCompression?: boolean;
  /** Measure ttfb and avgJitter. Default true. */
  collectMetrics?: boolean;
  /** Put each call into the performance timeline, the last 1,000 at most. Default false. */
  performanceMarks?: boolean;
  /** Send binary WebSocket frames instead of text. Both are received. Default false. */
  binary?: boolean;
  /** Default globalThis.WebSocket. Node 20 has none: pass that of the `ws` package. */
  WebSocket?: WebSocketConstructor | null;
  /** Default globalThis.fetch. */
  fetch?: typeof fetch;
  /** Further header fields; over WebSocket only where the implementation is that of the `ws` package. */
  headers?: Record<string, string>;
  clientInfo?: { name: string; version: string; [key: string]: unknown };
  capabilities?: Record<string, unknown>;
  /** Default '2025-11-25'; a server may settle on an older one. */
  protocolVersion?: string;

  /** Until a connection is open, and then until the handshake is done. Default 10,000. */
  connectTimeout?: number;
  /** Of a call, without a word of it: progress starts it anew. Default 60,000. */
  timeout?: number;
  /** Of a call from its making to its end. Default 600,000. */
  totalTimeout?: number;
  /** Default true. */
  reconnect?: boolean;
  /** Attempts in a row after which what waits is rejected; the next call begins anew. Default 10. */
  maxReconnects?: number;
  /** How long after falling back to HTTP WebSocket is tried again, up to 16 times as long later; 0: never. Default 30,000. */
  wsRetry?: number;

  /** Calls under way; the others wait, by priority. Default 128. */
  maxInFlight?: number;
  /** Calls that wait; one more is rejected (kind 'overflow'). Default 1,024. */
  maxQueued?: number;
  /** Received messages waiting for one callback, at which the connection is not read. Default 256. */
  receiveHigh?: number;
  /** ... at which it is read again. Default 64, or a quarter of receiveHigh. */
  receiveLow?: number;
  /** ... at which the newest gives way to the next, where the connection cannot be paused. Default 4,096. */
  receiveLimit?: number;
  /** Most messages of a batch for onBatch. Default 10. */
  batchMessages?: number;
  /** How long a batch waits to be full. Default 10. */
  batchWindow?: number;
  /** Default 16 MiB. */
  maxMessageBytes?: number;

  /** Every notification, progress included. */
  onNotification?: Receiver<[Notification]>;
  /** The same in batches. */
  onBatch?: Receiver<[Notification[]]>;
  /** What the server asks (elicitation, sampling, roots); gives the result. Name these in `capabilities`. */
  onRequest?: (method: string, params?: Record<string, unknown>) => unknown;
  onStateChange?: (change: { state: State; transport: TransportKind | null; reason?: Error }) => void;
  /** What has no call to be told to: an exception in a callback, a notification stream that broke off. */
  onError?: (error: unknown) => void;
}

export interface ClientOptions extends SharedOptions {
  /** http://HOST:PORT is all of the gateway (/mcp, /ws); .../mcp/NAME or .../ws/NAME one server of it. */
  serverUrl: string | URL;
}

export interface RequestOptions {
  /** Which call is sent first, and what the gateway is told (Priority, _meta). Default 'normal'. */
  priority?: Priority;
  /** May run twice: it is sent again when its connection is lost. Default false. */
  idempotent?: boolean;
  signal?: AbortSignal;
  timeout?: number;
  totalTimeout?: number;
  /** Default: one of the client's own. */
  progressToken?: ProgressToken;
  /** For progress in batches; it takes the place of onProgress. */
  onBatch?: Receiver<[{ token: ProgressToken; value: ProgressValue }[]]>;
  onProgress?: OnProgress;
}

export type OnProgress = Receiver<[token: ProgressToken, value: ProgressValue]>;

/** Of the last 1,000 calls. */
export interface Stats {
  calls: number;
  errors: number;
  /** null while no call has succeeded. */
  p50: number | null;
  p95: number | null;
  p99: number | null;
  /** Calls that succeeded, per second, from the first's begin to the last's end. */
  throughput: number;
}

export interface Metrics {
  /** Mean over the last 1,000 calls of the time from sending to the first message; null before the first. */
  ttfb: number | null;
  /** That of the latest call. */
  lastTtfb: number | null;
  /** Mean over the last 1,000 of |gap - gap before| between the messages of a call. */
  avgJitter: number | null;
  transport: TransportKind | null;
  state: State;
  protocolVersion: string | null;
  messagesSent: number;
  messagesReceived: number;
  /** Connections that took the place of lost ones. */
  reconnects: number;
  /** SSE streams asked for again with Last-Event-ID. */
  resumptions: number;
  /** From WebSocket to HTTP, and back. */
  fallbacks: number;
  upgrades: number;
  batches: number;
  /** How often reading was stopped because callbacks were slow. */
  pauses: number;
  /** Messages that gave way at receiveLimit. */
  dropped: number;
  /** The most that waited for one callback. */
  queuePeak: number;
  /** Calls sent, calls waiting, messages waiting for callbacks: now. */
  inFlight: number;
  queued: number;
  received: number;
}

export class McpStreamingClient {
  constructor(options: ClientOptions);
  readonly state: State;
  readonly transport: TransportKind | null;
  readonly serverInfo: InitializeResult | null;
  /** Calls that are waiting or under way. */
  readonly pending: number;
  /** Opens a connection and does the handshake. Calls do so by themselves. */
  connect(): Promise<void>;
  /** What the server said in the handshake. */
  initialize(): Promise<InitializeResult>;
  callTool(name: string, args?: Record<string, unknown>, onProgress?: OnProgress | null, options?: RequestOptions): Promise<ToolResult>;
  callTool(name: string, args: Record<string, unknown>, options: RequestOptions): Promise<ToolResult>;
  request<Result = unknown>(method: string, params?: Record<string, unknown>, options?: RequestOptions): Promise<Result>;
  /** All pages. */
  listTools(): Promise<Tool[]>;
  notify(method: string, params?: Record<string, unknown>): Promise<void>;
  getStats(): Stats;
  getMetrics(): Metrics;
  /** Rejects what is open, and ends the session. */
  close(): Promise<void>;
}

export interface PoolOptions extends SharedOptions {
  servers: (string | URL | ClientOptions)[];
  /** To each server. Default 1. */
  connections?: number;
}

/** Clients of servers that are as good as each other. A call goes where the fewest are, and to another where that is safe. */
export class McpClientPool {
  constructor(options: PoolOptions);
  connect(): Promise<void>;
  initialize(): Promise<InitializeResult | null>;
  callTool(name: string, args?: Record<string, unknown>, onProgress?: OnProgress | null, options?: RequestOptions): Promise<ToolResult>;
  callTool(name: string, args: Record<string, unknown>, options: RequestOptions): Promise<ToolResult>;
  request<Result = unknown>(method: string, params?: Record<string, unknown>, options?: RequestOptions): Promise<Result>;
  listTools(): Promise<Tool[]>;
  getStats(): Stats;
  /** One for each connection. */
  getMetrics(): (Metrics & { serverUrl: string; calls: number })[];
  close(): Promise<void>;
}

/** The server answered with a JSON-RPC error. */
export class McpError extends Error {
  readonly code: number;
  readonly data?: unknown;
}

/**
 * There is no answer. connection: lost, or there was none; session: the server has forgotten it; lost: a stream that cannot
 * be resumed; timeout; cancelled; overflow: too many wait; protocol: somebody said what cannot be; closed: close() was called.
 */
export class McpClientError extends Error {
  readonly kind: 'connection' | 'session' | 'lost' | 'timeout' | 'cancelled' | 'overflow' | 'protocol' | 'closed';
  /** It is certain that the server has not acted on it. */
  readonly unsent: boolean;
}
