/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of several upstreams as one: what an upstream's page says, how far its pages are followed, and the
 * merged list, in the order of the configuration and within that of the upstream. Whoever calls holds the
 * memory (mcp/list_cache.h does).
 *
 *      page  page      page          merged   entry,entry,entry,entry,...]}}
 *      '-- a --'       b                      |mark       |mark (hash of its name, where it begins)
 */
#ifndef MCP_MERGE_LIST_H
#define MCP_MERGE_LIST_H

#include "mcp/merge_cursor.h"
#include "mcp/merge_names.h"
#include "proto/mcp_names.h"

enum merge_kind { MERGE_TOOLS, MERGE_PROMPTS, MERGE_RESOURCES, MERGE_TEMPLATES, MERGE_KINDS };

enum merge_kind merge_kind_of(enum mcp_method method);   /* MERGE_KINDS: no list */
enum mcp_method merge_kind_method(enum merge_kind kind); /* "tools/list" */
struct text merge_kind_member(enum merge_kind kind);     /* "tools" */

/* --- an upstream's pages --- */

enum {
    MERGE_PAGES_MAX = 100,     /* of one upstream's list */
    MERGE_ENTRIES_MAX = 10000, /* the same */
    MERGE_BYTES_MAX = 8 << 20, /* the same */
};

struct merge_page {
    struct text entries;     /* the raw array */
    uint32_t count;          /* its elements */
    struct text next_cursor; /* raw string; at NULL: the last page */
    uint64_t ttl_ms;         /* 0 when absent or bad */
    bool has_ttl;            /* it said so: an upstream of 2026-07-28 */
    bool is_private;         /* cacheScope is not "public" */
};

/* Reads a raw result, which must live as long as *ret. False: it is no JSON (strictly: what one upstream says
 * becomes part of everybody's list), or it holds no such list. */
bool merge_page_read(enum merge_kind kind, struct text result, struct merge_page *ret);

/* How far the pages of one upstream have been followed. Zeroed: not yet. */
struct merge_walk {
    uint32_t pages, entries, bytes;
    uint64_t last_cursor; /* a hash */
    uint64_t ttl_ms;      /* the least of the pages */
    bool is_private;      /* any of them is */
    bool has_ttl;
};

enum merge_step {
    MERGE_MORE,  /* ask for page->next_cursor */
    MERGE_WHOLE, /* that was all */
    MERGE_CUT,   /* there would be more, but for the limits, or for a cursor that leads nowhere: keep what is
                    there, and say so */
};

/* Counts a page of `bytes` in. */
enum merge_step merge_walk_page(struct merge_walk *walk, const struct merge_page *page, uint32_t bytes);

/* --- which tools of an upstream are shown and may be called --- */

/* Patterns: '*' stands for any characters, '?' for one; the upstream's own names are matched. */
struct merge_filter {
    const struct text *allow; /* none: all are allowed */
    const struct text *deny;  /* wins over allow */
    uint32_t allow_count, deny_count;
};

bool merge_filter_allows(const struct merge_filter *filter, struct text name);

/* Takes the patterns of one upstream out of rules as the configuration has them, "NAME=PATTERN[,PATTERN...]":
 * up to `room` of them. Returns how many there are. */
uint32_t merge_filter_patterns(const struct text *rules, uint32_t count, struct text name, struct text *out,
                               uint32_t room);

/* --- the merged list --- */

/* Why an entry is left out. */
enum merge_drop {
    MERGE_DROP_MALFORMED, /* no object with a name or uri */
    MERGE_DROP_DUPLICATE, /* its upstream has listed the name already */
    MERGE_DROP_DENIED,    /* by the filter; the only one that is no fault of the upstream's */
    MERGE_DROP_HEADER,    /* its x-mcp-header annotations break the rules of 2026-07-28 */
    MERGE_DROP_FULL,      /* the list has MERGE_LIST_MAX entries */
    MERGE_DROPS,
};

enum { MERGE_LIST_MAX = 20000, MERGE_ADAPT_EDITS = 8, MERGE_ADAPT_BYTES = 256 };

const char *merge_drop_text(enum merge_drop why); /* one clause */

/* One upstream's contribution. */
struct merge_source {
    unsigned upstream;
    const struct merge_page *pages;
    unsigned count;
    const struct merge_filter *filter; /* NULL: none */
    bool is_http;                      /* tools with bad x-mcp-header annotations are dropped */
};

struct merge_mark {
    uint64_t name;  /* a hash of the upstream and the entry's own name */
    uint32_t begin; /* of the entry, in the list's text */
};

struct merge_build {
    /* set by the caller */
    const struct merge_names *names;
    enum merge_kind kind;
    const struct merge_source *sources; /* in the order of the configuration */
    unsigned count;
    /* What the client's revision needs changed within an upstream's entry (bridge_tool_edits()): writes up to
     * `room` edits, in the order of their places, and returns how many. They leave names and URIs alone, and
     * add MERGE_ADAPT_BYTES at most. NULL: nothing. */
    unsigned (*adapt)(void *context, enum merge_kind kind, unsigned upstream, struct text entry,
                      struct jsonrpc_edit *edits, unsigned room);
    /* Told of each entry that is left out: the reason is one clause for the log (static), `name` is raw and
     * may be empty. NULL: nobody. */
    void (*dropped)(void *context, unsigned upstream, enum merge_drop why, const char *reason,
                    struct text name);
    void *context;
    /* room: what there is less than these three say, entries are dropped for as FULL */
    char *text; /* merge_build_bytes() */
    uint32_t text_size;
    struct merge_mark *marks; /* merge_build_entries() of them */
    uint32_t marks_size;
    uint32_t *table; /* scratch: merge_build_table() of them, no less */
    /* set by merge_build() */
    uint32_t text_len; /* the entries with commas between them, and "]}}" at the end */
    uint32_t entries;
    uint32_t drops[MERGE_DROPS];
    uint64_t epoch; /* a hash of the text: the same list has the same one everywhere */
};

/* How much room a build needs at most. */
uint32_t merge_build_entries(const struct merge_build *b);
uint64_t merge_build_bytes(const struct merge_build *b);
uint32_t merge_build_table(const struct merge_build *b);

void merge_build(struct merge_build *b);

/* --- replies --- */

/* A finished list; the memory is the holder's. */
struct merge_list {
    enum merge_kind kind;
    struct text text; /* as merge_build() leaves it */
    const struct merge_mark *marks;
    uint32_t entries;
    uint64_t epoch;
};

/* One page of it: the bytes of a reply are head, list, tail. */
struct merge_slice {
    struct text list; /* within the list's text; of the last page with its end */
    struct text tail; /* static; empty on the last page */
    uint32_t first, count;
};

/* The page at `cursor` (NULL: the first) with up to `page_entries` (0: all). False: the cursor leads nowhere
 * any more. */
bool merge_slice(const struct merge_list *list, const struct merge_cursor *cursor, uint32_t page_entries,
                 struct merge_slice *ret);

struct merge_reply {
    struct text id; /* raw */
    enum mcp_revision revision;
    uint64_t ttl_ms; /* these two from 2026-07-28 on */
    bool is_private;
    struct text info;         /* serverInfo, a raw object; from 2026-07-28 on, may be empty */
    const uint8_t *principal; /* MERGE_PRINCIPAL_BYTES, for the next page's cursor; NULL: anonymous */
};

enum { MERGE_HEAD_ROOM = 512 /* and the id and info: enough for a head */ };

/* The reply's head: everything up to the first entry. `keys` seal the next page's cursor, when there is one.
 * False: it could not be made, and the reply would look like a whole list. */
bool merge_reply_head(struct json_writer *w, const struct merge_reply *reply, const struct merge_list *list,
                      const struct merge_slice *slice, struct seal_keys *keys);

#endif
