/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/child.h"

#include "base/check.h"
#include "base/log.h"
#include "cfg/cfg.h"
#include "ipc/channel.h"
#include "proc/keys.h"
#include "proc/rights.h"
#include "stats/segment.h"
#include "stats/stats.h"

#include <errno.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { HANDOVER_WAIT_MS = 10000 };

const char *const role_names[ROLES] = {[ROLE_SUPERVISOR] = "supervisor",
                                       [ROLE_WORKER] = "worker",
                                       [ROLE_ADMIN] = "admin",
                                       [ROLE_RESOLVE] = "resolve",
                                       [ROLE_SPAWN] = "spawn"};

/* check_hook has no argument to carry these. */
static struct slot *own_slot;

static void
keep_failed_check(const char *text)
{
    char line[SEGMENT_CHECK_MAX];

    snprintf(line, sizeof line, "pid %d: %s", (int)getpid(), text);
    stats_slot_set_check(own_slot, line);
}

void
child_cloexec_from(unsigned first)
{
    (void)close_range(first, ~0u, CLOSE_RANGE_CLOEXEC);
}

bool
child_is(int argc, char **argv)
{
    return argc == 2 && strcmp(argv[1], "--child") == 0;
}

/* One line to the supervisor, for it to print; the status of a child that could not start. */
static int
fail(const struct child *child, int error, const char *what)
{
    char text[sizeof((struct control *)0)->text];

    snprintf(text, sizeof text, "%s: %s", what, strerror(error));
    control_send(child->control_fd, CONTROL_FAILED, child->h.epoch, (uint32_t)error, 0, text, NULL, 0);
    return 1;
}

/* 0 or a negated errno. */
static int
receive_handover(struct child *child)
{
    int received[HANDOVER_FDS + HANDOVER_LISTENERS_MAX];
    unsigned count = HANDOVER_FDS + HANDOVER_LISTENERS_MAX, used = 0;
    struct pollfd ready = {child->control_fd, POLLIN, 0};

    if (poll(&ready, 1, HANDOVER_WAIT_MS) != 1)
        return -ETIMEDOUT;
    int n = channel_receive(child->control_fd, &child->h, sizeof child->h, received, &count);
    if (n < 0)
        return n;
    if (n != sizeof child->h || child->h.magic != HANDOVER_MAGIC || child->h.size != sizeof child->h ||
        child->h.role >= ROLES || child->h.slot >= SLOTS_MAX || child->h.listeners > HANDOVER_LISTENERS_MAX)
        return -EPROTO;
    for (unsigned i = 0; i < HANDOVER_FDS; i++) {
        bool sent = child->h.has_fd & 1u << i;
        if (sent && used == count)
            return -EPROTO;
        child->fds[i] = sent ? received[used++] : -1;
    }
    if (count - used != child->h.listeners)
        return -EPROTO;
    memcpy(child->listeners, received + used, child->h.listeners * sizeof *child->listeners);
    return 0;
}

/* What ps and top show; the line's second word has done its duty. */
static void
set_title(const struct child *child, char **argv)
{
    char name[16];

    if (child->h.role == ROLE_WORKER)
        snprintf(name, sizeof name, "mcpgate:w%u", child->h.slot);
    else
        snprintf(name, sizeof name, "mcpgate:%s", role_names[child->h.role]);
    prctl(PR_SET_NAME, name, 0, 0, 0);
    memset(argv[1], 0, strlen(argv[1]));
}

static int
map_all(struct child *child, const char **ret_what)
{
    int r;

    *ret_what = "mapping the statistics segment";
    if ((r = segment_map(child->fds[FD_SEGMENT], &child->segment)) < 0)
        return r;
    *ret_what = "finding its slot";
    if (child->h.slot >= segment_slots(child->segment))
        return -ERANGE;
    child->slot = own_slot = segment_slot(child->segment, child->h.slot);
    *ret_what = "mapping the configuration";
    if (!(child->config = cfg_map(child->fds[FD_CONFIG])))
        return -errno;
    *ret_what = "mapping the keys";
    if (child->fds[FD_KEYS] >= 0 && !(child->keys = keys_map(child->fds[FD_KEYS])))
        return -errno;
    return 0;
}

int
child_run(char **argv, const struct child_role *roles)
{
    struct child child = {.control_fd = CONTROL_FD};
    struct rights_user user;
    const char *what = "receiving the handover";
    int r;

    child_cloexec_from(CONTROL_FD);
    if ((r = receive_handover(&child)) < 0)
        return r == -ECONNRESET ? 1 : fail(&child, -r, what);
    set_title(&child, argv);
    enum rights_end end = child.h.role == ROLE_SPAWN ? RIGHTS_OUTLIVE_PARENT : RIGHTS_DIE_WITH_PARENT;
    user = (struct rights_user){child.h.change_user != 0, child.h.uid, child.h.gid};
    if ((r = rights_drop(&user, child.h.supervisor_pid, end, &what)) < 0)
        return fail(&child, -r, what);
    if ((r = map_all(&child, &what)) < 0)
        return fail(&child, -r, what);
    check_hook = keep_failed_check;
    log_open_ring(segment_log_ring(child.segment, child.h.slot));
    log_set_level((enum log_level)child.config->log_level);
    while (roles->main && roles->role != child.h.role)
        roles++;
    int status = roles->main ? roles->main(&child) : fail(&child, ENOSYS, role_names[child.h.role]);
    check_hook = NULL;
    log_open_ring(NULL);
    segment_unmap(&child.segment);
    return status;
}
