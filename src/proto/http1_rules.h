/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fields of a lexed head mean for its connection and its body. http1_head.c calls these once a head
 * is whole; nobody else does. Before the call count, headers[], first[], minor and the first line's members
 * are set; afterwards the rest is.
 */
#ifndef PROTO_HTTP1_RULES_H
#define PROTO_HTTP1_RULES_H

#include "proto/http1.h"

/* CLOSE_NONE, or why the request is refused. */
enum close_reason http1_judge_request(struct http1_head *head);
/* False when the reply is malformed. `method` is the request's. */
bool http1_judge_reply(struct http1_head *head, enum http_method method);
/* Marks the fields that may not be trailers. */
void http1_judge_trailers(struct http1_head *head);

#endif
