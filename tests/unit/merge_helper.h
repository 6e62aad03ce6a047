/* SPDX-License-Identifier: Apache-2.0 */
/* Upstreams with names, and edits made, for the tests of merging. */
#ifndef TESTS_MERGE_HELPER_H
#define TESTS_MERGE_HELPER_H

#include "mcp/merge_map.h"

#include <criterion/criterion.h>

static const char *const merge_test_names[] = {"fs", "db-1", "a_b"};
static struct merge_name merge_test_at[3];
static const struct merge_names merged_three = {merge_test_at, 3, false},
                                plain_one = {merge_test_at, 1, true};

static inline void
merge_set_up(void)
{
    for (unsigned i = 0; i < 3; i++)
        merge_name_init(&merge_test_at[i], text_of(merge_test_names[i]));
}

/* The text with the edits made; valid until the next call. */
static inline struct text
merge_edited(struct text text, const struct jsonrpc_edit *edits, unsigned count)
{
    static char out[64 << 10];
    uint32_t n = jsonrpc_edit_write(text, edits, count, out, sizeof out);

    cr_assert(n || !text.len);
    return (struct text){out, n};
}

static inline void
merge_expect(struct text got, const char *want)
{
    cr_expect(text_eq(got, text_of(want)), "got  %.*s\nwant %s", (int)got.len, got.at, want);
}

#endif
