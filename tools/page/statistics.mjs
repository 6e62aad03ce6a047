// SPDX-License-Identifier: Apache-2.0
// The gateway's statistics, once a second while the page is looked at, and what they were before.

const PERIOD_MS = 1000;
const REPLY_LIMIT_MS = 5000;

/** Two answers of /stats.json, the second later: what is, and how fast it went meanwhile. */
export class Change {
  constructor(before, now) {
    this.now = now;
    // Of another start of the gateway nothing can be subtracted.
    this.before = before?.gateway.start === now.gateway.start ? before : undefined;
    this.seconds = this.before ? (Date.parse(now.gateway.time) - Date.parse(before.gateway.time)) / 1000 : 0;
  }

  /** A metric of the workers together; null where this gateway has none of that name. */
  total(id) {
    return this.now.totals[id] ?? null;
  }

  /** ... per second. */
  rate(id) {
    return this.#grown((totals) => totals[id]);
  }

  /** The mean of a histogram over the interval, in ms; null where nothing was counted. */
  mean(id) {
    const counted = this.#grown((totals) => totals[id]?.count);
    return counted > 0 ? (this.#grown((totals) => totals[id]?.sum) / counted) * 1000 : null;
  }

  #grown(of) {
    const [now, before] = [of(this.now.totals), this.before && of(this.before.totals)];
    return now === undefined || before === undefined || !(this.seconds > 0) ? null : (now - before) / this.seconds;
  }
}

/** Calls onChange(change) or onTrouble(error), again and again, one at a time; rests while nobody sees the page. */
export function watch(onChange, onTrouble) {
  let before;
  const round = async () => {
    if (!document.hidden) {
      try {
        const reply = await fetch('/stats.json', { cache: 'no-store', signal: AbortSignal.timeout(REPLY_LIMIT_MS) });
        if (!reply.ok) throw new Error(`/stats.json answered with status ${reply.status}`);
        const now = await reply.json();
        onChange(new Change(before, now));
        before = now;
      } catch (error) {
        onTrouble(error);
      }
    }
    setTimeout(round, PERIOD_MS);
  };
  round();
}
