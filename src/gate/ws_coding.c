/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/ws_coding.h"

#include "gate/worker.h"

#include <stdlib.h>

enum { ALONE_MIN = 512 /* without a context less is hardly made smaller */ };

struct ws_coding *
ws_coding_of(struct worker *w)
{
    if (!w->ws)
        w->ws = calloc(1, sizeof *w->ws);
    return w->ws;
}

void
ws_coding_done(struct worker *w)
{
    if (!w->ws)
        return;
    ws_inflater_free(w->ws->inflater);
    ws_deflater_free(w->ws->deflater);
    held_free(w, &w->ws->came);
    held_free(w, &w->ws->left);
    free(w->ws);
    w->ws = NULL;
}

static bool
put(struct ws_deflate_out *out, const void *bytes, uint32_t len)
{
    const struct ws_to_held *to = (const struct ws_to_held *)(const void *)out;

    return held_append(to->worker, to->held, bytes, len);
}

struct ws_to_held
ws_to_held(struct worker *w, struct held *held)
{
    held->len = 0;
    return (struct ws_to_held){{put}, w, held};
}

enum ws_deflate_result
ws_inflate(struct worker *w, struct text payload, uint64_t max, struct held *to)
{
    struct ws_coding *c = ws_coding_of(w);
    struct ws_to_held into = ws_to_held(w, to);

    if (c && !c->inflater)
        c->inflater = ws_inflater_new();
    return c && c->inflater ? ws_inflater_message(c->inflater, payload, max, &into.out) : WS_DEFLATE_NO_ROOM;
}

struct text
ws_deflate_alone(struct worker *w, struct text message)
{
    static const struct ws_deflate_params alone = {.window_bits = WS_DEFLATE_WINDOW, .no_takeover = true};
    struct ws_coding *c = message.len >= ALONE_MIN ? ws_coding_of(w) : NULL;
    struct ws_to_held to;

    if (c && !c->deflater)
        c->deflater = ws_deflater_new(&alone);
    if (!c || !c->deflater)
        return (struct text){0};
    to = ws_to_held(w, &c->left);
    if (ws_deflater_message(c->deflater, &message, 1, &to.out) == WS_DEFLATE_FINE) {
        stats_add(w->stats, STAT_compress_in, message.len);
        stats_add(w->stats, STAT_compress_out, c->left.len);
        return held_text(&c->left);
    }
    ws_deflater_free(c->deflater); /* it is of no use any more */
    c->deflater = NULL;
    return (struct text){0};
}
