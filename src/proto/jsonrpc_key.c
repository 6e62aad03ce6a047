/* SPDX-License-Identifier: Apache-2.0 */
/* Keys against the table of places. */
#include "proto/jsonrpc_walk.h"

enum { KEY_MAX = 64, ESCAPED_KEY_MAX = 6 * KEY_MAX };

static const struct {
    struct text key;
    uint8_t level;
} places[JSONRPC_PLACES] = {
#define JSONRPC_PLACE(id, level, key, field, child)                                                          \
    [JSONRPC_AT_##id] = {{key, sizeof(key) - 1}, LEVEL_##level},
#include "proto/jsonrpc_place.def"
#undef JSONRPC_PLACE
};

const uint8_t jsonrpc_children[JSONRPC_PLACES] = {
#define JSONRPC_PLACE(id, level, key, field, child) [JSONRPC_AT_##id] = LEVEL_##child,
#include "proto/jsonrpc_place.def"
#undef JSONRPC_PLACE
};

/* The rows of a level are one run of the table; `lengths`: bit n is set when one of its keys has n bytes. */
static struct {
    uint8_t first, end;
    uint64_t lengths;
} runs[JSONRPC_LEVELS];

static void __attribute__((constructor)) find_runs(void)
{
    for (unsigned i = 0; i < JSONRPC_PLACES; i++) {
        unsigned level = places[i].level;

        if (!runs[level].end)
            runs[level].first = (uint8_t)i;
        runs[level].end = (uint8_t)(i + 1);
        runs[level].lengths |= 1ull << places[i].key.len;
    }
}

struct text
jsonrpc_place_key(enum jsonrpc_place place)
{
    return places[place].key;
}

enum jsonrpc_level
jsonrpc_place_level(enum jsonrpc_place place)
{
    return (enum jsonrpc_level)places[place].level;
}

const char *
jsonrpc_bytes(const struct text *pieces, unsigned count, uint32_t off, uint32_t len, char *out)
{
    uint32_t done = 0;

    for (unsigned i = 0; i < count; i++) {
        uint32_t n = pieces[i].len;

        if (off >= n) {
            off -= n;
            continue;
        }
        if (!done && n - off >= len)
            return pieces[i].at + off;
        n = n - off < len - done ? n - off : len - done;
        memcpy(out + done, pieces[i].at + off, n);
        done += n;
        off = 0;
        if (done == len)
            break;
    }
    return out;
}

static int
refuse(struct jsonrpc_walk *w, enum jsonrpc_fault fault, unsigned place)
{
    w->fault = fault;
    w->culprit = places[place].key.at;
    return -2;
}

/* An escaped spelling of one of ours is not to be told from the plain one by every parser. */
static int
find_escaped(struct jsonrpc_walk *w, uint32_t end, unsigned level)
{
    char copy[ESCAPED_KEY_MAX + 2];
    struct text raw = {copy, end - w->key};

    if (raw.len > sizeof copy)
        return -1;
    raw.at = jsonrpc_bytes(w->pieces, w->count, w->key, raw.len, copy);
    for (unsigned i = runs[level].first; i < runs[level].end; i++)
        if (json_string_is(raw, places[i].key))
            return refuse(w, JSONRPC_FAULT_ESCAPED_KEY, i);
    return -1;
}

int
jsonrpc_key_place(struct jsonrpc_walk *w, uint32_t end, bool escaped)
{
    unsigned level = w->level[w->looked];
    uint32_t len = end - w->key - 2;
    char copy[KEY_MAX];
    const char *key;

    if (escaped)
        return find_escaped(w, end, level);
    if (len >= KEY_MAX || !(runs[level].lengths >> len & 1))
        return -1;
    key = w->count == 1 ? w->pieces->at + w->key + 1
                        : jsonrpc_bytes(w->pieces, w->count, w->key + 1, len, copy);
    for (unsigned i = runs[level].first; i < runs[level].end; i++) {
        if (places[i].key.len != len || places[i].key.at[0] != *key ||
            memcmp(places[i].key.at, key, len) != 0)
            continue;
        if (w->seen >> i & 1)
            return refuse(w, JSONRPC_FAULT_DUPLICATE, i);
        w->seen |= 1ull << i;
        return (int)i;
    }
    return -1;
}
