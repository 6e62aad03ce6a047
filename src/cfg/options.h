/* SPDX-License-Identifier: Apache-2.0 */
/* options.def as a table to loop over: the parser, --help, the manual and the tests read it. */
#ifndef CFG_OPTIONS_H
#define CFG_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#define CFG_DEFAULT_LISTEN "127.0.0.1:8080"
#define CFG_DEFAULT_ADMIN  "127.0.0.1:8081"

enum cfg_type {
    CFG_TYPE_SECTION,  /* a heading: only `help` is set */
    CFG_TYPE_STRUCT,   /* OPTION_LIST: has a structure of its own */
    CFG_TYPE_WORKERS,  /* a count, or 0 for auto */
    CFG_TYPE_DURATION, /* milliseconds */
    CFG_TYPE_SIZE,     /* bytes */
    CFG_TYPE_COUNT,
    CFG_TYPE_STREAM_DURATION, /* these three: one for each enum cfg_stream, see cfg_of_stream() */
    CFG_TYPE_STREAM_SIZE,
    CFG_TYPE_STREAM_COUNT,
    CFG_TYPE_FLAG,   /* 0 or 1 */
    CFG_TYPE_CHOICE, /* index of the word in metavar */
    CFG_TYPE_TEXT,
    CFG_TYPE_LIST,
};

struct cfg_option {
    enum cfg_type type;
    const char *flag; /* without dashes; also the key in the file */
    const char *def;  /* as one would write it */
    uint64_t min, max;
    const char *metavar, *help;
    size_t offset; /* in struct config; not for STRUCT */
};

extern const struct cfg_option cfg_options[];
extern const unsigned cfg_options_count;

enum {
/* The number of rows, headings included, as a constant. */
#define SECTION(title)                                          +1
#define OPTION_LIST(flag, metavar, help)                        +1
#define OPTION(flag, field, TYPE, def, min, max, metavar, help) +1
    CFG_OPTION_ROWS = 0
#include "cfg/options.def"
#undef OPTION
#undef OPTION_LIST
#undef SECTION
};

/* A flag beyond the table. */
struct cfg_extra_flag {
    const char *flag;    /* NULL: has a letter only */
    const char *metavar; /* NULL: takes no value */
    const char *help;
    char letter; /* its short form; 0: none */
};

extern const struct cfg_extra_flag cfg_extra_flags[];
extern const unsigned cfg_extra_flags_count;

/* The row of a flag, or NULL. `flag` has `len` bytes, no dashes. */
const struct cfg_option *cfg_option_find(const char *flag, size_t len);
/* Its index in cfg_options. */
unsigned cfg_option_index(const struct cfg_option *option);

/* The word of `words` that is most like `name`, or NULL when none is near. */
const char *cfg_nearest(const char *name, size_t len, const char *const *words, unsigned count);
/* The same over all flags, those beyond the table too when `extra` is set. */
const char *cfg_nearest_flag(const char *name, size_t len, int extra);

#endif
