/* SPDX-License-Identifier: Apache-2.0 */
/* How urgent a request says that it is: the Priority field (RFC 9218), and MCP's kinds of messages. */
#ifndef PROTO_PRIORITY_H
#define PROTO_PRIORITY_H

#include "base/priority.h"
#include "base/text.h"
#include "proto/jsonrpc.h"

#include <mcpgate/mcp_method.h>

/* Of the value of a Priority field: u=0 and 1 are high, 2 to 4 normal, 5 to 7 low; PRIORITY_UNSAID: it says
 * none that is known (section 4: what is malformed is ignored). Of several the last one counts (RFC
 * 8941 3.2). */
enum priority priority_of_field(struct text value);

/* Of a message. What it says itself, in params._meta["mcpgate/priority"] (a name, or a number from 0 to 7 as
 * above), goes before `given`, and that, unless it is PRIORITY_UNSAID, before its kind; but a kind that
 * is critical stays so. */
enum priority priority_of_message(const struct jsonrpc_envelope *env, enum priority given);
/* Of one of which only the method is known. */
enum priority priority_of_method(enum mcp_method method, enum priority given);

#endif
