/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines; see flags.h. */
#include "flags.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_AT = 29, HELP_WIDTH = 100 };

struct unit {
    const char *suffix;
    uint64_t factor;
};

static const struct unit byte_units[] = {{"", 1}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {NULL, 0}};
static const struct unit time_units[] = {{"us", 1000},     {"ms", 1000000},       {"s", 1000000000},
                                         {"", 1000000000}, {"m", 60000000000ull}, {"h", 3600000000000ull},
                                         {NULL, 0}};

static int
parse_scaled(const char *text, const struct unit *units, uint64_t *ret)
{
    char *end;
    double value;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    value = strtod(text, &end);
    for (; units->suffix; units++) {
        double scaled = value * (double)units->factor;

        if (strcasecmp(end, units->suffix) != 0)
            continue;
        if (!(scaled < 9e18))
            return -EINVAL;
        *ret = (uint64_t)(scaled + 0.5);
        return 0;
    }
    return -EINVAL;
}

int
flags_bytes(const char *text, uint64_t *ret)
{
    return parse_scaled(text, byte_units, ret);
}

int
flags_time(const char *text, uint64_t *ret_ns)
{
    return parse_scaled(text, time_units, ret_ns);
}

static int
parse_count(const char *text, uint64_t *ret)
{
    char *end;
    unsigned long long value;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (*end || errno)
        return -EINVAL;
    *ret = value;
    return 0;
}

static int
parse_rate(const char *text, double *ret)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end || !isfinite(value) || value < 0 || value > 1e9)
        return -EINVAL;
    *ret = value;
    return 0;
}

static int
store(const struct flag *flag, const char *text, void *config)
{
    void *field = (char *)config + flag->offset;

    switch (flag->kind) {
    case FLAG_TEXT:
        *(const char **)field = text;
        return 0;
    case FLAG_COUNT:
        return parse_count(text, field);
    case FLAG_BYTES:
        return flags_bytes(text, field);
    case FLAG_TIME:
        return flags_time(text, field);
    case FLAG_RATE:
        return parse_rate(text, field);
    case FLAG_SWITCH:
        *(bool *)field = true;
        return 0;
    case FLAG_LIST: {
        struct flag_list *list = field;

        if (list->count == FLAG_LIST_MAX)
            return -EINVAL;
        list->items[list->count++] = text;
        return 0;
    }
    }
    return -EINVAL;
}

/* The flag, and in *ret_config the struct that it belongs to. */
static const struct flag *
find(const struct flag_set *sets, const char *name, size_t len, void **ret_config)
{
    for (; sets->flags; sets++)
        for (const struct flag *flag = sets->flags; flag->name; flag++)
            if (strlen(flag->name) == len && memcmp(flag->name, name, len) == 0) {
                *ret_config = sets->config;
                return flag;
            }
    return NULL;
}

static int
store_defaults(const struct flag_set *sets, char *why, size_t why_size)
{
    for (; sets->flags; sets++)
        for (const struct flag *flag = sets->flags; flag->name; flag++)
            if (flag->fallback && store(flag, flag->fallback, sets->config) < 0) {
                snprintf(why, why_size, "--%s: its default '%s' is not valid", flag->name, flag->fallback);
                return -EINVAL;
            }
    return 0;
}

/* One flag at argv[0]; returns how many words it took. */
static int
parse_flag(const struct flag_set *sets, int argc, char **argv, char *why, size_t why_size)
{
    const char *word = argv[0], *equals = strchr(word, '='), *value;
    void *config = NULL;
    const struct flag *flag =
        find(sets, word + 2, equals ? (size_t)(equals - word) - 2 : strlen(word) - 2, &config);
    int words = 1;

    if (!flag) {
        snprintf(why, why_size, "%s: no such flag (try --help)", word);
        return -EINVAL;
    }
    if (flag->kind == FLAG_SWITCH && equals) {
        snprintf(why, why_size, "--%s takes no value", flag->name);
        return -EINVAL;
    }
    if (equals)
        value = equals + 1;
    else if (flag->kind == FLAG_SWITCH)
        value = "";
    else
        value = words < argc ? argv[words++] : NULL;
    if (!value) {
        snprintf(why, why_size, "--%s needs a value: %s", flag->name, flag->argument);
        return -EINVAL;
    }
    if (store(flag, value, config) < 0) {
        snprintf(why, why_size, "--%s %s: not a valid %s", flag->name, value, flag->argument);
        return -EINVAL;
    }
    return words;
}

int
flags_parse(const struct flag_set *sets, int argc, char **argv, struct flag_list *ret_words, char *why,
            size_t why_size)
{
    if (store_defaults(sets, why, why_size) < 0)
        return -EINVAL;
    for (int i = 0, words; i < argc; i += words) {
        words = 1;
        if (strncmp(argv[i], "--", 2) == 0) {
            words = parse_flag(sets, argc - i, argv + i, why, why_size);
            if (words < 0)
                return words;
        } else if (ret_words && ret_words->count < FLAG_LIST_MAX) {
            ret_words->items[ret_words->count++] = argv[i];
        } else {
            snprintf(why, why_size, "'%s' is not a flag (try --help)", argv[i]);
            return -EINVAL;
        }
    }
    return 0;
}

/* Words in lines of at most HELP_WIDTH columns, from HELP_AT on; the first line has begun. */
static void
put_wrapped(const char *text, FILE *out)
{
    int column = HELP_AT;

    while (*text) {
        int len = (int)strcspn(text, " ");

        if (column > HELP_AT && column + 1 + len > HELP_WIDTH) {
            fprintf(out, "\n%*s", HELP_AT, "");
            column = HELP_AT;
        } else if (column > HELP_AT) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", len, text);
        column += len;
        text += len;
        text += *text == ' ';
    }
}

void
flags_help(const struct flag *flags, FILE *out)
{
    for (; flags->name; flags++) {
        char left[64], text[512];

        snprintf(left, sizeof(left), "--%s%s%s", flags->name, flags->argument ? " " : "",
                 flags->argument ? flags->argument : "");
        snprintf(text, sizeof(text), "%s%s%s%s", flags->help, flags->fallback ? " [" : "",
                 flags->fallback ? flags->fallback : "", flags->fallback ? "]" : "");
        fprintf(out, "  %-*s ", HELP_AT - 3, left);
        put_wrapped(text, out);
        fputc('\n', out);
    }
}
