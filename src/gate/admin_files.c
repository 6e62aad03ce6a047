/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/admin_files.h"

#include "gate/local.h"

#include <stdio.h>

/* Scripts and styles come from here alone, and nobody frames the page. Where it may connect to is open, since
 * its user types the gateway's URL: a proxy in front, or another node. */
#define POLICY                                                                                               \
    "Content-Security-Policy: default-src 'self'; connect-src 'self' http: https: ws: wss:; "                \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"                                        \
    "X-Content-Type-Options: nosniff\r\n"                                                                    \
    "Referrer-Policy: no-referrer\r\n"

/* If-None-Match (RFC 9110 13.1.2): "*", or a list of tags that are compared without their W/. */
static bool
has_already(const struct http1_head *head, struct text etag)
{
    struct text list = http1_value(head, HTTP_IF_NONE_MATCH), tag;

    while (text_next_element(&list, &tag)) {
        if (text_starts(tag, TEXT("W/")))
            tag = (struct text){tag.at + 2, tag.len - 2};
        if (text_eq(tag, etag) || text_eq(tag, TEXT("*")))
            return true;
    }
    return false;
}

/* A browser asks each time whether its copy still holds: another version of mcpgate may be here by now. */
static void
reply_file(struct exchange *ex, const struct http1_head *head, const struct admin_file *file)
{
    char extra[512];
    int n = snprintf(extra, sizeof extra, "ETag: %s\r\nCache-Control: no-cache\r\n" POLICY, file->etag);

    ASSERT(n > 0 && (size_t)n < sizeof extra);
    if (has_already(head, text_of(file->etag)))
        local_reply(ex, 304, (struct text){0}, (struct text){extra, (uint32_t)n}, "", 0, CLOSE_DONE);
    else
        local_reply(ex, 200, text_of(file->type), (struct text){extra, (uint32_t)n}, file->bytes, file->len,
                    CLOSE_DONE);
}

bool
admin_files_request(struct exchange *ex, const struct http1_head *head, struct text path)
{
    if (text_eq(path, TEXT("/")) || text_eq(path, TEXT("/ui"))) {
        local_reply(ex, 302, (struct text){0}, TEXT("Location: /ui/\r\n"), "", 0, CLOSE_DONE);
        return true;
    }
    if (text_eq(path, TEXT("/ui/")))
        path = TEXT("/ui/index.html");
    for (unsigned i = 0; i < admin_file_count; i++) {
        if (text_eq(path, text_of(admin_files[i].path))) {
            reply_file(ex, head, &admin_files[i]);
            return true;
        }
    }
    return false;
}
