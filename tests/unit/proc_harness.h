/* SPDX-License-Identifier: Apache-2.0 */
/* A gateway of proc_fake_gateway.c, started and watched by a test. Every wait has a limit, after which the
 * test fails and shows what the gateway said. */
#ifndef TESTS_PROC_HARNESS_H
#define TESTS_PROC_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct gateway {
    char dir[64]; /* temporary; holds run/, state/ and the files for FAKE_DIR */
    pid_t pid;
    int stderr_fd;
    size_t said_len;
    char said[256 << 10]; /* all of stderr; more than a pipe holds */
    unsigned port, admin_port;
};

/* Makes the directory; starts nothing. */
void gateway_make(struct gateway *g);
/* Starts with run and state directory, loopback port 0 for both listeners, 2 workers, and then `args` (may
 * override); NULL-terminated. */
void gateway_start(struct gateway *g, const char *const *args);
/* Waits for the ready line and reads the ports off it. */
void gateway_wait_ready(struct gateway *g);
/* make, start, wait_ready. */
void gateway_up(struct gateway *g, const char *const *args);

/* Waits until stderr holds `text`, from byte `from` of it on. */
void gateway_wait_said(struct gateway *g, size_t from, const char *text);
bool gateway_has_said(struct gateway *g, const char *text);
/* Waits for the end; returns waitpid's status. */
int gateway_wait_end(struct gateway *g);
/* SIGTERM, wait, exit status 0, and the directory is removed. */
void gateway_down(struct gateway *g);
/* Kills what is left and removes the directory. */
void gateway_clean(struct gateway *g);

/* Sends a line to the port and reads the answer; false when the connection failed or ended without one. */
bool gateway_ask(unsigned port, const char *line, char *reply, size_t size);
/* Asks until slot `slot` (a number, or * for any) took the line; "" when it ended the connection without an
 * answer. */
void gateway_command(struct gateway *g, const char *command, const char *slot, const char *argument,
                     char *reply, size_t size);

struct who {
    unsigned slot, epoch, generation;
    int pid;
};
/* Waits until `slot` answers in an incarnation of at least `epoch`. */
struct who gateway_wait_who(struct gateway *g, unsigned slot, unsigned epoch);

void gateway_write_file(struct gateway *g, const char *name, const char *text);
void gateway_remove_file(struct gateway *g, const char *name);

/* Pids whose parent is `pid`. */
unsigned children_of(pid_t pid, pid_t *ret_pids, unsigned max);

/* for (WAIT(ms)) { if (condition) break; }: fails the test when the time is over. */
bool wait_more(const char *what, int *elapsed_ms);

#endif
