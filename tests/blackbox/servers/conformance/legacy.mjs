// SPDX-License-Identifier: Apache-2.0
// The conformance suite's reference server for the revisions up to 2025-11-25, on @modelcontextprotocol/sdk 1.x: over
// stdio, or with --http over streamable HTTP with sessions and streams that can be resumed. It also has what the
// scenarios of 2026-07-28 ask for, as far as an older server can.

import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import * as t from '@modelcontextprotocol/sdk/types.js';
import * as content from './content.mjs';

const { says, sleep, object } = content;

/** name -> {description, inputSchema, call(args, extra, server)}. */
const tools = {
  test_error_handling: {
    description: 'Fails',
    call: () => ({ ...says(content.failure), isError: true }),
  },

  test_tool_with_logging: {
    description: 'Logs three lines',
    async call(_, extra) {
      for (const [i, data] of content.logLines.entries()) {
        if (i) await sleep(50);
        await extra.sendNotification({ method: 'notifications/message', params: { level: 'info', data } });
      }
      return says('Logged three lines');
    },
  },

  test_tool_with_progress: {
    description: 'Reports progress three times',
    async call(_, extra) {
      const progressToken = extra._meta?.progressToken;
      for (const [i, progress] of content.progressSteps.entries()) {
        if (i) await sleep(50);
        if (progressToken !== undefined)
          await extra.sendNotification({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
      }
      return says('Made progress');
    },
  },

  test_sampling: {
    description: 'Asks the client for a completion',
    inputSchema: object({ prompt: { type: 'string' } }),
    async call({ prompt }, extra, server) {
      if (!server.getClientCapabilities()?.sampling) return { ...says('the client cannot sample'), isError: true };
      const params = { messages: [{ role: 'user', content: content.text(prompt) }], maxTokens: 100 };
      const result = await extra.sendRequest({ method: 'sampling/createMessage', params }, t.CreateMessageResultSchema);
      return says(`LLM response: ${result.content.text}`);
    },
  },

  test_elicitation: {
    description: 'Asks the user',
    inputSchema: object({ message: { type: 'string' } }),
    call: ({ message }, extra, server) => elicit(extra, server, message, content.forms.user, 'User response: '),
  },
  test_elicitation_sep1034_defaults: {
    description: 'Asks the user, with defaults',
    call: (_, extra, server) => elicit(extra, server, 'Please look over the defaults', content.forms.defaults, 'Elicitation completed: '),
  },
  test_elicitation_sep1330_enums: {
    description: 'Asks the user to choose',
    call: (_, extra, server) => elicit(extra, server, 'Please choose', content.forms.enums, 'Elicitation completed: '),
  },

  test_logging_tool: {
    description: 'Logs three lines at once',
    async call(_, extra) {
      for (const data of content.logLines) await extra.sendNotification({ method: 'notifications/message', params: { level: 'info', data } });
      return says('Logged three lines');
    },
  },
  test_missing_capability: { description: 'Samples whether the client can or not', call: async (_, extra) => says((await ask.sample(extra, 'Anything', 10)).content.text) },
  test_streaming_elicitation: { description: 'Asks for a name', call: async (_, extra) => says(`Hello, ${(await ask.name(extra, 'What is your name?')).content.name}!`) },
  test_trigger_tool_change: {
    description: 'Says that the tools have changed',
    call: () => tellAll('sendToolListChanged'),
  },
  test_trigger_prompt_change: {
    description: 'Says that the prompts have changed',
    call: () => tellAll('sendPromptListChanged'),
  },
  test_header_params: {
    description: 'Has arguments that are mirrored in header fields',
    inputSchema: object({ region: { type: 'string', 'x-mcp-header': 'Region' }, priority: { type: 'integer', 'x-mcp-header': 'Priority' } }, ['region']),
    call: (args) => says(JSON.stringify(args)),
  },
  test_input_required_result_elicitation: { description: 'Asks for a name', call: async (_, extra) => says(`Hello, ${(await ask.name(extra, 'What is your name?')).content.name}!`) },
  test_input_required_result_sampling: { description: 'Samples', call: async (_, extra) => says((await ask.sample(extra, 'What is the capital of France?', 100)).content.text) },
  test_input_required_result_list_roots: {
    description: 'Asks for the roots',
    call: async (_, extra) => says(`Roots: ${(await ask.roots(extra)).roots.map(({ uri }) => uri).join(', ')}`),
  },
  test_input_required_result_request_state: {
    description: 'Asks for consent',
    call: async (_, extra) => says((await ask.form(extra, 'Please confirm', { ok: { type: 'boolean' } })).content.ok ? 'state-ok' : 'no'),
  },
  test_input_required_result_tampered_state: {
    description: 'Asks for consent',
    call: async (_, extra) => says((await ask.form(extra, 'Please confirm', { ok: { type: 'boolean' } })).content.ok ? 'state-ok' : 'no'),
  },
  test_input_required_result_multiple_inputs: {
    description: 'Asks for three things at once',
    async call(_, extra) {
      const [name, greeting, { roots }] = await Promise.all([ask.name(extra, 'What is your name?'), ask.sample(extra, 'Generate a greeting', 50), ask.roots(extra)]);
      return says(`${greeting.content.text}, ${name.content.name}: ${roots.length} roots`);
    },
  },
  test_input_required_result_multi_round: {
    description: 'Asks twice',
    async call(_, extra) {
      const { content: first } = await ask.name(extra, 'Step 1: What is your name?');
      const { content: second } = await ask.form(extra, 'Step 2: What is your favorite color?', { color: { type: 'string' } });
      return says(`${first.name} likes ${second.color}`);
    },
  },
  test_input_required_result_capabilities: {
    description: 'Asks for what the client can do',
    async call(_, extra, server) {
      const { elicitation, sampling } = server.getClientCapabilities() ?? {};
      await Promise.all([elicitation && ask.name(extra, 'What is your name?'), sampling && ask.sample(extra, 'Generate a greeting', 50)]);
      return says('asked for what the client can do');
    },
  },

  test_reconnection: {
    description: 'Ends its stream before it answers; the client has to come back for the answer',
    async call(_, extra) {
      extra.closeSSEStream?.();
      await sleep(100);
      return says('Reconnection test completed successfully. If you received this, the client properly reconnected after stream closure.');
    },
  },

  // Not the suite's: merged.test.mjs wants to see an update.
  test_touch_resource: {
    description: 'Says that a resource has changed to who subscribed to it',
    inputSchema: object({ uri: { type: 'string' } }),
    async call({ uri }, _, server) {
      if (server.subscribed.has(uri)) await server.sendResourceUpdated({ uri });
      return says(server.subscribed.has(uri) ? 'told' : 'nobody subscribed');
    },
  },

  [content.schemaTool.name]: { ...content.schemaTool, call: (args) => says(JSON.stringify(args)) },
};

for (const [name, [description, body]] of Object.entries(content.fixed)) tools[name] = { description, call: () => ({ content: body }) };

const ask = {
  form: (extra, message, properties) => extra.sendRequest({ method: 'elicitation/create', params: { message, requestedSchema: object(properties) } }, t.ElicitResultSchema),
  name: (extra, message) => ask.form(extra, message, { name: { type: 'string' } }),
  roots: (extra) => extra.sendRequest({ method: 'roots/list' }, t.ListRootsResultSchema),
  sample: (extra, prompt, maxTokens) =>
    extra.sendRequest({ method: 'sampling/createMessage', params: { messages: [{ role: 'user', content: content.text(prompt) }], maxTokens } }, t.CreateMessageResultSchema),
};

async function elicit(extra, server, message, requestedSchema, intro) {
  if (!server.getClientCapabilities()?.elicitation) return { ...says('the client cannot elicit'), isError: true };
  const { action, content: answer } = await extra.sendRequest({ method: 'elicitation/create', params: { message, requestedSchema } }, t.ElicitResultSchema);
  return says(`${intro}action=${action}, content=${JSON.stringify(answer ?? {})}`);
}

/** Every session's instance of the server. */
const instances = new Set();

async function tellAll(what) {
  for (const server of instances) await server[what]().catch(() => {}); // its client may have gone
  return says('told');
}

const missing = (what) => new t.McpError(t.ErrorCode.InvalidParams, what);

function build() {
  const server = new Server(
    { name: 'conformance-legacy', version: '1.0.0' },
    { capabilities: { tools: { listChanged: true }, prompts: { listChanged: true }, resources: { subscribe: true, listChanged: true }, completions: {}, logging: {} } },
  );
  const on = (schema, handle) => server.setRequestHandler(schema, handle);
  const subscribed = (server.subscribed = new Set());
  instances.add(server);
  server.onclose = () => instances.delete(server);

  on(t.ListToolsRequestSchema, () => ({
    tools: Object.entries(tools).map(([name, { description, inputSchema = object() }]) => ({ name, description, inputSchema })),
  }));
  on(t.CallToolRequestSchema, ({ params }, extra) => {
    const tool = tools[params.name];
    if (!tool) throw missing(`Unknown tool: ${params.name}`);
    return tool.call(params.arguments ?? {}, extra, server);
  });

  on(t.ListResourcesRequestSchema, () => ({ resources: content.resources }));
  on(t.ListResourceTemplatesRequestSchema, () => ({ resourceTemplates: [content.template] }));
  on(t.ReadResourceRequestSchema, ({ params: { uri } }) => {
    const contents = content.contentsOf(uri);
    if (!contents) throw new t.McpError(-32002, 'Resource not found', { uri });
    return { contents };
  });
  on(t.SubscribeRequestSchema, ({ params }) => {
    subscribed.add(params.uri);
    return {};
  });
  on(t.UnsubscribeRequestSchema, ({ params }) => {
    subscribed.delete(params.uri);
    return {};
  });

  on(t.ListPromptsRequestSchema, () => ({
    prompts: [
      ...Object.entries(content.prompts).map(([name, p]) => ({ name, description: p.description, arguments: p.arguments.map((arg) => ({ name: arg, required: true })) })),
      { name: 'test_input_required_result_prompt', description: 'Asks for its context' },
    ],
  }));
  on(t.GetPromptRequestSchema, async ({ params }, extra) => {
    if (params.name === 'test_input_required_result_prompt') {
      const given = await ask.form(extra, 'What context should the prompt use?', { context: { type: 'string' } });
      return { messages: [{ role: 'user', content: content.text(`Use this context: ${given.content.context}`) }] };
    }
    const prompt = content.prompts[params.name];
    if (!prompt) throw missing(`Unknown prompt: ${params.name}`);
    return { description: prompt.description, messages: prompt.messages(params.arguments ?? {}) };
  });
  on(t.CompleteRequestSchema, ({ params }) => {
    const values = content.completions(params.argument.value);
    return { completion: { values, total: values.length, hasMore: false } };
  });
  return server;
}

/** What a session's streams have sent; an event's id is its stream's name and a number. */
class Events {
  #events = [];

  async storeEvent(stream, message) {
    const id = `${stream}_${this.#events.length}`;
    this.#events.push({ stream, id, message });
    return id;
  }

  async getStreamIdForEventId(id) {
    return this.#events.find((event) => event.id === id)?.stream;
  }

  async replayEventsAfter(last, { send }) {
    const at = this.#events.findIndex((event) => event.id === last);
    if (at < 0) throw new Error(`no such event: ${last}`);
    const { stream } = this.#events[at];
    for (const event of this.#events.slice(at + 1)) if (event.stream === stream && event.message.jsonrpc) await send(event.id, event.message);
    return stream;
  }
}

const sessions = new Map();

async function open(port) {
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: () => randomUUID(),
    eventStore: new Events(),
    retryInterval: 50,
    enableDnsRebindingProtection: true,
    allowedHosts: [`127.0.0.1:${port}`, `localhost:${port}`],
    allowedOrigins: [`http://127.0.0.1:${port}`, `http://localhost:${port}`],
    onsessioninitialized: (id) => sessions.set(id, transport),
    onsessionclosed: (id) => sessions.delete(id),
  });
  await build().connect(transport);
  return transport;
}

async function handle(req, res) {
  const id = req.headers['mcp-session-id'];
  const transport = id === undefined ? await open(req.socket.localPort) : sessions.get(id);
  if (transport) return transport.handleRequest(req, res);
  res.writeHead(404, { 'Content-Type': 'application/json' });
  return res.end(JSON.stringify({ jsonrpc: '2.0', error: { code: -32001, message: 'Session not found' }, id: null }));
}

if (process.argv.includes('--http')) {
  const server = http.createServer(handle);
  server.listen(0, '127.0.0.1', () => console.error(`listening on http://127.0.0.1:${server.address().port}/mcp`));
} else await build().connect(new StdioServerTransport());
