// SPDX-License-Identifier: Apache-2.0
// Numbers for people. What is not known is a dash.

const NONE = '–';

const known = (n) => typeof n === 'number' && Number.isFinite(n);

/** 1,234,567; with a decimal below ten where there is one to show. */
export function count(n) {
  if (!known(n)) return NONE;
  return n.toLocaleString('en', { maximumFractionDigits: n < 10 ? 1 : 0 });
}

export const rate = (n) => (known(n) ? `${count(n)}/s` : NONE);

export function bytes(n) {
  if (!known(n)) return NONE;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${count(n)} ${units[unit]}`;
}

export const byteRate = (n) => (known(n) ? `${bytes(n)}/s` : NONE);

/** From milliseconds: 42 us, 3.14 ms, 1.5 s. */
export function time(ms) {
  if (!known(ms)) return NONE;
  if (ms >= 10_000) return `${count(ms / 1000)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  if (ms >= 1) return `${ms.toFixed(ms < 100 ? 2 : 0)} ms`;
  return `${Math.round(ms * 1000)} µs`;
}

/** From seconds: 12.3 s, 4m 05s, 3h 20m, 2d 04h. */
export function age(seconds) {
  if (!known(seconds)) return NONE;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const two = (n) => String(Math.floor(n)).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${two(seconds % 60)}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ${two((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d ${two((seconds % 86_400) / 3600)}h`;
}
