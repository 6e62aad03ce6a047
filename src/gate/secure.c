/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/secure.h"

#include "base/log.h"
#include "gate/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOG_EVERY_MS = 10000 };

int
secure_init(struct worker *w, char *why, size_t why_size)
{
    const struct config *c = w->config;
    int err = 0;

    if (w->is_admin || !c->tls.count)
        return 0;
    w->tls = calloc(c->tls.count, sizeof *w->tls);
    if (!w->tls) {
        snprintf(why, why_size, "not enough memory for TLS");
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < c->tls.count && err >= 0; i++)
        err = secure_context_new(c, i, &w->tls[i], why, why_size);
    return err;
}

void
secure_done(struct worker *w)
{
    for (uint32_t i = 0; w->tls && i < w->config->tls.count; i++)
        tls_context_free(&w->tls[i]);
    free(w->tls);
    w->tls = NULL;
}

void
secure_endpoint_init(struct endpoint *ep)
{
    const struct worker *w = ep->upstream->worker;

    if (!ep->cfg->is_tls || !w->tls)
        return;
    ep->tls.context = w->tls[ep->upstream->cfg->tls];
    ep->tls.host = cfg_string(w->config, ep->cfg->host);
}

void
secure_endpoint_done(struct endpoint *ep)
{
    tls_peer_done(&ep->tls);
}

bool
secure_prepare(struct endpoint *ep, struct link *link)
{
    struct filter *filter;

    if (!ep->tls.context || link->filter)
        return true;
    filter = tls_filter_new(&ep->tls);
    if (filter)
        link_set_filter(link, filter);
    return filter != NULL;
}

void
secure_note_ready(struct endpoint *ep, const struct link *link)
{
    struct upstream *up = ep->upstream;

    if (!link->filter)
        return;
    stats_up_add(up->worker->stats, up->index, UPSTAT_up_tls_handshakes, 1);
    if (tls_is_resumed(link->filter))
        stats_up_add(up->worker->stats, up->index, UPSTAT_up_tls_resumed, 1);
}

/* Those for which the filter has words of its own. */
static bool
has_words(enum close_reason reason)
{
    switch (reason) {
    case CLOSE_CERT_EXPIRED:
    case CLOSE_CERT_UNKNOWN_CA:
    case CLOSE_CERT_NAME:
    case CLOSE_CERT_REFUSED:
    case CLOSE_TLS_FAILED:
        return true;
    default:
        return false;
    }
}

void
secure_note_failure(struct endpoint *ep, enum close_reason reason)
{
    struct upstream *up = ep->upstream;
    struct worker *w = up->worker;
    uint64_t now_ms = ring_now(w->ring) / 1000000;

    if (!has_words(reason))
        return;
    up->tls_why = ep->tls.why;
    stats_up_add(w->stats, up->index, UPSTAT_up_tls_failures, 1);
    if (ep->tls_logged_ms && now_ms - ep->tls_logged_ms < LOG_EVERY_MS)
        return;
    ep->tls_logged_ms = now_ms;
    log_warning("upstream %.*s: endpoint %.*s: %s", (int)up->name.len, up->name.at, (int)ep->authority.len,
                ep->authority.at, ep->tls.why);
}

const char *
secure_reason_text(const struct upstream *up, enum close_reason reason)
{
    return up && up->tls_why && has_words(reason) ? up->tls_why : close_reason_info(reason)->text;
}
