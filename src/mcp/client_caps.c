/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/client_caps.h"

#include "proto/json.h"

static bool
has_object(struct text object, struct text key)
{
    return json_kind_of(json_find(object, key)) == JSON_IS_OBJECT;
}

uint32_t
mcp_client_caps(struct text capabilities)
{
    struct text roots = json_find(capabilities, TEXT("roots"));
    struct text sampling = json_find(capabilities, TEXT("sampling"));
    struct text elicitation = json_find(capabilities, TEXT("elicitation"));
    uint32_t caps = 0;

    if (json_kind_of(roots) == JSON_IS_OBJECT) {
        caps |= MCP_CLIENT_ROOTS;
        if (json_kind_of(json_find(roots, TEXT("listChanged"))) == JSON_IS_TRUE)
            caps |= MCP_CLIENT_ROOTS_CHANGED;
    }
    if (json_kind_of(sampling) == JSON_IS_OBJECT) {
        caps |= MCP_CLIENT_SAMPLING;
        caps |= has_object(sampling, TEXT("tools")) ? MCP_CLIENT_SAMPLING_TOOLS : 0;
        caps |= has_object(sampling, TEXT("context")) ? MCP_CLIENT_SAMPLING_CONTEXT : 0;
    }
    if (json_kind_of(elicitation) == JSON_IS_OBJECT) {
        bool url = has_object(elicitation, TEXT("url"));

        caps |= url ? MCP_CLIENT_ELICIT_URL : 0;
        caps |= has_object(elicitation, TEXT("form")) || !url ? MCP_CLIENT_ELICIT_FORM : 0;
    }
    return caps;
}
