/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/families.h"

#include "stats/stats.h"

static const char *
method_value(uint32_t i)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "other"};

    _Static_assert(sizeof names / sizeof *names == STATS_HTTP_METHODS, "one name a row");
    return names[i];
}

static const char *
status_value(uint32_t i)
{
    static const char *const names[] = {
#define HTTP_STATUS(code) #code,
#include <mcpgate/http_status.def>
#undef HTTP_STATUS
        "1xx", "2xx", "3xx", "4xx", "5xx", "none",
    };

    _Static_assert(sizeof names / sizeof *names == STATUSES, "one name a row");
    return names[i];
}

static const char *
mcp_method_value(uint32_t i)
{
    static const char *const names[MCP_METHODS] = {
        [MCP_OTHER] = "other",
#define MCP_METHOD(id, method, name_key, priority) [MCP_##id] = method,
#include <mcpgate/mcp_method.def>
#undef MCP_METHOD
    };

    return names[i];
}

static const char *
reason_value(uint32_t i)
{
    return close_reason_info((enum close_reason)i)->name;
}

static const char *
priority_value(uint32_t i)
{
    return priority_name((enum priority)i);
}

/* One line per label that metrics.def names: how many values it has, and which. */
#define DIM_method                                                                                           \
    {                                                                                                        \
        "method", STATS_HTTP_METHODS, method_value                                                           \
    }
#define DIM_status                                                                                           \
    {                                                                                                        \
        "status", STATUSES, status_value                                                                     \
    }
#define DIM_mcp_method                                                                                       \
    {                                                                                                        \
        "mcp_method", MCP_METHODS, mcp_method_value                                                          \
    }
#define DIM_priority                                                                                         \
    {                                                                                                        \
        "priority", PRIORITIES, priority_value                                                               \
    }
#define DIM_reason                                                                                           \
    {                                                                                                        \
        "reason", CLOSE_REASONS, reason_value                                                                \
    }
#define DIM_                                                                                                 \
    {                                                                                                        \
        "", 1, NULL                                                                                          \
    }

const struct family families[] = {
#define METRIC_FAMILY(id, label, label2, help)                                                               \
    {#id, help, offsetof(struct slot, id), {DIM_##label, DIM_##label2}},
#include <mcpgate/metrics.def>
};

const uint32_t family_count = sizeof families / sizeof *families;
