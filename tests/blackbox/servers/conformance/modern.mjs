// SPDX-License-Identifier: Apache-2.0
// The conformance suite's reference server for 2026-07-28, on @modelcontextprotocol/server 2.x: over stdio, or with
// --http over HTTP. It also has what the scenarios of older revisions ask for; with --strict it speaks none of those
// itself, so that they reach it by a bridge only.

import http from 'node:http';
import { Readable } from 'node:stream';
import {
  CLIENT_CAPABILITIES_META_KEY,
  McpServer,
  ResourceNotFoundError,
  ResourceTemplate,
  createMcpHandler,
  createRequestStateCodec,
  fromJsonSchema,
  hostHeaderValidationResponse,
  inputRequired,
  originValidationResponse,
} from '@modelcontextprotocol/server';
import { SkillsExtension, memorySkillFiles } from '@modelcontextprotocol/server/ext/skills';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import * as content from './content.mjs';
import { TASKS, attachTasks } from './tasks.mjs';

const { says, sleep, object } = content;
const overHttp = process.argv.includes('--http');
const legacy = process.argv.includes('--strict') ? 'reject' : undefined;
const codec = createRequestStateCodec({ key: 'a key that only this test server and nobody else uses' });

/** Tells those who listen that a list has changed: 'tools' or 'prompts'. */
let changed;

const form = (message, properties) => inputRequired.elicit({ message, requestedSchema: object(properties) });
const name = (message) => form(message, { name: { type: 'string' } });
const sample = (prompt, maxTokens) => inputRequired.createMessage({ messages: [{ role: 'user', content: content.text(prompt) }], maxTokens });
const answer = (ctx, key) => ctx.mcpReq.inputResponses?.[key];
const accepted = (ctx, key, property) => {
  const response = answer(ctx, key);
  return response?.action === 'accept' ? response.content?.[property] : undefined;
};
const capabilities = (ctx) => ctx.mcpReq.envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? {};

/** Tools that need input: name -> what they say to their context. */
const asking = {
  test_input_required_result_elicitation(ctx) {
    const given = accepted(ctx, 'user_name', 'name');
    return given === undefined ? inputRequired({ inputRequests: { user_name: name('What is your name?') } }) : says(`Hello, ${given}!`);
  },

  test_input_required_result_sampling(ctx) {
    const given = answer(ctx, 'capital_question');
    if (!given) return inputRequired({ inputRequests: { capital_question: sample('What is the capital of France?', 100) } });
    return says(given.content.text);
  },

  test_input_required_result_list_roots(ctx) {
    const given = answer(ctx, 'client_roots');
    if (!given) return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
    return says(`Roots: ${given.roots.map(({ uri }) => uri).join(', ')}`);
  },

  async test_input_required_result_request_state(ctx) {
    if (accepted(ctx, 'confirm', 'ok') === undefined || ctx.mcpReq.requestState()?.tool !== 'request_state')
      return inputRequired({ inputRequests: { confirm: form('Please confirm', { ok: { type: 'boolean' } }) }, requestState: await codec.mint({ tool: 'request_state' }) });
    return says('state-ok');
  },

  async test_input_required_result_tampered_state(ctx) {
    if (accepted(ctx, 'confirm', 'ok') === undefined || ctx.mcpReq.requestState()?.tool !== 'tampered_state')
      return inputRequired({ inputRequests: { confirm: form('Please confirm', { ok: { type: 'boolean' } }) }, requestState: await codec.mint({ tool: 'tampered_state' }) });
    return says('state-ok');
  },

  async test_input_required_result_multiple_inputs(ctx) {
    const inputRequests = { user_name: name('What is your name?'), greeting: sample('Generate a greeting', 50), client_roots: inputRequired.listRoots() };
    if (!ctx.mcpReq.requestState() || !Object.keys(inputRequests).every((key) => answer(ctx, key)))
      return inputRequired({ inputRequests, requestState: await codec.mint({ tool: 'multiple_inputs' }) });
    return says(`${answer(ctx, 'greeting').content.text}, ${accepted(ctx, 'user_name', 'name')}: ${answer(ctx, 'client_roots').roots.length} roots`);
  },

  async test_input_required_result_multi_round(ctx) {
    const { step = 0, given } = ctx.mcpReq.requestState() ?? {};
    const color = accepted(ctx, 'step2', 'color');
    if (step === 2 && color) return says(`${given} likes ${color}`);
    const first = accepted(ctx, 'step1', 'name');
    if (step === 1 && first) {
      const step2 = form('Step 2: What is your favorite color?', { color: { type: 'string' } });
      return inputRequired({ inputRequests: { step2 }, requestState: await codec.mint({ step: 2, given: first }) });
    }
    return inputRequired({ inputRequests: { step1: name('Step 1: What is your name?') }, requestState: await codec.mint({ step: 1 }) });
  },

  test_input_required_result_capabilities(ctx) {
    const { sampling, elicitation } = capabilities(ctx);
    const inputRequests = {};
    if (elicitation) inputRequests.user_name = name('What is your name?');
    if (sampling) inputRequests.greeting = sample('Generate a greeting', 50);
    if (!Object.keys(inputRequests).length || Object.keys(inputRequests).every((key) => answer(ctx, key))) return says('asked for what the client can do');
    return inputRequired({ inputRequests });
  },

  test_streaming_elicitation(ctx) {
    const given = accepted(ctx, 'user_name', 'name');
    return given === undefined ? inputRequired({ inputRequests: { user_name: name('What is your name?') } }) : says(`Hello, ${given}!`);
  },
};

/** Of the older revisions, where the server asked in the middle of the call: name -> [inputSchema, call]. */
const ofOld = {
  test_sampling: [
    object({ prompt: { type: 'string' } }),
    ({ prompt }, ctx) => {
      const given = answer(ctx, 'completion');
      return given ? says(`LLM response: ${given.content.text}`) : inputRequired({ inputRequests: { completion: sample(prompt, 100) } });
    },
  ],
  test_elicitation: [object({ message: { type: 'string' } }), ({ message }, ctx) => elicit(ctx, message, content.forms.user, 'User response: ')],
  test_elicitation_sep1034_defaults: [object(), (_, ctx) => elicit(ctx, 'Please look over the defaults', content.forms.defaults, 'Elicitation completed: ')],
  test_elicitation_sep1330_enums: [object(), (_, ctx) => elicit(ctx, 'Please choose', content.forms.enums, 'Elicitation completed: ')],
};

function elicit(ctx, message, requestedSchema, intro) {
  const given = answer(ctx, 'user');
  if (!given) return inputRequired({ inputRequests: { user: inputRequired.elicit({ message, requestedSchema }) } });
  return says(`${intro}action=${given.action}, content=${JSON.stringify(given.content ?? {})}`);
}

const plain = {
  test_error_handling() {
    throw new Error(content.failure);
  },

  async test_tool_with_progress(ctx) {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (const [i, progress] of content.progressSteps.entries()) {
      if (i) await sleep(50);
      if (progressToken !== undefined) await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
    }
    return says('Made progress');
  },

  async test_tool_with_logging(ctx) {
    for (const [i, line] of content.logLines.entries()) {
      if (i) await sleep(50);
      await ctx.mcpReq.log('info', line);
    }
    return says('Logged three lines');
  },

  async test_logging_tool(ctx) {
    for (const line of content.logLines) await ctx.mcpReq.log('info', line);
    return says('Logged three lines');
  },

  // The SDK refuses to send what the client has not declared.
  test_missing_capability(ctx) {
    return answer(ctx, 'sample') ? says('the client can sample') : inputRequired({ inputRequests: { sample: sample('Anything', 10) } });
  },

  test_trigger_tool_change() {
    changed('tools');
    return says('told that the tools have changed');
  },

  test_trigger_prompt_change() {
    changed('prompts');
    return says('told that the prompts have changed');
  },
};

const skills = await SkillsExtension.load(
  memorySkillFiles({
    'pdf-tools/SKILL.md': '---\nname: pdf-tools\ndescription: Reads forms out of PDF files\n---\n\n# PDF tools\n\nSee references/FORMS.md.\n',
    'pdf-tools/references/FORMS.md': '# Forms\n\nThey have fields.\n',
  }),
);

function build() {
  const server = new McpServer(
    { name: 'conformance-modern', version: '1.0.0' },
    {
      capabilities: { extensions: { [TASKS]: {} }, logging: {}, completions: {}, prompts: { listChanged: true }, resources: { listChanged: true, subscribe: true } },
      requestState: { verify: codec.verify },
    },
  );
  const empty = fromJsonSchema(object());
  attachTasks(server);

  for (const [tool, [description, body]] of Object.entries(content.fixed))
    server.registerTool(tool, { description, inputSchema: empty }, () => ({ content: body }));
  for (const [tool, call] of Object.entries({ ...plain, ...asking }))
    server.registerTool(tool, { description: tool.replaceAll('_', ' '), inputSchema: empty }, (_, ctx) => call(ctx));
  for (const [tool, [schema, call]] of Object.entries(ofOld))
    server.registerTool(tool, { description: tool.replaceAll('_', ' '), inputSchema: fromJsonSchema(schema) }, call);
  server.registerTool(
    content.schemaTool.name,
    { description: content.schemaTool.description, inputSchema: fromJsonSchema(content.schemaTool.inputSchema) },
    (args) => says(JSON.stringify(args)),
  );
  server.registerTool(
    'test_header_params',
    {
      description: 'Has arguments that are mirrored in header fields',
      inputSchema: fromJsonSchema(
        object({
          region: { type: 'string', 'x-mcp-header': 'Region' },
          priority: { type: 'integer', 'x-mcp-header': 'Priority' },
          dry: { type: 'boolean', 'x-mcp-header': 'Dry-Run' },
        }, ['region']),
      ),
    },
    (args) => says(JSON.stringify(args)),
  );

  for (const { uri, name: title, ...rest } of content.resources) server.registerResource(title, uri, rest, () => ({ contents: content.contentsOf(uri) }));
  const { uriTemplate, name: title, ...rest } = content.template;
  server.registerResource(title, new ResourceTemplate(uriTemplate, { list: undefined }), rest, (uri) => {
    const contents = content.contentsOf(uri.href);
    if (!contents) throw new ResourceNotFoundError(uri.href);
    return { contents };
  });

  for (const [prompt, { description, arguments: names, messages }] of Object.entries(content.prompts)) {
    const argsSchema = fromJsonSchema(object(Object.fromEntries(names.map((arg) => [arg, { type: 'string' }]))));
    server.registerPrompt(prompt, names.length ? { description, argsSchema } : { description }, (args) => ({ messages: messages(args) }));
  }
  server.registerPrompt('test_input_required_result_prompt', { description: 'Asks for its context' }, (ctx) => {
    const given = accepted(ctx, 'user_context', 'context');
    if (given === undefined) return inputRequired({ inputRequests: { user_context: form('What context should the prompt use?', { context: { type: 'string' } }) } });
    return { messages: [{ role: 'user', content: content.text(`Use this context: ${given}`) }] };
  });
  server.server.setRequestHandler('completion/complete', ({ params }) => {
    const values = content.completions(params.argument.value);
    return { completion: { values, total: values.length, hasMore: false } };
  });
  skills.attach(server);
  if (!overHttp) changed = (what) => (what === 'tools' ? server.sendToolListChanged() : server.sendPromptListChanged());
  return server;
}

const HOSTS = ['127.0.0.1', 'localhost'];

function serveHttp() {
  const handler = createMcpHandler(build, { keepAliveMs: 0, legacy });
  changed = (what) => (what === 'tools' ? handler.notify.toolsChanged() : handler.notify.promptsChanged());

  const server = http.createServer(async (req, res) => {
    const abort = new AbortController();
    res.on('close', () => abort.abort());
    const request = new Request(new URL(req.url, 'http://127.0.0.1'), {
      method: req.method,
      headers: Object.entries(req.headers).flatMap(([field, value]) => [value].flat().map((v) => [field, v])),
      body: ['GET', 'HEAD'].includes(req.method) ? undefined : Readable.toWeb(req),
      duplex: 'half',
      signal: abort.signal,
    });
    const response = hostHeaderValidationResponse(request, HOSTS) ?? originValidationResponse(request, HOSTS) ?? (await handler.fetch(request));
    res.writeHead(response.status, Object.fromEntries(response.headers));
    res.flushHeaders();
    if (!response.body) return res.end();
    const body = Readable.fromWeb(response.body);
    body.on('error', () => res.destroy());
    res.on('close', () => body.destroy());
    return body.pipe(res);
  });
  server.listen(0, '127.0.0.1', () => console.error(`listening on http://127.0.0.1:${server.address().port}/mcp`));
}

if (overHttp) serveHttp();
else serveStdio(build, { legacy });
