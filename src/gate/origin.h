/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose page asks. A browser runs pages of strangers beside those of its user, and says of a request where
 * the page is from (Origin), but not with a GET to the page's own host. And what a page's own host is, who
 * owns the name decides: he may let it lead to 127.0.0.1 (DNS rebinding), where firewalls do not look.
 *
 * So on a loopback address only this machine's own names count as own. A proxy there that passes its public
 * Host on is one of --trusted-proxy.
 */
#ifndef GATE_ORIGIN_H
#define GATE_ORIGIN_H

#include "gate/worker.h"

/* Of every request: its Origin is one of --allow-origin, or its own Host; or it has none. */
bool origin_allowed(const struct client *client, const struct http1_head *head);

/* Of what shows something to a GET that needs nothing else, as the admin listener's paths do: the Host is no
 * name that somebody else has let lead here. Those of --allow-origin are the user's own. */
bool origin_host_allowed(const struct client *client, const struct http1_head *head);

#endif
