/* SPDX-License-Identifier: Apache-2.0 */
#include "mcp/params.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const struct {
    const char *schema;
    int count; /* -1: invalid */
    const char *why;
} schemas[] = {
    {"{}", 0, NULL},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}", 0, NULL},
    {"{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}", 1, NULL},
    {"{\"properties\":{\"a\":{\"x-mcp-header\":\"A\",\"type\":\"integer\"},\"b\":{\"type\":\"boolean\","
     "\"x-mcp-header\":\"B-1\"}}}",
     2, NULL},
    {"{\"properties\":{\"o\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-"
     "header\":"
     "\"A\"}}}}}",
     1, NULL},
    /* a property of that name is no annotation, nor is a word in data */
    {"{\"properties\":{\"x-mcp-header\":{\"type\":\"string\"}}}", 0, NULL},
    {"{\"properties\":{\"a\":{\"default\":{\"x-mcp-header\":\"A\"},\"description\":\"x-mcp-header\"}}}", 0,
     NULL},
    /* nothing is fetched */
    {"{\"$ref\":\"https://evil.example/x-mcp-header\"}", 0, NULL},
    {"{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"\"}}}", -1, "token"},
    {"{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"a b\"}}}", -1, "token"},
    {"{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"a\\u0062\"}}}", -1, "token"},
    {"{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":7}}}", -1, "token"},
    {"{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A\"},\"b\":{\"type\":\"string\","
     "\"x-mcp-header\":\"a\"}}}",
     -1, "one name"},
    {"{\"properties\":{\"a\":{\"type\":\"number\",\"x-mcp-header\":\"A\"}}}", -1, "no string"},
    {"{\"properties\":{\"a\":{\"x-mcp-header\":\"A\"}}}", -1, "no string"},
    {"{\"properties\":{\"a\":{\"type\":[\"string\"],\"x-mcp-header\":\"A\"}}}", -1, "no string"},
    {"{\"type\":\"string\",\"x-mcp-header\":\"A\"}", -1, "not on a property"},
    {"{\"properties\":{\"a\":{\"items\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}}", -1,
     "through properties"},
    {"{\"oneOf\":[{\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}]}", -1,
     "through properties"},
    {"{\"anyOf\":[{\"x-mcp-header\":\"A\"}]}", -1, "through properties"},
    {"{\"if\":{\"properties\":{\"a\":{\"x-mcp-header\":\"A\"}}}}", -1, "through properties"},
    {"{\"$defs\":{\"d\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}", -1, "through properties"},
    {"{\"properties\":{\"a\":{\"not\":{\"x-mcp-header\":\"A\"}}}}", -1, "through properties"},
    {"{\"patternProperties\":{\".\":{\"type\":\"string\",\"x-mcp-header\":\"A\"}}}", -1,
     "through properties"},
};

Test(mcp_params, annotations_of_a_schema_are_valid_or_named)
{
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
        struct mcp_param params[MCP_PARAMS_MAX];
        const char *why = NULL;
        int n = mcp_params_of(text_of(schemas[i].schema), params, &why);

        cr_assert_eq(n, schemas[i].count, "%d: %s: %s", n, schemas[i].schema, why ? why : "");
        if (n < 0)
            cr_assert_not_null(strstr(why, schemas[i].why), "%s: %s", schemas[i].schema, why);
    }
}

Test(mcp_params, the_work_on_a_schema_is_bounded)
{
    static char schema[200000];
    struct mcp_param params[MCP_PARAMS_MAX];
    const char *why = NULL;
    size_t n = (size_t)sprintf(schema, "{\"properties\":{");

    for (int i = 0; i <= MCP_PARAMS_MAX; i++)
        n += (size_t)sprintf(schema + n, "%s\"p%d\":{\"type\":\"string\",\"x-mcp-header\":\"H%d\"}",
                             i ? "," : "", i, i);
    sprintf(schema + n, "}}");
    cr_assert_eq(mcp_params_of(text_of(schema), params, &why), -1);
    cr_assert_not_null(strstr(why, "32"));
    n = (size_t)sprintf(schema, "{\"title\":\"header\"");
    for (int i = 0; i < MCP_SCHEMA_NODES_MAX; i++)
        n += (size_t)sprintf(schema + n, ",\"k%d\":1", i);
    sprintf(schema + n, "}");
    cr_assert_eq(mcp_params_of(text_of(schema), params, &why), -1);
    cr_assert_not_null(strstr(why, "4096"));
    n = 0;
    for (int i = 0; i < 20; i++)
        n += (size_t)sprintf(schema + n, "{\"properties\":{\"header\":");
    n += (size_t)sprintf(schema + n, "1");
    for (int i = 0; i < 20; i++)
        n += (size_t)sprintf(schema + n, "}}");
    cr_assert_eq(mcp_params_of(text_of(schema), params, &why), -1);
    cr_assert_not_null(strstr(why, "16"));
}

static const char schema[] =
    "{\"properties\":{\"s\":{\"type\":\"string\",\"x-mcp-header\":\"S\"},"
    "\"i\":{\"type\":\"integer\",\"x-mcp-header\":\"I\"},"
    "\"b\":{\"type\":\"boolean\",\"x-mcp-header\":\"B\"},"
    "\"o\":{\"properties\":{\"d\\u0065ep\":{\"type\":\"string\",\"x-mcp-header\":\"D\"}}}}}";

static const struct {
    const char *arguments, *lines;
} written[] = {
    {"{}", ""},
    {"{\"s\":null,\"i\":null}", ""},
    {"{\"s\":\"plain text\",\"i\":42.0,\"b\":true,\"o\":{\"deep\":\"x\"}}",
     "Mcp-Param-S: plain text\r\nMcp-Param-I: 42\r\nMcp-Param-B: true\r\nMcp-Param-D: x\r\n"},
    {"{\"s\":\"\"}", "Mcp-Param-S: =?base64?\?=\r\n"},
    {"{\"s\":\" x\"}", "Mcp-Param-S: =?base64?IHg=?=\r\n"},
    {"{\"s\":\"=?base64?eA==?=\"}", "Mcp-Param-S: =?base64?PT9iYXNlNjQ/ZUE9PT89?=\r\n"},
    {"{\"s\":\"a\\r\\nb\"}", "Mcp-Param-S: =?base64?YQ0KYg==?=\r\n"},
    {"{\"i\":-7,\"b\":false}", "Mcp-Param-I: -7\r\nMcp-Param-B: false\r\n"},
    {"{\"s\":7,\"i\":1.5,\"b\":\"true\",\"o\":[]}", ""},
};

Test(mcp_params, are_written_from_arguments)
{
    struct mcp_param params[MCP_PARAMS_MAX];
    const char *why;
    int count = mcp_params_of(TEXT(schema), params, &why);

    cr_assert_eq(count, 4);
    for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
        char out[512];
        int n = mcp_params_write(params, 4, text_of(written[i].arguments), out, sizeof out);

        cr_assert(n >= 0 && text_eq((struct text){out, (uint32_t)n}, text_of(written[i].lines)), "%s: %.*s",
                  written[i].arguments, n, out);
        if (n)
            cr_assert_eq(mcp_params_write(params, 4, text_of(written[i].arguments), out, (uint32_t)n - 1),
                         -1);
    }
}

static const struct {
    unsigned param;
    const char *arguments, *field;
    bool want;
} matches[] = {
    {0, "{\"s\":\"a\"}", "a", true},
    {0, "{\"s\":\"a\"}", "A", false},
    {0, "{\"s\":\"a\"}", NULL, false},
    {0, "{\"s\":\"a\"}", "=?base64?YQ==?=", true},
    {0, "{\"s\":\"a\"}", "=?base64?YQ?=", false},
    {0, "{\"s\":null}", NULL, true},
    {0, "{}", "orphan", true},
    {1, "{\"i\":42}", "42", true},
    {1, "{\"i\":42}", "42.0", true},
    {1, "{\"i\":4.2e1}", "42", true},
    {1, "{\"i\":42}", "43", false},
    {1, "{\"i\":42}", "x", false},
    {2, "{\"b\":true}", "true", true},
    {2, "{\"b\":true}", "True", false},
    {2, "{\"b\":true}", "false", false},
    {3, "{\"o\":{\"deep\":\"x\"}}", "x", true},
    {3, "{\"o\":{\"deep\":\"x\"}}", "y", false},
};

Test(mcp_params, fields_say_what_the_arguments_say)
{
    struct mcp_param params[MCP_PARAMS_MAX];
    const char *why;

    cr_assert_eq(mcp_params_of(TEXT(schema), params, &why), 4);
    for (size_t i = 0; i < sizeof matches / sizeof *matches; i++) {
        struct text field = matches[i].field ? text_of(matches[i].field) : (struct text){NULL, 0};

        cr_assert_eq(mcp_param_matches(&params[matches[i].param], text_of(matches[i].arguments), field),
                     matches[i].want, "%zu", i);
    }
}
