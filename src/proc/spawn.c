/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/spawn.h"

#include "ipc/channel.h"
#include "ipc/handover.h"
#include "proc/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void
default_signals(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    sigset_t none;

    for (unsigned i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the parent's memory, which waits until this has executed (vfork): nothing but system calls. */
_Noreturn static void
become_child(const char *title, int control_fd, pid_t parent)
{
    char *argv[] = {(char *)(uintptr_t)title, (char[]){"--child"}, NULL};
    int null_fd = open("/dev/null", O_RDWR);

    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || getppid() != parent || null_fd < 0 ||
        dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0)
        _exit(127);
    /* dup2 of a descriptor onto itself would leave its close-on-exec flag on. */
    if (control_fd == CONTROL_FD ? fcntl(control_fd, F_SETFD, 0) : dup2(control_fd, CONTROL_FD) < 0)
        _exit(127);
    child_cloexec_from(CONTROL_FD + 1);
    default_signals();
    execv("/proc/self/exe", argv);
    _exit(127);
}

int
spawn(const char *title, struct spawned *ret)
{
    int pair[2], r = channel_pair(pair);
    pid_t parent = getpid();

    if (r < 0)
        return r;
    pid_t pid = vfork();
    if (pid == 0)
        become_child(title, pair[1], parent);
    r = pid < 0 ? -errno : 0;
    close(pair[1]);
    if (r < 0) {
        close(pair[0]);
        return r;
    }
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        r = -errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        close(pair[0]);
        return r;
    }
    *ret = (struct spawned){pid, pidfd, pair[0]};
    return 0;
}

bool
spawn_reap(const struct spawned *child, struct spawn_end *ret)
{
    siginfo_t info = {0};

    if (waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG) || info.si_pid == 0)
        return false;
    *ret = (struct spawn_end){info.si_code, info.si_status};
    return true;
}
