/* SPDX-License-Identifier: Apache-2.0 */
/* The merged server as its clients see it: which upstream a request is for, and what it says of itself. */
#include "gate/merging.h"

#include "gate/bond.h"
#include "gate/events.h"
#include "gate/local.h"
#include "gate/merging_lists.h"
#include "mcp/headers.h"
#include "mcp/merge_caps.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static const struct text gateway_info = TEXT("{\"name\":\"mcpgate\",\"version\":\"" MCPGATE_VERSION "\"}");

bool
merging_is_on(const struct worker *w)
{
    unsigned servers = 0;

    for (unsigned i = 0; i < w->upstreams.count; i++)
        servers += !w->upstreams.items[i].cfg->is_route;
    switch ((enum cfg_mode)w->config->mode) {
    case MODE_MERGED:
        return servers > 0;
    case MODE_PATH:
        return false;
    default:
        return servers > 1;
    }
}

/* --- the worker --- */

int
merging_init(struct worker *w)
{
    unsigned count = w->upstreams.count, servers = 0;
    struct merging *m;
    uint64_t seed;

    if (!merging_is_on(w))
        return 0;
    m = w->merging = calloc(1, sizeof *m);
    if (!m)
        return -ENOMEM;
    m->worker = w;
    m->name_items = calloc(count, sizeof *m->name_items);
    if (!m->name_items || getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        struct upstream *up = &w->upstreams.items[i];

        servers += !up->cfg->is_route;
        if (!up->cfg->is_route)
            merge_name_init(&m->name_items[i], up->name);
    }
    m->names = (struct merge_names){m->name_items, count,
                                    servers == 1 && w->config->merge_prefix == MERGE_PREFIX_AUTO};
    list_cache_init(&m->cache, count, w->config->list_cache, seed);
    merging_lists_init(m);
    return 0;
}

void
merging_done(struct worker *w)
{
    struct merging *m = w->merging;

    if (!m)
        return;
    merging_lists_done(m);
    list_cache_free(&m->cache);
    free(m->name_items);
    free(m);
    w->merging = NULL;
}

struct bond *
merging_bond(struct worker *w, struct upstream *up)
{
    struct bond *bond = bond_shared(w, up, 0, (struct text){0});

    bond->stays = true;
    bond_listen(bond);
    return bond;
}

/* --- what the merged server says of itself --- */

/* Waits for the gateway's bonds with all upstreams. */
struct about_wait {
    struct bond_call call;
    struct about *of;
};

struct about {
    struct bridged *b;
    struct timer timer;
    unsigned open;
    bool busy; /* the calls are being made */
    struct about_wait waits[];
};

static void
free_about(struct bridged *b)
{
    struct about *about = b->about;

    if (!about)
        return;
    timer_stop(&about->timer);
    for (unsigned i = 0; i < b->worker->upstreams.count; i++)
        bond_call_done(&about->waits[i].call, false);
    free(about);
    b->about = NULL;
}

/* With one upstream nothing need be told apart: what both sides know and the gateway does not is served. */
static bool
is_alike(const struct bridged *b, const struct bond *bond)
{
    return b->worker->merging->names.plain && mcp_revision_is_modern(b->bridge.client) &&
           mcp_revision_is_modern(bond->bridge.upstream);
}

static unsigned
gather_parts(struct bridged *b, struct merge_about *parts)
{
    struct worker *w = b->worker;
    unsigned n = 0;

    for (unsigned i = 0; i < w->upstreams.count; i++) {
        struct upstream *up = &w->upstreams.items[i];
        struct bond *bond;

        if (up->cfg->is_route)
            continue;
        bond = merging_bond(w, up);
        if (bond->state == BOND_READY && bond->about.len)
            parts[n++] = (struct merge_about){.upstream = i,
                                              .caps = bond->server.caps,
                                              .instructions = bond->server.instructions,
                                              .extensions = is_alike(b, bond) ? bond->server.extensions
                                                                              : (struct text){0}};
    }
    return n;
}

static void
put_about(struct bridged *b, const struct merge_server *server, struct json_writer *w)
{
    json_put(w, TEXT("{\"jsonrpc\":\"2.0\",\"id\":"));
    json_put(w, b->call.id);
    json_put(w, TEXT(",\"result\":"));
    if (b->call.method == MCP_INITIALIZE)
        merge_write_initialize(w, server, b->bridge.client);
    else
        merge_write_discover(w, server, 0, false);
    json_put(w, TEXT("}"));
}

static void open_subscription(struct bridged *b);

static void
reply_about(struct bridged *b)
{
    struct worker *w = b->worker;
    struct merge_about parts[CFG_UPSTREAMS_MAX];
    struct merge_server server = {
        .names = &w->merging->names, .parts = parts, .count = gather_parts(b, parts), .info = gateway_info};
    char field[SESSION_FIELD_MAX];
    struct text extra = {field, 0};
    struct bridge_out out;

    free_about(b);
    if (b->call.method == MCP_LISTEN) {
        open_subscription(b);
        return;
    }
    if (b->call.method == MCP_INITIALIZE && !b->session) {
        enum close_reason reason;

        b->session = session_create(w, b->bridge.client, b->bridge.client_caps, b->principal, &reason);
        if (!b->session) {
            bridged_refuse(b, reason);
            return;
        }
        extra.len = session_field(b->session, field);
    }
    if (!bridged_out(w, 2 * MERGE_INSTRUCTIONS_MAX + (server.count ? parts[0].extensions.len : 0), &out)) {
        exchange_fail(b->ex, CLOSE_NO_MEMORY);
        return;
    }
    put_about(b, &server, &out.room);
    bridged_reply(b, 200, json_written(&out.room), extra);
}

static void
one_less(struct about_wait *wait)
{
    struct about *about = wait->of;

    bond_call_done(&wait->call, false);
    if (!--about->open && !about->busy)
        reply_about(about->b);
}

static void
on_about_ready(struct bond_call *call)
{
    one_less(container_of(call, struct about_wait, call));
}

static void
on_about_end(struct bond_call *call, enum close_reason reason, unsigned status)
{
    (void)reason, (void)status;
    one_less(container_of(call, struct about_wait, call));
}

static const struct bond_call_up about_up = {.on_ready = on_about_ready, .on_end = on_about_end};

static void
on_about_late(struct ring *ring, struct timer *timer)
{
    (void)ring;
    reply_about(container_of(timer, struct about, timer)->b);
}

static void
ask_about(struct bridged *b)
{
    struct worker *w = b->worker;
    unsigned count = w->upstreams.count;
    struct about *about = calloc(1, sizeof *about + count * sizeof about->waits[0]);

    if (!about) {
        exchange_fail(b->ex, CLOSE_NO_MEMORY);
        return;
    }
    b->about = about;
    about->b = b;
    about->busy = true;
    for (unsigned i = 0; i < count; i++) {
        struct upstream *up = &w->upstreams.items[i];

        if (up->cfg->is_route)
            continue;
        about->waits[i].of = about;
        about->open++;
        bond_ask(merging_bond(w, up), &about->waits[i].call, &about_up);
    }
    about->busy = false;
    if (about->open)
        timer_set(w->ring, &about->timer, w->config->merge_deadline, on_about_late);
    else
        reply_about(b);
}

/* --- requests for one upstream --- */

static bool
tool_is_denied(const struct bridged *b, int upstream)
{
    const struct merging *m = b->worker->merging;
    char plain[512];
    struct text own;
    int n;

    if (b->call.method != MCP_TOOLS_CALL)
        return false;
    n = json_string_decode(b->env->name, plain, sizeof plain);
    return n < 0 || merge_split_name(&m->names, (struct text){plain, (uint32_t)n}, &own) != upstream ||
           !tool_filter_allows(&b->worker->upstreams.items[upstream], own);
}

static void
refuse_unknown(struct bridged *b, struct text key)
{
    char text[300];

    if (key.len > 200)
        key.len = 200;
    for (uint32_t i = 0; i < key.len; i++)
        text[i] = key.at[i] == '"' || key.at[i] == '\\' ? '\'' : key.at[i];
    memcpy(text + key.len, " is not known here", sizeof " is not known here");
    bridged_error(b, -32602, 200, text);
}

static void
ask_one(struct bridged *b)
{
    struct merging *m = b->worker->merging;
    struct merge_edits edits = {.at = b->more, .room = BRIDGED_MORE};
    struct text key;
    int upstream = merge_map_request(&m->names, b->call.method, b->env, &edits, &key);

    if (upstream == MERGE_BAD_PARAMS) {
        bridged_error(b, -32602, 200, "params lack the name or uri");
    } else if (upstream < 0 || tool_is_denied(b, upstream)) {
        refuse_unknown(b, key);
    } else {
        b->more_count = edits.count;
        b->ex->upstream = &b->worker->upstreams.items[upstream];
        bridged_ask_upstream(b);
    }
}

/* --- all others --- */

/* A modern client's subscription to the merged server: the gateway's own bonds hear for it. */
static void
open_subscription(struct bridged *b)
{
    struct worker *w = b->worker;
    struct merge_about parts[CFG_UPSTREAMS_MAX];
    struct merge_server server = {
        .names = &w->merging->names, .parts = parts, .count = gather_parts(b, parts), .info = gateway_info};
    struct text filter = json_find(b->env->params, TEXT("notifications"));
    struct bridge_out out;

    if (!bridge_filter_read(filter, &b->filter)) {
        bridged_error(b, -32602, 400, "notifications is no filter");
        return;
    }
    bridge_filter_limit(&b->filter, merge_caps_of(&server));
    if (!bridged_out(w, filter.len, &out)) {
        exchange_fail(b->ex, CLOSE_NO_MEMORY);
        return;
    }
    bridge_put_acknowledged(&out.room, b->call.id, &b->filter);
    if (!bridged_event(b, json_written(&out.room), (struct text){0})) {
        bridged_refuse(b, CLOSE_NOT_ACCEPTABLE);
        return;
    }
    bridged_list(b);
    b->is_standing = true;
    bridged_listen(b);
}

struct bond *
merging_bond_of(struct worker *w, struct text uri, struct text *ret_own)
{
    struct jsonrpc_edit edit;
    int upstream = merge_uri_up(&w->merging->names, uri, &edit);
    char *at = w->bridge_room->uri;

    if (upstream < 0)
        return NULL;
    if (edit.old.len || edit.with.len)
        *ret_own = (struct text){at, jsonrpc_edit_write(uri, &edit, 1, at, sizeof w->bridge_room->uri)};
    return ret_own->len ? merging_bond(w, &w->upstreams.items[upstream]) : NULL;
}

/* logging/setLevel of a legacy client: kept for the upstreams that it will talk to, told to those it does. */
static void
set_level(struct bridged *b)
{
    struct session_record record;
    struct text level = json_find(b->env->params, TEXT("level"));
    struct bridge_out out;

    if (bridge_level_of(level) == BRIDGE_LEVEL_NONE) {
        bridged_error(b, -32602, 200, "level is none of RFC 5424's");
        return;
    }
    session_record_get(b->session, &record);
    record.log_level = (uint8_t)bridge_level_of(level);
    session_record_put(b->session, &record);
    list_for_each(node, &b->session->bonds) {
        struct bond *bond = container_of(container_of(node, struct session_bond, node), struct bond, tie);

        if (bond->state != BOND_READY || mcp_revision_is_modern(bond->bridge.upstream) ||
            !bridged_out(b->worker, 64, &out))
            continue;
        bridge_put_set_level(&out.room, bond_mint(bond), (enum bridge_level)record.log_level);
        bond_post(bond, json_written(&out.room));
    }
    if (!bridged_out(b->worker, b->call.id.len, &out))
        return;
    json_put(&out.room, TEXT("{\"jsonrpc\":\"2.0\",\"id\":"));
    json_put(&out.room, b->call.id);
    json_put(&out.room, TEXT(",\"result\":{}}"));
    bridged_reply(b, 200, json_written(&out.room), (struct text){0});
}

/* The only upstream, for methods that are none of this file's. NULL: there are several. */
static struct upstream *
only_upstream(const struct worker *w)
{
    for (unsigned i = 0; i < w->upstreams.count && w->merging->names.plain; i++)
        if (!w->upstreams.items[i].cfg->is_route)
            return &w->upstreams.items[i];
    return NULL;
}

static void
ask_only(struct bridged *b)
{
    b->ex->upstream = only_upstream(b->worker);
    bridged_ask_upstream(b);
}

/* What needs no upstream is answered as between two of the client's own revision. */
static void
answer_here(struct bridged *b)
{
    struct text message = bridged_message(b);
    struct bridge_out out;

    b->bridge.upstream = b->bridge.client;
    if (!bridged_out(b->worker, message.len, &out)) {
        exchange_fail(b->ex, CLOSE_NO_MEMORY);
        return;
    }
    if (b->call.method == MCP_PING && b->session) {
        json_put(&out.room, TEXT("{\"jsonrpc\":\"2.0\",\"id\":"));
        json_put(&out.room, b->call.id);
        json_put(&out.room, TEXT(",\"result\":{}}"));
        bridged_reply(b, 200, json_written(&out.room), (struct text){0});
        return;
    }
    bridged_error(b, -32601, mcp_revision_is_modern(b->bridge.client) ? 404 : 200,
                  "the merged server has no such method");
}

void
merging_take(struct bridged *b)
{
    if (mcp_method_is_removed(b->call.method, b->bridge.client)) {
        answer_here(b);
        return;
    }
    switch (b->call.method) {
    case MCP_INITIALIZE:
    case MCP_DISCOVER:
    case MCP_LISTEN:
        ask_about(b);
        break;
    case MCP_TOOLS_LIST:
    case MCP_PROMPTS_LIST:
    case MCP_RESOURCES_LIST:
    case MCP_RESOURCES_TEMPLATES_LIST:
        merging_list(b);
        break;
    case MCP_SET_LEVEL:
        if (b->session)
            set_level(b);
        else
            answer_here(b);
        break;
    default:
        if (merge_is_for_one(b->call.method))
            ask_one(b);
        else if (b->call.method != MCP_PING && mcp_revision_is_modern(b->bridge.client) &&
                 only_upstream(b->worker))
            ask_only(b);
        else
            answer_here(b);
    }
}

void
merging_leave(struct bridged *b)
{
    free_about(b);
    list_del(&b->list_waiter);
}

/* --- what comes back --- */

void
merging_map_down(struct worker *w, const struct upstream *up, enum mcp_method method, struct text message,
                 const struct jsonrpc_envelope *env, struct bridge_out *out)
{
    struct jsonrpc_edit room[BRIDGED_EDITS / 8];
    struct merge_edits edits = {.at = room, .room = sizeof room / sizeof *room};
    const struct merge_names *names = &w->merging->names;

    if (out->text.at != message.at || names->plain) /* it is the gateway's own text */
        return;
    if (env->result.len)
        merge_map_result(names, up->index, method, env->result, &edits);
    else if (env->error.len)
        merge_map_error(names, up->index, env->error, &edits);
    else
        merge_map_params(names, up->index, env->method, env->params, &edits);
    if (edits.full)
        out->edits.full = true;
    else
        bridge_add_edits(out, edits.at, edits.count);
}
