/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may become of notices to a client that does not keep up, by --backpressure:
 *
 *      throttle   what says them is no longer read until the client has caught up
 *      drop       log lines are left out; of all else as above
 *      combine    of progress, and of notices that a list has changed, the latest is kept and said when the
 *                 client has caught up, or before the response; of all else as above
 *
 * For bridging_behind.c, where messages are made, and splice_behind.c, where events pass as they came.
 */
#ifndef GATE_LATE_H
#define GATE_LATE_H

#include "gate/held.h"
#include "gate/worker.h"

enum { LATE_KINDS = 4 };

struct late {                      /* zero: nothing */
    struct held kinds[LATE_KINDS]; /* the latest of its kind, which the client has not heard */
};

/* Where the latest of its kind waits; NULL: such are not combined. `is_standing`: what it comes on is the
 * stream of no call, where progress may be of several. */
struct held *late_of(const struct worker *w, struct late *late, struct text method, bool is_standing);
/* A newer one takes its place. NULL: nothing to do. */
void late_supersede(struct worker *w, struct held *latest);
/* Such are left out. */
bool late_is_dropped(const struct worker *w, struct text method);
void late_free(struct worker *w, struct late *late);

#endif
