/* SPDX-License-Identifier: Apache-2.0 */
/* Drives the demo machine as a front would, and looks into what it says. */
#ifndef TESTS_MCP_DEMO_H
#define TESTS_MCP_DEMO_H

#include "mcp/demo.h"
#include "proto/json.h"
#include "proto/jsonrpc.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { SAID_MAX = 2100 };

struct driver {
    struct demo_call call;
    struct demo_effects out;
    struct demo_input in;
    char *said[SAID_MAX]; /* the messages, oldest first */
    unsigned count;
    bool final; /* the last one was */
    bool open;
    char room[DEMO_ROOM_MIN];
};

static inline void
driver_on_message(void *context, struct text json, bool final)
{
    struct driver *d = context;

    cr_assert(!d->final, "a message after the final one: %.*s", (int)json.len, json.at);
    cr_assert(d->count < SAID_MAX);
    cr_assert_eq(json_check(json, JSON_SCAN_STRICT), JSON_FINE, "%.*s", (int)json.len, json.at);
    cr_assert_null(memchr(json.at, '\n', json.len));
    cr_assert_neq(d->out.status, 202);
    d->said[d->count++] = strndup(json.at, json.len);
    d->final = final;
}

static inline void
driver_forget(struct driver *d)
{
    while (d->count)
        free(d->said[--d->count]);
    d->final = false;
}

/* A message of a session of this revision, without HTTP. */
static inline struct driver *
say(enum mcp_revision session, const char *message)
{
    static struct driver d;

    driver_forget(&d);
    memset(&d.in, 0, sizeof d.in);
    d.in.session = session;
    d.in.message = text_of(message);
    d.in.now_ms = 1000;
    d.out = (struct demo_effects){
        .message = driver_on_message, .context = &d, .room = d.room, .room_size = sizeof d.room};
    d.open = demo_begin(&d.call, &d.in, &d.out);
    cr_assert_eq(d.open, !d.final && d.out.status != 202);
    return &d;
}

/* The same as an HTTP request with these fields (NULL: not sent). */
static inline struct driver *
post(enum mcp_revision session, const char *version, const char *method, const char *name,
     const char *message)
{
    struct driver *d = say(MCP_NO_REVISION, "{\"jsonrpc\":\"2.0\",\"method\":\"x\"}");

    driver_forget(d);
    d->in =
        (struct demo_input){.http = true, .session = session, .message = text_of(message), .now_ms = 1000};
    d->in.version = version ? text_of(version) : d->in.version;
    d->in.method = method ? text_of(method) : d->in.method;
    d->in.name = name ? text_of(name) : d->in.name;
    d->open = demo_begin(&d->call, &d->in, &d->out);
    cr_assert_eq(d->open, !d->final && d->out.status != 202);
    return d;
}

static inline void
wake(struct driver *d, uint64_t now_ms)
{
    cr_assert(d->open);
    d->open = demo_wake(&d->call, now_ms, &d->out);
}

/* The raw value at a path of member names and indexes ("result.tools.0.name") in a message; len 0 when
 * absent. */
static inline struct text
at(const char *message, const char *path)
{
    struct text value = text_of(message), element;

    while (*path && value.len) {
        size_t n = strcspn(path, ".");
        struct text key = {path, (uint32_t)n};

        if (json_kind_of(value) == JSON_IS_ARRAY) {
            int skip = atoi(path);

            while (skip-- >= 0)
                if (!json_next_element(&value, &element))
                    return (struct text){NULL, 0};
            value = element;
        } else {
            value = json_find(value, key);
        }
        path += n + (path[n] == '.');
    }
    return value;
}

#define cr_assert_at(message, path, want)                                                                    \
    do {                                                                                                     \
        const char *m_ = (message);                                                                          \
        struct text v_ = at(m_, (path));                                                                     \
        cr_assert(text_eq(v_, text_of(want)), "%s is %.*s, not %s, in %s", (path), (int)v_.len,              \
                  v_.at ? v_.at : "", (want), m_);                                                           \
    } while (0)

#define cr_assert_absent(message, path)                                                                      \
    cr_assert_eq(at((message), (path)).len, 0, "%s in %s", (path), (message))

/* The call is over with one message: an error of this code. */
static inline void
expect_error(const struct driver *d, const char *code, int status)
{
    cr_assert(!d->open && d->final && d->count == 1);
    cr_assert_at(d->said[0], "error.code", code);
    cr_assert_gt(at(d->said[0], "error.message").len, 10);
    cr_assert_eq(d->out.status, status, "%d: %s", d->out.status, d->said[0]);
}

/* The call is over with one message: a result for id 1. */
static inline const char *
expect_result(const struct driver *d)
{
    cr_assert(!d->open && d->final && d->count == 1);
    cr_assert_at(d->said[0], "jsonrpc", "\"2.0\"");
    cr_assert_at(d->said[0], "id", "1");
    cr_assert_eq(*at(d->said[0], "result").at, '{', "%s", d->said[0]);
    cr_assert_eq(d->out.status, 200);
    cr_assert(!d->out.wants_stream);
    return d->said[0];
}

#endif
