/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs at build time: the documentation of the flags, from the table that the program itself uses.
 *
 *     gen_docs man TEMPLATE    the manual page: TEMPLATE with the line @OPTIONS@ replaced by the OPTIONS
 * section (mdoc) gen_docs table           the Markdown table of flags, defaults and meanings for the README
 */
#include "cfg/options.h"

#include <stdio.h>
#include <string.h>

/* A default that depends on circumstances stands at the end of the help text: "... (default TEXT)". Splits it
 * off: `ret_len` is the length of the help before it. Returns the default's text, which ends before the last
 * ')'. */
static const char *
default_in_help(const struct cfg_option *option, size_t *ret_len)
{
    const char *found = strstr(option->help, " (default");

    *ret_len = found ? (size_t)(found - option->help) : strlen(option->help);
    if (!found)
        return NULL;
    return found + strlen(" (default") + strspn(found + strlen(" (default"), ": ");
}

/* ---- mdoc ---- */

/* Text of a line: no control line by accident, no escape, and '-' where people type one. */
static void
put_roff(const char *text, size_t len)
{
    if (len && (text[0] == '.' || text[0] == '\''))
        fputs("\\&", stdout);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\\')
            fputs("\\e", stdout);
        else if (text[i] == '-')
            fputs("\\-", stdout);
        else
            putchar(text[i]);
    }
}

/* A flag's value, quoted as one macro argument. */
static void
put_metavar(const char *metavar)
{
    fputs(" Ar \"", stdout);
    put_roff(metavar, strlen(metavar));
    putchar('"');
}

static void
put_man_option(const struct cfg_option *option)
{
    fputs(".It Fl Fl ", stdout);
    put_roff(option->flag, strlen(option->flag));
    put_metavar(option->metavar);
    putchar('\n');
    put_roff(option->help, strlen(option->help));
    fputs(".\n", stdout);
    if (option->def[0]) {
        fputs("The default is\n.Cm ", stdout);
        put_roff(option->def, strlen(option->def));
        fputs(" .\n", stdout);
    }
}

static void
put_man_extra(const struct cfg_extra_flag *extra)
{
    fputs(".It", stdout);
    if (extra->letter)
        printf(" Fl %c%s", extra->letter, extra->flag ? " ," : "");
    if (extra->flag) {
        fputs(" Fl Fl ", stdout);
        put_roff(extra->flag, strlen(extra->flag));
    }
    if (extra->metavar)
        put_metavar(extra->metavar);
    putchar('\n');
    put_roff(extra->help, strlen(extra->help));
    fputs(".\n", stdout);
}

static void
put_man_options(void)
{
    int in_list = 0;

    fputs(".Sh OPTIONS\n", stdout);
    for (unsigned i = 0; i < cfg_options_count; i++) {
        if (cfg_options[i].type != CFG_TYPE_SECTION) {
            put_man_option(&cfg_options[i]);
            continue;
        }
        printf("%s.Ss %s\n.Bl -tag -width Ds\n", in_list ? ".El\n" : "", cfg_options[i].help);
        in_list = 1;
    }
    fputs(".El\n.Ss Other\n.Bl -tag -width Ds\n", stdout);
    for (unsigned i = 0; i < cfg_extra_flags_count; i++)
        put_man_extra(&cfg_extra_flags[i]);
    fputs(".El\n", stdout);
}

static int
put_man(const char *template)
{
    FILE *in = fopen(template, "r");
    char line[1024];

    if (!in) {
        perror(template);
        return 1;
    }
    while (fgets(line, sizeof line, in)) {
        if (strcmp(line, "@OPTIONS@\n") == 0)
            put_man_options();
        else
            fputs(line, stdout);
    }
    return fclose(in) == 0 ? 0 : 1;
}

/* ---- Markdown ---- */

/* A '|' would end the cell, even in code. */
static void
put_cell(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '|')
            putchar('\\');
        putchar(text[i]);
    }
}

static void
put_code(const char *text, size_t len)
{
    putchar('`');
    put_cell(text, len);
    putchar('`');
}

static void
put_default(const struct cfg_option *option, const char *in_help)
{
    size_t len = in_help ? strlen(in_help) - 1 : 0;

    if (option->def[0])
        put_code(option->def, strlen(option->def));
    else if (in_help && !memchr(in_help, ' ', len))
        put_code(in_help, len);
    else if (in_help)
        put_cell(in_help, len);
}

static void
put_row(const struct cfg_option *option)
{
    size_t help_len;
    const char *in_help = default_in_help(option, &help_len);

    printf("| `--%s ", option->flag);
    put_cell(option->metavar, strlen(option->metavar));
    fputs("` | ", stdout);
    put_default(option, in_help);
    fputs(" | ", stdout);
    put_cell(option->help, help_len);
    fputs(" |\n", stdout);
}

static int
put_table(void)
{
    fputs("| flag | default | meaning |\n|---|---|---|\n", stdout);
    for (unsigned i = 0; i < cfg_options_count; i++) {
        if (cfg_options[i].type == CFG_TYPE_SECTION)
            printf("| **%s** | | |\n", cfg_options[i].help);
        else
            put_row(&cfg_options[i]);
    }
    return 0;
}

int
main(int argc, char **argv)
{
    int status = 2;

    if (argc == 3 && strcmp(argv[1], "man") == 0)
        status = put_man(argv[2]);
    else if (argc == 2 && strcmp(argv[1], "table") == 0)
        status = put_table();
    else
        fputs("usage: gen_docs man TEMPLATE | gen_docs table\n", stderr);
    return fflush(stdout) == 0 ? status : 1;
}
