/* SPDX-License-Identifier: Apache-2.0 */
/* Loads command lines and files in the tests of cfg. Each Criterion test is a process of its own, so what is
 * changed here (environment, working directory) is the test's. */
#ifndef TESTS_CFG_HELPER_H
#define TESTS_CFG_HELPER_H

#include "cfg/cfg.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The arguments end with NULL; returns what cfg_load() returned. */
#define LOAD(ret, ...) load_args(ret, (const char *[]){"mcpgate", __VA_ARGS__, NULL})

static inline int
load_args(struct cfg_result *ret, const char **argv)
{
    int argc = 0, result;

    while (argv[argc])
        argc++;
    memset(ret, 0xa5, sizeof *ret); /* success must not be accidental */
    result = cfg_load(argc, (char **)argv, ret);
    cr_assert(result == 0 || ret->error[0], "a failure says why");
    cr_assert(result != 0 || !ret->error[0], "no failure, but: %s", ret->error);
    return result;
}

/* The same, and asserts that it worked. */
#define MUST_LOAD(ret, ...) cr_assert(LOAD(ret, __VA_ARGS__) == 0, "%s", (ret)->error)

/* Asserts that it failed with exactly this line. */
#define MUST_FAIL(want, ...)                                                                                 \
    do {                                                                                                     \
        struct cfg_result failed_;                                                                           \
                                                                                                             \
        cr_assert(LOAD(&failed_, __VA_ARGS__) < 0, "was accepted instead of: %s", want);                     \
        cr_assert_str_eq(failed_.error, want);                                                               \
        cr_assert(!failed_.config && failed_.fd == -1);                                                      \
    } while (0)

static char test_dir[] = "/tmp/mcpgate-cfg-XXXXXX";

static inline void
remove_test_dir(void)
{
    DIR *dir = opendir(test_dir);

    for (struct dirent *entry; dir && (entry = readdir(dir));)
        unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(test_dir);
}

/* A fresh directory becomes the working directory, until the test ends; `text` goes to the file `name` in it.
 */
static inline void
write_file(const char *name, const char *text)
{
    static bool made;
    FILE *f;

    if (!made)
        cr_assert(mkdtemp(test_dir) && chdir(test_dir) == 0 && atexit(remove_test_dir) == 0);
    made = true;
    f = fopen(name, "w");
    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* What a cfg_print_ function writes; the caller frees it. */
static inline char *
printed(void (*print)(FILE *out, const struct config *c), const struct config *c)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    print(out, c);
    fclose(out);
    return text;
}

#endif
