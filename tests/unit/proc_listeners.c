/* SPDX-License-Identifier: Apache-2.0 */
/* What the sockets that clients connect to are set to. */
#include "proc/listeners.h"

#include "cfg_helper.h"

#include <sys/socket.h>

static int
option_of(int fd, int option)
{
    int value = 0;
    socklen_t len = sizeof value;

    cr_assert_eq(getsockopt(fd, SOL_SOCKET, option, &value, &len), 0);
    return value;
}

/* What a client's connection has, which is what its listener has (tcp(7)). */
static void
accepted(struct listeners *set, const struct config *config, int *ret_receive, int *ret_send)
{
    struct listener *l = &set->items[0];
    char why[400];
    int client, fd;

    cr_assert_eq(listeners_open(set, config, 1, why, sizeof why), 0, "%s", why);
    client = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(client, &l->addr.any, l->addr_len), 0);
    fd = accept(l->fds[0], NULL, NULL);
    cr_assert_geq(fd, 0);
    *ret_receive = option_of(fd, SO_RCVBUF);
    *ret_send = option_of(fd, SO_SNDBUF);
    close(fd);
    close(client);
    listeners_keep(set, NULL, 0);
}

Test(listeners, give_their_connections_buffers_of_client_buffer)
{
    static struct listeners set;
    struct cfg_result given, by_default;
    int receive, send, receive_default, send_default;

    MUST_LOAD(&given, "--listen", "127.0.0.1:0", "--admin", "off", "--client-buffer", "24k");
    accepted(&set, given.config, &receive, &send);
    cr_assert_eq(receive, 2 * 24 << 10, "the kernel doubles it: socket(7)");
    cr_assert_eq(send, 2 * 24 << 10);
    MUST_LOAD(&by_default, "--listen", "127.0.0.1:0", "--admin", "off");
    accepted(&set, by_default.config, &receive_default, &send_default);
    cr_assert_gt(receive_default, receive);
    cr_assert_gt(send_default, send);
}
