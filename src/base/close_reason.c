/* SPDX-License-Identifier: Apache-2.0 */
#include "base/close_reason.h"

#include "base/check.h"

static const struct close_reason_info infos[] = {
#define CLOSE_REASON(id, name, status, code, text) {#name, text, status, code},
#include "base/close_reason.def"
#undef CLOSE_REASON
};

const struct close_reason_info *
close_reason_info(enum close_reason reason)
{
    ASSERT((unsigned)reason < CLOSE_REASONS);
    return &infos[reason];
}
