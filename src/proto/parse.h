/* SPDX-License-Identifier: Apache-2.0 */
/* The three outcomes of every parser here. A parser makes no call to the system, keeps no clock and allocates
 * nothing; what it returns points into the caller's bytes. */
#ifndef PROTO_PARSE_H
#define PROTO_PARSE_H

enum parse_result {
    PARSE_MORE, /* well-formed so far; call again with more bytes */
    PARSE_OK,
    PARSE_BAD, /* the reason is in the parser's own out field */
};

#endif
