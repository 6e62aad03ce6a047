/* SPDX-License-Identifier: Apache-2.0 */
/* What any upstream says of itself: the answer to a probe has one verdict, and what a client is told of it is
 * JSON whenever what came was. */
#include "base/check.h"
#include "mcp/bridge_server.h"

#include <jansson.h>
#include <stdlib.h>

static void
check_json(struct text text, bool came_as_json)
{
    json_t *root;

    ASSERT(json_check(text, JSON_SCAN_STRICT) == JSON_FINE);
    if (!came_as_json)
        return;
    root = json_loadb(text.at, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    ASSERT(root);
    json_decref(root);
}

static void
tell(const struct bridge_server *server, const struct bridge *b, uint32_t size, bool came_as_json)
{
    char *room = malloc(BRIDGE_ROOM(size));
    struct json_writer w = {.at = room, .size = BRIDGE_ROOM(size)};

    if (mcp_revision_is_modern(b->client))
        bridge_put_discover(&w, b, TEXT("1"), server, TEXT("{}"), 0, true);
    else
        bridge_put_initialize(&w, b, TEXT("1"), server, TEXT("{}"));
    ASSERT(!w.full);
    check_json(json_written(&w), came_as_json);
    free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t statuses[] = {0, 1, 2, 3, 200, 400, 401, 404, 500};
    struct text body = {(const char *)data + 2, (uint32_t)size - 2};
    struct bridge_server server;
    struct bridge_probe probe;
    struct bridge b;
    json_t *root;

    if (size < 3 || size > 1 << 16)
        return 0;
    bridge_era_of(statuses[data[0] % 9], body, &probe);
    ASSERT(probe.era != BRIDGE_ERA_UNKNOWN || probe.revision == MCP_NO_REVISION);
    ASSERT(probe.era != BRIDGE_ERA_LEGACY || probe.revision <= MCP_LATEST_LEGACY);
    ASSERT(!probe.result.at || probe.era == BRIDGE_ERA_MODERN);
    if (json_check(body, JSON_SCAN_STRICT) != JSON_FINE)
        return 0;
    root = json_loadb(body.at, body.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    b = (struct bridge){.client = (enum mcp_revision)(data[1] % 5),
                        .upstream = (enum mcp_revision)(data[1] / 5 % 5)};
    if (bridge_read_initialize(body, &server))
        tell(&server, &b, body.len, root != NULL);
    if (bridge_read_discover(body, &server))
        tell(&server, &b, body.len, root != NULL);
    json_decref(root);
    return 0;
}
