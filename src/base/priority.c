/* SPDX-License-Identifier: Apache-2.0 */
#include "base/priority.h"

#include "base/check.h"

static const char *const names[PRIORITIES] = {"critical", "high", "normal", "low"};

const char *
priority_name(enum priority priority)
{
    ASSERT(priority < PRIORITIES);
    return names[priority];
}

enum priority
priority_of_name(struct text name)
{
    for (unsigned i = 0; i < PRIORITIES; i++)
        if (text_eq(name, text_of(names[i])))
            return i == PRIORITY_CRITICAL ? PRIORITY_HIGH : (enum priority)i;
    return PRIORITY_UNSAID;
}
