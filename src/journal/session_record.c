/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/session_record.h"

enum item_kind { ITEM_UPSTREAM = 1, ITEM_SUBSCRIPTION };

/* Before each item's text; copied in and out, since items are not aligned. */
struct item {
    uint16_t len;        /* of the text */
    uint8_t kind, value; /* value: an upstream's revision */
    uint32_t endpoint;   /* of an upstream */
    uint64_t upstream;
};

uint64_t
session_upstream_hash(struct text name)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */

    for (uint32_t i = 0; i < name.len; i++)
        h = (h ^ (uint8_t)name.at[i]) * 1099511628211u;
    return h;
}

/* The item at *at, which moves behind it. False: the end, or nonsense. */
static bool
next_item(const struct session_record *r, uint32_t *at, struct item *ret, struct text *ret_text)
{
    uint32_t end = r->used <= SESSION_ITEMS_BYTES ? r->used : 0;

    if (*at >= end || end - *at < sizeof *ret)
        return false;
    memcpy(ret, r->items + *at, sizeof *ret);
    if (ret->len > end - *at - sizeof *ret)
        return false;
    *ret_text = (struct text){(const char *)r->items + *at + sizeof *ret, ret->len};
    *at += (uint32_t)sizeof *ret + ret->len;
    return true;
}

static bool
is_session_id(struct text id)
{
    if (id.len > SESSION_UPSTREAM_ID_MAX)
        return false;
    for (uint32_t i = 0; i < id.len; i++)
        if (id.at[i] < 0x21 || id.at[i] > 0x7e)
            return false;
    return true;
}

bool
session_record_valid(const struct session_record *r)
{
    struct text text;
    struct item item;
    uint32_t at = 0;

    if (r->used > SESSION_ITEMS_BYTES)
        return false;
    while (next_item(r, &at, &item, &text)) {
        if (item.kind == ITEM_UPSTREAM && !is_session_id(text))
            return false;
        if (item.kind == ITEM_SUBSCRIPTION && text.len > SESSION_URI_MAX)
            return false;
        if (item.kind != ITEM_UPSTREAM && item.kind != ITEM_SUBSCRIPTION)
            return false;
    }
    return at == r->used;
}

/* Where the wanted item begins, or r->used. A subscription is wanted by its URI, an upstream by itself. */
static uint32_t
find(const struct session_record *r, enum item_kind kind, uint64_t upstream, const struct text *uri,
     struct item *ret, struct text *ret_text)
{
    uint32_t at = 0, begin = 0;

    while (next_item(r, &at, ret, ret_text)) {
        if (ret->kind == kind && ret->upstream == upstream && (!uri || text_eq(*uri, *ret_text)))
            return begin;
        begin = at;
    }
    return r->used;
}

static bool
drop(struct session_record *r, enum item_kind kind, uint64_t upstream, const struct text *uri)
{
    struct text text;
    struct item item;
    uint32_t at = find(r, kind, upstream, uri, &item, &text), size;

    if (at == r->used)
        return false;
    size = (uint32_t)sizeof item + item.len;
    memmove(r->items + at, r->items + at + size, r->used - at - size);
    r->used = (uint16_t)(r->used - size);
    return true;
}

static bool
append(struct session_record *r, const struct item *item, const char *text)
{
    if (SESSION_ITEMS_BYTES - r->used < (int)sizeof *item + item->len)
        return false;
    memcpy(r->items + r->used, item, sizeof *item);
    memcpy(r->items + r->used + sizeof *item, text, item->len);
    r->used = (uint16_t)(r->used + sizeof *item + item->len);
    return true;
}

bool
session_record_set_upstream(struct session_record *r, uint64_t upstream, const struct session_at_upstream *at)
{
    struct item item = {.len = (uint16_t)at->id.len,
                        .kind = ITEM_UPSTREAM,
                        .value = at->revision,
                        .endpoint = at->endpoint,
                        .upstream = upstream};

    drop(r, ITEM_UPSTREAM, upstream, NULL);
    return is_session_id(at->id) && append(r, &item, at->id.len ? at->id.at : "");
}

bool
session_record_upstream(const struct session_record *r, uint64_t upstream, struct session_at_upstream *ret)
{
    struct text text;
    struct item item;

    if (find(r, ITEM_UPSTREAM, upstream, NULL, &item, &text) == r->used)
        return false;
    *ret = (struct session_at_upstream){item.value, item.endpoint, text};
    return true;
}

void
session_record_drop_upstream(struct session_record *r, uint64_t upstream)
{
    drop(r, ITEM_UPSTREAM, upstream, NULL);
}

bool
session_record_subscribe(struct session_record *r, uint64_t upstream, struct text uri)
{
    struct item item = {.len = (uint16_t)uri.len, .kind = ITEM_SUBSCRIPTION, .upstream = upstream}, there;
    struct text text;

    if (uri.len > SESSION_URI_MAX)
        return false;
    return find(r, ITEM_SUBSCRIPTION, upstream, &uri, &there, &text) != r->used || append(r, &item, uri.at);
}

bool
session_record_unsubscribe(struct session_record *r, uint64_t upstream, struct text uri)
{
    return drop(r, ITEM_SUBSCRIPTION, upstream, &uri);
}

bool
session_record_next_subscription(const struct session_record *r, uint64_t upstream, uint32_t *at,
                                 struct text *ret_uri)
{
    struct item item;

    while (next_item(r, at, &item, ret_uri))
        if (item.kind == ITEM_SUBSCRIPTION && item.upstream == upstream)
            return true;
    return false;
}
