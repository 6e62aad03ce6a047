/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending and receiving one message with descriptors on a SEQPACKET socket between our processes. Nothing
 * here blocks; what the messages mean stands in control.h, handover.h, resolve.h and spawn.h.
 */
#ifndef IPC_CHANNEL_H
#define IPC_CHANNEL_H

#include "ipc/control.h"

#include <stddef.h>

enum { CHANNEL_FDS_MAX = 64 };

/* A connected pair, both ends non-blocking and CLOEXEC. 0 or a negated errno. */
int channel_pair(int ret_fds[2]);

/* Sends `size` bytes and duplicates of `fds` (the caller keeps its own) as one packet. 0 or a negated errno;
 * -EAGAIN when the other side does not read, -EPIPE or -ECONNRESET when it is gone. */
int channel_send(int fd, const void *message, size_t size, const int *fds, unsigned fd_count);

/* Receives one packet. Returns its size (at most `size`; a longer packet is cut), 0 at end of file, or a
 * negated errno: -EAGAIN when nothing is there. *fd_count is the room in `fds` on entry and the number
 * received on return (surplus ones are closed); the descriptors are CLOEXEC and belong to the caller. `fds`
 * may be NULL with *fd_count 0, then all are closed. */
int channel_receive(int fd, void *message, size_t size, int *fds, unsigned *fd_count);

/* struct control in both directions. control_send cuts `text` (NULL: none) to what fits. control_receive
 * returns 1 for a message, 0 at end of file, or a negated errno; a packet of another size is -EPROTO. */
int control_send(int fd, enum control_kind kind, uint32_t epoch, uint32_t arg, uint32_t ms, const char *text,
                 const int *fds, unsigned fd_count);
/* SERVER and SERVER_GONE. */
int control_send_server(int fd, enum control_kind kind, uint32_t epoch, const struct spawn_server *server,
                        const int *fds, unsigned fd_count);
int control_receive(int fd, struct control *ret_control, int *fds, unsigned *fd_count);

#endif
