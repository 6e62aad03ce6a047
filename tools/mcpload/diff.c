/* SPDX-License-Identifier: Apache-2.0 */
/* `mcpload diff A.json B.json`: two results side by side, with the ratio of each number. */
#include "diff.h"
#include "mcpload.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_LEN = 96 };

static void
diff_number(const char *name, double a, double b, FILE *out)
{
    if (a == 0 && b == 0)
        return;
    fprintf(out, "%-36s %14.6g %14.6g ", name, a, b);
    if (a == 0)
        fprintf(out, "%9s\n", "-");
    else
        fprintf(out, "%8.3fx\n", b / a);
}

void
diff_print(const char *prefix, json_t *a, json_t *b, FILE *out)
{
    const char *key;
    json_t *value;

    json_object_foreach(a, key, value)
    {
        json_t *other = json_object_get(b, key);
        char name[NAME_MAX_LEN];

        snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? "." : "", key);
        if (json_is_object(value) && json_is_object(other))
            diff_print(name, value, other, out);
        else if (json_is_number(value) && json_is_number(other))
            diff_number(name, json_number_value(value), json_number_value(other), out);
        else if (json_is_string(value) && json_is_string(other) && !json_equal(value, other))
            fprintf(out, "%-36s %s -> %s\n", name, json_string_value(value), json_string_value(other));
    }
}

static json_t *
load_file(const char *file)
{
    json_error_t error;
    json_t *json = json_load_file(file, 0, &error);

    if (!json)
        fprintf(stderr, "mcpload: %s: %s (line %d)\n", file, error.text, error.line);
    else if (!json_is_object(json_object_get(json, "result")))
        fprintf(stderr, "mcpload: %s is no result of mcpload --json\n", file);
    else
        return json;
    json_decref(json);
    return NULL;
}

int
diff_main(int argc, char **argv)
{
    json_t *a, *b;

    if (mcpload_wants_help(argc, argv) || argc != 2) {
        fprintf(argc == 2 ? stdout : stderr, "usage: mcpload diff A.json B.json\n"
                                             "Prints each number of both results and B / A.\n");
        return mcpload_wants_help(argc, argv) ? 0 : 2;
    }
    a = load_file(argv[0]);
    b = a ? load_file(argv[1]) : NULL;
    if (a && b) {
        printf("%-36s %14s %14s %9s\n", "", "A", "B", "B/A");
        diff_print("", a, b, stdout);
    }
    json_decref(a);
    json_decref(b);
    return a && b ? 0 : 2;
}
