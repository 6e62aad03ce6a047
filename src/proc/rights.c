/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/rights.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHILD_USER "mcpgate"

enum { SERVER_DESCRIPTORS = 1024 };

struct rights_user
rights_child_user(void)
{
    struct rights_user user = {0};

    if (geteuid() == 0) {
        const struct passwd *entry = getpwnam(CHILD_USER);
        if (entry)
            user = (struct rights_user){true, entry->pw_uid, entry->pw_gid};
    }
    return user;
}

static void
raise_to_hard(__rlimit_resource_t resource)
{
    struct rlimit limit;

    if (getrlimit(resource, &limit) == 0 && limit.rlim_cur != limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(resource, &limit);
    }
}

void
rights_raise_limits(void)
{
    const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

    raise_to_hard(RLIMIT_NOFILE);
    if (setrlimit(RLIMIT_MEMLOCK, &unlimited))
        raise_to_hard(RLIMIT_MEMLOCK);
}

static int
become(const struct rights_user *user)
{
    if (!user->change)
        return 0;
    if (setgroups(0, NULL) || setresgid(user->gid, user->gid, user->gid) ||
        setresuid(user->uid, user->uid, user->uid))
        return -errno;
    return 0;
}

static int
drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];

    /* The bounding set needs CAP_SETPCAP, which only root has; without it no_new_privs already keeps an exec
     * from bringing anything back. Behind the last one the kernel says EINVAL. */
    for (unsigned long cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
        ;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    memset(none, 0, sizeof none);
    return syscall(SYS_capset, &header, none) ? -errno : 0;
}

/* The kernel forgets the signal when the user changes, so it is asked for last; a parent that died in between
 * shows in getppid(). */
static int
die_with(int32_t parent_pid)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
        return -errno;
    return getppid() == parent_pid ? 0 : -ESRCH;
}

static int
outlive(int32_t parent_pid)
{
    if (prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0))
        return -errno;
    return getppid() == parent_pid ? 0 : -ESRCH;
}

int
rights_drop(const struct rights_user *user, int32_t parent_pid, enum rights_end end, const char **ret_step)
{
    int r;

    *ret_step = "no_new_privs";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -errno;
    *ret_step = "user " CHILD_USER;
    if ((r = become(user)) < 0)
        return r;
    *ret_step = "capabilities";
    if ((r = drop_capabilities()) < 0)
        return r;
    *ret_step = "parent-death signal";
    return end == RIGHTS_OUTLIVE_PARENT ? outlive(parent_pid) : die_with(parent_pid);
}

void
rights_become_server(void)
{
    struct rlimit limit;
    sigset_t none;

    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    close_range(STDERR_FILENO + 1, ~0u, 0);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > SERVER_DESCRIPTORS) {
        limit.rlim_cur = SERVER_DESCRIPTORS;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}
