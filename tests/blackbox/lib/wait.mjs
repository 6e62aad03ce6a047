// SPDX-License-Identifier: Apache-2.0
// Waiting for conditions. No test sleeps for a fixed time and hopes.

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Sanitizer builds and busy machines are slower: MCPGATE_TEST_SLOWNESS multiplies every limit.
const slowness = Number(process.env.MCPGATE_TEST_SLOWNESS ?? 1);

export const limit = (ms) => ms * slowness;

/** Full counts instead of reduced ones (tools/test --long). */
export const long = process.env.MCPGATE_TEST_LONG === '1';

/** An error after which waiting is pointless: until() passes it on at once. */
export class Hopeless extends Error {}

/** Polls `condition` until it gives something truthy and returns that; throws with `what` after `ms`. */
export async function until(what, condition, ms = 10_000) {
  const end = Date.now() + limit(ms);
  let last;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      last = undefined;
    } catch (error) {
      if (error instanceof Hopeless) throw error;
      last = error;
    }
    if (Date.now() > end) {
      throw new Error(`not within ${limit(ms)} ms: ${typeof what === 'function' ? what() : what}`, { cause: last });
    }
    await sleep(10);
  }
}

/** `promise`, or an error that names what did not come within `ms`. */
export async function within(what, promise, ms = 10_000) {
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${limit(ms)} ms: ${what}`)), limit(ms));
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
