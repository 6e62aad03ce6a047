/* SPDX-License-Identifier: Apache-2.0 */
/* Which era an upstream is of: what it answers to server/discover. */
#include "mcp/bridge_edit.h"
#include "mcp/bridge_server.h"

enum { MODERN_HEADER = -32020, MODERN_CAPABILITY = -32021, MODERN_VERSION = -32022, NO_METHOD = -32601 };

static void
say(struct bridge_probe *ret, enum bridge_era era, enum mcp_revision revision)
{
    ret->era = era;
    ret->revision = revision;
}

/* By a list of what it speaks. A list of legacy revisions alone sends us to initialize. */
static void
by_versions(struct text versions, struct bridge_probe *ret)
{
    enum mcp_revision modern = bridge_newest_of(versions, true), legacy = bridge_newest_of(versions, false);

    if (modern == MCP_NO_REVISION && legacy != MCP_NO_REVISION)
        say(ret, BRIDGE_ERA_LEGACY, legacy);
    else
        say(ret, BRIDGE_ERA_MODERN, modern);
}

/* Whether the body by itself decides. */
static bool
by_body(const struct jsonrpc_envelope *env, struct bridge_probe *ret)
{
    struct text versions;

    if (env->kind == JSONRPC_RESPONSE) {
        versions = json_find(env->result, TEXT("supportedVersions"));
        if (json_kind_of(versions) != JSON_IS_ARRAY)
            return false;
        by_versions(versions, ret);
        if (ret->era == BRIDGE_ERA_MODERN)
            ret->result = env->result;
        return true;
    }
    if (env->kind != JSONRPC_ERROR)
        return false;
    switch (env->error_code) {
    case MODERN_VERSION:
        versions = json_find(json_find(env->error, TEXT("data")), TEXT("supported"));
        by_versions(versions, ret);
        return true;
    case MODERN_HEADER:
    case MODERN_CAPABILITY: /* the request was wrong, not the revision */
        say(ret, BRIDGE_ERA_MODERN, MCP_2026_07_28);
        return true;
    case NO_METHOD: /* a modern server must have this one */
        say(ret, BRIDGE_ERA_LEGACY, MCP_LATEST_LEGACY);
        return true;
    default:
        return false;
    }
}

/* Statuses that say something of the request's rights or of the server's health, not of what it speaks. */
static bool
is_no_evidence(unsigned status)
{
    return status == BRIDGE_PROBE_HTTP_TIMEOUT || (status >= 300 && status < 400) || status == 401 ||
           status == 403 || status == 407 || status == 408 || status == 425 || status == 429 || status >= 500;
}

void
bridge_era_of(unsigned status, struct text body, struct bridge_probe *ret)
{
    struct jsonrpc_envelope env;

    *ret = (struct bridge_probe){BRIDGE_ERA_UNKNOWN, MCP_NO_REVISION, {NULL, 0}};
    if (status == 401 || status == 403) /* somebody in between may have said so */
        return;
    if (body.len && jsonrpc_scan(body, JSON_SCAN_STRICT, &env) == JSONRPC_FAULT_FINE && by_body(&env, ret))
        return;
    if (!is_no_evidence(status))
        say(ret, BRIDGE_ERA_LEGACY, MCP_LATEST_LEGACY);
}

bool
bridge_may_be_sse(unsigned status)
{
    return status == 400 || status == 404 || status == 405;
}
