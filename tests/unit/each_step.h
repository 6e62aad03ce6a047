/* SPDX-License-Identifier: Apache-2.0 */
/* Death at any instruction. */
#ifndef EACH_STEP_H
#define EACH_STEP_H

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs `act` in a process of its own, one instruction at a time; after each, what lies in the shared file is
 * what would be there had it been killed, and `check` looks at it through a copy of the mapping. Returns how
 * many there were. */
static unsigned
at_each_step(void (*act)(void), void (*check)(unsigned step))
{
    unsigned steps = 0;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        act();
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    while (WIFSTOPPED(status)) {
        check(steps++);
        cr_assert_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
    }
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return steps;
}

#endif
