/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How `mcpload serve` answers one request: the flags are the defaults, the request's query overrides them. A
 * pure function of the two.
 *
 *     GET /anything?status=503&delay=20&bytes=1000&chunked=1&close=mid-body
 */
#ifndef MCPLOAD_BEHAVIOUR_H
#define MCPLOAD_BEHAVIOUR_H

#include "base/text.h"

#include <stdio.h>

enum close_point {
    CLOSE_POINT_NONE,
    CLOSE_POINT_BEFORE_HEAD, /* the request was read, nothing is answered */
    CLOSE_POINT_AFTER_HEAD,  /* the reply's head and not a byte of its body */
    CLOSE_POINT_MID_BODY,    /* half of the body */
};

struct behaviour {
    uint64_t delay_ns; /* before the reply's first byte */
    uint64_t bytes;    /* of a plain reply's body */
    uint64_t chunk_bytes;
    uint64_t events;      /* of a stream; 0: endless */
    uint64_t event_bytes; /* of one event, from "data:" to the empty line */
    uint64_t progress;    /* progress notifications before a tool's result, in SSE form */
    uint64_t list_bytes;  /* least size of a tools/list result */
    double changes; /* notices a second to each subscription that the tools have changed; 0: none is taken */
    double rate;    /* events per second and stream; 0: as fast as they are taken */
    uint64_t burst; /* events back to back, then a pause that keeps the rate; at least 1 */
    uint16_t status;
    uint8_t close; /* enum close_point */
    bool sse;      /* tool results leave as SSE when Accept allows it; GETs get a stream */
    bool chunked, close_delimited, trailers;
    bool informational; /* a 103 first */
    bool early;         /* answers when the head was read, then reads the body */
    bool garbage;       /* answers with what is not HTTP */
    bool hang;          /* never answers */
    bool upgrade;       /* 101, then echoes */
};

/* The path in *ret_path, the behaviour in *ret. 0, or -EINVAL when the query names something unknown or a
 * value out of range; *ret_bad is then that element. */
int behaviour_parse(struct text target, const struct behaviour *defaults, struct behaviour *ret,
                    struct text *ret_path, struct text *ret_bad);

/* Calls `line` for each word of the query: as it is written ("?delay=MS") and what it does. */
void behaviour_print(void (*line)(const char *word, const char *help, FILE *out), FILE *out);
/* Such a line of --help. */
void behaviour_help_line(const char *word, const char *help, FILE *out);

#endif
