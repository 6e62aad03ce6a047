/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/kept.h"

#include "ipc/channel.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct kept_server *
find(struct kept_servers *kept, uint64_t server)
{
    for (unsigned i = 0; i < kept->count; i++)
        if (kept->at[i].who.server == server)
            return &kept->at[i];
    return NULL;
}

static void
close_fds(struct kept_server *k)
{
    for (unsigned i = 0; i < SPAWN_FDS; i++)
        close(k->fds[i]);
}

bool
kept_add(struct kept_servers *kept, const struct spawn_server *who, const int fds[SPAWN_FDS])
{
    if (kept->count == SPAWN_SERVERS_MAX || find(kept, who->server))
        return false;
    if (kept->count == kept->room) {
        unsigned room = kept->room ? 2 * kept->room : 16;
        struct kept_server *larger = realloc(kept->at, room * sizeof *larger);
        if (!larger)
            return false;
        kept->at = larger;
        kept->room = room;
    }
    struct kept_server *k = &kept->at[kept->count++];
    k->who = *who;
    for (unsigned i = 0; i < SPAWN_FDS; i++)
        k->fds[i] = fds[i];
    return true;
}

void
kept_update(struct kept_servers *kept, const struct spawn_server *who)
{
    struct kept_server *k = find(kept, who->server);

    if (k)
        k->who = *who;
}

void
kept_remove(struct kept_servers *kept, uint64_t server)
{
    struct kept_server *k = find(kept, server);

    if (!k)
        return;
    unsigned index = (unsigned)(k - kept->at);
    close_fds(k);
    memmove(k, k + 1, (--kept->count - index) * sizeof *k);
    if (kept->handing && index < kept->handed)
        kept->handed--;
}

bool
kept_has(const struct kept_servers *kept, pid_t pid)
{
    for (unsigned i = 0; i < kept->count; i++)
        if (kept->at[i].who.pid == pid)
            return true;
    return false;
}

void
kept_begin(struct kept_servers *kept)
{
    kept->handed = 0;
    kept->handing = true;
}

bool
kept_hand_over(struct kept_servers *kept, int control_fd, uint32_t epoch)
{
    for (; kept->handed < kept->count; kept->handed++) {
        struct kept_server *k = &kept->at[kept->handed];
        if (control_send_server(control_fd, CONTROL_SERVER, epoch, &k->who, k->fds, SPAWN_FDS) < 0)
            return false;
    }
    kept->handing = false;
    return true;
}

void
kept_kill_all(struct kept_servers *kept)
{
    for (unsigned i = 0; i < kept->count; i++) {
        kill(-kept->at[i].who.pid, SIGKILL);
        close_fds(&kept->at[i]);
    }
    free(kept->at);
    *kept = (struct kept_servers){0};
}
