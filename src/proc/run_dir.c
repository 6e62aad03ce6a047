/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int
run_dir_make(const char *path)
{
    char part[256];
    size_t len = strlen(path);
    bool made = false;

    if (len == 0 || len >= sizeof part)
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        made = mkdir(part, 0700) == 0;
        if (!made && errno != EEXIST && errno != EROFS && errno != EACCES)
            return -errno;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    close(fd);
    return made;
}

/* A directory in /tmp may have been put there by anybody: only one that is ours or root's is good enough for
 * sockets and counters. */
static int
check_owner(const char *path, const struct rights_user *user, char *why, size_t why_size)
{
    struct stat st;

    if (stat(path, &st))
        return -errno;
    if (st.st_uid == 0 || st.st_uid == geteuid() || (user->change && st.st_uid == user->uid))
        return 0;
    snprintf(why, why_size,
             "run directory %s belongs to uid %u and not to uid %u: choose another with --run-dir", path,
             (unsigned)st.st_uid, (unsigned)geteuid());
    return -EPERM;
}

static int
open_lock(struct run_dir *dir, char *why, size_t why_size)
{
    char path[sizeof dir->path + 8], owner[16] = "";

    snprintf(path, sizeof path, "%s/pid", dir->path);
    dir->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (dir->lock_fd < 0) {
        int error = errno;
        snprintf(why, why_size, "cannot write to the run directory %s: %s: choose another with --run-dir",
                 dir->path, strerror(error));
        return -error;
    }
    bool is_ours = flock(dir->lock_fd, LOCK_EX | LOCK_NB) == 0;
    ssize_t n = pread(dir->lock_fd, owner, sizeof owner - 1, 0);
    dir->was_left = is_ours && n > 0;
    if (is_ours)
        return 0;
    owner[n > 0 ? n : 0] = '\0';
    owner[strcspn(owner, "\n")] = '\0';
    close(dir->lock_fd);
    dir->lock_fd = -1;
    snprintf(why, why_size,
             "a gateway is already running in %s (pid %s): stop it, or choose another place with "
             "--run-dir",
             dir->path, owner[0] ? owner : "unknown");
    return -EBUSY;
}

int
run_dir_open(struct run_dir *dir, const char *path, const struct rights_user *user, char *why,
             size_t why_size)
{
    char pid[16];
    int r;

    dir->lock_fd = -1;
    snprintf(dir->path, sizeof dir->path, "%s", path);
    why[0] = '\0';
    r = run_dir_make(path);
    bool made = r > 0;
    if (r >= 0)
        r = check_owner(path, user, why, why_size);
    /* The children connect to each other's sockets in it. */
    if (r == 0 && made && user->change && chown(path, user->uid, user->gid))
        r = -errno;
    if (r < 0) {
        if (!why[0])
            snprintf(why, why_size, "cannot use the run directory %s: %s: choose another with --run-dir",
                     path, strerror(-r));
        return r;
    }
    if ((r = open_lock(dir, why, why_size)) < 0)
        return r;
    int len = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(dir->lock_fd, 0) || pwrite(dir->lock_fd, pid, (size_t)len, 0) != len) {
        r = -errno;
        snprintf(why, why_size, "cannot write %s/pid: %s", path, strerror(-r));
        run_dir_close(dir);
        return r;
    }
    return 0;
}

void
run_dir_close(struct run_dir *dir)
{
    if (dir->lock_fd < 0)
        return;
    (void)!ftruncate(dir->lock_fd, 0);
    close(dir->lock_fd);
    dir->lock_fd = -1;
}
