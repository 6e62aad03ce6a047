/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/server.h"

#include "base/log.h"
#include "proc/rights.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- starting --- */

/* What every program may know of where it runs. The rest of the gateway's environment may hold secrets that
 * are meant for other servers. */
static const char *const passed_on[] = {"HOME",  "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH",
                                        "SHELL", "TERM", "TMPDIR", "TZ",       "USER",    "XDG_CACHE_HOME"};

static void
set_environment(const struct config *c, const struct cfg_stdio *stdio)
{
    char *kept[sizeof passed_on / sizeof *passed_on];
    const struct cfg_text *env = cfg_list(c, stdio->env);

    for (unsigned i = 0; i < sizeof kept / sizeof *kept; i++) {
        const char *value = getenv(passed_on[i]);
        kept[i] = value ? strdup(value) : NULL;
    }
    clearenv();
    for (unsigned i = 0; i < sizeof kept / sizeof *kept; i++)
        if (kept[i])
            setenv(passed_on[i], kept[i], 1);
    for (uint32_t i = 0; i < stdio->env.count; i++)
        putenv((char *)(uintptr_t)cfg_string(c, env[i]));
}

_Noreturn static void
become_server(const struct config *c, const struct cfg_stdio *stdio, int stream_fd, int errors_fd)
{
    const struct cfg_text *words = cfg_list(c, stdio->args);
    const char *cwd = cfg_string(c, stdio->cwd);
    char *argv[CFG_ARGS_MAX + 1] = {NULL};

    if (dup2(stream_fd, STDIN_FILENO) < 0 || dup2(stream_fd, STDOUT_FILENO) < 0 ||
        dup2(errors_fd, STDERR_FILENO) < 0)
        _exit(127);
    for (uint32_t i = 0; i < stdio->args.count; i++)
        argv[i] = (char *)(uintptr_t)cfg_string(c, words[i]);
    set_environment(c, stdio);
    rights_become_server();
    if (*cwd && chdir(cwd))
        dprintf(STDERR_FILENO, "cannot change to the directory %s: %s\n", cwd, strerror(errno));
    else if (execvp(argv[0], argv))
        dprintf(STDERR_FILENO, "cannot execute %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static void
close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* pair[0] is the worker's end, of which we keep a copy, pair[1] the server's. The socket blocks, as programs
 * expect of their stdin and the ring of its sockets; our end of its stderr does not. */
static int
make_ends(int pair[2], int errors[2])
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return -errno;
    if (pipe2(errors, O_CLOEXEC) == 0) {
        fcntl(errors[0], F_SETFL, O_NONBLOCK);
        return 0;
    }
    int error = -errno;
    close(pair[0]);
    close(pair[1]);
    return error;
}

static void
init(struct server *server, const struct config *c, const struct spawn_server *who)
{
    *server = (struct server){.who = *who, .fds = {-1, -1, -1}, .due_ms = UINT64_MAX};
    server->name = cfg_string(c, cfg_upstream(c, who->upstream)->name);
}

int
server_start(struct server *server, const struct config *c, const struct spawn_server *who)
{
    int pair[2], errors[2], r = make_ends(pair, errors);

    if (r < 0)
        return r;
    init(server, c, who);
    pid_t pid = fork();
    if (pid == 0)
        become_server(c, &cfg_upstream(c, who->upstream)->stdio, pair[1], errors[1]);
    r = pid < 0 ? -errno : 0;
    close(pair[1]);
    close(errors[1]);
    server->fds[SPAWN_FD_STREAM] = pair[0];
    server->fds[SPAWN_FD_ERRORS] = errors[0];
    if (pid > 0 && (server->fds[SPAWN_FD_PROCESS] = (int)syscall(SYS_pidfd_open, pid, 0)) < 0) {
        r = -errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    if (r < 0) {
        for (unsigned i = 0; i < SPAWN_FDS; i++)
            close_fd(&server->fds[i]);
        return r;
    }
    server->who.pid = pid;
    server->is_ours = true;
    log_debug("upstream %s: started pid %d", server->name, (int)pid);
    return 0;
}

void
server_adopt(struct server *server, const struct config *c, const struct spawn_server *who,
             const int fds[SPAWN_FDS])
{
    init(server, c, who);
    memcpy(server->fds, fds, sizeof server->fds);
    server->is_kept = true;
}

/* --- ending --- */

static bool
has_ended(const struct server *server)
{
    struct pollfd ended = {server->fds[SPAWN_FD_PROCESS], POLLIN, 0};

    return poll(&ended, 1, 0) == 1;
}

/* The number is its group's as long as the process has not been reaped, which is not done before
 * server_reap(). */
static void
signal_group(const struct server *server, int signal)
{
    if (kill(-server->who.pid, signal) && !has_ended(server)) /* it has not come to its setsid() yet */
        syscall(SYS_pidfd_send_signal, server->fds[SPAWN_FD_PROCESS], signal, NULL, 0);
}

void
server_stop(struct server *server, uint64_t now_ms, uint32_t grace_ms)
{
    if (server->state != SERVER_RUNS)
        return;
    shutdown(server->fds[SPAWN_FD_STREAM], SHUT_WR);
    server->state = SERVER_CLOSED;
    server->due_ms = now_ms + grace_ms;
}

void
server_kill(struct server *server)
{
    signal_group(server, SIGKILL);
    server->state = SERVER_KILLED;
    server->due_ms = UINT64_MAX;
}

void
server_tick(struct server *server, uint64_t now_ms, uint32_t grace_ms)
{
    if (server->state == SERVER_RUNS || server->state == SERVER_ENDED || now_ms < server->due_ms)
        return;
    if (server->state == SERVER_CLOSED) {
        log_info("upstream %s: pid %d has not ended with its input: SIGTERM", server->name, server->who.pid);
        signal_group(server, SIGTERM);
        server->state = SERVER_TERMINATED;
        server->due_ms = now_ms + grace_ms;
    } else if (server->state == SERVER_TERMINATED) {
        log_warning("upstream %s: pid %d has not ended after SIGTERM: SIGKILL", server->name,
                    server->who.pid);
        server_kill(server);
    }
}

/* "exit status 1", "signal 9 (Killed)". Whose parent we are not only the supervisor knows. */
static void
describe(const struct server *server, const siginfo_t *info, char *text, size_t size)
{
    if (!server->is_ours)
        snprintf(text, size, "an unknown status");
    else if (info->si_code == CLD_EXITED)
        snprintf(text, size, "exit status %d", info->si_status);
    else
        snprintf(text, size, "signal %d (%s)", info->si_status, strsignal(info->si_status));
}

bool
server_reap(struct server *server, uint64_t now_ms)
{
    idtype_t type = P_PIDFD;
    id_t id = (id_t)server->fds[SPAWN_FD_PROCESS];
    siginfo_t info = {0};
    char how[80];

    if (!has_ended(server))
        return false;
    if (server->is_ours)
        waitid(type, id, &info, WEXITED | WNOHANG | WNOWAIT);
    server_read_errors(server, now_ms);
    describe(server, &info, how, sizeof how);
    /* It may have ended by itself before it could hear that it should. */
    bool by_itself = server->state == SERVER_RUNS || (server->state == SERVER_CLOSED && info.si_status != 0);
    log_write(by_itself ? LOG_WARNING : LOG_DEBUG, "upstream %s: pid %d ended with %s", server->name,
              server->who.pid, how);
    kill(-server->who.pid, SIGKILL); /* what it has left behind */
    if (server->is_ours)
        waitid(type, id, &info, WEXITED | WNOHANG);
    for (unsigned i = 0; i < SPAWN_FDS; i++)
        close_fd(&server->fds[i]);
    server->state = SERVER_ENDED;
    server->due_ms = UINT64_MAX;
    server->to_tell = 0;
    return true;
}

/* --- stderr --- */

static void
log_line(struct server *server, uint64_t now_ms)
{
    struct server_errors *e = &server->errors;

    if (e->second != now_ms / 1000) {
        if (e->dropped)
            log_warning("upstream %s: pid %d: %u lines more", server->name, server->who.pid, e->dropped);
        e->second = now_ms / 1000;
        e->lines = e->dropped = 0;
    }
    while (e->len && e->line[e->len - 1] == '\r')
        e->len--;
    for (unsigned i = 0; i < e->len; i++)
        if ((unsigned char)e->line[i] < 0x20 || e->line[i] == 0x7f)
            e->line[i] = ' ';
    if (e->len && e->lines++ < SERVER_LINES_A_SECOND)
        log_info("upstream %s: pid %d: %.*s%s", server->name, server->who.pid, (int)e->len, e->line,
                 e->cut ? "..." : "");
    else if (e->len)
        e->dropped++;
    e->len = 0;
    e->cut = false;
}

static void
take_errors(struct server *server, const char *at, size_t len, uint64_t now_ms)
{
    struct server_errors *e = &server->errors;

    for (size_t i = 0; i < len; i++) {
        if (at[i] == '\n')
            log_line(server, now_ms);
        else if (e->len < SERVER_LINE_MAX)
            e->line[e->len++] = at[i];
        else
            e->cut = true;
    }
}

/* A few pieces a turn, so that one that floods does not hold up the others; its pipe fills meanwhile. */
void
server_read_errors(struct server *server, uint64_t now_ms)
{
    char piece[4096];
    ssize_t n = 0;

    for (int i = 0; i < 16 && server->fds[SPAWN_FD_ERRORS] >= 0; i++) {
        n = read(server->fds[SPAWN_FD_ERRORS], piece, sizeof piece);
        if (n <= 0)
            break;
        take_errors(server, piece, (size_t)n, now_ms);
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        log_line(server, now_ms);
        close_fd(&server->fds[SPAWN_FD_ERRORS]);
    }
}
