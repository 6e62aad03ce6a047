/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entry of tools/list for another revision. What differs: `execution` (the tasks of 2025-11-25), and
 * outputSchema, which describes an object until 2025-11-25 and anything since. A schema of something else is
 * put into one of an object with the member "result", and so is the content (bridge_result.c):
 *
 *      {"type":"array",...}  ->
 * {"type":"object","properties":{"result":{"type":"array",...}},"required":["result"]}
 *      "$ref":"#/$defs/x"    ->  "$ref":"#/properties/result/$defs/x"
 *
 * Where it is not plain whether the schema is of an object (no "type", several types), or there are too many
 * references, the tool goes without a schema, which each revision allows.
 */
#include "base/check.h"
#include "mcp/bridge_edit.h"

#define WRAP_OPEN    TEXT("{\"type\":\"object\",\"properties\":{\"result\":")
#define WRAP_CLOSE   TEXT("},\"required\":[\"result\"]}")
#define WRAP_POINTER TEXT("/properties/result")

enum { REFS_MAX = 4 };

struct refs {
    const char *at[REFS_MAX]; /* behind the '#' of each */
    unsigned count;
    bool too_many; /* or too strange */
};

static void
note_ref(struct refs *refs, struct text raw)
{
    if (json_kind_of(raw) != JSON_IS_STRING || raw.len < 3 || raw.at[1] == '\\') {
        refs->too_many |= json_kind_of(raw) == JSON_IS_STRING && raw.len >= 3;
        return;
    }
    if (raw.at[1] != '#' || (raw.at[2] != '/' && raw.len > 3))
        return; /* an anchor, or another document: they do not depend on the place */
    if (refs->count == REFS_MAX)
        refs->too_many = true;
    else
        refs->at[refs->count++] = raw.at + 2;
}

/* Bounded by JSON_DEPTH_MAX: the text was scanned. */
static void
find_refs(struct text raw, struct refs *refs)
{
    struct json_member m;
    struct text element;

    if (json_kind_of(raw) == JSON_IS_ARRAY)
        while (json_next_element(&raw, &element))
            find_refs(element, refs);
    if (json_kind_of(raw) != JSON_IS_OBJECT || json_kind_of(json_find(raw, TEXT("$id"))) == JSON_IS_STRING)
        return; /* with an id of its own it stays its own document */
    while (json_next_member(&raw, &m)) {
        if (json_string_is(m.key, TEXT("$ref")) || json_string_is(m.key, TEXT("$dynamicRef")))
            note_ref(refs, m.value);
        else if (json_string_is(m.key, TEXT("$recursiveRef")))
            refs->too_many = true;
        find_refs(m.value, refs);
    }
}

enum schema { SCHEMA_STAYS, SCHEMA_WRAPPED, SCHEMA_DROPPED };

static enum schema
schema_fate(struct text schema, struct refs *refs)
{
    struct text type = json_find(schema, TEXT("type"));

    *refs = (struct refs){.count = 0};
    if (json_string_is(type, TEXT("object")))
        return SCHEMA_STAYS;
    if (json_kind_of(type) != JSON_IS_STRING)
        return SCHEMA_DROPPED;
    find_refs(schema, refs);
    return refs->too_many ? SCHEMA_DROPPED : SCHEMA_WRAPPED;
}

static void
wrap_schema(struct text schema, const struct refs *refs, struct bridge_out *out)
{
    bridge_insert(out, schema.at, WRAP_OPEN);
    for (unsigned i = 0; i < refs->count; i++)
        bridge_insert(out, refs->at[i], WRAP_POINTER);
    bridge_insert(out, schema.at + schema.len, WRAP_CLOSE);
}

unsigned
bridge_tool_edits(const struct bridge *b, struct text tool, struct jsonrpc_edit *edits, unsigned room)
{
    struct bridge_out out = {.edits = {.at = edits, .room = room}};
    bool wraps = !bridge_modern_client(b) && bridge_modern_upstream(b);
    bool tasks = bridge_has_tasks(b) || (bridge_modern_client(b) && bridge_modern_upstream(b));
    struct object_walk walk;
    struct json_member m;
    struct refs refs;

    ASSERT(room >= BRIDGE_TOOL_EDITS);
    if (json_kind_of(tool) != JSON_IS_OBJECT)
        return 0;
    object_begin(&walk, tool);
    while (object_next(&walk, &m)) {
        bool is_schema = wraps && json_string_is(m.key, TEXT("outputSchema"));
        enum schema fate = is_schema ? schema_fate(m.value, &refs) : SCHEMA_STAYS;

        if (fate == SCHEMA_DROPPED || (!tasks && json_string_is(m.key, TEXT("execution")))) {
            object_drop(&walk, &m);
            continue;
        }
        object_keep(&walk, &m, &out);
        if (fate == SCHEMA_WRAPPED)
            wrap_schema(m.value, &refs, &out);
    }
    object_end(&walk, (struct text){NULL, 0}, &out);
    /* Members that occur many times are nobody's schema: such a tool stays as it is. */
    return bridge_finish(&out, BRIDGE_PASS) == BRIDGE_PASS ? out.edits.count : 0;
}
