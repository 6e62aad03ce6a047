/* SPDX-License-Identifier: Apache-2.0 */
#include "cfg/options.h"

#include "base/check.h"
#include "cfg/config.h"

#include <string.h>

const struct cfg_option cfg_options[] = {
#define SECTION(title) {.type = CFG_TYPE_SECTION, .help = (title)},
#define OPTION_LIST(flag_, metavar_, help_)                                                                  \
    {.type = CFG_TYPE_STRUCT, .flag = (flag_), .def = "", .metavar = (metavar_), .help = (help_)},
#define OPTION(flag_, field, TYPE, def_, min_, max_, metavar_, help_)                                        \
    {.type = CFG_TYPE_##TYPE,                                                                                \
     .flag = (flag_),                                                                                        \
     .def = (def_),                                                                                          \
     .min = (min_),                                                                                          \
     .max = (max_),                                                                                          \
     .metavar = (metavar_),                                                                                  \
     .help = (help_),                                                                                        \
     .offset = offsetof(struct config, field)},
#include "cfg/options.def"
#undef OPTION
#undef OPTION_LIST
#undef SECTION
};

const unsigned cfg_options_count = sizeof cfg_options / sizeof *cfg_options;

const struct cfg_extra_flag cfg_extra_flags[] = {
    {NULL, "PORT", "short for --listen 127.0.0.1:PORT", 'p'},
    {"check", NULL, "check the configuration and exit", 0},
    {"print-config", NULL, "print the effective configuration as a --config file, without secrets, and exit",
     0},
    {"help", NULL, "print this list and exit", 'h'},
    {"version", NULL, "print the version and exit", 0},
};

const unsigned cfg_extra_flags_count = sizeof cfg_extra_flags / sizeof *cfg_extra_flags;

_Static_assert(sizeof cfg_options / sizeof *cfg_options == CFG_OPTION_ROWS, "every row was counted");

const struct cfg_option *
cfg_option_find(const char *flag, size_t len)
{
    for (unsigned i = 0; i < cfg_options_count; i++) {
        const char *name = cfg_options[i].flag;

        if (name && strlen(name) == len && memcmp(name, flag, len) == 0)
            return &cfg_options[i];
    }
    return NULL;
}

unsigned
cfg_option_index(const struct cfg_option *option)
{
    ASSERT(option >= cfg_options && option < cfg_options + cfg_options_count);
    return (unsigned)(option - cfg_options);
}

enum { NEAR_WORD_MAX = 40 };

/* Levenshtein's distance of a word of `len` bytes from the table's word. */
static unsigned
edit_distance(const char *a, size_t len, const char *b)
{
    unsigned row[NEAR_WORD_MAX + 1];
    size_t blen = strlen(b);

    if (len > NEAR_WORD_MAX || blen > NEAR_WORD_MAX)
        return NEAR_WORD_MAX;
    for (unsigned j = 0; j <= blen; j++)
        row[j] = j;
    for (unsigned i = 1; i <= len; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= blen; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);
            unsigned shift = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

            diagonal = row[j];
            row[j] = change < shift ? change : shift;
        }
    }
    return row[blen];
}

/* How far a word may be off to count as meant. */
static unsigned
distance_allowed(size_t len)
{
    return len <= 3 ? 1 : len <= 8 ? 2 : 3;
}

const char *
cfg_nearest(const char *name, size_t len, const char *const *words, unsigned count)
{
    unsigned best = distance_allowed(len) + 1;
    const char *found = NULL;

    for (unsigned i = 0; i < count; i++) {
        unsigned distance = edit_distance(name, len, words[i]);

        if (distance < best) {
            best = distance;
            found = words[i];
        }
    }
    return found;
}

const char *
cfg_nearest_flag(const char *name, size_t len, int extra)
{
    const char *words[CFG_OPTION_ROWS + sizeof cfg_extra_flags / sizeof *cfg_extra_flags];
    unsigned count = 0;

    for (unsigned i = 0; i < cfg_options_count; i++) {
        if (cfg_options[i].flag)
            words[count++] = cfg_options[i].flag;
    }
    for (unsigned i = 0; extra && i < cfg_extra_flags_count; i++) {
        if (cfg_extra_flags[i].flag)
            words[count++] = cfg_extra_flags[i].flag;
    }
    return cfg_nearest(name, len, words, count);
}
