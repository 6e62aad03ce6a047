/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where log lines leave the gateway: the supervisor's stderr, as text or as one JSON object a line. Writing
 * never blocks: a line for which there is no room is dropped and counted, and the count is logged as soon as
 * there is.
 *
 *     text  2026-01-31T12:00:00.250Z warning worker 3: upstream fs: connection refused
 *     json
 * {"time":"2026-01-31T12:00:00.250Z","level":"warning","role":"worker","slot":3,"pid":812,"message":"..."}
 *
 * Control bytes in a text line show as \xNN; a JSON line is valid UTF-8 whatever the bytes were. A line of
 * level access whose text is a JSON object itself goes into the JSON line as the member "access".
 */
#ifndef PROC_LOG_OUT_H
#define PROC_LOG_OUT_H

#include "base/log.h"

#include <stddef.h>

enum { LOG_OUT_LINE_MAX = 4096 }; /* PIPE_BUF: what a pipe takes whole or not at all */

/* Prepares stderr; lines of log_write() in this process go there from now on. Call once. */
void log_out_open(void);
void log_out_set_json(bool json);

/* One line, for child processes' records and the supervisor's own (role NULL). It leaves with the next flush.
 */
void log_out_put(const char *role, uint32_t slot, const struct log_record *record);
/* Takes everything off a ring; returns how many lines there were. */
unsigned log_out_drain(const char *role, uint32_t slot, struct log_ring *ring);
void log_out_flush(void);

/* A bare line "mcpgate: <text>" for the person who started the gateway: the ready line and start-up problems.
 */
void log_out_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Formats one record as it leaves, with the newline. Returns its length, at most LOG_OUT_LINE_MAX. */
size_t log_out_format(char out[LOG_OUT_LINE_MAX], bool json, const char *role, uint32_t slot,
                      const struct log_record *record);

#endif
