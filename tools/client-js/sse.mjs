// SPDX-License-Identifier: Apache-2.0
// Server-sent events out of text that comes in pieces, after the WHATWG's rules: lines end with CR, LF or both.

export class SseParser {
  #line = []; // pieces of a line that has not ended
  #afterCr = false;
  #first = true;
  #size = 0;
  #data = [];
  #event = '';
  /** The last `id:` seen, and the last `retry:` in ms. */
  id;
  retry;

  constructor(limit) {
    this.limit = limit;
  }

  /** The events that this piece completes: [{ event, data, id }]. Throws RangeError at an event above the limit. */
  push(text) {
    const events = [];
    let start = 0;
    if (this.#first && text) {
      this.#first = false;
      if (text.charCodeAt(0) === 0xfeff) start = 1;
    }
    if (this.#afterCr && text) {
      this.#afterCr = false;
      if (text[0] === '\n') start = 1;
    }
    const ends = /[\r\n]/g;
    for (;;) {
      ends.lastIndex = start;
      const found = ends.exec(text);
      if (!found) break;
      this.#line.push(text.slice(start, found.index));
      this.#grow(found.index - start);
      this.#take(this.#line.join(''), events);
      this.#line = [];
      start = found.index + 1;
      if (found[0] === '\r') {
        if (start === text.length) this.#afterCr = true;
        else if (text[start] === '\n') start++;
      }
    }
    if (start < text.length) {
      this.#line.push(text.slice(start));
      this.#grow(text.length - start);
    }
    return events;
  }

  #grow(by) {
    this.#size += by;
    if (this.#size > this.limit) throw new RangeError(`an event of more than ${this.limit} characters`);
  }

  #take(line, events) {
    if (line === '') {
      if (this.#data.length > 0) events.push({ event: this.#event || 'message', data: this.#data.join('\n'), id: this.id });
      this.#data = [];
      this.#event = '';
      this.#size = 0;
      return;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + (line[colon + 1] === ' ' ? 2 : 1));
    if (field === 'data') this.#data.push(value);
    else if (field === 'event') this.#event = value;
    else if (field === 'id' && !value.includes('\0')) this.id = value;
    else if (field === 'retry' && /^\d+$/.test(value)) this.retry = Number(value);
    if (this.#data.length === 0) this.#size = 0; // a line of no event's, such as a heartbeat
  }
}
