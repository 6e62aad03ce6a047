/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan for /mcp/NAME of a server on stdin and stdout, in the simple form: a message of the client's
 * becomes a line, the line that answers it becomes the reply, as JSON or, when notifications of the request
 * come before, as a stream of events. What the revisions have in different ways is not translated: the client
 * speaks the server's own revision.
 *
 * Revisions before 2026-07-28 get a session (Mcp-Session-Id), and with it a process of their own or, with
 * --stdio-share shared, one for all of a worker's clients. 2026-07-28 shares one.
 */
#ifndef GATE_LINES_H
#define GATE_LINES_H

#include "gate/exchange.h"

/* Takes on a request for ex->upstream, which is a stdio server. May finish. */
void lines_start(struct exchange *ex, const struct http1_head *head);

/* Says who speaks with the children that a dead worker has left. */
void lines_init(struct worker *w);

#endif
