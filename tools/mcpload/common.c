/* SPDX-License-Identifier: Apache-2.0 */
/* What mcpload's subcommands share; see mcpload.h. */
#include "mcpload.h"

#include "base/check.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

bool
mcpload_wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

int
mcpload_signals(void)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    ASSERT(fd >= 0);
    return fd;
}

int
mcpload_write_json(const json_t *json, const char *file)
{
    bool to_stdout = strcmp(file, "-") == 0;
    FILE *out = to_stdout ? stdout : fopen(file, "we");
    bool failed =
        !out || json_dumpf(json, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) < 0 || fputc('\n', out) < 0;

    if (out && (to_stdout ? fflush(out) : fclose(out)) != 0)
        failed = true;
    if (failed)
        fprintf(stderr, "mcpload: cannot write %s: %s\n", file, strerror(errno));
    return failed;
}

unsigned long
mcpload_raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}
