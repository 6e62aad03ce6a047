/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a configuration file: an error is one line that names the file; what is accepted makes a
 * mapping of which every part lies inside, and prints as a file that loads to the same again.
 */
#include "base/check.h"
#include "cfg/draft.h"
#include "cfg/map.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The printed configuration, or NULL when the text was refused; `ret_size` is its length. */
static char *
load_and_print(const char *text, size_t size, size_t *ret_size)
{
    char error[CFG_ERROR_MAX] = "", *print = NULL;
    struct draft d;

    draft_init(&d, error);
    if (draft_read_text(&d, "fuzz.json", (struct text){text, (uint32_t)size}, 1) == 0 &&
        draft_check(&d) == 0) {
        const struct config *c = draft_lay_out(&d);
        FILE *out = open_memstream(&print, ret_size);

        ASSERT(cfg_is_whole(c, c->total) && !error[0]);
        cfg_print_config(out, c);
        fclose(out);
    } else {
        ASSERT(strncmp(error, "mcpgate: ", 9) == 0 && strlen(error) > 12 && !strchr(error, '\n'));
    }
    draft_done(&d);
    return print;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text, *first, *second;
    size_t first_size = 0, second_size = 0;

    if (size > SOURCE_MAX)
        return 0;
    setenv("HOME", "/home/fuzz", 1);
    setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
    setenv("FUZZ", "value", 1);
    text = malloc(size ? size : 1); /* of its own, so that the sanitizer sees the end */
    ASSERT(text);
    memcpy(text, data, size);
    first = load_and_print(text, size, &first_size);
    free(text);
    if (!first)
        return 0;
    second = load_and_print(first, first_size, &second_size);
    ASSERT(second && first_size == second_size && memcmp(first, second, first_size) == 0);
    free(first);
    free(second);
    return 0;
}
