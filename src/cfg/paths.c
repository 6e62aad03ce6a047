/* SPDX-License-Identifier: Apache-2.0 */
#include "cfg/paths.h"

#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* snprintf() whose overflow is an error. */
#define PRINT_PATH(ret, size, ...) fits(snprintf(ret, size, __VA_ARGS__), size)

static int
fits(int n, size_t size)
{
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static const char *
runtime_dir(void)
{
    const char *dir = getenv("XDG_RUNTIME_DIR");

    return dir && dir[0] == '/' ? dir : NULL;
}

int
cfg_run_dir_candidate(unsigned index, char *ret_path, size_t size)
{
    const char *runtime = runtime_dir();

    if (index > 0 && !runtime)
        index++;
    switch (index) {
    case 0:
        return PRINT_PATH(ret_path, size, "/run/mcpgate");
    case 1:
        return PRINT_PATH(ret_path, size, "%s/mcpgate", runtime);
    case 2:
        return PRINT_PATH(ret_path, size, "/tmp/mcpgate-%u", (unsigned)geteuid());
    default:
        return -ENOENT;
    }
}

static int
parent_of(const char *path, char *ret_parent, size_t size)
{
    const char *slash = strrchr(path, '/');

    return PRINT_PATH(ret_parent, size, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* Whether `path` is a directory that this process may write to, or does not exist and its nearest existing
 * parent is one. */
static bool
is_usable(const char *path)
{
    char parent[CFG_PATH_MAX];
    struct stat st;

    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) && eaccess(path, W_OK | X_OK) == 0;
    if (errno != ENOENT || strcmp(path, "/") == 0 || parent_of(path, parent, sizeof parent) < 0)
        return false;
    return is_usable(parent);
}

/* Others may write to /tmp: what lies there must be ours and closed to them, and not a link. */
static bool
is_private(const char *path)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT;
    return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 07777) == 0700;
}

int
cfg_default_run_dir(char *ret_path, size_t size)
{
    for (unsigned i = 0;; i++) {
        char path[CFG_PATH_MAX], next[CFG_PATH_MAX];
        int result = cfg_run_dir_candidate(i, path, sizeof path);
        bool is_last = cfg_run_dir_candidate(i + 1, next, sizeof next) == -ENOENT;

        if (result < 0)
            return result;
        if (!is_last && !is_usable(path))
            continue;
        if (PRINT_PATH(ret_path, size, "%s", path) < 0)
            return -ENAMETOOLONG;
        return is_last && !is_private(path) ? -EPERM : 0;
    }
}

int
cfg_default_state_dir(char *ret_path, size_t size)
{
    const char *given = getenv("STATE_DIRECTORY"), *home = getenv("HOME");

    /* systemd: several directories are separated by colons. */
    if (given && given[0] == '/')
        return PRINT_PATH(ret_path, size, "%.*s", (int)strcspn(given, ":"), given);
    if (is_usable("/var/lib/mcpgate"))
        return PRINT_PATH(ret_path, size, "/var/lib/mcpgate");
    if (!home || home[0] != '/') {
        const struct passwd *user = getpwuid(geteuid());

        home = user ? user->pw_dir : NULL;
    }
    if (!home || home[0] != '/')
        return -ENOENT;
    return PRINT_PATH(ret_path, size, "%s/.local/state/mcpgate", home);
}

int
cfg_absolute_path(const char *path, char *ret_path, size_t size)
{
    char cwd[CFG_PATH_MAX];

    if (path[0] == '/')
        return PRINT_PATH(ret_path, size, "%s", path);
    if (!getcwd(cwd, sizeof cwd))
        return errno == ERANGE ? -ENAMETOOLONG : -errno;
    return PRINT_PATH(ret_path, size, "%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, path);
}
