/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources that clients subscribe to. For modern clients the gateway's shared bonds subscribe at upstreams
 * before 2026-07-28, as long as one of them listens, and again when the upstream has lost its session; those
 * of older clients are their sessions' (bond.c). At upstreams of 2026-07-28 a bond listens for all of them.
 */
#include "gate/bridged.h"
#include "gate/merging.h"

/* A client's subscription, not its GET stream. */
static bool
is_subscription(const struct bridged *b)
{
    return b->ex && b->ex->method == METHOD_POST;
}

/* Whether `b` listens to what this bond hears. */
static bool
listens_to(const struct bridged *b, const struct bond *bond)
{
    return is_subscription(b) && (b->is_merged ? bond->stays : b->listens_to == bond);
}

/* The bond that hears of a resource for `b`, and what its upstream calls it (raw). NULL: nobody has it. */
static struct bond *
bond_of(const struct bridged *b, struct text uri, struct text *ret_own)
{
    *ret_own = uri;
    return b->is_merged ? merging_bond_of(b->worker, uri, ret_own) : b->listens_to;
}

static void
say(struct bond *bond, struct text own, bool is_on)
{
    struct bridge_out out;

    bond_listen_anew(bond);
    if (bond->state != BOND_READY || mcp_revision_is_modern(bond->bridge.upstream) ||
        !bridged_out(bond->worker, own.len, &out))
        return;
    bridge_put_subscribe(&out.room, bond_mint(bond), own, is_on);
    bond_post(bond, json_written(&out.room));
}

void
bridged_listen(struct bridged *b)
{
    list_add_tail(&b->worker->listeners_of_changes, &b->listener);
    for (struct text rest = b->filter.uris, uri, own; json_next_element(&rest, &uri);) {
        struct bond *bond = bond_of(b, uri, &own);

        if (bond)
            say(bond, own, true);
    }
}

static bool
is_wanted_by_another(const struct bridged *b, struct text uri)
{
    list_for_each(node, &b->worker->listeners_of_changes) {
        const struct bridged *other = container_of(node, struct bridged, listener);

        if (is_subscription(other) && other->is_merged == b->is_merged &&
            other->listens_to == b->listens_to &&
            bridge_filter_wants(&other->filter, BRIDGE_ACT_UPDATED, uri))
            return true;
    }
    return false;
}

void
bridged_unlisten(struct bridged *b)
{
    if (!list_linked(&b->listener))
        return;
    list_del(&b->listener);
    for (struct text rest = b->filter.uris, uri, own; json_next_element(&rest, &uri);) {
        struct bond *bond = is_wanted_by_another(b, uri) ? NULL : bond_of(b, uri, &own);

        if (bond)
            say(bond, own, false);
    }
}

void
bridging_subscribe_again(struct bond *bond)
{
    list_for_each_safe(node, &bond->worker->listeners_of_changes) {
        const struct bridged *b = container_of(node, struct bridged, listener);

        if (!listens_to(b, bond))
            continue;
        for (struct text rest = b->filter.uris, uri, own; json_next_element(&rest, &uri);)
            if (bond_of(b, uri, &own) == bond)
                say(bond, own, true);
    }
}

/* --- what a modern upstream is asked to tell --- */

/* Adds to a raw array what is not in it yet; at first it is empty. */
static bool
add_uri(struct worker *w, struct held *uris, struct text uri)
{
    struct text rest = held_text(uris), there;

    while (json_next_element(&rest, &there))
        if (text_eq(there, uri))
            return true;
    uris->len -= uris->len != 0; /* "]" */
    return held_append(w, uris, uris->len ? "," : "[", 1) && held_append(w, uris, uri.at, uri.len) &&
           held_append(w, uris, "]", 1);
}

static bool
add_of_session(struct bond *bond, struct held *uris)
{
    uint64_t upstream = session_upstream_hash(bond->up->name);
    struct session_record record;
    struct text uri;
    uint32_t at = 0;

    if (!session_record_get(bond->session, &record))
        return true;
    while (session_record_next_subscription(&record, upstream, &at, &uri))
        if (!add_uri(bond->worker, uris, uri))
            return false;
    return true;
}

static bool
add_of_listeners(struct bond *bond, struct held *uris)
{
    list_for_each(node, &bond->worker->listeners_of_changes) {
        const struct bridged *b = container_of(node, struct bridged, listener);

        if (!listens_to(b, bond))
            continue;
        for (struct text rest = b->filter.uris, uri, own; json_next_element(&rest, &uri);)
            if (bond_of(b, uri, &own) == bond && !add_uri(bond->worker, uris, own))
                return false;
    }
    return true;
}

bool
bridging_listen_request(struct bond *bond, uint64_t number, struct text *ret)
{
    struct bridge_filter filter = {.lists = bridge_listen_lists(bond->server.caps)};
    struct held uris = {0};
    struct bridge_out out;
    bool done = bond->session ? add_of_session(bond, &uris) : add_of_listeners(bond, &uris);

    if (uris.len)
        filter.uris = held_text(&uris);
    bridge_filter_limit(&filter, bond->server.caps);
    done = done && (filter.lists || filter.uris.at) && bridged_out(bond->worker, uris.len, &out);
    if (done) {
        bridge_put_listen(&out.room, &bond->bridge, number, &filter);
        *ret = json_written(&out.room);
    }
    held_free(bond->worker, &uris);
    return done;
}
