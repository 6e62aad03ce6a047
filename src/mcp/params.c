/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/params.h"

#include "proto/json.h"
#include "proto/mcp_names.h"

#include <stdio.h>

enum { VALUE_MAX = 4096, SCHEMA_DEPTH_MAX = 16 };

struct walk {
    struct mcp_param *out;
    unsigned count, nodes, depth;
    struct text path[SCHEMA_DEPTH_MAX];
    const char *why;
};

static bool
invalid(struct walk *w, const char *why)
{
    w->why = why;
    return false;
}

static bool
is_token(struct text name)
{
    for (uint32_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!alnum && (!c || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return name.len > 0;
}

/* The schema has an annotation; `depth` properties lead to it. */
static bool
take_annotation(struct walk *w, struct text schema, struct text raw)
{
    struct text type = json_find(schema, TEXT("type"));
    struct mcp_param *param = &w->out[w->count];

    if (json_kind_of(raw) != JSON_IS_STRING || raw.len < 2 ||
        !is_token((struct text){raw.at + 1, raw.len - 2}))
        return invalid(w, "x-mcp-header is not a token");
    if (!w->depth || w->depth > MCP_PARAM_DEPTH_MAX)
        return invalid(w, "x-mcp-header is not on a property, or on one that is nested too deep");
    if (w->count == MCP_PARAMS_MAX)
        return invalid(w, "the schema has more than 32 x-mcp-header");
    param->header = (struct text){raw.at + 1, raw.len - 2};
    for (unsigned i = 0; i < w->count; i++)
        if (text_eq_nocase(w->out[i].header, param->header))
            return invalid(w, "two x-mcp-header have one name");
    param->is_integer = json_string_is(type, TEXT("integer"));
    param->is_boolean = json_string_is(type, TEXT("boolean"));
    if (!param->is_integer && !param->is_boolean && !json_string_is(type, TEXT("string")))
        return invalid(w, "x-mcp-header is on a property that is no string, integer or boolean");
    memcpy(param->path, w->path, w->depth * sizeof *w->path);
    param->depth = (uint8_t)w->depth;
    w->count++;
    return true;
}

static bool walk_schema(struct walk *w, struct text schema, bool reachable, unsigned depth);

/* Every member's value, or every element, is a schema. */
static bool
walk_each(struct walk *w, struct text schemas, bool reachable, unsigned depth)
{
    struct text element;
    struct json_member m;

    if (json_kind_of(schemas) == JSON_IS_ARRAY) {
        while (json_next_element(&schemas, &element))
            if (!walk_schema(w, element, false, depth))
                return false;
        return true;
    }
    while (json_next_member(&schemas, &m)) {
        if (reachable)
            w->path[w->depth++] = m.key;
        if (!walk_schema(w, m.value, reachable, depth))
            return false;
        w->depth -= reachable;
    }
    return true;
}

/* JSON Schema 2020-12: keywords whose value is a schema, or holds some. */
static bool
walk_keyword(struct walk *w, const struct json_member *m, bool reachable, unsigned depth)
{
    static const char *const one[] = {"items",
                                      "additionalItems",
                                      "prefixItems",
                                      "contains",
                                      "additionalProperties",
                                      "unevaluatedItems",
                                      "unevaluatedProperties",
                                      "propertyNames",
                                      "contentSchema",
                                      "not",
                                      "if",
                                      "then",
                                      "else",
                                      "allOf",
                                      "anyOf",
                                      "oneOf"};
    static const char *const many[] = {"patternProperties", "dependentSchemas", "dependencies", "$defs",
                                       "definitions"};

    if (json_string_is(m->key, TEXT("properties")))
        return walk_each(w, m->value, reachable, depth);
    for (unsigned i = 0; i < sizeof many / sizeof *many; i++)
        if (json_string_is(m->key, text_of(many[i])))
            return walk_each(w, m->value, false, depth);
    for (unsigned i = 0; i < sizeof one / sizeof *one; i++)
        if (json_string_is(m->key, text_of(one[i])))
            return json_kind_of(m->value) == JSON_IS_ARRAY ? walk_each(w, m->value, false, depth)
                                                           : walk_schema(w, m->value, false, depth);
    return true;
}

/* `reachable`: through properties only. */
static bool
walk_schema(struct walk *w, struct text schema, bool reachable, unsigned depth)
{
    struct text rest = schema;
    struct json_member m;

    if (json_kind_of(schema) != JSON_IS_OBJECT)
        return true;
    if (depth == SCHEMA_DEPTH_MAX)
        return invalid(w, "the schema is nested deeper than 16 levels");
    while (json_next_member(&rest, &m)) {
        if (w->nodes++ == MCP_SCHEMA_NODES_MAX)
            return invalid(w, "the schema has more than 4096 members");
        if (json_string_is(m.key, TEXT("x-mcp-header"))) {
            if (!reachable)
                return invalid(w, "x-mcp-header is not reached through properties only");
            if (!take_annotation(w, schema, m.value))
                return false;
        } else if (!walk_keyword(w, &m, reachable, depth + 1)) {
            return false;
        }
    }
    return true;
}

int
mcp_params_of(struct text schema, struct mcp_param out[MCP_PARAMS_MAX], const char **ret_why)
{
    struct walk w = {.out = out};

    /* Most tools have none: then there is nothing to walk. */
    if (!schema.len || !memmem(schema.at, schema.len, "header", 6))
        return 0;
    if (walk_schema(&w, schema, true, 0))
        return (int)w.count;
    *ret_why = w.why;
    return -1;
}

struct text
mcp_param_argument(const struct mcp_param *param, struct text arguments)
{
    char key[256];

    for (unsigned i = 0; i < param->depth; i++) {
        int n = json_string_decode(param->path[i], key, sizeof key);

        if (n < 0 || json_kind_of(arguments) != JSON_IS_OBJECT)
            return (struct text){NULL, 0};
        arguments = json_find(arguments, (struct text){key, (uint32_t)n});
    }
    return json_kind_of(arguments) == JSON_IS_NULL ? (struct text){NULL, 0} : arguments;
}

/* The argument as text, before it is encoded; -1: of another type, or too long. */
static int
plain_value(const struct mcp_param *param, struct text raw, char out[VALUE_MAX])
{
    int64_t n;

    if (param->is_integer)
        return json_read_integer(raw, &n) ? snprintf(out, VALUE_MAX, "%lld", (long long)n) : -1;
    if (param->is_boolean) {
        if (json_kind_of(raw) != JSON_IS_TRUE && json_kind_of(raw) != JSON_IS_FALSE)
            return -1;
        memcpy(out, raw.at, raw.len);
        return (int)raw.len;
    }
    return json_string_decode(raw, out, VALUE_MAX);
}

int
mcp_params_write(const struct mcp_param *params, unsigned count, struct text arguments, char *out,
                 uint32_t size)
{
    struct json_writer w = {.at = out, .size = size};
    char plain[VALUE_MAX], encoded[VALUE_MAX * 4 / 3 + 32];

    for (unsigned i = 0; i < count; i++) {
        struct text raw = mcp_param_argument(&params[i], arguments);
        int n = raw.len ? plain_value(&params[i], raw, plain) : -1;

        if (n < 0)
            continue;
        n = mcp_header_encode((struct text){plain, (uint32_t)n}, encoded, sizeof encoded);
        if (n < 0)
            return -1;
        json_put(&w, TEXT("Mcp-Param-"));
        json_put(&w, params[i].header);
        json_put(&w, TEXT(": "));
        json_put(&w, (struct text){encoded, (uint32_t)n});
        json_put(&w, TEXT("\r\n"));
    }
    return w.full ? -1 : (int)w.len;
}

bool
mcp_param_matches(const struct mcp_param *param, struct text arguments, struct text field)
{
    struct text raw = mcp_param_argument(param, arguments);
    char want[VALUE_MAX], got[VALUE_MAX];
    int64_t a, b;
    int n, m;

    if (!raw.len)
        return true;
    if (!field.at || (m = mcp_header_decode(field, got, sizeof got)) < 0)
        return false;
    if (param->is_integer)
        return json_read_integer((struct text){got, (uint32_t)m}, &a) && json_read_integer(raw, &b) && a == b;
    n = plain_value(param, raw, want);
    return n == m && memcmp(want, got, (size_t)n) == 0;
}
