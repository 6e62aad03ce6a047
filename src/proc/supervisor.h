/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor: opens what the gateway needs, starts its children, keeps them alive, and turns signals into
 * reloads and an orderly end. It never touches a client's bytes.
 *
 *     SIGHUP           a new generation with the configuration as it is now; the old one drains when the new
 * one serves. A configuration that is refused costs a log line, nothing else SIGTERM, SIGINT  not ready,
 * --drain-delay, no new connections, --drain-timeout for open requests, exit status 0 once more        ends
 * open streams at once; a third time kills
 *
 * When everything serves, one line goes to stderr, which scripts may rely on:
 *
 *     mcpgate: ready: listening on http://127.0.0.1:8080, unix:/run/x (4 workers, admin
 * http://127.0.0.1:8081)
 *
 * with the port that was picked where 0 was asked for, "1 worker" for one, and without the admin part when it
 * is off. With --log-format json the same text from "ready:" on is the message of a log line. $NOTIFY_SOCKET
 * hears READY=1, RELOADING=1 and STOPPING=1.
 */
#ifndef PROC_SUPERVISOR_H
#define PROC_SUPERVISOR_H

#include "cfg/cfg.h"

/* Runs the gateway with the configuration `cfg` (taken over) that was loaded from argc and argv, which a
 * reload reads again. Returns the exit status: 0 after SIGTERM, 1 when it could not start, with one line on
 * stderr. */
int supervisor_run(int argc, char **argv, struct cfg_result *cfg);

#endif
