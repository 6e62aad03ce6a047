// SPDX-License-Identifier: Apache-2.0
// The arguments of a call, as they were typed.

const TEXT = '$TEXT'; // stands for a text of the wanted size

/** The object that `typed` says; "$TEXT" in it becomes a text of so many bytes. */
export function argumentsOf(typed, size = 0) {
  let value;
  try {
    value = JSON.parse(typed.trim() || '{}', (key, one) => (one === TEXT ? textOf(size) : one));
  } catch (error) {
    throw new Error(`The arguments are no JSON: ${error.message}. Type an object like {"text": "hello"}.`);
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new Error('The arguments must be a JSON object like {"text": "hello"}.');
  }
  return value;
}

/** Words, so that it compresses as text does. */
export function textOf(size) {
  const words = 'a stream of messages passes through the gateway one after another ';
  return words.repeat(Math.ceil(size / words.length)).slice(0, size);
}

/** What the tools of the demo server want; other tools are asked with nothing. */
export const usual = (tool) =>
  ({
    echo: '{"text": "$TEXT"}',
    add: '{"a": 1, "b": 2}',
    slow_count: '{"to": 20, "interval_ms": 5}',
    generate_text: '{"prompt": "$TEXT", "words": 50, "tokens_per_second": 1000}',
  })[tool] ?? '{}';
