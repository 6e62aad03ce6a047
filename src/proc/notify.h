/* SPDX-License-Identifier: Apache-2.0 */
/* The service manager's notification socket (sd_notify(3)), spoken by hand: one datagram to $NOTIFY_SOCKET.
 */
#ifndef PROC_NOTIFY_H
#define PROC_NOTIFY_H

/* Remembers $NOTIFY_SOCKET and takes it out of the environment, so that no child speaks for the service. */
void notify_open(void);

/* "READY=1", "STOPPING=1", ... Nothing happens without a manager; never blocks, failures are ignored. */
void notify_send(const char *state);
/* "RELOADING=1" with the stamp that Type=notify-reload wants; "READY=1" ends it. */
void notify_reloading(void);

#endif
