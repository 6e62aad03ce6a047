/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/bridge_listen.h"

#include "base/check.h"
#include "mcp/bridge_edit.h"
#include "mcp/bridge_server.h"
#include "mcp/merge_caps.h"

static const struct {
    struct text member; /* of the filter */
    struct text method; /* of the notification */
    uint32_t bit;
    uint32_t cap;
    enum bridge_act act;
} lists[] = {
    {ROW_TEXT("toolsListChanged"), ROW_TEXT("notifications/tools/list_changed"), BRIDGE_LISTEN_TOOLS,
     MERGE_CAP_TOOLS_CHANGED, BRIDGE_ACT_TOOLS_CHANGED},
    {ROW_TEXT("promptsListChanged"), ROW_TEXT("notifications/prompts/list_changed"), BRIDGE_LISTEN_PROMPTS,
     MERGE_CAP_PROMPTS_CHANGED, BRIDGE_ACT_PROMPTS_CHANGED},
    {ROW_TEXT("resourcesListChanged"), ROW_TEXT("notifications/resources/list_changed"),
     BRIDGE_LISTEN_RESOURCES, MERGE_CAP_RESOURCES_CHANGED, BRIDGE_ACT_RESOURCES_CHANGED},
};

enum { LISTS = sizeof lists / sizeof *lists };

static bool
is_array_of_strings(struct text array)
{
    struct text element;

    if (json_kind_of(array) != JSON_IS_ARRAY)
        return false;
    while (json_next_element(&array, &element))
        if (json_kind_of(element) != JSON_IS_STRING)
            return false;
    return true;
}

bool
bridge_filter_read(struct text raw, struct bridge_filter *ret)
{
    struct text uris = json_find(raw, TEXT("resourceSubscriptions"));
    struct bridge_filter filter = {.lists = 0};

    if (json_kind_of(raw) != JSON_IS_OBJECT || (uris.at && !is_array_of_strings(uris)))
        return false;
    for (unsigned i = 0; i < LISTS; i++) {
        struct text value = json_find(raw, lists[i].member);

        if (value.at && json_kind_of(value) != JSON_IS_TRUE && json_kind_of(value) != JSON_IS_FALSE)
            return false;
        filter.lists |= json_kind_of(value) == JSON_IS_TRUE ? lists[i].bit : 0;
    }
    filter.uris = uris;
    *ret = filter;
    return true;
}

uint32_t
bridge_listen_lists(uint32_t server_caps)
{
    uint32_t can = 0;

    for (unsigned i = 0; i < LISTS; i++)
        can |= server_caps & lists[i].cap ? lists[i].bit : 0;
    return can;
}

void
bridge_filter_limit(struct bridge_filter *filter, uint32_t server_caps)
{
    filter->lists &= bridge_listen_lists(server_caps);
    if (!(server_caps & MERGE_CAP_SUBSCRIBE))
        filter->uris = (struct text){NULL, 0};
}

/* Raw strings that mean the same may be spelled in two ways. */
static bool
same_string(struct text a, struct text b)
{
    char plain[2048];
    int n;

    if (text_eq(a, b))
        return true;
    n = json_string_decode(a, plain, sizeof plain);
    return n >= 0 && json_string_is(b, (struct text){plain, (uint32_t)n});
}

bool
bridge_filter_wants(const struct bridge_filter *filter, enum bridge_act act, struct text uri)
{
    struct text uris = filter->uris, element;

    for (unsigned i = 0; i < LISTS; i++)
        if (lists[i].act == act)
            return filter->lists & lists[i].bit;
    if (act != BRIDGE_ACT_UPDATED || !uri.at || !uris.at)
        return false;
    while (json_next_element(&uris, &element))
        if (same_string(element, uri))
            return true;
    return false;
}

void
bridge_put_filter(struct json_writer *w, const struct bridge_filter *filter)
{
    bool first = true;

    json_put(w, TEXT("{"));
    for (unsigned i = 0; i < LISTS; i++) {
        if (!(filter->lists & lists[i].bit))
            continue;
        json_put(w, first ? TEXT("\"") : TEXT(",\""));
        json_put(w, lists[i].member);
        json_put(w, TEXT("\":true"));
        first = false;
    }
    if (filter->uris.at) {
        json_put(w, first ? TEXT("\"resourceSubscriptions\":") : TEXT(",\"resourceSubscriptions\":"));
        json_put(w, filter->uris);
    }
    json_put(w, TEXT("}"));
}

void
bridge_put_listen(struct json_writer *w, const struct bridge *b, uint64_t number,
                  const struct bridge_filter *filter)
{
    bridge_put_request_begin(w, number, TEXT("subscriptions/listen"));
    json_put(w, TEXT(",\"params\":{\"_meta\":{"));
    bridge_put_modern_meta(w, b);
    json_put(w, TEXT("},\"notifications\":"));
    bridge_put_filter(w, filter);
    json_put(w, TEXT("}}"));
}

/* `"params":{"_meta":{"<prefix>subscriptionId":ID}` */
static void
put_stamped_params(struct json_writer *w, struct text id)
{
    json_put(w, TEXT("\"params\":{\"_meta\":{\"" META_SUBSCRIPTION "\":"));
    json_put(w, id);
    json_put(w, TEXT("}"));
}

void
bridge_put_acknowledged(struct json_writer *w, struct text id, const struct bridge_filter *honoured)
{
    json_put(w, TEXT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\","));
    put_stamped_params(w, id);
    json_put(w, TEXT(",\"notifications\":"));
    bridge_put_filter(w, honoured);
    json_put(w, TEXT("}}"));
}

void
bridge_put_listen_end(struct json_writer *w, struct text id)
{
    bridge_put_reply_begin(w, id);
    json_put(w, TEXT("\"result\":{\"resultType\":\"complete\",\"_meta\":{\"" META_SUBSCRIPTION "\":"));
    json_put(w, id);
    json_put(w, TEXT("}}}"));
}

void
bridge_put_changed(struct json_writer *w, enum bridge_act what, struct text id)
{
    unsigned i = 0;

    while (i < LISTS && lists[i].act != what)
        i++;
    ASSERT(i < LISTS);
    json_put(w, TEXT("{\"jsonrpc\":\"2.0\",\"method\":"));
    json_put_string(w, lists[i].method);
    if (id.len) {
        json_put(w, TEXT(","));
        put_stamped_params(w, id);
        json_put(w, TEXT("}"));
    }
    json_put(w, TEXT("}"));
}
