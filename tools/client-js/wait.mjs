// SPDX-License-Identifier: Apache-2.0
// Waiting, with an end.

/** Resolves after `ms`, or at once when `signal` is aborted. */
export function sleep(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    if (signal?.aborted) done();
    else signal?.addEventListener('abort', done);
  });
}

/** 100, 200, 400 ... at most `max` ms, give or take a quarter so that clients do not come back together. */
export const backoff = (attempt, { min = 100, max = 5000 } = {}) => Math.min(max, min * 2 ** attempt) * (0.75 + Math.random() / 2);

/** A timer that does not keep Node from ending. */
export function later(f, ms) {
  const timer = setTimeout(f, ms);
  timer.unref?.();
  return timer;
}
