// SPDX-License-Identifier: Apache-2.0
// The two queues: what was received and is not delivered yet, and what is to be sent. Both are bounded.

const isPromise = (value) => typeof value?.then === 'function';

/**
 * Received things on their way to one callback, in order and one at a time (or `size` at a time, each batch waiting for
 * at most `window` ms). push() gives a promise once `high` are waiting; it resolves when they are down to `low`, and until
 * then whoever reads the connection is to stop. Where that is impossible (a browser's WebSocket), the newest of `limit`
 * waiting things gives way to the next.
 */
export class Lane {
  #items = [];
  #waiters = [];
  #busy = false;
  #ending = false;
  #timer;

  constructor(deliver, { high, low, limit, size = 1, window = 0, onError, counters }) {
    Object.assign(this, { deliver, high, low, limit, size, window, onError, counters });
  }

  get depth() {
    return this.#items.length;
  }

  get idle() {
    return !this.#busy && this.#items.length === 0;
  }

  push(item) {
    if (this.#ending) return undefined;
    if (this.#items.length >= this.limit) {
      this.#items.pop();
      this.counters.dropped++;
    }
    this.#items.push(item);
    this.#run();
    this.counters.queuePeak = Math.max(this.counters.queuePeak, this.#items.length);
    return this.#items.length < this.high ? undefined : this.#wait();
  }

  /** No more will come: what waits is delivered now. Gives a promise for the moment after the last, if that is not now. */
  end() {
    this.#ending = true;
    this.#run();
    return this.idle ? undefined : this.#wait();
  }

  /** What waits is forgotten, and whoever waits goes on. */
  abandon() {
    this.#ending = true;
    this.#items.length = 0;
    clearTimeout(this.#timer);
    this.#release();
  }

  #wait() {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #release() {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }

  #run(due = false) {
    if (this.#busy) return;
    while (this.#items.length > 0) {
      if (!due && this.#items.length < this.size && this.window > 0 && !this.#ending) {
        this.#timer ??= setTimeout(() => this.#windowOver(), this.window);
        return;
      }
      due = false;
      clearTimeout(this.#timer);
      this.#timer = undefined;
      if (!this.#deliverNext()) return;
    }
    this.#release();
  }

  #windowOver() {
    this.#timer = undefined;
    this.#run(true);
  }

  /** False where the callback gave a promise: the rest waits for it. */
  #deliverNext() {
    const batch = this.#items.splice(0, this.size);
    this.#busy = true;
    try {
      const result = this.deliver(this.size === 1 ? batch[0] : batch);
      if (isPromise(result)) {
        result.then(undefined, this.onError).then(() => this.#delivered());
        return false;
      }
    } catch (error) {
      this.onError(error);
    }
    this.#busy = false;
    return true;
  }

  #delivered() {
    this.#busy = false;
    if (!this.#ending && this.#items.length <= this.low) this.#release();
    this.#run();
  }
}

export const CLASSES = ['critical', 'high', 'normal', 'low'];
const LOW_TURN = 8; // every so many-th pick takes from the bottom, so that low is never starved for good

/** Calls that wait to be sent, by class. */
export class Outbox {
  #lanes = CLASSES.map(() => []);
  #picks = 0;

  constructor(limit) {
    this.limit = limit;
  }

  get length() {
    return this.#lanes.reduce((sum, lane) => sum + lane.length, 0);
  }

  get full() {
    return this.length >= this.limit;
  }

  push(call) {
    this.#lanes[CLASSES.indexOf(call.priority)].push(call);
  }

  /** A call that was sent before goes in front. */
  unshift(call) {
    this.#lanes[CLASSES.indexOf(call.priority)].unshift(call);
  }

  next() {
    const waiting = this.#lanes.filter((lane) => lane.length > 0);
    if (waiting.length === 0) return undefined;
    return (++this.#picks % LOW_TURN === 0 ? waiting.at(-1) : waiting[0]).shift();
  }

  remove(call) {
    const lane = this.#lanes[CLASSES.indexOf(call.priority)];
    const at = lane.indexOf(call);
    if (at >= 0) lane.splice(at, 1);
  }

  take(which = () => true) {
    const taken = this.#lanes.flat().filter(which);
    for (const call of taken) this.remove(call);
    return taken;
  }
}
