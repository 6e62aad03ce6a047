/* SPDX-License-Identifier: Apache-2.0 */
/* --help and --version, from the table. */
#include "cfg/cfg.h"
#include "cfg/options.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { TEXT_COLUMN = 28, WIDTH_DEFAULT = 80, WIDTH_MIN = 60, WIDTH_MAX = 120 };

static unsigned
width_of(FILE *out)
{
    struct winsize size;
    int fd = fileno(out);

    if (fd < 0 || !isatty(fd) || ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col < WIDTH_MIN)
        return WIDTH_DEFAULT;
    return size.ws_col < WIDTH_MAX ? size.ws_col : WIDTH_MAX;
}

/* `text` in words from TEXT_COLUMN on, where the line stands at `column`. */
static void
print_wrapped(FILE *out, unsigned width, unsigned column, const char *text)
{
    while (*text) {
        unsigned len = (unsigned)strcspn(text, " ");

        if (column > TEXT_COLUMN && column + 1 + len > width) {
            fputc('\n', out);
            column = 0;
        }
        if (column < TEXT_COLUMN) {
            fprintf(out, "%*s", (int)(TEXT_COLUMN - column), "");
            column = TEXT_COLUMN;
        } else if (column > TEXT_COLUMN) {
            fputc(' ', out);
            column++;
        }
        fwrite(text, 1, len, out);
        column += len;
        text += len + strspn(text + len, " ");
    }
    fputc('\n', out);
}

static void
print_entry(FILE *out, unsigned width, const char *flag, const char *text)
{
    unsigned column = (unsigned)strlen(flag) + 2;

    fprintf(out, "  %s", flag);
    if (column + 2 > TEXT_COLUMN) {
        fputc('\n', out);
        column = 0;
    }
    print_wrapped(out, width, column, text);
}

static void
print_option(FILE *out, unsigned width, const struct cfg_option *option)
{
    char flag[160], text[512];

    snprintf(flag, sizeof flag, "--%s %s", option->flag, option->metavar);
    if (option->def[0])
        snprintf(text, sizeof text, "%s (default %s)", option->help, option->def);
    else
        snprintf(text, sizeof text, "%s", option->help);
    print_entry(out, width, flag, text);
}

static void
print_extra(FILE *out, unsigned width, const struct cfg_extra_flag *extra)
{
    char flag[64];
    char letter[8] = "";

    if (extra->letter)
        snprintf(letter, sizeof letter, "-%c%s", extra->letter, extra->flag ? ", " : "");
    snprintf(flag, sizeof flag, "%s%s%s%s%s", letter, extra->flag ? "--" : "", extra->flag ? extra->flag : "",
             extra->metavar ? " " : "", extra->metavar ? extra->metavar : "");
    print_entry(out, width, flag, extra->help);
}

void
cfg_print_help(FILE *out)
{
    unsigned width = width_of(out);

    fputs("usage: mcpgate [--upstream NAME=URL]... [--listen ADDR:PORT]... [FLAG]...\n"
          "       mcpgate --config mcp.json\n"
          "       mcpgate                     (no upstream: serves a built-in demo)\n",
          out);
    for (unsigned i = 0; i < cfg_options_count; i++) {
        if (cfg_options[i].type == CFG_TYPE_SECTION)
            fprintf(out, "\n%s\n", cfg_options[i].help);
        else
            print_option(out, width, &cfg_options[i]);
    }
    fputs("\nOther\n", out);
    for (unsigned i = 0; i < cfg_extra_flags_count; i++)
        print_extra(out, width, &cfg_extra_flags[i]);
    fputs("\nTIME is a number with ms, s, m or h, or of seconds; BYTES one with k, m, g or t.\n"
          "The manual is mcpgate(8).\n",
          out);
}

void
cfg_print_version(FILE *out)
{
    fputs("mcpgate " MCPGATE_VERSION "\n", out);
}
