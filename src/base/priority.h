/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How urgent a message is. Which of two comes first is decided in two places: in a worker's turn, among the
 * links that have something to send (net_flush), and on a link that carries the messages of many requests,
 * among its lanes (link_push). All messages about one request have one priority, so that their order stays.
 *
 *      critical   what a connection cannot go on without: initialize, discovery, ping
 *      high       what somebody is watching: calls that report progress, completions
 *      normal     the rest
 *      low        background: what belongs to no request
 *
 * A response, an error, a question or a cancellation goes with the request that it is about.
 *
 * What a request says of itself (proto/priority.h) and what is configured for its upstream go before its
 * kind; neither can claim `critical`.
 */
#ifndef BASE_PRIORITY_H
#define BASE_PRIORITY_H

#include "base/text.h"

enum priority {
    PRIORITY_CRITICAL,
    PRIORITY_HIGH,
    PRIORITY_NORMAL,
    PRIORITY_LOW,
    PRIORITIES,
    PRIORITY_UNSAID = PRIORITY_CRITICAL, /* of what was asked for: nothing, since that cannot be */
};

const char *priority_name(enum priority priority);

/* "high", "normal" or "low", and "critical", which cannot be asked for, as high; PRIORITY_UNSAID: none of
 * these. */
enum priority priority_of_name(struct text name);

#endif
