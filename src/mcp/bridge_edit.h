/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of bridging: changing members of objects in raw text. Edits may be made in any order; they are
 * sorted at the end. An object is walked once:
 *
 *      object_begin(&walk, object);
 *      while (object_next(&walk, &member))
 *          unwanted ? object_drop(&walk, &member) : object_keep(&walk, &member, out);
 *      object_end(&walk, added, out);
 */
#ifndef MCP_BRIDGE_EDIT_H
#define MCP_BRIDGE_EDIT_H

#include "mcp/bridge.h"

/* A text in a table. */
#define ROW_TEXT(literal)                                                                                    \
    {                                                                                                        \
        (literal), sizeof(literal) - 1                                                                       \
    }

#define META_PREFIX       "io.modelcontextprotocol/"
#define META_VERSION      META_PREFIX "protocolVersion"
#define META_CAPABILITIES META_PREFIX "clientCapabilities"
#define META_CLIENT_INFO  META_PREFIX "clientInfo"
#define META_LOG_LEVEL    META_PREFIX "logLevel"
#define META_SERVER_INFO  META_PREFIX "serverInfo"
#define META_SUBSCRIPTION META_PREFIX "subscriptionId"

struct object_walk {
    struct text object, rest;
    const char *kept_end;  /* behind the last member that stays; NULL: none yet */
    const char *drop_from; /* where what goes begins; NULL: nothing is pending */
};

void object_begin(struct object_walk *walk, struct text object);
bool object_next(struct object_walk *walk, struct json_member *ret);
void object_keep(struct object_walk *walk, const struct json_member *member, struct bridge_out *out);
void object_drop(struct object_walk *walk, const struct json_member *member);
/* `added`: raw members with commas between them, or empty. */
void object_end(struct object_walk *walk, struct text added, struct bridge_out *out);

/* Which members of an object go, and what is added; what is added must be dropped too if it may be there. */
struct object_change {
    const struct text *drop;
    unsigned drops;
    struct text add;
};

#define OBJECT_CHANGE(list, added) ((struct object_change){(list), sizeof(list) / sizeof *(list), (added)})

void object_change(struct text object, const struct object_change *change, struct bridge_out *out);

/* The same for params and params._meta of a message; either is made where it is missing and something is
 * added to it. `token`: put in the place of meta.progressToken, when that is there; empty: it stays. */
struct params_change {
    struct object_change params, meta;
    struct text token;
};

void params_change(const struct jsonrpc_envelope *env, const struct params_change *change,
                   struct bridge_out *out);

/* Whether a raw key is one of these. */
bool key_is_one_of(struct text key, const struct text *list, unsigned count);

/* --- out --- */

void bridge_start(struct bridge_out *out, struct text message);
void bridge_edit(struct bridge_out *out, struct text old, struct text with);
static inline void
bridge_insert(struct bridge_out *out, const char *at, struct text with)
{
    bridge_edit(out, (struct text){at, 0}, with);
}

/* Sorts the edits; the verdict, or FULL. */
enum bridge_verdict bridge_finish(struct bridge_out *out, enum bridge_verdict verdict);

/* What was written to the room since `begin`, its length then. */
static inline struct text
bridge_room_since(const struct bridge_out *out, uint32_t begin)
{
    return (struct text){out->room.at + begin, out->room.len - begin};
}

/* A number as text in the room. */
struct text bridge_room_number(struct bridge_out *out, uint64_t number);
void bridge_put_number(struct json_writer *w, uint64_t number);

/* Makes an error of the gateway's the message: `text` by printf's rules. */
enum bridge_verdict bridge_refuse(struct bridge_out *out, enum bridge_verdict verdict,
                                  enum mcp_revision client, struct text id, int code, struct text data,
                                  const char *format, ...) __attribute__((format(printf, 7, 8)));

/* `{"jsonrpc":"2.0","id":ID,` and `{"jsonrpc":"2.0","id":N,"method":"M"`. */
void bridge_put_reply_begin(struct json_writer *w, struct text id);
void bridge_put_request_begin(struct json_writer *w, uint64_t number, struct text method);

/* Puts `id` in the place of the message's, or adds it. */
void bridge_edit_id(struct bridge_out *out, struct text message, const struct jsonrpc_envelope *env,
                    struct text id);

/* Whether tasks of 2025-11-25 pass. */
static inline bool
bridge_has_tasks(const struct bridge *b)
{
    return b->client == MCP_2025_11_25 && b->upstream == MCP_2025_11_25;
}

static inline bool
bridge_modern_client(const struct bridge *b)
{
    return mcp_revision_is_modern(b->client);
}

static inline bool
bridge_modern_upstream(const struct bridge *b)
{
    return mcp_revision_is_modern(b->upstream);
}

/* What the client declared, as far as its revision has it. */
uint32_t bridge_caps_of(const struct bridge *b);

/* `"extensions":{...}`, unless it is no object; tasks, which are bridged nowhere, only where asked for. */
void bridge_put_extensions(struct json_writer *w, struct text extensions, bool with_tasks, bool *first);

/* A raw version string; the newest modern or legacy one of a raw array. */
enum mcp_revision bridge_revision_of(struct text raw);
enum mcp_revision bridge_newest_of(struct text array, bool modern);

/* `"key":`, after a comma unless it is the first. */
void bridge_put_key(struct json_writer *w, bool *first, struct text key);

/* The object of capabilities that `needs` bits stand for, as -32021's data. */
struct text bridge_room_required(struct bridge_out *out, uint32_t needs);

#endif
