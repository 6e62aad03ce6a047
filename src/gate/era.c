/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/era.h"

#include "base/log.h"
#include "gate/bond.h"
#include "gate/leg.h"
#include "gate/stdio_pool.h"

#include <stdio.h>
#include <sys/random.h>

enum { PROBE_LIMIT_MS = 5000, NO_EVIDENCE_MS = 2000, PROBE_BYTES = 1024 };

static uint64_t
now_ms(const struct upstream *up)
{
    return ring_now(up->worker->ring) / 1000000;
}

void
era_init(struct upstream *up)
{
    list_init(&up->era.waiting);
    if (up->cfg->is_demo) { /* by its own plan it speaks every revision */
        up->era.era = BRIDGE_ERA_MODERN;
        up->era.revision = MCP_2026_07_28;
    }
    if (!up->cfg->is_sse)
        return;
    up->era.era = BRIDGE_ERA_LEGACY;
    up->era.revision = MCP_LATEST_LEGACY;
    up->era.is_sse = true;
}

void
era_done(struct upstream *up)
{
    struct era *era = &up->era;

    timer_stop(&era->timer);
    if (era->probe)
        leg_close(era->probe);
    era->probe = NULL;
    era->sibling = NULL;
    held_free(up->worker, &era->result);
    held_free(up->worker, &era->answer);
    held_free(up->worker, &era->fields);
    held_free(up->worker, &era->leave_fields);
}

void
era_doubt(struct upstream *up)
{
    up->era.until_ms = 0;
}

static void
keep_result(struct upstream *up, struct text result)
{
    struct era *era = &up->era;

    era->result.len = 0;
    if (!held_append(up->worker, &era->result, result.at, result.len))
        era->result.len = 0; /* it is asked for again by who needs it */
    era->result_is_public = up->stdio || text_eq(json_find(result, TEXT("cacheScope")), TEXT("\"public\""));
    mcp_token_principal(held_text(&era->fields), era->asker);
}

struct text
era_result_for(const struct upstream *up, struct text fields)
{
    const struct era *era = &up->era;
    uint8_t who[MCP_TOKEN_PRINCIPAL_BYTES];

    mcp_token_principal(fields, who);
    if (!era->result_is_public && memcmp(who, era->asker, sizeof who) != 0)
        return (struct text){0};
    return held_text(&era->result);
}

static void greet(struct upstream *up, enum mcp_revision revision, struct text fields);

/* They may wait again, for something else. */
static void
tell_waiting(struct era *era)
{
    struct list_node told;

    list_init(&told);
    if (!list_empty(&era->waiting))
        list_take(&told, &era->waiting);
    for (struct list_node *node; (node = list_first(&told));) {
        struct era_wait *wait = container_of(node, struct era_wait, node);

        list_del(node);
        wait->known(wait);
    }
}

static const char *
name_of(const struct bridge_probe *verdict, bool is_sse)
{
    if (is_sse)
        return "speaks HTTP+SSE of 2024-11-05";
    return verdict->era == BRIDGE_ERA_MODERN ? "speaks 2026-07-28" : "speaks a revision before 2026-07-28";
}

static void
adopt(struct upstream *up, const struct bridge_probe *verdict, bool is_sse)
{
    struct era *era = &up->era;
    bool is_evidence = verdict->era != BRIDGE_ERA_UNKNOWN;

    if (is_evidence &&
        (era->era != verdict->era || era->revision != verdict->revision || era->is_sse != is_sse))
        log_info("upstream %.*s: %s", (int)up->name.len, up->name.at, name_of(verdict, is_sse));
    if (is_evidence || !era->until_ms) {
        era->era = (uint8_t)verdict->era;
        era->revision = (uint8_t)verdict->revision;
        era->is_sse = is_sse;
        keep_result(up, verdict->result);
    }
    era->until_ms = now_ms(up) + (is_evidence ? up->worker->config->era_ttl : NO_EVIDENCE_MS);
}

/* It took neither server/discover nor a POST at all, as it seems: initialize is next, and then a GET. */
static bool
seek_sse(struct upstream *up, unsigned status)
{
    struct jsonrpc_envelope env;

    if (!upstream_takes_posts(up) || !bridge_may_be_sse(status) ||
        jsonrpc_scan(held_text(&up->era.answer), JSON_SCAN_STRICT, &env) == JSONRPC_FAULT_FINE)
        return false;
    held_free(up->worker, &up->era.answer);
    up->era.is_seeking = true;
    greet(up, MCP_LATEST_LEGACY, held_text(&up->era.fields));
    up->era.is_seeking = up->era.probe != NULL;
    return up->era.is_seeking;
}

static void
decide(struct upstream *up, unsigned status)
{
    struct era *era = &up->era;
    struct bridge_probe verdict;

    era->greeted = era->spoken = 0;
    era->probe = NULL;
    timer_stop(&era->timer);
    if (seek_sse(up, status))
        return;
    bridge_era_of(status, held_text(&era->answer), &verdict);
    adopt(up, &verdict, false);
    held_free(up->worker, &era->answer);
    if (verdict.era == BRIDGE_ERA_MODERN && upstream_takes_posts(up))
        greet(up, MCP_LATEST_LEGACY, (struct text){0});
    if (!era->probe)
        tell_waiting(era);
}

static void
decide_legacy(struct upstream *up, bool is_sse)
{
    const struct bridge_probe verdict = {.era = BRIDGE_ERA_LEGACY, .revision = MCP_LATEST_LEGACY};

    up->era.probe = NULL;
    up->era.is_seeking = false;
    timer_stop(&up->era.timer);
    adopt(up, &verdict, is_sse);
    tell_waiting(&up->era);
}

static void
ignore_message(struct leg *leg, struct text message)
{
    (void)leg, (void)message;
}

static void
ignore_end(struct leg *leg, enum close_reason reason)
{
    (void)leg, (void)reason;
}

static const struct leg_up nobody = {.on_message = ignore_message, .on_end = ignore_end};

/* What a server may ask before it is greeted. */
static void
answer_ping(struct leg *probe, struct text id)
{
    struct upstream *up = probe->owner;
    char body[PROBE_BYTES];
    struct json_writer w = {.at = body, .size = sizeof body};
    enum close_reason reason;

    json_put(&w, TEXT("{\"jsonrpc\":\"2.0\",\"id\":"));
    json_put(&w, id);
    json_put(&w, TEXT(",\"result\":{}}"));
    if (!w.full && probe->ws)
        leg_send(probe, PRIORITY_CRITICAL, json_written(&w));
    else if (!w.full)
        leg_open(up->worker,
                 &(struct leg_request){.upstream = up,
                                       .endpoint = up->era.leave_at,
                                       .method = METHOD_POST,
                                       .body = json_written(&w),
                                       .fields = held_text(&up->era.leave_fields)},
                 &nobody, NULL, &reason);
}

/* The first that may be the answer; on a stream other things may come before it. */
static void
on_message(struct leg *leg, struct text message)
{
    struct upstream *up = leg->owner;
    struct jsonrpc_envelope env;

    if (jsonrpc_scan(message, JSON_SCAN_STRICT, &env) == JSONRPC_FAULT_FINE &&
        (env.kind == JSONRPC_REQUEST || env.kind == JSONRPC_NOTIFICATION)) {
        if (env.kind == JSONRPC_REQUEST && mcp_method_of(env.method) == MCP_PING)
            answer_ping(leg, env.id);
    } else if (!up->era.answer.len) {
        held_append(up->worker, &up->era.answer, message.at, message.len);
        if (leg->ws) /* its reply has no end of its own */
            exchange_finish(leg->ex, CLOSE_DONE);
    }
}

static void
on_end(struct leg *leg, enum close_reason reason)
{
    struct upstream *up = leg->owner;
    unsigned status = leg->status ? leg->status : BRIDGE_PROBE_HTTP_TIMEOUT;

    (void)reason;
    if (status == 101) /* the rules of stdio */
        status = up->era.answer.len ? BRIDGE_PROBE_STDIO : BRIDGE_PROBE_EXIT;
    else if (up->cfg->is_ws) /* the question was not even asked */
        status = BRIDGE_PROBE_HTTP_TIMEOUT;
    decide(up, status);
}

static const struct leg_up probe_up = {.on_message = on_message, .on_end = on_end};

/* --- a modern server may speak the older form as well, and one of the older form some revisions of it only:
 * where the client's is among them nobody need be translated --- */

/* The session of a greeting is of no use. `settled`: its revision, or none. */
static void
leave(struct upstream *up, enum mcp_revision settled)
{
    struct era *era = &up->era;
    enum close_reason reason;
    char line[64];
    int n = settled < MCP_REVISIONS && settled >= MCP_2025_06_18
                ? snprintf(line, sizeof line, "MCP-Protocol-Version: %.*s\r\n",
                           (int)mcp_revision_name(settled).len, mcp_revision_name(settled).at)
                : 0;

    if (era->leave_at && held_append(up->worker, &era->leave_fields, line, (uint32_t)n))
        leg_open(up->worker,
                 &(struct leg_request){.upstream = up,
                                       .endpoint = era->leave_at,
                                       .method = METHOD_DELETE,
                                       .fields = held_text(&era->leave_fields)},
                 &nobody, NULL, &reason);
    era->leave_at = NULL;
    held_free(up->worker, &era->leave_fields);
}

/* --- the stream of HTTP+SSE: its first event is the endpoint --- */

static void
on_seek_event(struct leg *leg, struct text name, struct text data)
{
    struct upstream *up = leg->owner;
    bool is_sse = text_eq(name, TEXT("endpoint")) && data.len;

    leg_close(leg);
    decide_legacy(up, is_sse);
}

static void
on_seek_end(struct leg *leg, enum close_reason reason)
{
    (void)reason;
    decide_legacy(leg->owner, false);
}

static void
on_seek_limit(struct ring *ring, struct timer *timer)
{
    struct upstream *up = container_of(timer, struct upstream, era.timer);

    (void)ring;
    leg_close(up->era.probe);
    decide_legacy(up, false);
}

static const struct leg_up seek_up = {
    .on_message = ignore_message, .on_event = on_seek_event, .on_end = on_seek_end};

static bool
seek_endpoint(struct upstream *up)
{
    enum close_reason reason;

    up->era.probe = leg_open(
        up->worker,
        &(struct leg_request){.upstream = up, .method = METHOD_GET, .fields = held_text(&up->era.fields)},
        &seek_up, up, &reason);
    if (up->era.probe)
        timer_set(up->worker->ring, &up->era.timer, PROBE_LIMIT_MS, on_seek_limit);
    return up->era.probe != NULL;
}

static void
end_greeting(struct upstream *up, bool speaks_it, enum mcp_revision settled, unsigned status)
{
    struct era *era = &up->era;
    uint8_t bit = (uint8_t)(1u << era->greeting);

    era->probe = NULL;
    era->greeted |= bit;
    if (era->era == BRIDGE_ERA_MODERN && era->greeting == MCP_LATEST_LEGACY)
        era->speaks_both = speaks_it;
    if (settled == era->greeting || (!speaks_it && (era->era == BRIDGE_ERA_LEGACY || era->is_seeking)))
        era->spoken |= bit; /* without evidence the client hears it from the server itself */
    timer_stop(&era->timer);
    held_free(up->worker, &era->answer);
    leave(up, settled);
    if (!era->is_seeking)
        tell_waiting(era);
    else if (speaks_it || !bridge_may_be_sse(status) || !seek_endpoint(up))
        decide_legacy(up, false);
}

static void
on_greeting_head(struct leg *leg, const struct http1_head *head)
{
    struct text id = http1_value(head, HTTP_MCP_SESSION_ID);
    struct upstream *up = leg->owner;
    char line[512];
    int n = snprintf(line, sizeof line, "Mcp-Session-Id: %.*s\r\n", (int)id.len, id.len ? id.at : "");

    if (id.len && n < (int)sizeof line && held_append(up->worker, &up->era.leave_fields, line, (uint32_t)n))
        up->era.leave_at = leg_endpoint(leg);
}

static void
on_greeting_end(struct leg *leg, enum close_reason reason)
{
    struct upstream *up = leg->owner;
    struct bridge_server server = {.revision = MCP_NO_REVISION};
    struct jsonrpc_envelope env;
    bool speaks_it = jsonrpc_scan(held_text(&up->era.answer), JSON_SCAN_STRICT, &env) == JSONRPC_FAULT_FINE &&
                     env.kind == JSONRPC_RESPONSE && bridge_read_initialize(env.result, &server);

    (void)reason;
    end_greeting(up, speaks_it, speaks_it ? server.revision : MCP_NO_REVISION, leg->status);
}

static const struct leg_up greeting_up = {
    .on_head = on_greeting_head, .on_message = on_message, .on_end = on_greeting_end};

static void
on_greeting_limit(struct ring *ring, struct timer *timer)
{
    struct upstream *up = container_of(timer, struct upstream, era.timer);

    (void)ring;
    leg_close(up->era.probe);
    end_greeting(up, false, MCP_NO_REVISION, 0);
}

static void
greet(struct upstream *up, enum mcp_revision revision, struct text fields)
{
    struct bridge b = {.client = revision, .upstream = revision};
    char body[PROBE_BYTES];
    struct json_writer w = {.at = body, .size = sizeof body};
    struct era *era = &up->era;
    enum close_reason reason;

    era->greeting = (uint8_t)revision;
    era->leave_at = NULL;
    era->leave_fields.len = 0;
    if (fields.len && !held_append(up->worker, &era->leave_fields, fields.at, fields.len))
        return;
    bridge_put_initialize_request(&w, &b, 1);
    era->probe =
        leg_open(up->worker,
                 &(struct leg_request){
                     .upstream = up, .method = METHOD_POST, .body = json_written(&w), .fields = fields},
                 &greeting_up, up, &reason);
    if (era->probe)
        timer_set(up->worker->ring, &era->timer, PROBE_LIMIT_MS, on_greeting_limit);
}

bool
era_ask_spoken(struct upstream *up, enum mcp_revision revision, struct text fields, struct era_wait *wait)
{
    struct era *era = &up->era;
    uint8_t bit = (uint8_t)(1u << revision);

    if (era->greeted & bit)
        return true;
    if (!era->probe)
        greet(up, revision, fields);
    if (!era->probe) {
        era->greeted |= bit;
        era->spoken |= bit;
        return true;
    }
    list_add_tail(&era->waiting, &wait->node);
    return false;
}

bool
era_speaks_all(const struct upstream *up)
{
    const unsigned all = 1u << MCP_2025_03_26 | 1u << MCP_2025_06_18 | 1u << MCP_2025_11_25;

    return (up->era.spoken & all) == all;
}

static void
on_limit(struct ring *ring, struct timer *timer)
{
    struct upstream *up = container_of(timer, struct upstream, era.timer);

    bool is_open_ws = up->era.probe->status == 101;

    (void)ring;
    leg_close(up->era.probe);
    decide(up, is_open_ws ? BRIDGE_PROBE_TIMEOUT : BRIDGE_PROBE_HTTP_TIMEOUT);
}

static void
probe(struct upstream *up, struct text fields)
{
    static const char lines[] = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: server/discover\r\n";
    struct bridge b = {.client = MCP_2026_07_28, .upstream = MCP_2026_07_28};
    char body[PROBE_BYTES], all[PROBE_BYTES];
    struct json_writer w = {.at = body, .size = sizeof body};
    uint32_t n = sizeof lines - 1;
    enum close_reason reason;

    memcpy(all, lines, n);
    if (fields.len <= sizeof all - n) {
        memcpy(all + n, fields.len ? fields.at : "", fields.len);
        n += fields.len;
    }
    bridge_put_discover_request(&w, &b, 1);
    up->era.fields.len = 0;
    if (!held_append(up->worker, &up->era.fields, fields.at, fields.len))
        return;
    up->era.probe =
        leg_open(up->worker,
                 &(struct leg_request){
                     .upstream = up, .method = METHOD_POST, .body = json_written(&w), .fields = {all, n}},
                 &probe_up, up, &reason);
    if (up->era.probe)
        timer_set(up->worker->ring, &up->era.timer, PROBE_LIMIT_MS, on_limit);
}

/* --- a process: a sibling is asked, which does nothing else and is ended (mcp-wire 2.11) --- */

static const struct stdio_user probe_user;

static void
end_sibling(struct stdio_child *child, unsigned status)
{
    struct upstream *up = child->pool->upstream;

    if (up->era.sibling != child)
        return;
    up->era.sibling = NULL;
    decide(up, status);
}

static void
on_sibling_line(struct stdio_child *child, struct span line)
{
    struct upstream *up = child->pool->upstream;
    struct text message = {(const char *)span_data(line), line.len};
    struct jsonrpc_envelope env;

    if (up->era.sibling != child || jsonrpc_scan(message, JSON_SCAN_STRICT, &env) != JSONRPC_FAULT_FINE ||
        (env.kind != JSONRPC_RESPONSE && env.kind != JSONRPC_ERROR))
        return;
    held_append(up->worker, &up->era.answer, message.at, message.len);
    end_sibling(child, BRIDGE_PROBE_STDIO);
    stdio_child_end(child, CLOSE_DONE);
}

static void
on_sibling_lost(struct stdio_child *child, enum close_reason reason)
{
    (void)child, (void)reason;
}

static void
on_sibling_writable(struct stdio_child *child)
{
    (void)child;
}

static void
on_sibling_gone(struct stdio_child *child, enum close_reason reason)
{
    (void)reason;
    end_sibling(child, BRIDGE_PROBE_EXIT);
}

static const struct stdio_user probe_user = {.on_line = on_sibling_line,
                                             .on_lost = on_sibling_lost,
                                             .on_writable = on_sibling_writable,
                                             .on_gone = on_sibling_gone};

static void
on_sibling_limit(struct ring *ring, struct timer *timer)
{
    struct upstream *up = container_of(timer, struct upstream, era.timer);
    struct stdio_child *child = up->era.sibling;

    (void)ring;
    end_sibling(child, BRIDGE_PROBE_TIMEOUT);
    stdio_child_end(child, CLOSE_DONE);
}

static void
probe_process(struct upstream *up)
{
    struct bridge b = {.client = MCP_2026_07_28, .upstream = MCP_2026_07_28};
    char body[PROBE_BYTES];
    struct json_writer w = {.at = body, .size = sizeof body};
    uint8_t key[STDIO_KEY_BYTES];
    struct buf *line;

    if (getrandom(key, sizeof key, 0) != sizeof key ||
        stdio_take(up, key, &probe_user, &up->era.sibling) != CLOSE_NONE) {
        up->era.sibling = NULL;
        return;
    }
    bridge_put_discover_request(&w, &b, stdio_child_mint_id(up->era.sibling));
    line = stdio_buf(&up->worker->stdio.wire, w.len);
    if (line) {
        memcpy(line->data, w.at, w.len);
        stdio_child_send(up->era.sibling, &(struct span){line, 0, w.len}, 1);
        buf_unref(line);
    }
    stdio_child_hold(up->era.sibling);
    timer_set(up->worker->ring, &up->era.timer, PROBE_LIMIT_MS, on_sibling_limit);
}

static void
on_sync_limit(struct ring *ring, struct timer *timer)
{
    struct upstream *up = container_of(timer, struct upstream, era.timer);

    (void)ring;
    probe_process(up);
    if (!up->era.sibling)
        tell_waiting(&up->era);
}

/* Until it is known which processes a dead worker has left, none is started: a session's own may be among
 * them, and say by having been greeted what a probe would. */
static void
begin_process(struct upstream *up)
{
    if (up->worker->stdio.synced)
        probe_process(up);
    else if (!timer_running(&up->era.timer))
        timer_set(up->worker->ring, &up->era.timer, PROBE_LIMIT_MS, on_sync_limit);
}

void
era_synced(struct upstream *up)
{
    struct era *era = &up->era;

    if (era->until_ms || era->sibling)
        return;
    if (bond_stdio_was_greeted(up))
        decide_legacy(up, false);
    else if (!list_empty(&era->waiting))
        on_sync_limit(up->worker->ring, &era->timer);
}

bool
era_ask(struct upstream *up, struct text fields, struct era_wait *wait)
{
    struct era *era = &up->era;
    bool is_known = era->until_ms != 0;

    if (up->cfg->is_demo || up->cfg->is_sse || (!up->worker->config->era_ttl && !up->stdio))
        return true;
    /* A program does not change its revision while it is configured. */
    if (up->stdio && !is_known && !era->sibling)
        begin_process(up);
    else if (!up->stdio && era->until_ms <= now_ms(up) && !era->probe)
        probe(up, fields);
    if (is_known || !(era->probe || era->sibling || timer_running(&era->timer)))
        return true;
    list_add_tail(&era->waiting, &wait->node);
    return false;
}

void
era_forget(struct era_wait *wait)
{
    if (list_linked(&wait->node))
        list_del(&wait->node);
}
