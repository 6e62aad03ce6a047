/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/admin.h"

#include "gate/local.h"
#include "stats/format.h"
#include "stats/read.h"
#include "stats/segment.h"

#include <libdeflate.h>
#include <stdlib.h>

/* A text that grows. */
struct page {
    char *at;
    size_t len, size;
};

static void
page_put(void *ctx, const char *bytes, size_t len)
{
    struct page *page = ctx;

    if (page->len + len > page->size) {
        page->size = (page->len + len) * 2;
        page->at = realloc(page->at, page->size);
        ASSERT(page->at);
    }
    memcpy(page->at + page->len, bytes, len);
    page->len += len;
}

static struct page
make_metrics(struct worker *w)
{
    struct page page = {0};
    struct writer writer = {page_put, &page};
    struct stats_reader *reader;
    struct snapshot *s;
    const char *why;

    if (stats_open_fd(w->child->fds[FD_SEGMENT], &reader, &why) < 0)
        return page;
    s = stats_snapshot(reader);
    if (s)
        stats_format_prom(s, &writer);
    snapshot_free(&s);
    stats_close_reader(&reader);
    return page;
}

static struct page
gzip(const struct page *plain)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(1);
    struct page page = {0};

    if (!c)
        return page;
    page.size = libdeflate_gzip_compress_bound(c, plain->len);
    page.at = malloc(page.size);
    if (page.at)
        page.len = libdeflate_gzip_compress(c, plain->at, plain->len, page.at, page.size);
    libdeflate_free_compressor(c);
    return page;
}

static void
reply_metrics(struct exchange *ex, const struct http1_head *head)
{
    struct page plain = make_metrics(ex->worker), packed = {0};
    struct text type = TEXT("text/plain; version=0.0.4; charset=utf-8");

    if (!plain.len) {
        free(plain.at);
        local_error(ex, CLOSE_INTERNAL, (struct text){0});
        return;
    }
    if (http_list_has(http1_value(head, HTTP_ACCEPT_ENCODING), TEXT("gzip")))
        packed = gzip(&plain);
    if (packed.len)
        local_reply(ex, 200, type, TEXT("Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n"), packed.at,
                    (uint32_t)packed.len, CLOSE_DONE);
    else
        local_reply(ex, 200, type, TEXT("Vary: Accept-Encoding\r\n"), plain.at, (uint32_t)plain.len,
                    CLOSE_DONE);
    free(plain.at);
    free(packed.at);
}

/* Ready: at least one worker serves and the gateway is not about to end. */
static bool
is_ready(struct worker *w)
{
    if (w->not_ready || w->draining)
        return false;
    for (uint32_t i = 0; i < segment_slots(w->child->segment); i++) {
        const struct slot *s = segment_slot(w->child->segment, i);

        if (s != w->stats && __atomic_load_n(&s->head.state, __ATOMIC_RELAXED) == SLOT_READY &&
            strcmp(s->head.role, "worker") == 0)
            return true;
    }
    return false;
}

void
admin_request(struct exchange *ex, const struct http1_head *head, struct text path)
{
    struct text type = TEXT("text/plain; charset=utf-8");

    if (head->method != METHOD_GET && head->method != METHOD_HEAD) {
        local_error(ex, CLOSE_METHOD, TEXT("Allow: GET, HEAD\r\n"));
    } else if (text_eq(path, TEXT("/healthz"))) {
        local_reply(ex, 200, type, (struct text){0}, "ok\n", 3, CLOSE_DONE);
    } else if (text_eq(path, TEXT("/readyz"))) {
        if (is_ready(ex->worker))
            local_reply(ex, 200, type, (struct text){0}, "ready\n", 6, CLOSE_DONE);
        else
            local_reply(ex, 503, type, TEXT("Retry-After: 1\r\n"), "not ready\n", 10, CLOSE_DONE);
    } else if (text_eq(path, TEXT("/metrics"))) {
        reply_metrics(ex, head);
    } else {
        local_error(ex, CLOSE_NOT_FOUND, (struct text){0});
    }
}
