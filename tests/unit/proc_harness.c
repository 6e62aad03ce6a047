/* SPDX-License-Identifier: Apache-2.0 */
#include "proc_harness.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_MS = 20000, STEP_MS = 10, ARGS_MAX = 40 };

bool
wait_more(const char *what, int *elapsed_ms)
{
    cr_assert_lt(*elapsed_ms, WAIT_MS, "waited in vain for: %s", what);
    *elapsed_ms += STEP_MS;
    poll(NULL, 0, STEP_MS);
    return true;
}

void
gateway_make(struct gateway *g)
{
    memset(g, 0, sizeof *g);
    strcpy(g->dir, "/tmp/mcpgate-test-XXXXXX");
    cr_assert(mkdtemp(g->dir));
    g->stderr_fd = -1;
}

void
gateway_start(struct gateway *g, const char *const *args)
{
    const char *program = getenv("FAKE_GATEWAY"), *argv[ARGS_MAX];
    char run[128], state[128];
    int pipe_fds[2];
    unsigned n = 0;

    cr_assert(program, "FAKE_GATEWAY names the program");
    snprintf(run, sizeof run, "%s/run", g->dir);
    snprintf(state, sizeof state, "%s/state", g->dir);
    const char *const usual[] = {program, "--run-dir", run, "--state-dir", state, NULL};
    for (unsigned i = 0; usual[i]; i++)
        argv[n++] = usual[i];
    for (; args && *args && n < ARGS_MAX - 1; args++)
        argv[n++] = *args;
    argv[n] = NULL;
    cr_assert(pipe2(pipe_fds, O_CLOEXEC) == 0);
    fflush(NULL);
    g->pid = fork();
    if (g->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test takes its gateway along */
        dup2(pipe_fds[1], STDOUT_FILENO);
        dup2(pipe_fds[1], STDERR_FILENO);
        setenv("FAKE_DIR", g->dir, 1);
        execv(program, (char *const *)(size_t)argv);
        _exit(126);
    }
    close(pipe_fds[1]);
    if (g->stderr_fd >= 0)
        close(g->stderr_fd);
    g->stderr_fd = pipe_fds[0];
    g->said_len = 0;
    g->said[0] = '\0';
    fcntl(g->stderr_fd, F_SETFL, O_NONBLOCK);
}

static void
listen_to(struct gateway *g)
{
    ssize_t n;

    while (g->said_len < sizeof g->said - 1 &&
           (n = read(g->stderr_fd, g->said + g->said_len, sizeof g->said - 1 - g->said_len)) > 0)
        g->said_len += (size_t)n;
    g->said[g->said_len] = '\0';
}

bool
gateway_has_said(struct gateway *g, const char *text)
{
    listen_to(g);
    return strstr(g->said, text) != NULL;
}

void
gateway_wait_said(struct gateway *g, size_t from, const char *text)
{
    int waited = 0;

    for (;;) {
        listen_to(g);
        if (from <= g->said_len && strstr(g->said + from, text))
            return;
        cr_assert_lt(waited, WAIT_MS, "waited in vain for \"%s\" in:\n%s", text, g->said);
        wait_more(text, &waited);
    }
}

static unsigned
port_after(const char *text, const char *mark)
{
    const char *at = strstr(text, mark);

    at = at ? strstr(at, "http://127.0.0.1:") : NULL;
    return at ? (unsigned)atoi(at + strlen("http://127.0.0.1:")) : 0;
}

void
gateway_wait_ready(struct gateway *g)
{
    gateway_wait_said(g, 0, "ready: listening on ");
    gateway_wait_said(g, 0, "worker");
    g->port = port_after(g->said, "ready: listening on ");
    g->admin_port = port_after(g->said, "admin ");
}

void
gateway_up(struct gateway *g, const char *const *args)
{
    const char *all[ARGS_MAX] = {"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "2"};

    for (unsigned i = 6; args && *args; i++)
        all[i] = *args++;
    gateway_make(g);
    gateway_start(g, all);
    gateway_wait_ready(g);
}

int
gateway_wait_end(struct gateway *g)
{
    int status, waited = 0;

    while (waitpid(g->pid, &status, WNOHANG) == 0) {
        listen_to(g);
        cr_assert_lt(waited, WAIT_MS, "the gateway does not end:\n%s", g->said);
        wait_more("the gateway's end", &waited);
    }
    listen_to(g);
    g->pid = 0;
    cr_assert(!strstr(g->said, "Sanitizer") && !strstr(g->said, "runtime error"), "%s", g->said);
    return status;
}

static void
remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char child[600];

    while (dir && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (unlink(child))
            remove_tree(child);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

void
gateway_clean(struct gateway *g)
{
    if (g->pid > 0) {
        kill(g->pid, SIGKILL);
        waitpid(g->pid, NULL, 0);
    }
    if (g->stderr_fd >= 0)
        close(g->stderr_fd);
    remove_tree(g->dir);
}

void
gateway_down(struct gateway *g)
{
    kill(g->pid, SIGTERM);
    int status = gateway_wait_end(g);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x:\n%s", (unsigned)status, g->said);
    gateway_clean(g);
}

bool
gateway_ask(unsigned port, const char *line, char *reply, size_t size)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval limit = {.tv_sec = WAIT_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t len = 0;
    ssize_t n;

    reply[0] = '\0';
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (const struct sockaddr *)&in, sizeof in) ||
        send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line)) {
        close(fd);
        return false;
    }
    while (len < size - 1 && (n = read(fd, reply + len, size - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    reply[len] = '\0';
    reply[strcspn(reply, "\n")] = '\0';
    return len > 0;
}

void
gateway_command(struct gateway *g, const char *command, const char *slot, const char *argument, char *reply,
                size_t size)
{
    char line[400];
    int waited = 0;

    snprintf(line, sizeof line, "%s %s %s\n", command, slot, argument);
    do {
        gateway_ask(g->port, line, reply, size);
    } while (strcmp(reply, "other") == 0 && wait_more(line, &waited));
}

struct who
gateway_wait_who(struct gateway *g, unsigned slot, unsigned epoch)
{
    struct who who = {0};
    char reply[128];
    int waited = 0;

    for (;;) {
        if (gateway_ask(g->port, "who *\n", reply, sizeof reply) &&
            sscanf(reply, "%u %d %u %u", &who.slot, &who.pid, &who.epoch, &who.generation) == 4 &&
            who.slot == slot && who.epoch >= epoch)
            return who;
        cr_assert_lt(waited, WAIT_MS, "slot %u epoch %u does not answer:\n%s", slot, epoch, g->said);
        wait_more("who", &waited);
    }
}

static void
file_path(const struct gateway *g, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", g->dir, name);
}

void
gateway_write_file(struct gateway *g, const char *name, const char *text)
{
    char path[200];
    FILE *file;

    file_path(g, name, path, sizeof path);
    cr_assert(file = fopen(path, "we"));
    cr_assert(fputs(text, file) >= 0 && fclose(file) == 0);
}

void
gateway_remove_file(struct gateway *g, const char *name)
{
    char path[200];

    file_path(g, name, path, sizeof path);
    cr_assert(unlink(path) == 0);
}

unsigned
children_of(pid_t pid, pid_t *ret_pids, unsigned max)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    unsigned count = 0;

    while ((entry = readdir(proc))) {
        char path[300], text[400];
        int parent = 0;
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = atoi(entry->d_name) > 0 ? fopen(path, "re") : NULL;
        if (!file)
            continue;
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
        const char *after_name = strrchr(text, ')');
        if (after_name && sscanf(after_name, ") %*c %d", &parent) == 1 && parent == pid && count < max)
            ret_pids[count++] = atoi(entry->d_name);
    }
    closedir(proc);
    return count;
}
