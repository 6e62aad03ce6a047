// SPDX-License-Identifier: Apache-2.0
// Processes that tests start: each is known by its pid, ended by its pid, and none outlives the test file.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Hopeless, within, until } from './wait.mjs';

const running = new Set();

process.on('exit', () => {
  for (const p of running) p.child.kill('SIGKILL');
});

const describe = ({ code, signal, error }) => (error ? error.message : signal ?? `status ${code}`);

export class Process {
  /** Starts `file args...`; `output` collects what it writes to stdout and stderr. */
  constructor(file, args, { env = {}, cwd, name = file } = {}) {
    this.name = name;
    this.stdout = '';
    this.stderr = '';
    this.child = spawn(file, args, { env: { ...process.env, ...env }, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.setEncoding('utf8').on('data', (s) => (this.stdout += s));
    this.child.stderr.setEncoding('utf8').on('data', (s) => (this.stderr += s));
    running.add(this);
    this.exit = new Promise((resolve) => {
      this.child.on('error', (error) => resolve({ code: null, signal: null, error }));
      this.child.on('close', (code, signal) => resolve({ code, signal }));
    }).then((end) => {
      running.delete(this);
      this.ended = end;
      return end;
    });
  }

  get pid() {
    return this.child.pid;
  }

  get output() {
    return this.stdout + this.stderr;
  }

  /** Waits for a line that matches; an early end is an error that shows the output. */
  async line(pattern, ms = 20_000) {
    return until(
      () => `${this.name} prints ${pattern}; it printed:\n${this.output}`,
      () => {
        const match = this.output.match(pattern);
        if (!match && this.ended) throw new Hopeless(`${this.name} ended (${describe(this.ended)}); it printed:\n${this.output}`);
        return match;
      },
      ms,
    );
  }

  kill(signal = 'SIGTERM') {
    this.child.kill(signal);
  }

  /** Asks it to end and waits; kills it when it does not. */
  async stop(signal = 'SIGTERM', ms = 10_000) {
    if (!this.ended) this.kill(signal);
    try {
      return await within(`${this.name} ends after ${signal}`, this.exit, ms);
    } catch (error) {
      this.child.kill('SIGKILL');
      await this.exit;
      throw error;
    }
  }
}

/** Runs a program to its end. */
export async function run(file, args, options = {}) {
  const p = new Process(file, args, options);
  const { code, signal, error } = await within(`${file} ${args.join(' ')} ends`, p.exit, options.ms ?? 60_000);
  if (error) throw error;
  return { code, signal, stdout: p.stdout, stderr: p.stderr };
}

/** Start time in ticks: with the pid it names one process for ever. undefined: there is none (or it is a zombie). */
export function bornAt(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** All living descendants of `pid`, as {pid, born, command}. */
export function descendants(pid) {
  const found = [];
  const visit = (parent) => {
    let children = '';
    try {
      children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'latin1');
    } catch {
      return;
    }
    for (const child of children.split(' ').filter(Boolean).map(Number)) {
      const born = bornAt(child);
      if (born === undefined) continue;
      let command = '';
      try {
        command = readFileSync(`/proc/${child}/cmdline`, 'latin1').replaceAll('\0', ' ').trim();
      } catch {
        continue;
      }
      found.push({ pid: child, born, command });
      visit(child);
    }
  };
  visit(pid);
  return found;
}

export const alive = ({ pid, born }) => bornAt(pid) === born;

/** Proportional set size in bytes of the given pids together. */
export function pss(pids) {
  let sum = 0;
  for (const pid of pids) {
    const match = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1').match(/^Pss:\s+(\d+) kB/m);
    sum += Number(match[1]) * 1024;
  }
  return sum;
}
