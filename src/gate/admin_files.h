/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of the page that the admin listener serves: tools/page under /ui/, and the client that it uses,
 * tools/client-js, under /client-js/, so that its modules find each other there as they do in the tree.
 */
#ifndef GATE_ADMIN_FILES_H
#define GATE_ADMIN_FILES_H

#include "gate/exchange.h"

/* Made by tools/page/embed. */
struct admin_file {
    const char *path; /* "/ui/main.mjs" */
    const char *type; /* its media type */
    const char *etag; /* with its quotes; another for other bytes */
    const unsigned char *bytes;
    uint32_t len;
};

extern const struct admin_file admin_files[];
extern const unsigned admin_file_count;

/* Finishes, and says true, where `path` is one of them, or one that leads there. */
bool admin_files_request(struct exchange *ex, const struct http1_head *head, struct text path);

#endif
