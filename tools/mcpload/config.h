/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of each subcommand, and the table of flags that fills it: defaults, --help and the manual
 * come from the same rows. */
#ifndef MCPLOAD_CONFIG_H
#define MCPLOAD_CONFIG_H

#include "flags.h"

#include <stdbool.h>

struct load_config {
    const char *url, *kind, *method, *tool, *args, *json, *slow_path;
    struct flag_list headers;
    uint64_t connections, streams, slow_readers, idle;
    uint64_t body_bytes, rcvbuf, cpu_of;
    uint64_t duration_ns, warmup_ns, timeout_ns, think_ns;
    double rate;
    bool list, quiet;
};

struct serve_config {
    const char *listen;
    const char *json;
    uint64_t reply_bytes, delay_ns, chunk_bytes;
    uint64_t events, event_bytes, progress, list_bytes;
    uint64_t sndbuf, rcvbuf;
    double rate;
    bool sse, chunked;
};

struct ws_config {
    const char *url, *json;
    struct flag_list headers;
    uint64_t connections, pipeline, message_bytes, cpu_of;
    uint64_t duration_ns, warmup_ns, timeout_ns;
    double rate;
    bool binary, quiet;
};

struct floor_config {
    const char *listen, *upstream;
};

extern const struct flag load_flags[], ws_flags[], serve_flags[], floor_flags[];

#endif
