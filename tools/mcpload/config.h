/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of each subcommand, and the table of flags that fills it: defaults, --help and the manual
 * come from the same rows. */
#ifndef MCPLOAD_CONFIG_H
#define MCPLOAD_CONFIG_H

#include "flags.h"

#include <stdbool.h>

/* What all loads of a run have in common. */
struct stage_config {
    const char *json, *cpu_without;
    uint64_t duration_ns, warmup_ns, cpu_of;
    bool quiet;
};

/* The search for the highest rate, of one load alone. */
struct find_config {
    uint64_t p99_ns;
    bool is_wanted;
};

/* What the parts of a mix have in common. */
struct part_config {
    const char *name;
};

struct load_config {
    const char *url, *kind, *method, *tool, *args, *slow_path, *priority;
    struct flag_list headers;
    struct flag_list stream_paths;
    uint64_t connections, streams, slow_readers, idle;
    uint64_t body_bytes, rcvbuf, burst, slow_rate;
    uint64_t timeout_ns, think_ns;
    double rate;
    bool list;
};

struct serve_config {
    const char *listen;
    const char *json;
    uint64_t reply_bytes, delay_ns, chunk_bytes;
    uint64_t events, event_bytes, burst, progress, list_bytes;
    uint64_t sndbuf, rcvbuf;
    double rate, changes;
    bool sse, chunked;
};

struct ws_config {
    const char *url, *kind, *priority;
    struct flag_list headers;
    uint64_t connections, slow_readers, pipeline, messages, message_bytes;
    uint64_t burst, slow_rate, rcvbuf;
    uint64_t timeout_ns;
    double rate;
    bool binary, ping;
};

struct floor_config {
    const char *listen, *upstream;
};

extern const struct flag stage_flags[], find_flags[], part_flags[], load_flags[], ws_flags[], serve_flags[],
    floor_flags[];

#endif
