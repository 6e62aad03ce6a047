/* SPDX-License-Identifier: Apache-2.0 */
/* What link.c and batch.c share; for these two. */
#ifndef NET_LINK_PRIVATE_H
#define NET_LINK_PRIVATE_H

#include "net/link.h"

/* Receives, unless it does so already or may not. */
void link_receive(struct link *link);

/* It has something to send, and is served by the next net_flush(). */
void link_mark_dirty(struct link *link);

/* It does not wait for others any more, and is on no list. */
static inline void
link_unhold(struct link *link)
{
    if (link->is_held)
        list_del(&link->node);
    link->is_held = false;
}

#endif
