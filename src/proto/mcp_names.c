/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/mcp_names.h"

#include "base/check.h"
#include "proto/base64.h"

static const struct {
    struct text name, name_key;
} methods[MCP_METHODS] = {
    [MCP_OTHER] = {{"other", 5}, {"", 0}},
#define MCP_METHOD(id, method, key, priority)                                                                \
    [MCP_##id] = {{method, sizeof(method) - 1}, {key, sizeof(key) - 1}},
#include <mcpgate/mcp_method.def>
#undef MCP_METHOD
};

static const char revisions[MCP_REVISIONS][11] = {
    [MCP_2024_11_05] = "2024-11-05", [MCP_2025_03_26] = "2025-03-26", [MCP_2025_06_18] = "2025-06-18",
    [MCP_2025_11_25] = "2025-11-25", [MCP_2026_07_28] = "2026-07-28",
};

static const struct text sentinel_start = {"=?base64?", 9}, sentinel_end = {"?=", 2};

/* Bit i is set where method i has a name of that length. */
enum { NAME_MAX = 64 };
static uint32_t of_length[NAME_MAX];

_Static_assert(MCP_METHODS <= 32, "methods are the bits of a word");

static void __attribute__((constructor)) sort_by_length(void)
{
    for (unsigned i = MCP_OTHER + 1; i < MCP_METHODS; i++)
        of_length[methods[i].name.len] |= 1u << i;
}

enum mcp_method
mcp_method_of(struct text name)
{
    uint32_t left = name.len < NAME_MAX ? of_length[name.len] : 0;

    for (; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctz(left);

        if (text_eq(name, methods[i].name))
            return (enum mcp_method)i;
    }
    return MCP_OTHER;
}

struct text
mcp_method_name(enum mcp_method method)
{
    ASSERT(method < MCP_METHODS);
    return methods[method].name;
}

struct text
mcp_method_name_key(enum mcp_method method)
{
    ASSERT(method < MCP_METHODS);
    return methods[method].name_key;
}

enum mcp_revision
mcp_revision_of(struct text name)
{
    for (unsigned i = 0; i < MCP_REVISIONS; i++)
        if (text_eq(name, (struct text){revisions[i], 10}))
            return (enum mcp_revision)i;
    return MCP_NO_REVISION;
}

struct text
mcp_revision_name(enum mcp_revision revision)
{
    ASSERT(revision < MCP_REVISIONS);
    return (struct text){revisions[revision], 10};
}

static bool
has_sentinels(struct text value)
{
    return value.len >= sentinel_start.len + sentinel_end.len && text_starts(value, sentinel_start) &&
           memcmp(value.at + value.len - sentinel_end.len, sentinel_end.at, sentinel_end.len) == 0;
}

static bool
is_plain(struct text value)
{
    for (uint32_t i = 0; i < value.len; i++)
        if ((value.at[i] < 0x20 && value.at[i] != '\t') || value.at[i] > 0x7e)
            return false;
    return true;
}

int
mcp_header_decode(struct text value, char *out, uint32_t size)
{
    if (!is_plain(value))
        return -1;
    if (has_sentinels(value)) {
        value.at += sentinel_start.len;
        value.len -= sentinel_start.len + sentinel_end.len;
        return base64_decode(BASE64_STANDARD, value, out, size);
    }
    if (value.len > size)
        return -1;
    if (value.len)
        memcpy(out, value.at, value.len);
    return (int)value.len;
}

int
mcp_header_encode(struct text utf8, char *out, uint32_t size)
{
    uint32_t n = 0;

    if (utf8.len && is_plain(utf8) && text_trim(utf8).len == utf8.len && !has_sentinels(utf8)) {
        if (utf8.len > size)
            return -1;
        memcpy(out, utf8.at, utf8.len);
        return (int)utf8.len;
    }
    if (utf8.len > UINT32_MAX / 2 ||
        BASE64_SIZE(BASE64_STANDARD, utf8.len) + sentinel_start.len + sentinel_end.len > size)
        return -1;
    memcpy(out, sentinel_start.at, sentinel_start.len);
    n = sentinel_start.len + base64_encode(BASE64_STANDARD, utf8.at, utf8.len, out + sentinel_start.len);
    memcpy(out + n, sentinel_end.at, sentinel_end.len);
    return (int)(n + sentinel_end.len);
}
