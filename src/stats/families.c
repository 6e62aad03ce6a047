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

static const char *
side_value(uint32_t i)
{
    static const char *const names[LINK_SIDES] = {[LINK_CLIENT] = "client", [LINK_UPSTREAM] = "upstream"};

    return names[i];
}

static const char *
transport_value(uint32_t i)
{
    static const char *const names[TRANSPORTS] = {
#define TRANSPORT(ID, name) name,
#include "base/transport.def"
#undef TRANSPORT
    };

    return names[i];
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
#define DIM_side                                                                                             \
    {                                                                                                        \
        "side", LINK_SIDES, side_value                                                                       \
    }
#define DIM_transport                                                                                        \
    {                                                                                                        \
        "transport", TRANSPORTS, transport_value                                                             \
    }
#define DIM_                                                                                                 \
    {                                                                                                        \
        "", 1, NULL                                                                                          \
    }

#define AT_COUNTER(id)                                                                                       \
    offsetof(struct slot, transports) + TRSTAT_##id * sizeof((struct slot *)0)->transports[0]
#define AT_GAUGE(id) AT_COUNTER(id)
#define AT_HISTOGRAM(id)                                                                                     \
    offsetof(struct slot, transport_hists) + TRHIST_##id * sizeof((struct slot *)0)->transport_hists[0]

const struct family families[] = {
#define METRIC_FAMILY(id, label, label2, help)                                                               \
    {#id, help, SEGMENT_COUNTER, SEGMENT_NONE, offsetof(struct slot, id), {DIM_##label, DIM_##label2}},
#define METRIC_TRANSPORT(KIND, id, UNIT, help)                                                               \
    {#id, help, SEGMENT_##KIND, SEGMENT_##UNIT, AT_##KIND(id), {DIM_side, DIM_transport}},
#include <mcpgate/metrics.def>
};

const uint32_t family_count = sizeof families / sizeof *families;
