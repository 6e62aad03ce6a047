/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/jsonrpc_patch.h"

#include "base/check.h"
#include "proto/jsonrpc_walk.h"

void
jsonrpc_patch_begin(struct jsonrpc_patch *p, struct text message, const struct jsonrpc_places *places)
{
    p->message = message;
    p->places = places;
    p->removed = 0;
    p->add_count = p->count = 0;
    p->full = false;
}

static bool
has(const struct jsonrpc_patch *p, unsigned place)
{
    return p->places->found >> place & 1;
}

/* Puts `with` in the place of [from, end). */
static void
splice(struct jsonrpc_patch *p, uint32_t from, uint32_t end, struct text with)
{
    if (p->count == JSONRPC_PATCH_MAX) {
        p->full = true;
        return;
    }
    p->edits[p->count++] = (struct jsonrpc_edit){.old = {p->message.at + from, end - from}, .with = with};
}

/* The place of the object whose members are of this level. */
static unsigned
object_of(enum jsonrpc_level level)
{
    for (unsigned i = 0; i < JSONRPC_PLACES; i++)
        if (jsonrpc_children[i] == level)
            return i;
    return JSONRPC_AT_MESSAGE;
}

static enum jsonrpc_level
level_of(unsigned object)
{
    return object == JSONRPC_AT_MESSAGE ? LEVEL_TOP : (enum jsonrpc_level)jsonrpc_children[object];
}

void
jsonrpc_patch_add(struct jsonrpc_patch *p, unsigned object, struct text key, struct text value)
{
    bool there =
        object == JSONRPC_AT_MESSAGE || (has(p, object) && p->places->at[object].kind == JSON_IS_OBJECT);

    ASSERT(level_of(object) != LEVEL_NONE);
    if (!there || p->add_count == JSONRPC_PATCH_ADDS_MAX) {
        p->full = true;
        return;
    }
    p->adds[p->add_count++] = (struct jsonrpc_add){(uint8_t)object, key, value};
}

void
jsonrpc_patch_set(struct jsonrpc_patch *p, enum jsonrpc_place place, struct text value)
{
    const struct jsonrpc_spot *spot = &p->places->at[place];

    if (has(p, place))
        splice(p, spot->value, spot->end, value);
    else
        jsonrpc_patch_add(p, object_of(jsonrpc_place_level(place)), jsonrpc_place_key(place), value);
}

void
jsonrpc_patch_remove(struct jsonrpc_patch *p, enum jsonrpc_place place)
{
    if (has(p, place))
        p->removed |= 1ull << place;
}

void
jsonrpc_patch_wrap(struct jsonrpc_patch *p, enum jsonrpc_place place, struct text before, struct text after)
{
    const struct jsonrpc_spot *spot = &p->places->at[place];

    if (!has(p, place))
        return;
    splice(p, spot->value, spot->value, before);
    splice(p, spot->end, spot->end, after);
}

/* The removed member whose key is at `key`, or -1. */
static int
removed_at(const struct jsonrpc_patch *p, uint32_t key)
{
    for (uint64_t rest = p->removed; rest && key; rest &= rest - 1)
        if (p->places->at[__builtin_ctzll(rest)].key == key)
            return __builtin_ctzll(rest);
    return -1;
}

/* Whether the member before this one is removed as well, so that this one goes with it. */
static bool
follows_removed(const struct jsonrpc_patch *p, unsigned place)
{
    for (uint64_t rest = p->removed; rest; rest &= rest - 1)
        if (p->places->at[__builtin_ctzll(rest)].next == p->places->at[place].key)
            return true;
    return false;
}

/* A run of removed members takes the comma behind it along, or the one before it at the object's end. */
static void
cut_run(struct jsonrpc_patch *p, unsigned place)
{
    const struct jsonrpc_spot *first = &p->places->at[place], *last = first;
    int next;

    while ((next = removed_at(p, last->next)) >= 0)
        last = &p->places->at[next];
    if (last->next)
        splice(p, first->key, last->next, (struct text){"", 0});
    else
        splice(p, p->message.at[first->before] == ',' ? first->before : first->key, last->end,
               (struct text){"", 0});
}

static unsigned
kept_members(const struct jsonrpc_patch *p, unsigned object)
{
    enum jsonrpc_level level = level_of(object);
    unsigned kept = p->places->members[level - 1];

    for (uint64_t rest = p->removed; rest; rest &= rest - 1)
        kept -= jsonrpc_place_level((enum jsonrpc_place)__builtin_ctzll(rest)) == level;
    return kept;
}

static void
insert_add(struct jsonrpc_patch *p, unsigned i)
{
    const struct jsonrpc_add *add = &p->adds[i];
    const char *begin = json_skip_space(p->message.at, p->message.at + p->message.len);
    uint32_t brace = (uint32_t)(begin - p->message.at);
    bool more = kept_members(p, add->object) > 0;

    if (add->object != JSONRPC_AT_MESSAGE)
        brace = p->places->at[add->object].value;
    for (unsigned k = i + 1; k < p->add_count; k++)
        more |= p->adds[k].object == add->object;
    splice(p, brace + 1, brace + 1, TEXT("\""));
    splice(p, brace + 1, brace + 1, add->key);
    splice(p, brace + 1, brace + 1, TEXT("\":"));
    splice(p, brace + 1, brace + 1, add->value);
    if (more)
        splice(p, brace + 1, brace + 1, TEXT(","));
}

/* By place; insertions before what is cut there; otherwise as they were made. */
static bool
comes_before(const struct jsonrpc_edit *a, const struct jsonrpc_edit *b)
{
    return a->old.at != b->old.at ? a->old.at < b->old.at : !a->old.len && b->old.len;
}

int
jsonrpc_patch_end(struct jsonrpc_patch *p)
{
    for (uint64_t rest = p->removed; rest; rest &= rest - 1)
        if (!follows_removed(p, (unsigned)__builtin_ctzll(rest)))
            cut_run(p, (unsigned)__builtin_ctzll(rest));
    for (unsigned i = 0; i < p->add_count; i++)
        insert_add(p, i);
    if (p->full)
        return -1;
    for (unsigned i = 1; i < p->count; i++) {
        struct jsonrpc_edit edit = p->edits[i];
        unsigned k = i;

        for (; k && comes_before(&edit, &p->edits[k - 1]); k--)
            p->edits[k] = p->edits[k - 1];
        p->edits[k] = edit;
    }
    return (int)p->count;
}
