/* SPDX-License-Identifier: Apache-2.0 */
#include "main/demo.h"

#include "mcp/demo_lines.h"
#include "proto/lines.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10, LINE_MAX_BYTES = 10 << 20 };

struct input {
    struct lines lines;
    char *kept; /* of a line that goes on; LINE_MAX_BYTES + 1 */
};

static bool
is_demo(int argc, char **argv)
{
    return argc >= 2 && strcmp(argv[1], "demo") == 0;
}

/* --listen, and no word of another server. */
static bool
is_over_http(int argc, char **argv)
{
    bool listens = false;

    for (int i = 2; i < argc; i++) {
        listens |= strcmp(argv[i], "--listen") == 0 || strncmp(argv[i], "--listen=", 9) == 0 ||
                   strncmp(argv[i], "-p", 2) == 0;
        if (strncmp(argv[i], "--upstream", 10) == 0 || strncmp(argv[i], "--stdio", 7) == 0 ||
            strncmp(argv[i], "--config", 8) == 0)
            return false;
    }
    return listens;
}

bool
demo_is(int argc, char **argv)
{
    return is_demo(argc, argv) && !is_over_http(argc, argv);
}

void
demo_take_word(int *argc, char ***argv)
{
    if (!is_demo(*argc, *argv))
        return;
    (*argv)[1] = (*argv)[0];
    (*argv)++;
    (*argc)--;
}

static uint64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
say(void *context, struct text json)
{
    (void)context;
    fwrite(json.at, 1, json.len, stdout);
    fputc('\n', stdout);
}

static void
take_bytes(struct demo_lines *d, struct input *in, struct text rest)
{
    while (rest.len) {
        struct lines_part found;
        enum lines_result r = lines_next(&in->lines, &rest, &found);
        uint32_t before = r == LINES_LINE ? found.kept : in->lines.kept - found.part.len;

        if (r == LINES_LONG) {
            fprintf(stderr, "mcpgate demo: a line longer than %d bytes was dropped\n", LINE_MAX_BYTES);
            continue;
        }
        if (found.part.len)
            memcpy(in->kept + before, found.part.at, found.part.len);
        struct text line = {in->kept, before + found.part.len};
        if (r == LINES_LINE && lines_kind_of(line) != LINES_BLANK)
            demo_lines_take(d, line, now_ms());
    }
}

static int
run(struct demo_lines *d, struct input *in)
{
    static char bytes[READ_BYTES];
    struct pollfd polled = {STDIN_FILENO, POLLIN, 0};

    for (;;) {
        int wait_ms = demo_lines_wake(d, now_ms());
        if (fflush(stdout))
            return 1;
        if (poll(&polled, 1, wait_ms) <= 0)
            continue;
        ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
        if (n > 0)
            take_bytes(d, in, (struct text){bytes, (uint32_t)n});
        else if (n == 0 || (errno != EINTR && errno != EAGAIN))
            break;
    }
    demo_lines_finish(d);
    return fflush(stdout) ? 1 : 0;
}

/* False: the arguments are wrong, and *ret_wrong is one of them (NULL: --stdio is missing). */
static bool
read_args(int argc, char **argv, enum mcp_revision *ret_only, const char **ret_wrong)
{
    bool stdio = false;

    *ret_only = MCP_NO_REVISION;
    *ret_wrong = NULL;
    for (int i = 2; i < argc; i++) {
        const char *value = NULL;

        if (strcmp(argv[i], "--stdio") == 0) {
            stdio = true;
            continue;
        }
        if (strncmp(argv[i], "--revision=", 11) == 0)
            value = argv[i] + 11;
        else if (strcmp(argv[i], "--revision") == 0 && i + 1 < argc)
            value = argv[++i];
        if (!value || (*ret_only = mcp_revision_of(text_of(value))) == MCP_NO_REVISION) {
            *ret_wrong = argv[i];
            return false;
        }
    }
    return stdio;
}

int
demo_main(int argc, char **argv)
{
    static struct demo_lines d; /* large */
    struct input in = {.lines = {.max = LINE_MAX_BYTES}};
    enum mcp_revision only;
    const char *wrong;

    if (!read_args(argc, argv, &only, &wrong)) {
        fprintf(stderr,
                "mcpgate: demo: %s%s: use mcpgate demo --stdio [--revision 2024-11-05|...|2026-07-28], or "
                "mcpgate "
                "demo --listen ADDR:PORT\n",
                wrong ? wrong : "--stdio", wrong ? " is not known" : " is missing");
        return 2;
    }
    if (!(in.kept = malloc(LINE_MAX_BYTES + 1))) {
        fprintf(stderr, "mcpgate: demo: not enough memory\n");
        return 1;
    }
    demo_lines_init(&d, only, say, NULL);
    int status = run(&d, &in);
    free(in.kept);
    return status;
}
