/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/tool_filter.h"

#include "gate/upstream.h"
#include "gate/worker.h"

#include <errno.h>
#include <stdlib.h>

/* The patterns of one flag; counts, or writes to *at too. */
static uint32_t
read_patterns(const struct upstream *up, struct cfg_array rules, struct text *at)
{
    const struct config *c = up->worker->config;
    const struct cfg_text *items = cfg_list(c, rules);
    uint32_t n = 0;

    for (uint32_t i = 0; i < rules.count; i++) {
        struct text rule = cfg_text(c, items[i]);

        n += merge_filter_patterns(&rule, 1, up->name, at ? at + n : NULL, at ? UINT32_MAX : 0);
    }
    return n;
}

int
tool_filter_init(struct upstream *up)
{
    const struct config *c = up->worker->config;
    uint32_t allowed = read_patterns(up, c->allow_tool, NULL), denied = read_patterns(up, c->deny_tool, NULL);
    struct text *patterns;

    if (!allowed && !denied)
        return 0;
    patterns = calloc(allowed + denied, sizeof *patterns);
    if (!patterns)
        return -ENOMEM;
    read_patterns(up, c->allow_tool, patterns);
    read_patterns(up, c->deny_tool, patterns + allowed);
    up->tools = (struct merge_filter){patterns, patterns + allowed, allowed, denied};
    return 0;
}

void
tool_filter_done(struct upstream *up)
{
    free((void *)up->tools.allow); /* the one allocation of both */
    up->tools = (struct merge_filter){0};
}

bool
tool_filter_is_set(const struct upstream *up)
{
    return up->tools.allow_count || up->tools.deny_count;
}

bool
tool_filter_allows(const struct upstream *up, struct text name)
{
    return merge_filter_allows(&up->tools, name);
}
