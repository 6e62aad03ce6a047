/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/admin.h"

#include "gate/admin_files.h"
#include "gate/local.h"
#include "gate/origin.h"
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

typedef void format_fn(const struct snapshot *s, const struct writer *w);

static struct page
make_stats(struct worker *w, format_fn *format)
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
        format(s, &writer);
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
reply_stats(struct exchange *ex, const struct http1_head *head, struct text type, format_fn *format)
{
    struct page plain = make_stats(ex->worker, format), packed = {0};

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

/* {"listening": ["http://127.0.0.1:8080"], "admin": "http://127.0.0.1:8081"}: where clients connect, over
 * TCP, and the Origin of which the workers let in pages. "" is a unix socket's. */
static void
reply_addresses(struct exchange *ex)
{
    struct page page = {0};
    struct writer w = {page_put, &page};
    const char *at = ex->worker->child->h.client_urls, *separator = "";

    writer_text(&w, "{\"listening\": [");
    while (*at) {
        int n = (int)strcspn(at, " ");

        writer_printf(&w, "%s\"%.*s\"", separator, n, at);
        separator = ", ";
        at += n + (at[n] == ' ');
    }
    writer_printf(&w, "], \"admin\": \"%.*s\"}\n", (int)ex->worker->admin_origin.len,
                  ex->worker->admin_origin.at);
    local_reply(ex, 200, TEXT("application/json"), (struct text){0}, page.at, (uint32_t)page.len, CLOSE_DONE);
    free(page.at);
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
    } else if (!origin_host_allowed(client_of(ex->client), head)) {
        local_error(ex, CLOSE_HOST, (struct text){0});
    } else if (text_eq(path, TEXT("/metrics"))) {
        reply_stats(ex, head, TEXT("text/plain; version=0.0.4; charset=utf-8"), stats_format_prom);
    } else if (text_eq(path, TEXT("/stats.json"))) {
        reply_stats(ex, head, TEXT("application/json"), stats_format_json);
    } else if (text_eq(path, TEXT("/addresses.json"))) {
        reply_addresses(ex);
    } else if (!admin_files_request(ex, head, path)) {
        local_error(ex, CLOSE_NOT_FOUND, (struct text){0});
    }
}
