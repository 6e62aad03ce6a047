/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's program with children that only do what a test tells them: a client connects, sends one line
 * "<command> <slot|*> [argument]" and gets one line back; "other" means that another slot took the
 * connection, or for * that one did which drains. With $FAKE_DIR set, a child looks at its start for files
 * there: "crash-<slot>" (exit 9) and "fail-<slot>" (FAILED with the file's text); as long as
 * "late-<slot>" is there it is not ready, and as long as "busy-<slot>" is it has an open request.
 */
#include "base/check.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "ipc/resolve.h"
#include "main/program.h"
#include "proc/resolve.h"
#include "stats/stats.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LISTENERS_MAX = 4 * HANDOVER_LISTENERS_MAX };

struct fake {
    struct child *child;
    unsigned listener_count;
    int listeners[LISTENERS_MAX];
    bool draining, stubborn, ended;
    uint64_t busy_until_ms; /* an open request ends then */
};

static uint64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
say(const struct fake *f, enum control_kind kind, uint32_t arg, const char *text)
{
    control_send(f->child->control_fd, kind, f->child->h.epoch, arg, 0, text, NULL, 0);
}

static bool
was_told(const struct fake *f, const char *what, char *text, size_t size)
{
    const char *dir = getenv("FAKE_DIR");
    char path[300];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s-%u", dir ? dir : "/nonexistent", what, f->child->h.slot);
    if (!(file = fopen(path, "re")))
        return false;
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
    return true;
}

/* Dies, but something of it holds on to its control socket, as its ring would. */
static void
die_slowly(const struct fake *f)
{
    char text[8];

    if (fork() > 0)
        kill(getpid(), SIGKILL);
    close_range((unsigned)f->child->control_fd + 1, ~0u, 0);
    while (was_told(f, "hold", text, sizeof text))
        poll(NULL, 0, 5);
    _exit(0);
}

/* Asks until resolve answers: a channel that ended is replaced by a message on the control socket. */
static void
resolve(struct fake *f, const char *name, char *reply, size_t size)
{
    struct resolve_question question = {.id = 7, .port = 80};
    struct resolve_answer answer;
    char ip[INET6_ADDRSTRLEN];
    int *fd = &f->child->fds[FD_RESOLVE];

    snprintf(question.name, sizeof question.name, "%s", name);
    for (uint64_t end = now_ms() + 8000; now_ms() < end;) {
        struct pollfd ready = {*fd, POLLIN, 0};
        unsigned no_fds = 0, one = 1;
        struct control message;
        int fresh;

        stats_turn(f->child->slot, now_ms() * 1000000);
        channel_send(*fd, &question, sizeof question, NULL, 0);
        poll(&ready, 1, 200);
        if (channel_receive(*fd, &answer, sizeof answer, NULL, &no_fds) == sizeof answer && answer.id == 7) {
            if (answer.error)
                snprintf(reply, size, "error %s", answer.text);
            else
                snprintf(reply, size, "%u %s", answer.addresses[0].port,
                         inet_ntop(AF_INET6, answer.addresses[answer.count - 1].ip, ip, sizeof ip));
            return;
        }
        if (control_receive(f->child->control_fd, &message, &fresh, &one) == 1 &&
            message.kind == CONTROL_RESOLVE && one == 1) {
            close(*fd);
            *fd = fresh;
        }
    }
    snprintf(reply, size, "no answer");
}

static void
obey(struct fake *f, const char *command, const char *argument, char *reply, size_t size)
{
    const struct rlimit no_core = {0, 0};

    setrlimit(RLIMIT_CORE, &no_core);
    snprintf(reply, size, "ok");
    if (strcmp(command, "who") == 0)
        snprintf(reply, size, "%u %d %u %u", f->child->h.slot, (int)getpid(), f->child->h.epoch,
                 f->child->h.generation);
    else if (strcmp(command, "ready") == 0)
        snprintf(reply, size, "%s", f->draining ? "draining" : "ready");
    else if (strcmp(command, "crash") == 0)
        kill(getpid(), SIGKILL);
    else if (strcmp(command, "linger") == 0)
        die_slowly(f);
    else if (strcmp(command, "exit") == 0)
        _exit(3);
    else if (strcmp(command, "check") == 0)
        ASSERT(strcmp(argument, "impossible") == 0);
    else if (strcmp(command, "count") == 0)
        stats_add(f->child->slot, STAT_requests_begun, 1);
    else if (strcmp(command, "log") == 0)
        log_info("%s", argument);
    else if (strcmp(command, "flood") == 0)
        for (unsigned i = 0; i < strtoul(argument, NULL, 10); i++)
            log_info("line %u of a flood that nobody reads", i);
    else if (strcmp(command, "resolve") == 0)
        resolve(f, argument, reply, size);
    else if (strcmp(command, "busy") == 0)
        f->busy_until_ms = now_ms() + strtoull(argument, NULL, 10);
    else if (strcmp(command, "stubborn") == 0)
        f->stubborn = true;
    else if (strcmp(command, "wedge") == 0)
        while (f->child) /* as a worker in an endless loop */
            poll(NULL, 0, 1000);
    else
        snprintf(reply, size, "unknown");
}

static void
serve(struct fake *f, int fd)
{
    char line[512], command[32] = "", slot[16] = "", argument[256] = "", reply[256] = "other";
    struct pollfd ready = {fd, POLLIN, 0};

    if (poll(&ready, 1, 1000) == 1) {
        ssize_t n = read(fd, line, sizeof line - 1);
        line[n > 0 ? n : 0] = '\0';
        sscanf(line, "%31s %15s %255[^\n]", command, slot, argument);
        bool is_for_us = slot[0] == '*' ? !f->draining || strcmp(command, "ready") == 0
                                        : (unsigned)atoi(slot) == f->child->h.slot;

        if (is_for_us)
            obey(f, command, argument, reply, sizeof reply);
        strcat(reply, "\n");
        if (send(fd, reply, strlen(reply), MSG_NOSIGNAL) < 0)
            log_debug("the client has gone");
    }
    close(fd);
}

static void
accept_all(struct fake *f)
{
    for (unsigned i = 0; i < f->listener_count; i++) {
        int fd;
        while ((fd = accept4(f->listeners[i], NULL, NULL, SOCK_CLOEXEC)) >= 0)
            serve(f, fd);
    }
}

static void
drain(struct fake *f)
{
    f->draining = true;
    stats_slot_set_state(f->child->slot, SLOT_DRAINING);
    if (f->child->h.role == ROLE_ADMIN)
        return;
    accept_all(f);
    while (f->listener_count)
        close(f->listeners[--f->listener_count]);
}

static void
read_control(struct fake *f)
{
    int fds[HANDOVER_LISTENERS_MAX];
    unsigned count = HANDOVER_LISTENERS_MAX;
    struct control message;
    int n = control_receive(f->child->control_fd, &message, fds, &count);

    if (n == -EAGAIN)
        return;
    if (n <= 0)
        _exit(5);
    if (message.kind == CONTROL_ADOPT && f->listener_count + count <= LISTENERS_MAX) {
        memcpy(f->listeners + f->listener_count, fds, count * sizeof *fds);
        f->listener_count += count;
    } else if (message.kind == CONTROL_RESOLVE && count == 1) {
        close(f->child->fds[FD_RESOLVE]);
        f->child->fds[FD_RESOLVE] = fds[0];
    } else if (message.kind == CONTROL_DRAIN && !f->stubborn) {
        drain(f);
    } else if (message.kind == CONTROL_STOP && !f->stubborn) {
        f->ended = true;
    }
}

static void
loop(struct fake *f)
{
    char text[200];

    while (!f->ended) {
        struct pollfd polled[1 + LISTENERS_MAX] = {{f->child->control_fd, POLLIN, 0}};

        for (unsigned i = 0; i < f->listener_count; i++)
            polled[1 + i] = (struct pollfd){f->listeners[i], POLLIN, 0};
        poll(polled, 1 + f->listener_count, 50);
        stats_turn(f->child->slot, now_ms() * 1000000);
        accept_all(f);
        read_control(f);
        if (f->draining && f->child->h.role == ROLE_WORKER && now_ms() >= f->busy_until_ms &&
            !was_told(f, "busy", text, sizeof text)) {
            if (f->busy_until_ms)
                stats_add(f->child->slot, STAT_requests_begun, 1);
            say(f, CONTROL_DRAINED, 0, NULL);
            f->ended = true;
        }
    }
}

static int
fake_main(struct child *child)
{
    struct fake f = {.child = child, .listener_count = child->h.listeners};
    char text[200];

    if (was_told(&f, "crash", text, sizeof text))
        return 9;
    if (was_told(&f, "fail", text, sizeof text)) {
        say(&f, CONTROL_FAILED, (uint32_t)(strcmp(text, "memory") == 0 ? ENOMEM : EPERM), text);
        return 1;
    }
    while (was_told(&f, "late", text, sizeof text))
        usleep(1000);
    memcpy(f.listeners, child->listeners, child->h.listeners * sizeof *child->listeners);
    ASSERT(child->keys && child->keys->keys[child->keys->current].id != 0);
    stats_slot_set_state(child->slot, SLOT_READY);
    say(&f, CONTROL_READY, 0, NULL);
    loop(&f);
    return 0;
}

/* In place of libc's: the user `mcpgate` exists when the test says so, as $FAKE_UID. */
struct passwd *
getpwnam(const char *name)
{
    static struct passwd user;
    const char *uid = getenv("FAKE_UID");

    if (!uid || strcmp(name, "mcpgate") != 0)
        return NULL;
    user.pw_uid = user.pw_gid = (uid_t)atoi(uid);
    return &user;
}

int
main(int argc, char **argv)
{
    static const struct child_role roles[] = {{ROLE_WORKER, fake_main},
                                              {ROLE_ADMIN, fake_main},
                                              {ROLE_RESOLVE, resolve_main},
                                              {ROLE_SUPERVISOR, NULL}};

    return program_main(argc, argv, roles);
}
