/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments that a tool wants repeated in header fields (2026-07-28, Mcp-Param-*): held against what the
 * client sent, where its tool is known, and written for an upstream over HTTP. What is not known is passed on
 * as it came. An upstream that misses a field (-32020) is asked for its tools, and the call is made once
 * more; so it is after one that does not know the revision any more (-32022), with the era that a fresh probe
 * finds.
 */
#include "gate/bridged.h"
#include "mcp/headers.h"
#include "mcp/params.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    PARAM_FIELDS_BYTES = 12 << 10,
    RELIST_PAGES_MAX = 100,
    FRESH_MS = 5000, /* a list of this age need not be asked for again because a client contradicts it */
};

/* Asks the upstream of a call for its tools. */
struct relist {
    struct bond_call call;
    struct bridged *of;
    struct held cursor; /* raw, of the next page; or nothing */
    struct held error;  /* the upstream's answer to the call; or nothing: it was not sent */
    struct timer timer; /* for the page */
    unsigned pages;
};

static void relist(struct bridged *b, struct text error);

/* --- the client's fields --- */

#define PARAM_PREFIX "Mcp-Param-"

/* The next of its Mcp-Param lines behind *at, "name: value". False: there is none. */
static bool
next_line(const struct bridged *b, const char **at, struct text *ret)
{
    const char *end = b->fields.at + b->fields.len;

    while (b->fields.at && *at < end) {
        const char *line_end = memchr(*at, '\r', (size_t)(end - *at));
        struct text line = {*at, (uint32_t)(line_end - *at)};

        *at = line_end + 2;
        if (line.len > sizeof PARAM_PREFIX - 1 &&
            text_eq_nocase((struct text){line.at, sizeof PARAM_PREFIX - 1}, TEXT(PARAM_PREFIX))) {
            *ret = line;
            return true;
        }
    }
    return false;
}

static const char *
first_line(const struct bridged *b)
{
    return b->fields.at + b->plain_fields;
}

/* The value of the field for this header; at NULL: it was not sent, or twice. */
static struct text
value_of(const struct bridged *b, struct text header)
{
    const char *at = first_line(b);
    struct text line, found = {NULL, 0};
    uint32_t n = (uint32_t)sizeof PARAM_PREFIX - 1 + header.len;

    while (next_line(b, &at, &line)) {
        if (line.len <= n || line.at[n] != ':' ||
            !text_eq_nocase((struct text){line.at + sizeof PARAM_PREFIX - 1, header.len}, header))
            continue;
        if (found.at)
            return (struct text){NULL, 0};
        found = text_trim((struct text){line.at + n + 1, line.len - n - 1});
    }
    return found;
}

static const struct mcp_param *
first_mismatch(const struct bridged *b, const struct mcp_param *params, unsigned count, struct text arguments)
{
    for (unsigned i = 0; i < count; i++)
        if (!mcp_param_matches(&params[i], arguments, value_of(b, params[i].header)))
            return &params[i];
    return NULL;
}

static void
refuse(struct bridged *b, const struct mcp_param *param)
{
    char text[200];

    snprintf(text, sizeof text,
             "HeaderMismatch: " PARAM_PREFIX "%.*s is missing or differs from the argument",
             param->header.len > 100 ? 100 : (int)param->header.len, param->header.at);
    bridged_error(b, MCP_ERROR_HEADER, 400, text);
}

/* --- the fields of the call --- */

static bool
reserve_fields(struct bridged *b, struct held *fields)
{
    fields->len = 0;
    return held_reserve(b->worker, fields, b->fields.len + PARAM_FIELDS_BYTES) &&
           held_append(b->worker, fields, b->fields.at, b->plain_fields);
}

/* The upstream decides what it makes of them. */
static bool
pass_lines(struct bridged *b, struct held *fields)
{
    const char *at = first_line(b);
    struct text line;

    while (next_line(b, &at, &line))
        if (!held_append(b->worker, fields, line.at, line.len + 2))
            return false;
    return true;
}

static bool
write_lines(struct held *fields, const struct mcp_param *params, unsigned count, struct text arguments)
{
    int n = mcp_params_write(params, count, arguments, fields->at + fields->len, fields->size - fields->len);

    if (n >= 0)
        fields->len += (uint32_t)n;
    return n >= 0;
}

static bool
is_fresh(const struct bridged *b)
{
    uint64_t learned_ms = b->upstream->params.learned_ms;

    return b->was_relisted || ring_now(b->worker->ring) / 1000000 - learned_ms < FRESH_MS;
}

bool
bridged_params(struct bridged *b, struct text made, struct text *ret_fields)
{
    bool by_fields = upstream_takes_posts(b->upstream) && mcp_revision_is_modern(b->bridge.upstream);
    bool from_http = mcp_revision_is_modern(b->bridge.client);
    struct held *fields = &b->worker->bridge_room->fields;
    const struct mcp_param *bad = NULL;
    struct mcp_param params[MCP_PARAMS_MAX];
    struct jsonrpc_envelope env;
    struct text schema, arguments;
    const char *why;
    int count = 0;

    *ret_fields = (struct text){b->fields.at, b->plain_fields};
    if (b->call.method != MCP_TOOLS_CALL || (!by_fields && !from_http))
        return true;
    jsonrpc_scan(made, JSON_SCAN_FAST, &env);
    schema = tool_params_find(b->upstream, env.name);
    arguments = json_find(env.params, TEXT("arguments"));
    if (schema.len)
        count = mcp_params_of(schema, params, &why);
    if (from_http && count > 0)
        bad = first_mismatch(b, params, (unsigned)count, arguments);
    if (bad && is_fresh(b))
        refuse(b, bad);
    else if (bad)
        relist(b, (struct text){NULL, 0});
    else if (!by_fields)
        return true;
    else if (!reserve_fields(b, fields))
        exchange_fail(b->ex, CLOSE_NO_MEMORY);
    else if (count > 0 ? !write_lines(fields, params, (unsigned)count, arguments)
                       : from_http && !pass_lines(b, fields))
        exchange_fail(b->ex, CLOSE_HEAD_TOO_LARGE);
    else {
        *ret_fields = held_text(fields);
        return true;
    }
    return false;
}

/* --- asking for the tools --- */

void
bridged_relist_free(struct bridged *b)
{
    struct relist *r = b->relist;

    if (!r)
        return;
    b->relist = NULL;
    timer_stop(&r->timer);
    bond_call_done(&r->call, true);
    held_free(b->worker, &r->cursor);
    held_free(b->worker, &r->error);
    free(r);
}

/* The call once more. */
static void
go_on(struct bridged *b)
{
    bridged_relist_free(b);
    bridged_send(b);
}

/* It stays at what the upstream said, or at what is known of its tools. */
static void
give_up(struct bridged *b)
{
    struct worker *w = b->worker;
    struct held error = b->relist->error;
    struct jsonrpc_envelope env;

    b->relist->error = (struct held){.at = NULL};
    bridged_relist_free(b);
    if (!error.len)
        bridged_send(b);
    else if (jsonrpc_scan(held_text(&error), JSON_SCAN_FAST, &env) == JSONRPC_FAULT_FINE)
        bridged_take_result(b, held_text(&error), &env);
    else
        exchange_fail(b->ex, CLOSE_BAD_REPLY);
    held_free(w, &error);
}

static void
on_late(struct ring *ring, struct timer *timer)
{
    (void)ring;
    give_up(container_of(timer, struct relist, timer)->of);
}

static void
ask_page(struct relist *r)
{
    struct bridged *b = r->of;

    r->call.number = bond_mint(r->call.bond);
    r->call.is_answered = false;
    timer_set(b->worker->ring, &r->timer, bond_answer_limit_ms(r->call.bond), on_late);
    if (!bridged_ask_list(b->worker, &r->call, MCP_TOOLS_LIST, held_text(&r->cursor),
                          (struct text){b->fields.at, b->plain_fields}))
        give_up(b);
}

static void
on_list_ready(struct bond_call *call)
{
    struct relist *r = container_of(call, struct relist, call);

    r->pages = 0;
    r->cursor.len = 0;
    ask_page(r);
}

static void
on_list_message(struct bond_call *call, struct text message, const struct jsonrpc_envelope *env)
{
    struct relist *r = container_of(call, struct relist, call);
    struct bridged *b = r->of;
    struct text cursor;

    if (env->kind == JSONRPC_ERROR) {
        give_up(b);
        return;
    }
    if (env->kind != JSONRPC_RESPONSE) {
        bridging_heard(call->bond, message, env);
        return;
    }
    tool_params_learn(b->upstream, env->result, false);
    cursor = json_find(env->result, TEXT("nextCursor"));
    r->cursor.len = 0;
    if (json_kind_of(cursor) != JSON_IS_STRING || ++r->pages == RELIST_PAGES_MAX)
        go_on(b);
    else if (!held_append(b->worker, &r->cursor, cursor.at, cursor.len))
        give_up(b);
    else
        ask_page(r);
}

static void
on_list_end(struct bond_call *call, enum close_reason reason, unsigned status)
{
    (void)reason, (void)status;
    give_up(container_of(call, struct relist, call)->of);
}

static const struct bond_call_up list_up = {
    .on_ready = on_list_ready, .on_message = on_list_message, .on_end = on_list_end};

static void
relist(struct bridged *b, struct text error)
{
    struct relist *r = calloc(1, sizeof *r);

    b->was_relisted = true;
    b->relist = r;
    if (!r || (error.len && !held_append(b->worker, &r->error, error.at, error.len))) {
        exchange_fail(b->ex, CLOSE_NO_MEMORY);
        return;
    }
    r->of = b;
    exchange_set_phase(b->ex, PHASE_LOCAL);
    bond_ask(b->ask.bond, &r->call, &list_up);
}

/* --- what the upstream refuses --- */

bool
bridged_try_again(struct bridged *b, struct text message, const struct jsonrpc_envelope *env)
{
    if (!b->ex || !upstream_takes_posts(b->upstream) || !mcp_revision_is_modern(b->bridge.upstream))
        return false;
    if (env->error_code == MCP_ERROR_HEADER && b->call.method == MCP_TOOLS_CALL && !b->was_relisted) {
        relist(b, message);
        return true;
    }
    if (env->error_code == MCP_ERROR_VERSION && !b->was_doubted && !b->round) {
        b->was_doubted = true;
        bond_doubt(&b->ask);
        return true;
    }
    return false;
}
