/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The demo server as a program on stdin and stdout: several calls at a time over one stream of messages,
 * which is one session. Pure as the machine itself (mcp/demo.h): lines in, lines out, and when it wants to be
 * called again.
 *
 * It can play a server of one revision only: a legacy one offers its revision to whatever client begins with
 * initialize and knows no server/discover, a later one knows no initialize.
 */
#ifndef MCP_DEMO_LINES_H
#define MCP_DEMO_LINES_H

#include "mcp/demo.h"

enum { DEMO_LINES_CALLS = 256 };

struct demo_lines {
    enum mcp_revision only;                       /* MCP_NO_REVISION: every one */
    enum mcp_revision session;                    /* what initialize agreed on */
    void (*say)(void *context, struct text json); /* one message, to be ended by a line end; borrowed */
    void *context;
    bool open[DEMO_LINES_CALLS]; /* private, as the rest */
    uint64_t wake_ms[DEMO_LINES_CALLS];
    struct demo_call calls[DEMO_LINES_CALLS];
    char room[DEMO_ROOM_MIN];
};

void demo_lines_init(struct demo_lines *d, enum mcp_revision only,
                     void (*say)(void *context, struct text json), void *context);
/* One line, without its end. */
void demo_lines_take(struct demo_lines *d, struct text line, uint64_t now_ms);
/* Goes on with what is due. Returns in how many ms it is to be called again, or -1: when a line has come. */
int demo_lines_wake(struct demo_lines *d, uint64_t now_ms);
/* The input has ended: open subscriptions get their result, other calls an error. */
void demo_lines_finish(struct demo_lines *d);

#endif
