/* SPDX-License-Identifier: Apache-2.0 */
/* By what the traffic is counted: the side of the gateway that it is on, and how it travels (transport.def).
 */
#ifndef BASE_TRANSPORT_H
#define BASE_TRANSPORT_H

/* Whom a link leads to. */
enum link_side { LINK_CLIENT, LINK_UPSTREAM, LINK_SIDES };

enum transport {
#define TRANSPORT(ID, name) TRANSPORT_##ID,
#include "base/transport.def"
#undef TRANSPORT
    TRANSPORTS
};

#endif
