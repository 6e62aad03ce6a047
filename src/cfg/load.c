/* SPDX-License-Identifier: Apache-2.0 */
#include "cfg/cfg.h"
#include "cfg/draft.h"
#include "cfg/map.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Seals a checked draft and maps what children will see. */
static int
publish(struct draft *d, struct cfg_result *ret)
{
    int fd = cfg_seal(draft_lay_out(d));
    const struct config *c;

    if (fd < 0) {
        draft_fail(d, NULL,
                   "the configuration cannot be kept in memory: %s: see that this user may use memfd_create",
                   strerror(-fd));
        return fd;
    }
    c = cfg_map(fd);
    if (!c) {
        int error = errno;

        draft_fail(d, NULL, "the configuration cannot be mapped: %s", strerror(error));
        close(fd);
        return -error;
    }
    ret->config = c;
    ret->fd = fd;
    return 0;
}

int
cfg_load(int argc, char **argv, struct cfg_result *ret)
{
    struct draft d;
    int result;

    memset(ret, 0, sizeof *ret);
    ret->fd = -1;
    draft_init(&d, ret->error);
    result = draft_read_args(&d, argc, argv, &ret->action);
    if (result == 0 && ret->action != CFG_HELP && ret->action != CFG_VERSION) {
        result = draft_check(&d);
        if (result == 0)
            result = publish(&d, ret);
    }
    draft_done(&d);
    return result;
}

void
cfg_done(struct cfg_result *result)
{
    if (result->config)
        munmap((void *)(uintptr_t)result->config, result->config->total);
    if (result->fd >= 0)
        close(result->fd);
    result->config = NULL;
    result->fd = -1;
}
