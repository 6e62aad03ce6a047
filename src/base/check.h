/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ASSERT: a bug, not an error of a peer or of the system. It stays on in release builds; in a worker it costs
 * that worker, which the supervisor logs and restarts.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stdnoreturn.h>

#define ASSERT(cond) (__builtin_expect(!!(cond), 1) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))
#define UNREACHABLE() check_failed(__FILE__, __LINE__, "unreachable")

/* Called once with the text of the failed check, before abort(). A child process sets it so that the reason
 * reaches the supervisor's log; NULL (the default) writes the text to stderr. */
extern void (*check_hook)(const char *text);

noreturn void check_failed(const char *file, int line, const char *cond);

#endif
