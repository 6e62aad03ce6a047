/* SPDX-License-Identifier: Apache-2.0 */
#include "ipc/channel.h"

#include "base/check.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

union ancillary {
    struct cmsghdr header; /* for the alignment */
    char space[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
};

int
channel_pair(int ret_fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds) ? -errno : 0;
}

int
channel_send(int fd, const void *message, size_t size, const int *fds, unsigned fd_count)
{
    union ancillary ancillary;
    struct iovec iov = {(void *)(uintptr_t)message, size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    ASSERT(fd_count <= CHANNEL_FDS_MAX);
    if (fd_count) {
        memset(&ancillary, 0, sizeof ancillary);
        msg.msg_control = ancillary.space;
        msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        ancillary.header.cmsg_level = SOL_SOCKET;
        ancillary.header.cmsg_type = SCM_RIGHTS;
        ancillary.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(&ancillary.header), fds, fd_count * sizeof(int));
    }
    ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0)
        return -errno;
    ASSERT((size_t)n == size); /* a packet is sent whole or not at all */
    return 0;
}

/* Moves the received descriptors into `fds`, closing what has no room there; returns how many are in it. */
static unsigned
take_fds(struct msghdr *msg, int *fds, unsigned room)
{
    unsigned taken = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (taken < room)
                fds[taken++] = fd;
            else
                close(fd);
        }
    }
    return taken;
}

int
channel_receive(int fd, void *message, size_t size, int *fds, unsigned *fd_count)
{
    union ancillary ancillary;
    struct iovec iov = {message, size};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = ancillary.space,
                         .msg_controllen = sizeof ancillary.space};
    unsigned room = *fd_count;
    ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    /* A peer that died with packets of ours unread shows as ECONNRESET, once, ahead of its own last packets.
     */
    if (n < 0 && errno == ECONNRESET)
        n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return -errno;
    *fd_count = take_fds(&msg, fds, room);
    return (int)n;
}

int
control_send(int fd, enum control_kind kind, uint32_t epoch, uint32_t arg, uint32_t ms, const char *text,
             const int *fds, unsigned fd_count)
{
    struct control message = {.kind = (uint32_t)kind, .epoch = epoch, .arg = arg, .ms = ms};

    if (text)
        memcpy(message.text, text, strnlen(text, sizeof message.text - 1));
    return channel_send(fd, &message, sizeof message, fds, fd_count);
}

int
control_send_server(int fd, enum control_kind kind, uint32_t epoch, const struct spawn_server *server,
                    const int *fds, unsigned fd_count)
{
    struct control message = {.kind = (uint32_t)kind, .epoch = epoch, .server = *server};

    return channel_send(fd, &message, sizeof message, fds, fd_count);
}

int
control_receive(int fd, struct control *ret_control, int *fds, unsigned *fd_count)
{
    struct control message;
    int n = channel_receive(fd, &message, sizeof message, fds, fd_count);

    if (n <= 0)
        return n;
    if ((size_t)n != sizeof message) {
        for (unsigned i = 0; i < *fd_count; i++)
            close(fds[i]);
        *fd_count = 0;
        return -EPROTO;
    }
    message.text[sizeof message.text - 1] = '\0';
    *ret_control = message;
    return 1;
}
