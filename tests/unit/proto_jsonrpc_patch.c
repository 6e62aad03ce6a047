/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/jsonrpc_patch.h"

#include <criterion/criterion.h>

#define V "\"jsonrpc\":\"2.0\""

static struct jsonrpc_patch p;
static struct jsonrpc_places places;
static struct text message;

static void
begin(const char *text)
{
    struct jsonrpc_envelope env;

    message = text_of(text);
    cr_assert_eq(jsonrpc_scan_pieces(&message, 1, JSON_SCAN_STRICT, &env, &places, NULL), JSONRPC_FAULT_FINE);
    jsonrpc_patch_begin(&p, message, &places);
}

/* The edited message, made both ways. */
static const char *
end(void)
{
    static char out[2048], joined[2048];
    struct text pieces[2 * JSONRPC_PATCH_MAX + 1];
    int count = jsonrpc_patch_end(&p);
    uint32_t n, m = 0;
    unsigned piece_count;

    cr_assert_geq(count, 0);
    n = jsonrpc_edit_write(message, p.edits, (unsigned)count, out, sizeof out - 1);
    out[n] = '\0';
    cr_assert_eq(jsonrpc_edited_size(message, p.edits, (unsigned)count), n);
    piece_count = jsonrpc_edit_pieces(message, p.edits, (unsigned)count, pieces, 2 * JSONRPC_PATCH_MAX + 1);
    for (unsigned i = 0; i < piece_count; m += pieces[i++].len) {
        cr_assert(pieces[i].len > 0);
        memcpy(joined + m, pieces[i].at, pieces[i].len);
    }
    cr_assert(text_eq((struct text){joined, m}, (struct text){out, n}));
    cr_assert_eq(json_check((struct text){out, n}, JSON_SCAN_STRICT), JSON_FINE, "%s", out);
    if (piece_count > 1)
        cr_assert_eq(jsonrpc_edit_pieces(message, p.edits, (unsigned)count, pieces, piece_count - 1), 0);
    return out;
}

Test(jsonrpc_patch, replaces_values_and_leaves_the_rest_to_the_byte)
{
    begin("{ " V " , \"id\" : 7, \"method\":\"tools/call\",\"params\":{\"name\":\"gw__echo\"}}");
    jsonrpc_patch_set(&p, JSONRPC_AT_NAME, TEXT("\"echo\""));
    jsonrpc_patch_set(&p, JSONRPC_AT_ID, TEXT("\"x-12\""));
    cr_assert_str_eq(
        end(), "{ " V " , \"id\" : \"x-12\", \"method\":\"tools/call\",\"params\":{\"name\":\"echo\"}}");
}

Test(jsonrpc_patch, removes_members_with_the_right_comma)
{
    static const struct {
        enum jsonrpc_place place[3];
        unsigned count;
        const char *want;
    } cases[] = {
        {{JSONRPC_AT_RESULT_TYPE}, 1, "{\"x\":1, \"ttlMs\":5 ,\"cacheScope\":\"private\"}"},
        {{JSONRPC_AT_RESULT_TTL}, 1, "{ \"resultType\":\"complete\",\"x\":1, \"cacheScope\":\"private\"}"},
        {{JSONRPC_AT_RESULT_SCOPE}, 1, "{ \"resultType\":\"complete\",\"x\":1, \"ttlMs\":5 }"},
        {{JSONRPC_AT_RESULT_TTL, JSONRPC_AT_RESULT_SCOPE}, 2, "{ \"resultType\":\"complete\",\"x\":1}"},
        {{JSONRPC_AT_RESULT_TYPE, JSONRPC_AT_RESULT_SCOPE}, 2, "{ \"x\":1, \"ttlMs\":5 }"},
        {{JSONRPC_AT_RESULT_TYPE, JSONRPC_AT_RESULT_TTL, JSONRPC_AT_RESULT_SCOPE}, 3, "{ \"x\":1}"},
    };
    static const char whole[] =
        "{" V ",\"id\":1,\"result\":{ \"resultType\":\"complete\",\"x\":1, \"ttlMs\":5 ,"
        "\"cacheScope\":\"private\"}}";

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char want[200] = "{" V ",\"id\":1,\"result\":";
        const char *got;

        begin(whole);
        for (unsigned k = 0; k < cases[i].count; k++)
            jsonrpc_patch_remove(&p, cases[i].place[k]);
        strcat(strcat(want, cases[i].want), "}");
        got = end();
        if (i == 0) /* the space behind the brace stays */
            cr_assert_str_eq(
                got, "{" V ",\"id\":1,\"result\":{ \"x\":1, \"ttlMs\":5 ,\"cacheScope\":\"private\"}}");
        else
            cr_assert_str_eq(got, want, "%s", got);
    }
}

Test(jsonrpc_patch, empties_an_object_and_fills_it_again)
{
    begin("{" V ",\"id\":1,\"result\":{ \"ttlMs\":5 , \"cacheScope\":\"x\" }}");
    jsonrpc_patch_remove(&p, JSONRPC_AT_RESULT_TTL);
    jsonrpc_patch_remove(&p, JSONRPC_AT_RESULT_SCOPE);
    cr_assert_str_eq(end(), "{" V ",\"id\":1,\"result\":{  }}");
    begin("{" V ",\"id\":1,\"result\":{\"ttlMs\":5,\"cacheScope\":\"x\"}}");
    jsonrpc_patch_remove(&p, JSONRPC_AT_RESULT_TTL);
    jsonrpc_patch_remove(&p, JSONRPC_AT_RESULT_SCOPE);
    jsonrpc_patch_add(&p, JSONRPC_AT_RESULT, TEXT("a"), TEXT("1"));
    jsonrpc_patch_set(&p, JSONRPC_AT_RESULT_TYPE, TEXT("\"complete\""));
    cr_assert_str_eq(end(), "{" V ",\"id\":1,\"result\":{\"a\":1,\"resultType\":\"complete\"}}");
}

Test(jsonrpc_patch, sets_and_removes_members_of_meta)
{
    begin("{" V ",\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":{\"progressToken\":1,\"other\":2}}}");
    jsonrpc_patch_set(&p, JSONRPC_AT_META_PROGRESS_TOKEN, TEXT("99"));
    jsonrpc_patch_set(&p, JSONRPC_AT_META_VERSION, TEXT("\"2026-07-28\""));
    jsonrpc_patch_set(&p, JSONRPC_AT_META_CAPABILITIES, TEXT("{}"));
    cr_assert_str_eq(end(),
                     "{" V ",\"id\":1,\"method\":\"m\",\"params\":{\"_meta\":{"
                     "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
                     "\"io.modelcontextprotocol/clientCapabilities\":{},\"progressToken\":99,\"other\":2}}}");
    begin("{" V ",\"id\":1,\"method\":\"m\"}");
    jsonrpc_patch_add(&p, JSONRPC_AT_MESSAGE, TEXT("params"), TEXT("{\"_meta\":{}}"));
    cr_assert_str_eq(end(), "{\"params\":{\"_meta\":{}}," V ",\"id\":1,\"method\":\"m\"}");
}

Test(jsonrpc_patch, wraps_a_value)
{
    begin("{" V ",\"id\":1,\"result\":{\"structuredContent\":[1,2],\"ttlMs\":1}}");
    jsonrpc_patch_wrap(&p, JSONRPC_AT_RESULT_STRUCTURED, TEXT("{\"result\":"), TEXT("}"));
    jsonrpc_patch_remove(&p, JSONRPC_AT_RESULT_TTL);
    cr_assert_str_eq(end(), "{" V ",\"id\":1,\"result\":{\"structuredContent\":{\"result\":[1,2]}}}");
}

Test(jsonrpc_patch, tells_when_an_object_is_not_there_or_the_room_is_used_up)
{
    begin("{" V ",\"id\":1,\"method\":\"m\"}");
    jsonrpc_patch_set(&p, JSONRPC_AT_META_VERSION, TEXT("\"x\""));
    cr_assert_eq(jsonrpc_patch_end(&p), -1);
    begin("{" V ",\"id\":1,\"result\":null}");
    jsonrpc_patch_set(&p, JSONRPC_AT_RESULT_TYPE, TEXT("\"complete\""));
    cr_assert_eq(jsonrpc_patch_end(&p), -1);
    begin("{" V ",\"id\":1,\"result\":{}}");
    for (int i = 0; i <= JSONRPC_PATCH_ADDS_MAX; i++)
        jsonrpc_patch_add(&p, JSONRPC_AT_RESULT, TEXT("k"), TEXT("1"));
    cr_assert_eq(jsonrpc_patch_end(&p), -1);
    begin("{" V ",\"id\":1,\"result\":{}}");
    jsonrpc_patch_remove(&p, JSONRPC_AT_PARAMS);
    cr_assert_eq(jsonrpc_patch_end(&p), 0);
}
