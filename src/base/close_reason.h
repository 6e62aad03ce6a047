/* SPDX-License-Identifier: Apache-2.0 */
/* The table of close reasons (close_reason.def) as an enum and a description of each row. */
#ifndef BASE_CLOSE_REASON_H
#define BASE_CLOSE_REASON_H

enum close_reason {
#define CLOSE_REASON(id, name, status, code, text) CLOSE_##id,
#include "base/close_reason.def"
#undef CLOSE_REASON
    CLOSE_REASONS
};

struct close_reason_info {
    const char *name; /* as in logs and in the metrics' label */
    const char *text; /* one line for a person */
    int http_status;  /* 0: nothing is sent */
    int jsonrpc_code; /* 0: nothing is sent */
};

const struct close_reason_info *close_reason_info(enum close_reason reason);

#endif
