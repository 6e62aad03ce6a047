/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_contract.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum { BUFFER_BYTES = 32 << 10, BACKLOG = 512, FILLERS = 3 };

struct far {
    int fd;
    bool eof, reset;
};

static struct ring *ring;
static int listener, served, silent, fillers[FILLERS];

static int
listen_on_loopback(int backlog)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), bytes = BUFFER_BYTES;

    cr_assert_geq(fd, 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    cr_assert_eq(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    cr_assert_eq(listen(fd, backlog), 0);
    return fd;
}

static socklen_t
address_of(int fd, struct sockaddr_storage *ret_addr)
{
    socklen_t len = sizeof *ret_addr;

    cr_assert_eq(getsockname(fd, (struct sockaddr *)ret_addr, &len), 0);
    return len;
}

static int
connect_to(int fd, bool wait)
{
    struct sockaddr_storage addr;
    socklen_t len = address_of(fd, &addr);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0),
        bytes = BUFFER_BYTES;

    cr_assert_geq(client, 0);
    setsockopt(client, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    setsockopt(client, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    cr_assert(connect(client, (struct sockaddr *)&addr, len) == 0 || (!wait && errno == EINPROGRESS));
    return client;
}

void
world_open(const struct ring_config *config)
{
    char why[200] = "";

    cr_assert_eq(ring_new(config, &ring, why, sizeof why), 0, "%s", why);
    listener = listen_on_loopback(BACKLOG);
    served = listen_on_loopback(BACKLOG);
    silent = listen_on_loopback(0);
    for (int i = 0; i < FILLERS; i++) /* a full backlog answers nobody */
        fillers[i] = connect_to(silent, false);
}

void
world_close(void)
{
    ring_free(&ring);
    close(listener);
    close(served);
    close(silent);
    for (int i = 0; i < FILLERS; i++)
        close(fillers[i]);
}

struct ring *
world_ring(void)
{
    return ring;
}

int
world_listener(void)
{
    return listener;
}

socklen_t
world_address(enum world_place place, struct sockaddr_storage *ret_addr)
{
    int closed;
    socklen_t len;

    if (place != PLACE_REFUSED)
        return address_of(place == PLACE_SERVED ? served : silent, ret_addr);
    closed = listen_on_loopback(1);
    len = address_of(closed, ret_addr);
    close(closed);
    return len;
}

static struct far *
far_new(int fd)
{
    struct far *far = calloc(1, sizeof *far);

    cr_assert_not_null(far);
    cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    far->fd = fd;
    return far;
}

struct far *
far_connect(void)
{
    return far_new(connect_to(listener, true));
}

struct far *
far_accepted(void)
{
    int fd = accept(served, NULL, NULL);

    cr_assert_geq(fd, 0);
    return far_new(fd);
}

size_t
far_send(struct far *far, const void *bytes, size_t count)
{
    ssize_t n = send(far->fd, bytes, count, MSG_NOSIGNAL);

    return n > 0 ? (size_t)n : 0;
}

/* A reset is told once, after which recv() gives 0 as at an end. */
static ssize_t
far_recv(struct far *far, void *ret_bytes, size_t size, int flags)
{
    ssize_t n = far->reset ? -1 : recv(far->fd, ret_bytes, size, flags);

    if (n < 0 && errno == ECONNRESET)
        far->reset = true;
    if (n == 0)
        far->eof = true;
    return n;
}

size_t
far_read(struct far *far, void *ret_bytes, size_t size)
{
    ssize_t n = far_recv(far, ret_bytes, size, 0);

    return n > 0 ? (size_t)n : 0;
}

bool
far_eof(struct far *far)
{
    char byte;

    if (!far->eof)
        far_recv(far, &byte, 1, MSG_PEEK);
    return far->eof;
}

void
far_half_close(struct far *far)
{
    shutdown(far->fd, SHUT_WR);
}

void
far_close(struct far *far)
{
    char bytes[4096];

    while (far_read(far, bytes, sizeof bytes))
        ;
    close(far->fd);
    free(far);
}

void
far_reset(struct far *far)
{
    struct linger linger = {.l_onoff = 1};

    setsockopt(far->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(far->fd);
    free(far);
}

int
world_pollable(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    cr_assert_geq(fd, 0);
    return fd;
}

/* Reads first, so that the next write is a new readiness. */
void
world_signal(int fd)
{
    uint64_t n = 1;
    ssize_t done = read(fd, &n, sizeof n);

    n = 1;
    done = write(fd, &n, sizeof n);
    cr_assert_eq(done, (ssize_t)sizeof n);
}

void
world_limit_descriptors(bool on)
{
    static struct rlimit before;
    struct rlimit limit;

    if (on) {
        int next = dup(listener); /* the lowest free number */

        cr_assert_geq(next, 0);
        close(next);
        getrlimit(RLIMIT_NOFILE, &before);
        limit = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    } else {
        limit = before;
    }
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}
