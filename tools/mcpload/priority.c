/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of requests and their shares; see priority.h. */
#include "priority.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>

enum { SHARE_MAX = 1000000 };

const char *const priority_names[PRIORITIES] = {NULL,
#define PRIORITY(id, name, urgency) name,
                                                PRIORITY_LIST
#undef PRIORITY
};

const uint8_t priority_urgencies[PRIORITIES] = {0,
#define PRIORITY(id, name, urgency) urgency,
                                                PRIORITY_LIST
#undef PRIORITY
};

static enum priority
priority_of(struct text name)
{
    for (unsigned p = PRIORITY_NONE + 1; p < PRIORITIES; p++)
        if (text_eq(name, text_of(priority_names[p])))
            return (enum priority)p;
    return PRIORITY_NONE;
}

/* One "NAME" or "NAME=SHARE", up to a comma or the end; returns where it ends, NULL when it is none. */
static const char *
parse_share(const char *text, struct priority_mix *mix)
{
    size_t len = strcspn(text, "=,");
    enum priority priority = priority_of((struct text){text, (uint32_t)len});
    char *end = (char *)(uintptr_t)text + len;
    unsigned long share = 1;

    if (*end == '=' && end[1] >= '0' && end[1] <= '9')
        share = strtoul(end + 1, &end, 10);
    if (priority == PRIORITY_NONE || !share || share > SHARE_MAX || mix->share[priority] ||
        (*end && *end != ','))
        return NULL;
    mix->share[priority] = (uint32_t)share;
    mix->sum += (uint32_t)share;
    return end;
}

int
priority_parse(const char *text, struct priority_mix *ret)
{
    struct priority_mix mix = {0};

    do {
        text = parse_share(text, &mix);
        if (!text)
            return -EINVAL;
    } while (*text++ == ',');
    *ret = mix;
    return 0;
}

enum priority
priority_next(struct priority_mix *mix)
{
    unsigned next = PRIORITY_NONE;

    if (!mix->sum)
        return PRIORITY_NONE;
    for (unsigned p = PRIORITY_NONE + 1; p < PRIORITIES; p++) {
        mix->credit[p] += mix->share[p];
        if (next == PRIORITY_NONE || mix->credit[p] > mix->credit[next])
            next = p;
    }
    mix->credit[next] -= mix->sum;
    return (enum priority)next;
}
