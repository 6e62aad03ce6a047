/* SPDX-License-Identifier: Apache-2.0 */
/* The key file: what is read, what is made, what is refused. */
#include "proc/keys.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "BBbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static int
parse(const char *text, struct key_ring *ring, unsigned *line)
{
    return keys_parse(text, strlen(text), ring, line);
}

Test(keys, reads_the_keys_by_name_in_any_order)
{
    struct key_ring ring;
    unsigned line = 99;

    cr_assert_eq(
        parse("# a comment\n\nnext 00000002 " HEX_B "\r\n  current\t51b2c00d   " HEX_A, &ring, &line), 0);
    cr_assert_eq(ring.current, (uint32_t)KEY_CURRENT);
    cr_assert_eq(ring.keys[KEY_CURRENT].id, 0x51b2c00du);
    cr_assert_eq(ring.keys[KEY_NEXT].id, 2u);
    cr_assert_eq(ring.keys[KEY_PREVIOUS].id, 0u, "absent");
    for (unsigned i = 0; i < KEY_BYTES; i++) {
        cr_assert_eq(ring.keys[KEY_CURRENT].key[i], 0xaa);
        cr_assert_eq(ring.keys[KEY_NEXT].key[i], 0xbb);
    }
}

Test(keys, names_the_line_that_is_wrong)
{
    static const struct {
        const char *text;
        unsigned line;
    } rows[] = {
        {"", 0},
        {"# nothing\n", 0},
        {"next 00000002 " HEX_A "\n", 0},                               /* no current key */
        {"current 00000001 " HEX_A "\nfuture 00000002 " HEX_B "\n", 2}, /* unknown name */
        {"current 00000000 " HEX_A "\n", 1},                            /* id 0 means absent */
        {"current 1 " HEX_A "\n", 1},                                   /* short id */
        {"current 00000001 " HEX_A "0\n", 1},                           /* long key */
        {"current 00000001 aa\n", 1},                                   /* short key */
        {"current 00000001\n", 1},
        {"current 0000000x " HEX_A "\n", 1},
        {"current 00000001 " HEX_A " more\n", 1},
        {"current 00000001 " HEX_A "\ncurrent 00000002 " HEX_B "\n", 2}, /* twice */
        {"current 00000001 " HEX_A "\nnext 00000001 " HEX_B "\n", 2},    /* its id twice */
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct key_ring ring = {.current = 77};
        unsigned line = 99;
        cr_assert_eq(parse(rows[i].text, &ring, &line), -EINVAL, "row %zu", i);
        cr_assert_eq(line, rows[i].line, "row %zu: line %u", i, line);
        cr_assert_eq(ring.current, 77u, "untouched on failure");
    }
}

static char dir[64], path[80], why[700];

static void
make_dir(void)
{
    strcpy(dir, "/tmp/mcpgate-keys-XXXXXX");
    cr_assert(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/keys", dir);
}

static void
remove_dir(void)
{
    unlink(path);
    cr_assert(rmdir(dir) == 0, "nothing else is left in it");
}

Test(keys, makes_a_private_file_once_and_hands_the_keys_over_sealed, .init = make_dir, .fini = remove_dir)
{
    const struct key_ring *first, *second;
    struct stat st;
    int fds[2];

    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(keys_open(path, &fds[i], why, sizeof why), 0, "%s", why);
    cr_assert(stat(path, &st) == 0 && (st.st_mode & 07777) == 0600);
    cr_assert(first = keys_map(fds[0]));
    cr_assert(second = keys_map(fds[1]));
    cr_assert_eq(memcmp(first, second, sizeof *first), 0, "the second time it is read");
    cr_assert_neq(first->keys[KEY_CURRENT].id, 0u);
    cr_assert_neq(first->keys[KEY_NEXT].id, 0u);
    cr_assert_neq(memcmp(first->keys[KEY_CURRENT].key, first->keys[KEY_NEXT].key, KEY_BYTES), 0);
    cr_assert_eq(mmap(NULL, sizeof *first, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0), MAP_FAILED);
    cr_assert(write(fds[0], "x", 1) < 0);
}

Test(keys, refuses_what_cannot_be_right, .init = make_dir, .fini = remove_dir)
{
    static const struct {
        const char *text;
        mode_t mode;
        const char *wanted;
    } rows[] = {
        {"current 00000001 " HEX_A "\n", 0640, "chmod 600"},
        {"current 00000001 " HEX_A "\n", 0604, "chmod 600"},
        {"rubbish\n", 0600, "line 1"},
        {"# empty\n", 0600, "no `current` key"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        FILE *file = fopen(path, "we");
        int fd = -1;
        cr_assert(file && fputs(rows[i].text, file) >= 0 && fclose(file) == 0 &&
                  chmod(path, rows[i].mode) == 0);
        cr_assert_lt(keys_open(path, &fd, why, sizeof why), 0, "row %zu", i);
        cr_assert(strstr(why, rows[i].wanted) && strstr(why, path), "row %zu: %s", i, why);
        cr_assert_eq(fd, -1);
    }
}

Test(keys, names_the_place_where_no_file_can_be_made)
{
    int fd;

    cr_assert_eq(keys_open("/nonexistent/dir/keys", &fd, why, sizeof why), -ENOENT);
    cr_assert(strstr(why, "/nonexistent/dir/keys") && strstr(why, "--key-file"), "%s", why);
}
