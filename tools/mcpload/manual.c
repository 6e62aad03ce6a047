/* SPDX-License-Identifier: Apache-2.0 */
/* Build time: copies the manual's template from stdin to stdout and puts the tables of flags in place of the
 * lines
 * "@RUN@", "@FIND@", "@PART@", "@LOAD@", "@WS@", "@SERVE@", "@FLOOR@" and that of the query's words in place
 * of
 * "@QUERY@", so that none is without an entry. */
#include "behaviour.h"
#include "config.h"

#include <stdio.h>
#include <string.h>

static void
put_roff(const char *text, FILE *out)
{
    for (; *text; text++) {
        if (*text == '-')
            fputs("\\-", out);
        else if (*text == '\\')
            fputs("\\e", out);
        else
            putc(*text, out);
    }
}

static void
put_flags(const struct flag *flags, FILE *out)
{
    for (; flags->name; flags++) {
        fputs(".TP\n\\fB\\-\\-", out);
        put_roff(flags->name, out);
        fputs("\\fR", out);
        if (flags->argument) {
            fputs(" \\fI", out);
            put_roff(flags->argument, out);
            fputs("\\fR", out);
        }
        putc('\n', out);
        put_roff(flags->help, out);
        if (flags->fallback) {
            fputs("\n(default: ", out);
            put_roff(flags->fallback, out);
            putc(')', out);
        }
        putc('\n', out);
    }
}

static void
put_word(const char *word, const char *help, FILE *out)
{
    fputs(".TP\n\\fB", out);
    put_roff(word, out);
    fputs("\\fR\n", out);
    put_roff(help, out);
    putc('\n', out);
}

static int
replaced(const char *line)
{
    if (strcmp(line, "@RUN@\n") == 0)
        put_flags(stage_flags, stdout);
    else if (strcmp(line, "@FIND@\n") == 0)
        put_flags(find_flags, stdout);
    else if (strcmp(line, "@PART@\n") == 0)
        put_flags(part_flags, stdout);
    else if (strcmp(line, "@LOAD@\n") == 0)
        put_flags(load_flags, stdout);
    else if (strcmp(line, "@WS@\n") == 0)
        put_flags(ws_flags, stdout);
    else if (strcmp(line, "@SERVE@\n") == 0)
        put_flags(serve_flags, stdout);
    else if (strcmp(line, "@FLOOR@\n") == 0)
        put_flags(floor_flags, stdout);
    else if (strcmp(line, "@QUERY@\n") == 0)
        behaviour_print(put_word, stdout);
    else
        return 0;
    return 1;
}

int
main(void)
{
    char line[4096];
    int found = 0;

    while (fgets(line, sizeof(line), stdin)) {
        if (replaced(line))
            found++;
        else
            fputs(line, stdout);
    }
    return found == 8 && fflush(stdout) == 0 ? 0 : 1;
}
