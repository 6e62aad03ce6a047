/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/merge_names.h"

#include "base/check.h"
#include "proto/json_escape.h"
#include "proto/utf8.h"

static const struct text separator = {"__", 2}, key = {"mcpgate=", 8};

/* ---- an upstream's texts ---- */

static void
put_mark(char *to, char first, struct text name)
{
    *to = first;
    memcpy(to + 1, key.at, key.len);
    memcpy(to + 1 + key.len, name.at, name.len);
    to[1 + key.len + name.len] = '\0';
}

void
merge_name_init(struct merge_name *ret, struct text name)
{
    ASSERT(name.len > 0 && name.len <= MERGE_NAME_MAX);
    put_mark(ret->mark, '#', name);
    put_mark(ret->more, '&', name);
    memcpy(ret->front, name.at, name.len);
    memcpy(ret->front + name.len, separator.at, separator.len + 1);
    ret->len = (uint8_t)name.len;
}

struct text
merge_name_text(const struct merge_name *name)
{
    return (struct text){name->front, name->len};
}

static struct text
front_of(const struct merge_name *name)
{
    return (struct text){name->front, name->len + separator.len};
}

bool
merge_names_clash(struct text a, struct text b)
{
    struct merge_name x, y;

    merge_name_init(&x, a);
    merge_name_init(&y, b);
    return text_starts(front_of(&x), front_of(&y)) || text_starts(front_of(&y), front_of(&x));
}

/* The upstream of this name, or MERGE_NOBODY. */
static int
find(const struct merge_names *names, struct text name)
{
    for (unsigned i = 0; i < names->count; i++)
        if (text_eq(merge_name_text(&names->at[i]), name))
            return (int)i;
    return MERGE_NOBODY;
}

/* ---- text ---- */

int
merge_split_name(const struct merge_names *names, struct text name, struct text *ret_own)
{
    if (names->plain) {
        *ret_own = name;
        return 0;
    }
    for (unsigned i = 0; i < names->count; i++) {
        struct text front = front_of(&names->at[i]);

        if (text_starts(name, front)) {
            *ret_own = (struct text){name.at + front.len, name.len - front.len};
            return (int)i;
        }
    }
    return MERGE_NOBODY;
}

/* Where the mark of a URI would begin: at its last '#' or '&'; NULL when there is none. */
static const char *
mark_begin(struct text uri)
{
    const char *at = uri.at + uri.len;

    while (at > uri.at && at[-1] != '#' && at[-1] != '&')
        at--;
    if (at == uri.at)
        return NULL;
    return at - 1;
}

int
merge_split_uri(const struct merge_names *names, struct text uri, struct text *ret_own)
{
    const char *end = uri.at + uri.len, *begin;
    struct text mark;
    int upstream;

    if (names->plain) {
        *ret_own = uri;
        return 0;
    }
    begin = mark_begin(uri);
    if (!begin || (*begin == '&' && !memchr(uri.at, '#', (size_t)(begin - uri.at))))
        return MERGE_NOBODY; /* '&' goes on in a fragment only */
    mark = (struct text){begin + 1, (uint32_t)(end - begin - 1)};
    if (!text_starts(mark, key))
        return MERGE_NOBODY;
    upstream = find(names, (struct text){mark.at + key.len, mark.len - key.len});
    if (upstream != MERGE_NOBODY)
        *ret_own = (struct text){uri.at, (uint32_t)(begin - uri.at)};
    return upstream;
}

/* ---- raw strings ---- */

static bool
is_string(struct text raw)
{
    return raw.len >= 2 && raw.at[0] == '"' && raw.at[raw.len - 1] == '"';
}

/* Takes one character off the inside of a raw string. Returns false when it is malformed. */
static bool
next_char(const char **at, const char *end, uint32_t *ret_char)
{
    unsigned n;

    if (**at == '\\') {
        n = json_escape(*at, end, ret_char);
    } else {
        n = utf8_length(*at, end);
        *ret_char = n == 1 ? (uint8_t) * *at : UINT32_MAX;
    }
    *at += n;
    return n != 0;
}

/* If the inside of a raw string, from `at` on, begins with `plain` (ASCII) however that is spelled: the place
 * behind that, else NULL. */
static const char *
raw_skip(const char *at, const char *end, struct text plain)
{
    for (uint32_t i = 0; i < plain.len; i++) {
        uint32_t c;

        if (at == end || !next_char(&at, end, &c) || c != (uint8_t)plain.at[i])
            return NULL;
    }
    return at;
}

static void
keep(struct jsonrpc_edit *ret, const char *at)
{
    *ret = (struct jsonrpc_edit){{at, 0}, {at, 0}};
}

int
merge_name_up(const struct merge_names *names, struct text raw, struct jsonrpc_edit *ret)
{
    const char *begin, *end;

    if (!is_string(raw))
        return MERGE_NOBODY;
    begin = raw.at + 1;
    end = raw.at + raw.len - 1;
    keep(ret, begin);
    if (names->plain)
        return 0;
    for (unsigned i = 0; i < names->count; i++) {
        const char *behind = raw_skip(begin, end, front_of(&names->at[i]));

        if (behind) {
            ret->old.len = (uint32_t)(behind - begin);
            return (int)i;
        }
    }
    return MERGE_NOBODY;
}

/* The last '#' or '&' in the inside of a raw string with escapes; NULL: none, or the string is malformed. */
static const char *
escaped_mark_begin(const char *at, const char *end)
{
    const char *found = NULL;

    while (at < end) {
        const char *begin = at;
        uint32_t c;

        if (!next_char(&at, end, &c))
            return NULL;
        if (c == '#' || c == '&')
            found = begin;
    }
    return found;
}

/* Whether a raw string's inside has a '#'; in a template, outside braces. */
static bool
has_fragment(const char *at, const char *end, bool is_template)
{
    bool in_braces = false;

    if (!is_template && !memchr(at, '\\', (size_t)(end - at)))
        return memchr(at, '#', (size_t)(end - at)) != NULL;
    while (at < end) {
        uint32_t c;

        if (!next_char(&at, end, &c))
            return false;
        if (c == '#' && !in_braces)
            return true;
        if (is_template && (c == '{' || c == '}'))
            in_braces = c == '{';
    }
    return false;
}

int
merge_uri_up(const struct merge_names *names, struct text raw, struct jsonrpc_edit *ret)
{
    const char *begin, *end, *mark, *at;
    uint32_t c;

    if (!is_string(raw))
        return MERGE_NOBODY;
    begin = raw.at + 1;
    end = raw.at + raw.len - 1;
    keep(ret, end);
    if (names->plain)
        return 0;
    if (memchr(begin, '\\', (size_t)(end - begin)))
        mark = escaped_mark_begin(begin, end);
    else
        mark = mark_begin((struct text){begin, (uint32_t)(end - begin)});
    at = mark;
    if (!mark || !next_char(&at, end, &c) || (c == '&' && !has_fragment(begin, mark, false)) ||
        !(at = raw_skip(at, end, key)))
        return MERGE_NOBODY;
    for (unsigned i = 0; i < names->count; i++) {
        if (raw_skip(at, end, merge_name_text(&names->at[i])) == end) {
            ret->old = (struct text){mark, (uint32_t)(end - mark)};
            return (int)i;
        }
    }
    return MERGE_NOBODY;
}

bool
merge_name_down(const struct merge_names *names, unsigned upstream, struct text raw, struct jsonrpc_edit *ret)
{
    if (names->plain || !is_string(raw))
        return false;
    ASSERT(upstream < names->count);
    *ret = (struct jsonrpc_edit){{raw.at + 1, 0}, front_of(&names->at[upstream])};
    return true;
}

static bool
mark_down(const struct merge_names *names, unsigned upstream, struct text raw, bool is_template,
          struct jsonrpc_edit *ret)
{
    const struct merge_name *name;
    const char *end;

    if (names->plain || !is_string(raw))
        return false;
    ASSERT(upstream < names->count);
    name = &names->at[upstream];
    end = raw.at + raw.len - 1;
    *ret = (struct jsonrpc_edit){{end, 0}, {name->mark, 1 + key.len + name->len}};
    if (has_fragment(raw.at + 1, end, is_template))
        ret->with.at = name->more;
    return true;
}

bool
merge_uri_down(const struct merge_names *names, unsigned upstream, struct text raw, struct jsonrpc_edit *ret)
{
    return mark_down(names, upstream, raw, false, ret);
}

bool
merge_template_down(const struct merge_names *names, unsigned upstream, struct text raw,
                    struct jsonrpc_edit *ret)
{
    return mark_down(names, upstream, raw, true, ret);
}
