/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merged mode: all upstreams as one server at /mcp. What names, URIs and lists become is mcp/merge_*.h's;
 * here is who is asked, how long is waited, and who gets the answer. A request that names one upstream's
 * tool, prompt or resource goes there by the bridge plan; lists, and what the merged server says of itself,
 * are made of what every upstream says to a bond of the gateway's own, and remembered.
 *
 *      tools/list --> list_cache  READY: the bytes are there
 *                                 ASK: a gather, which asks the upstreams that are not known --> the list
 *
 * One slow or dead upstream costs its own entries only, after --merge-deadline.
 */
#ifndef GATE_MERGING_H
#define GATE_MERGING_H

#include "gate/bridged.h"
#include "mcp/list_gather.h"
#include "mcp/merge_map.h"

/* What a worker has of it. */
struct merging {
    struct worker *worker;
    struct merge_name *name_items; /* by the upstream's index */
    struct merge_names names;
    struct list_cache cache;
    struct pool askers;
    struct list_node gathering; /* those that wait */
};

/* Whether /mcp is the merged server. */
bool merging_is_on(const struct worker *w);

int merging_init(struct worker *w); /* 0 or -ENOMEM */
void merging_done(struct worker *w);

/* A message of a client of the merged server, not a response; its revision is known. May finish. */
void merging_take(struct bridged *b);

/* The names and URIs in what `up` says to a client of the merged server, as edits of the message. */
void merging_map_down(struct worker *w, const struct upstream *up, enum mcp_method method,
                      struct text message, const struct jsonrpc_envelope *env, struct bridge_out *out);

/* An upstream said to the gateway's own bond that its lists have changed. */
void merging_changed(struct bond *bond, enum bridge_act what, struct text uri);

/* The bond that lists are asked over. */
struct bond *merging_bond(struct worker *w, struct upstream *up);

/* The same for the upstream that has a resource, by the URI (raw) that clients know; *ret_own is what the
 * upstream calls it, valid until the next call. NULL: nobody has it. */
struct bond *merging_bond_of(struct worker *w, struct text uri, struct text *ret_own);

/* The request leaves whatever it waits for. */
void merging_leave(struct bridged *b);

#endif
