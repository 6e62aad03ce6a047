// SPDX-License-Identifier: Apache-2.0
// The tasks extension of 2026-07-28 (SEP-2663), which the SDK leaves to its users, with the tools that the suite's
// scenarios of it want. Tasks are the process's, as its instances of the server are one request's each.

import { randomUUID } from 'node:crypto';
import { CLIENT_CAPABILITIES_META_KEY, MissingRequiredClientCapabilityError, ProtocolError, ProtocolErrorCode, fromJsonSchema, inputRequired } from '@modelcontextprotocol/server';
import { object, says } from './content.mjs';

export const TASKS = 'io.modelcontextprotocol/tasks';
const ENDED = ['completed', 'failed', 'cancelled'];
const string = { type: 'string' };
const confirm = (message) => inputRequired.elicit({ message, requestedSchema: object({ confirm: { type: 'boolean' } }) });

const tasks = new Map();

class Task {
  #wants = {}; // key -> {request, give}
  #cancel = new AbortController();

  constructor() {
    const now = new Date().toISOString();
    this.shown = { taskId: randomUUID(), status: 'working', createdAt: now, lastUpdatedAt: now, ttlMs: 60_000, pollIntervalMs: 100 };
    tasks.set(this.shown.taskId, this);
  }

  #set(changes) {
    if (!ENDED.includes(this.shown.status)) Object.assign(this.shown, changes, { lastUpdatedAt: new Date().toISOString() });
  }

  run(job, args) {
    job(args, this).then(
      (result) => this.#set({ status: 'completed', result }),
      ({ code = -32603, message }) => this.#set({ status: 'failed', error: { code, message } }),
    );
  }

  sleep(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#cancel.signal.addEventListener('abort', () => clearTimeout(timer));
    });
  }

  /** The client's answers to these requests, by key. */
  async ask(requests) {
    const answers = Object.entries(requests).map(([key, request]) => new Promise((give) => (this.#wants[key] = { request, give })));
    this.#set({ status: 'input_required' });
    return Promise.all(answers);
  }

  take(responses) {
    for (const [key, response] of Object.entries(responses)) {
      this.#wants[key]?.give(response);
      delete this.#wants[key];
    }
    if (!Object.keys(this.#wants).length && this.shown.status === 'input_required') this.#set({ status: 'working' });
  }

  cancel() {
    this.#set({ status: 'cancelled' });
    this.#cancel.abort();
  }

  detailed() {
    if (this.shown.status !== 'input_required') return { ...this.shown };
    return { ...this.shown, inputRequests: Object.fromEntries(Object.entries(this.#wants).map(([key, { request }]) => [key, request])) };
  }
}

/** Tools that run as tasks: name -> {inputSchema, job(args, task)}; `needed`: they cannot do without. */
const jobs = {
  slow_compute: {
    inputSchema: object({ seconds: { type: 'number' }, label: string }, []),
    async job({ seconds = 0, label = '' }, task) {
      await task.sleep(seconds * 1000);
      return says(`computed ${label}`);
    },
  },
  failing_job: {
    needed: true,
    async job(_, task) {
      await task.sleep(200);
      return { ...says('the job failed, as asked'), isError: true };
    },
  },
  protocol_error_job: {
    needed: true,
    async job() {
      throw new Error('the job broke, as asked');
    },
  },
  confirm_delete: {
    needed: true,
    inputSchema: object({ filename: string }),
    async job({ filename }, task) {
      const [answer] = await task.ask({ [randomUUID()]: confirm(`Delete ${filename}?`) });
      return says(`${answer.action}: ${filename}`);
    },
  },
  multi_input: {
    needed: true,
    async job(_, task) {
      const answers = await task.ask({ [randomUUID()]: confirm('One?'), [randomUUID()]: confirm('Two?') });
      return says(answers.map(({ action }) => action).join(', '));
    },
  },
  test_tool_with_task: {
    needed: true,
    async job({ name }) {
      return says(`Hello, ${name}!`);
    },
  },
};

const declares = (ctx) => ctx.mcpReq.envelope?.[CLIENT_CAPABILITIES_META_KEY]?.extensions?.[TASKS] !== undefined;

function mustDeclare(ctx) {
  if (!declares(ctx)) throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { extensions: { [TASKS]: {} } } });
}

/** The result of a call that becomes a task (or asks first); undefined: it is an ordinary call. */
function begin({ name, arguments: args = {} }, ctx) {
  const { job, needed } = Object.hasOwn(jobs, name) ? jobs[name] : {};
  if (needed) mustDeclare(ctx);
  if (!job || !declares(ctx)) return undefined;
  if (name === 'test_tool_with_task') {
    args = ctx.mcpReq.inputResponses?.user_name?.content;
    if (!args) return inputRequired({ inputRequests: { user_name: inputRequired.elicit({ message: 'What is your name?', requestedSchema: object({ name: string }) }) } });
  }
  const task = new Task();
  task.run(job, args);
  return { resultType: 'task', ...task.shown };
}

/** To be called before any tool is registered. */
export function attachTasks(mcp) {
  const { server } = mcp;
  const set = server.setRequestHandler.bind(server);
  server.setRequestHandler = (method, ...rest) => {
    const handle = rest.at(-1);
    if (method !== 'tools/call') return set(method, ...rest);
    return set(method, (request, ctx) => begin(request.params, ctx) ?? handle(request, ctx));
  };

  const params = fromJsonSchema({ ...object({ taskId: string }), additionalProperties: true });
  const on = (method, handle) =>
    set(method, { params }, ({ taskId, inputResponses }, ctx) => {
      mustDeclare(ctx);
      const task = tasks.get(taskId);
      if (!task) throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Unknown task: ${taskId}`);
      return handle(task, inputResponses ?? ctx.mcpReq.inputResponses ?? {}) ?? {};
    });
  on('tasks/get', (task) => task.detailed());
  on('tasks/update', (task, responses) => task.take(responses));
  on('tasks/cancel', (task) => task.cancel());

  mcp.registerTool('greet', { description: 'Greets', inputSchema: fromJsonSchema(object({ name: string })) }, ({ name }) => says(`Hello, ${name}!`));
  for (const [name, { inputSchema = object(), job }] of Object.entries(jobs)) {
    const alone = { sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)) };
    mcp.registerTool(name, { description: name.replaceAll('_', ' '), inputSchema: fromJsonSchema(inputSchema) }, (args) => job(args, alone));
  }
}
