/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's promises, on a gateway whose children are puppets (proc_fake_gateway.c). */
#include "proc_harness.h"

#include "stats/segment.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct gateway g, other;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* With nothing but one line on stderr. */
static void
assert_refused_in_one_line(struct gateway *gateway, int status, const char *text)
{
    int end = gateway_wait_end(gateway);
    const char *newline = strchr(gateway->said, '\n');

    cr_assert(WIFEXITED(end) && WEXITSTATUS(end) == status, "status %x:\n%s", (unsigned)end, gateway->said);
    cr_assert(strstr(gateway->said, text), "no \"%s\" in:\n%s", text, gateway->said);
    cr_assert(newline && newline[1] == '\0' && strncmp(gateway->said, "mcpgate: ", 9) == 0, "%s",
              gateway->said);
}

static void
read_file(char *text, size_t size, const char *format, ...)
{
    char path[300];
    va_list args;

    va_start(args, format);
    vsnprintf(path, sizeof path, format, args);
    va_end(args);
    FILE *file = fopen(path, "re");
    cr_assert(file, "%s", path);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

static int
connect_to(unsigned port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (const struct sockaddr *)&in, sizeof in) == 0)
        return fd;
    close(fd);
    return -1;
}

/* --- start and end --- */

Test(supervisor, starts_says_ready_and_ends_with_0_on_sigterm)
{
    char reply[64];

    gateway_up(&g, NULL);
    cr_assert(gateway_ask(g.port, "who *\n", reply, sizeof reply), "%s", g.said);
    cr_assert(gateway_ask(g.admin_port, "ready *\n", reply, sizeof reply));
    cr_assert_str_eq(reply, "ready");
    cr_assert(strstr(g.said, "(2 workers, admin http://127.0.0.1:"), "%s", g.said);
    gateway_down(&g);
}

Test(supervisor, names_every_address_on_the_ready_line)
{
    char path[128], wanted[200];

    gateway_make(&g);
    snprintf(path, sizeof path, "unix:%s/sock", g.dir);
    gateway_start(&g, ARGS("--listen", path, "--listen", "[::1]:0", "--admin", "off", "--workers", "1"));
    gateway_wait_ready(&g);
    snprintf(wanted, sizeof wanted, "listening on %s, http://[::1]:", path);
    cr_assert(strstr(g.said, wanted), "%s", g.said);
    cr_assert(strstr(g.said, " (1 worker)\n"), "%s", g.said);
    gateway_down(&g);
}

Test(supervisor, starts_whom_no_client_waits_for_when_all_workers_are_ready)
{
    gateway_make(&g);
    gateway_write_file(&g, "late-1", "");
    gateway_start(&g, ARGS("--log-level", "debug"));
    gateway_wait_said(&g, 0, "worker 0 (pid ");
    cr_assert_not(gateway_has_said(&g, "worker 1 (pid "), "%s", g.said);
    cr_assert_not(gateway_has_said(&g, "admin 2: starting"), "%s", g.said);
    cr_assert_not(gateway_has_said(&g, "resolve 3: starting"), "%s", g.said);
    gateway_remove_file(&g, "late-1");
    gateway_wait_ready(&g);
    const char *worker = strstr(g.said, "worker 1 (pid "), *admin = strstr(g.said, "admin 2: starting");
    cr_assert(worker && admin && worker < admin, "%s", g.said);
    cr_assert(gateway_has_said(&g, "resolve 3: starting"), "%s", g.said);
    gateway_down(&g);
}

Test(supervisor, does_not_let_names_wait_for_the_workers)
{
    gateway_make(&g);
    gateway_write_file(&g, "late-1", "");
    gateway_start(&g, ARGS("--log-level", "debug", "--upstream", "a=http://localhost:1/mcp"));
    gateway_wait_said(&g, 0, "resolve 3 (pid ");
    cr_assert_not(gateway_has_said(&g, "worker 1 (pid "), "%s", g.said);
    gateway_remove_file(&g, "late-1");
    gateway_wait_ready(&g);
    gateway_down(&g);
}

Test(supervisor, shows_role_and_slot_in_ps)
{
    pid_t pids[16];
    char line[64],
        wanted[][32] = {"mcpgate: worker 0", "mcpgate: worker 1", "mcpgate: admin", "mcpgate: resolve"};
    unsigned count, found = 0;

    gateway_up(&g, NULL);
    read_file(line, sizeof line, "/proc/%d/cmdline", (int)g.pid);
    cr_assert(strncmp(line, "mcpgate: supervisor --", 22) == 0, "%s",
              line); /* its arguments stay behind it */
    count = children_of(g.pid, pids, 16);
    cr_assert_eq(count, 4);
    for (unsigned i = 0; i < count; i++) {
        read_file(line, sizeof line, "/proc/%d/cmdline", (int)pids[i]);
        for (unsigned k = 0; k < 4; k++)
            found |= strcmp(line, wanted[k]) == 0 ? 1u << k : 0;
    }
    cr_assert_eq(found, 15u);
    gateway_down(&g);
}

Test(supervisor, leaves_its_children_no_rights_and_no_stray_descriptors)
{
    char status[4096], path[64];
    struct stat st;
    unsigned count = 0;

    gateway_up(&g, NULL);
    struct who who = gateway_wait_who(&g, 0, 1);
    read_file(status, sizeof status, "/proc/%d/status", who.pid);
    cr_assert(strstr(status, "NoNewPrivs:\t1"), "%s", status);
    cr_assert(strstr(status, "CapEff:\t0000000000000000"), "%s", status);
    cr_assert(strstr(status, "CapPrm:\t0000000000000000"), "%s", status);
    for (int fd = 0; fd < 64; fd++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", who.pid, fd);
        count += stat(path, &st) == 0;
    }
    /* standard three, control, seven of the handover, one listener, and perhaps still who asked who it is */
    cr_assert_leq(count, 13);
    gateway_down(&g);
}

Test(supervisor, gives_its_children_the_user_mcpgate_when_root_starts_it)
{
    char status[4096], wanted[32], path[100], reply[64];
    uid_t uid = geteuid() == 0 ? 65534 : geteuid(); /* nobody else can change it */
    struct stat st;

    setenv("FAKE_UID", "65534", 1);
    gateway_up(&g, NULL);
    for (unsigned epoch = 1; epoch <= 2; epoch++) {
        struct who who = gateway_wait_who(&g, 0, epoch);
        read_file(status, sizeof status, "/proc/%d/status", who.pid);
        snprintf(wanted, sizeof wanted, "Uid:\t%u\t%u\t%u\t%u\n", uid, uid, uid, uid);
        cr_assert(strstr(status, wanted), "%s", status);
        cr_assert(geteuid() || strstr(status, "Groups:\t \n"), "%s", status);
        snprintf(path, sizeof path, "%s/run/home-0.sock", g.dir);
        cr_assert(stat(path, &st) == 0 && st.st_uid == uid && (st.st_mode & 0777) == 0600);
        gateway_command(&g, "crash", "0", "", reply, sizeof reply);
    }
    gateway_down(&g);
}

Test(supervisor, warns_root_that_there_is_no_user_mcpgate)
{
    static const char text[] = "warning supervisor: started by root, and there is no user `mcpgate`";
    const bool is_root = geteuid() == 0;

    gateway_up(&g, NULL);
    if (is_root)
        gateway_wait_said(&g, 0, text);
    gateway_down(&g);
    cr_assert_eq(strstr(g.said, text) != NULL, is_root, "%s", g.said);
    setenv("FAKE_UID", "65534", 1);
    gateway_up(&g, NULL);
    gateway_down(&g);
    cr_assert_null(strstr(g.said, text), "%s", g.said);
}

Test(supervisor, refuses_a_second_gateway_in_the_run_directory)
{
    char pid[32], run[100];

    gateway_up(&g, NULL);
    gateway_make(&other);
    snprintf(run, sizeof run, "%s/run", g.dir);
    gateway_start(&other, ARGS("--run-dir", run, "--listen", "127.0.0.1:0", "--admin", "off"));
    snprintf(pid, sizeof pid, "(pid %d)", (int)g.pid);
    assert_refused_in_one_line(&other, 1, pid);
    cr_assert(strstr(other.said, "--run-dir"));
    gateway_clean(&other);
    gateway_down(&g);
}

Test(supervisor, refuses_a_port_that_another_program_listens_on)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof in;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    char address[32];

    /* even one that would share it */
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    cr_assert(bind(fd, (const struct sockaddr *)&in, sizeof in) == 0 && listen(fd, 1) == 0);
    getsockname(fd, (struct sockaddr *)&in, &len);
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(in.sin_port));
    gateway_make(&g);
    gateway_start(&g, ARGS("--listen", address, "--admin", "off"));
    assert_refused_in_one_line(&g, 1, "in use");
    cr_assert(strstr(g.said, address), "%s", g.said);
    gateway_clean(&g);
}

Test(supervisor, refuses_a_bad_option_with_status_2)
{
    gateway_make(&g);
    gateway_start(&g, ARGS("--no-such-flag"));
    assert_refused_in_one_line(&g, 2, "--no-such-flag");
    gateway_clean(&g);
}

Test(supervisor, refuses_a_key_file_that_others_can_read)
{
    char path[100];

    gateway_make(&g);
    gateway_write_file(&g, "keys", "");
    snprintf(path, sizeof path, "%s/keys", g.dir);
    chmod(path, 0644);
    gateway_start(&g, ARGS("--key-file", path, "--listen", "127.0.0.1:0", "--admin", "off"));
    assert_refused_in_one_line(&g, 1, "chmod 600");
    gateway_clean(&g);
}

Test(supervisor, makes_a_private_key_file_and_keeps_it)
{
    char path[100], before[1024], after[1024];
    struct stat st;

    gateway_up(&g, NULL);
    snprintf(path, sizeof path, "%s/state/keys", g.dir);
    cr_assert(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    read_file(before, sizeof before, "%s", path);
    kill(g.pid, SIGTERM);
    gateway_wait_end(&g);
    gateway_start(&g, ARGS("--listen", "127.0.0.1:0", "--admin", "off"));
    gateway_wait_ready(&g);
    read_file(after, sizeof after, "%s", path);
    cr_assert_str_eq(before, after);
    gateway_down(&g);
}

Test(supervisor, refuses_to_start_with_too_few_descriptors)
{
    const struct rlimit limit = {90, 90};

    gateway_make(&g);
    setrlimit(RLIMIT_NOFILE, &limit);
    gateway_start(&g, ARGS("--listen", "127.0.0.1:0", "--admin", "off"));
    assert_refused_in_one_line(&g, 1, "ulimit -n");
    gateway_clean(&g);
}

Test(supervisor, warns_when_descriptors_are_fewer_than_max_connections_may_need)
{
    const struct rlimit limit = {1000, 1000};

    setrlimit(RLIMIT_NOFILE, &limit);
    gateway_up(&g, NULL);
    cr_assert(strstr(g.said, "warning supervisor: the limit of 1000 descriptors"), "%s", g.said);
    gateway_down(&g);
}

Test(supervisor, passes_on_in_one_line_why_a_child_could_not_start)
{
    gateway_make(&g);
    gateway_write_file(&g, "fail-1", "io_uring is forbidden: allow it");
    gateway_start(&g, ARGS("--listen", "127.0.0.1:0", "--admin", "off", "--workers", "2"));
    assert_refused_in_one_line(&g, 1, "mcpgate: io_uring is forbidden: allow it\n");
    gateway_clean(&g);
}

Test(supervisor, adds_up_the_locked_memory_that_a_child_could_not_get)
{
    const struct rlimit limit = {64 << 10, 64 << 10}, no_limit = {RLIM_INFINITY, RLIM_INFINITY};
    bool may_raise = setrlimit(RLIMIT_MEMLOCK, &no_limit) == 0; /* CAP_SYS_RESOURCE */

    gateway_make(&g);
    gateway_write_file(&g, "fail-0", "memory");
    setrlimit(RLIMIT_MEMLOCK, &limit);
    gateway_start(&g, ARGS("--listen", "127.0.0.1:0", "--admin", "off", "--workers", "3"));
    if (may_raise)
        assert_refused_in_one_line(&g, 1, "mcpgate: memory\n");
    else
        assert_refused_in_one_line(&g, 1, "3 io_urings lock about 1680 KiB together; the limit is 64 KiB");
    gateway_clean(&g);
}

Test(supervisor, gives_up_when_a_child_dies_again_and_again_before_it_is_ready)
{
    gateway_make(&g);
    gateway_write_file(&g, "crash-1", "");
    gateway_start(&g, ARGS("--listen", "127.0.0.1:0", "--admin", "off", "--workers", "2"));
    gateway_wait_said(&g, 0, "mcpgate: worker 1 died 5 times before it was ready");
    int end = gateway_wait_end(&g);
    cr_assert(WIFEXITED(end) && WEXITSTATUS(end) == 1);
    cr_assert(strstr(g.said, "exit status 9"), "%s", g.said);
    gateway_clean(&g);
}

/* --- unix listeners --- */

Test(supervisor, replaces_a_stale_socket_file_refuses_a_live_one_and_removes_its_own)
{
    char path[100], address[108];
    struct stat st;

    gateway_make(&g);
    snprintf(path, sizeof path, "%s/sock", g.dir);
    snprintf(address, sizeof address, "unix:%s", path);
    gateway_start(&g, ARGS("--listen", address, "--admin", "off"));
    gateway_wait_ready(&g);
    kill(g.pid, SIGKILL);
    gateway_wait_end(&g);
    cr_assert(lstat(path, &st) == 0, "killed, it leaves the file");

    gateway_start(&g, ARGS("--listen", address, "--admin", "off"));
    gateway_wait_ready(&g);
    gateway_make(&other);
    gateway_start(&other, ARGS("--listen", address, "--admin", "off"));
    assert_refused_in_one_line(&other, 1, "a process is listening there");
    gateway_clean(&other);

    kill(g.pid, SIGTERM);
    gateway_wait_end(&g);
    cr_assert(lstat(path, &st) != 0, "ended in good order, it removes the file");
    gateway_clean(&g);
}

/* Stands for a child of a killed gateway that has not ended yet. */
static int
listen_at(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    unlink(path);
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    cr_assert(bind(fd, (struct sockaddr *)&un, sizeof un) == 0 && listen(fd, 8) == 0);
    return fd;
}

Test(supervisor, waits_a_moment_for_what_a_killed_one_has_left_listening)
{
    char path[100], address[108];
    int left;

    gateway_make(&g);
    snprintf(path, sizeof path, "%s/sock", g.dir);
    snprintf(address, sizeof address, "unix:%s", path);
    gateway_start(&g, ARGS("--listen", address, "--admin", "off"));
    gateway_wait_ready(&g);
    for (unsigned for_good = 0; for_good < 2; for_good++) {
        kill(g.pid, SIGKILL);
        gateway_wait_end(&g);
        left = listen_at(path);
        gateway_start(&g, ARGS("--listen", address, "--admin", "off"));
        close(accept(left, NULL, NULL)); /* it has found it in use */
        if (for_good) {
            assert_refused_in_one_line(&g, 1, "a process is listening there");
        } else {
            close(left);
            gateway_wait_ready(&g);
        }
    }
    close(left);
    unlink(path);
    gateway_clean(&g);
}

Test(supervisor, does_not_replace_a_file_that_is_no_socket)
{
    char address[108];

    gateway_make(&g);
    gateway_write_file(&g, "sock", "precious");
    snprintf(address, sizeof address, "unix:%s/sock", g.dir);
    gateway_start(&g, ARGS("--listen", address, "--admin", "off"));
    assert_refused_in_one_line(&g, 1, "no socket");
    gateway_remove_file(&g, "sock");
    gateway_clean(&g);
}

/* --- death of a child --- */

static void
read_slot(struct slot *ret, unsigned number)
{
    struct segment *segment;
    char path[100];

    snprintf(path, sizeof path, "%s/run/stats", g.dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert(fd >= 0 && segment_map(fd, &segment) == 0);
    memcpy(ret, segment_slot(segment, number), sizeof *ret);
    segment_unmap(&segment);
    close(fd);
}

Test(supervisor, restarts_a_killed_worker_which_continues_its_slot)
{
    struct slot slot;
    char reply[64];

    gateway_up(&g, NULL);
    gateway_command(&g, "count", "0", "", reply, sizeof reply);
    gateway_command(&g, "crash", "0", "", reply, sizeof reply);
    gateway_wait_who(&g, 0, 2);
    gateway_wait_said(&g, 0, "by signal 9 (Killed); open requests: 1; next start in 0 ms");
    read_slot(&slot, 0);
    cr_assert_eq(slot.stats[STAT_requests_begun], 1u);
    cr_assert_eq(slot.stats[STAT_exchanges_finished], 1u, "the open request is closed in its place");
    cr_assert_eq(slot.head.deaths, 1u);
    cr_assert_eq(slot.head.epoch, 2u);
    gateway_down(&g);
}

Test(supervisor, starts_no_worker_before_the_ring_of_the_dead_one_has_ended)
{
    struct slot slot;
    char reply[64];

    gateway_up(&g, NULL);
    gateway_write_file(&g, "hold-0", "");
    gateway_command(&g, "linger", "0", "", reply, sizeof reply);
    gateway_wait_said(&g, 0, "by signal 9 (Killed); open requests: 0; next start in 0 ms");
    poll(NULL, 0, 100);
    read_slot(&slot, 0);
    cr_assert_eq(slot.head.epoch, 1u);
    gateway_remove_file(&g, "hold-0");
    gateway_wait_who(&g, 0, 2);
    gateway_down(&g);
}

Test(supervisor, does_not_wait_for_ever_for_the_ring_of_a_dead_worker)
{
    char reply[64];

    gateway_up(&g, NULL);
    gateway_write_file(&g, "hold-0", "");
    gateway_command(&g, "linger", "0", "", reply, sizeof reply);
    gateway_wait_who(&g, 0, 2);
    gateway_remove_file(&g, "hold-0");
    gateway_down(&g);
}

Test(supervisor, logs_the_failed_check_of_a_worker)
{
    char reply[64];

    gateway_up(&g, NULL);
    gateway_command(&g, "check", "1", "", reply, sizeof reply);
    gateway_wait_said(&g, 0, "strcmp(argument, \"impossible\") == 0");
    cr_assert(strstr(g.said, "by signal 6 (Aborted): check failed at "), "%s", g.said);
    gateway_wait_who(&g, 1, 2);
    gateway_down(&g);
}

Test(supervisor, treats_an_end_that_nobody_asked_for_as_a_death)
{
    char reply[64];

    gateway_up(&g, NULL);
    gateway_command(&g, "exit", "1", "", reply, sizeof reply);
    gateway_wait_said(&g, 0, "worker 1 (pid ");
    gateway_wait_who(&g, 1, 2);
    cr_assert(gateway_has_said(&g, "by exit status 3"), "%s", g.said);
    gateway_down(&g);
}

Test(supervisor, keeps_the_queue_of_a_dead_worker_for_its_next_incarnation)
{
    char reply[64] = "";
    struct who who;

    gateway_up(&g, ARGS("--workers", "1"));
    gateway_write_file(&g, "crash-0", "");
    gateway_command(&g, "crash", "0", "", reply, sizeof reply);
    gateway_wait_said(&g, 0, "next start in 100 ms"); /* dead for a while now */
    int fd = connect_to(g.port);
    cr_assert(fd >= 0, "the supervisor keeps the listener");
    cr_assert(send(fd, "who *\n", 6, 0) == 6);
    gateway_remove_file(&g, "crash-0");
    ssize_t n = recv(fd, reply, sizeof reply - 1, 0);
    cr_assert(n > 0);
    cr_assert(sscanf(reply, "%u %d %u", &who.slot, &who.pid, &who.epoch) == 3 && who.epoch > 1, "%s", reply);
    close(fd);
    gateway_down(&g);
}

Test(supervisor, backs_off_from_a_crash_loop_and_lends_the_listeners_meanwhile)
{
    char reply[64];

    gateway_up(&g, NULL);
    gateway_write_file(&g, "crash-0", "");
    gateway_command(&g, "crash", "0", "", reply, sizeof reply);
    gateway_wait_said(&g, 0, "worker 0 is down: worker 1 accepts for it");
    for (unsigned i = 0; i < 50; i++) { /* of which half go to the dead worker's sockets */
        cr_assert(gateway_ask(g.port, "who *\n", reply, sizeof reply), "connection %u:\n%s", i, g.said);
        cr_assert_eq(atoi(reply), 1);
    }
    gateway_wait_said(&g, 0, "next start in 1000 ms");
    cr_assert(strstr(g.said, "next start in 50 ms") && strstr(g.said, "next start in 800 ms"), "%s", g.said);
    gateway_remove_file(&g, "crash-0");
    gateway_wait_who(&g, 0, 3);
    gateway_down(&g);
}

Test(supervisor, tries_again_each_second_when_a_restarted_worker_reports_a_failure)
{
    char reply[64];

    gateway_up(&g, NULL);
    gateway_write_file(&g, "fail-0", "memory");
    gateway_command(&g, "crash", "0", "", reply, sizeof reply);
    gateway_wait_said(&g, 0, "by exit status 1: memory; open requests: 0; next start in 1000 ms");
    gateway_remove_file(&g, "fail-0");
    gateway_wait_who(&g, 0, 3);
    gateway_down(&g);
}

Test(supervisor, replaces_a_worker_that_stands_still)
{
    char reply[64];

    gateway_up(&g, ARGS("--watchdog", "500ms"));
    gateway_command(&g, "wedge", "0", "", reply, sizeof reply);
    gateway_wait_who(&g, 0, 2);
    gateway_wait_said(&g, 0, "signal 6 (Aborted): it stood still for longer than --watchdog");
    cr_assert_eq(gateway_wait_who(&g, 1, 1).epoch, 1u, "its idle sibling is left alone");
    gateway_down(&g);
}

Test(supervisor, replaces_a_worker_that_not_even_takes_sigabrt)
{
    gateway_up(&g, ARGS("--watchdog", "500ms"));
    struct who who = gateway_wait_who(&g, 0, 1);
    kill(who.pid, SIGSTOP);
    gateway_wait_who(&g, 0, 2);
    gateway_down(&g);
}

Test(supervisor, leaves_no_process_behind_when_it_is_killed)
{
    pid_t pids[16];
    int pidfds[16];

    gateway_up(&g, NULL);
    unsigned count = children_of(g.pid, pids, 16);
    cr_assert_eq(count, 4);
    for (unsigned i = 0; i < count; i++)
        pidfds[i] = (int)syscall(SYS_pidfd_open, pids[i], 0);
    kill(pids[0], SIGSTOP); /* even one that cannot see the end of its control socket */
    kill(g.pid, SIGKILL);
    for (unsigned i = 0; i < count; i++) {
        struct pollfd ended = {pidfds[i], POLLIN, 0};
        cr_assert_eq(poll(&ended, 1, 10000), 1, "process %d lives on", (int)pids[i]);
        close(pidfds[i]);
    }
    gateway_clean(&g);
}

struct load {
    pthread_t thread;
    volatile bool stop;
    volatile unsigned asked;
    unsigned failed;
};

static void *
ask_all_the_time(void *arg)
{
    struct load *load = arg;
    char reply[64];

    while (!load->stop) {
        load->asked++;
        load->failed += !gateway_ask(g.port, "who *\n", reply, sizeof reply);
    }
    return NULL;
}

static void
finish(struct load *load)
{
    int waited = 0;

    while (load->asked < 50)
        wait_more("enough requests", &waited);
    load->stop = true;
    pthread_join(load->thread, NULL);
}

Test(supervisor, refuses_no_connection_while_a_worker_is_killed)
{
    struct load load = {0};
    struct who who;

    gateway_up(&g, NULL);
    pthread_create(&load.thread, NULL, ask_all_the_time, &load);
    for (unsigned epoch = 1; epoch < 4; epoch++) {
        who = gateway_wait_who(&g, 0, epoch);
        kill(who.pid, SIGKILL);
    }
    gateway_wait_who(&g, 0, 4);
    finish(&load);
    cr_assert_leq(load.failed, 3u, "%u of %u failed: only the one that each killed worker held may",
                  load.failed, load.asked);
    gateway_down(&g);
}

/* --- resolve --- */

Test(supervisor, resolves_names_and_reports_those_that_do_not_exist)
{
    char reply[128];

    gateway_up(&g, NULL);
    gateway_command(&g, "resolve", "*", "localhost", reply, sizeof reply);
    cr_assert(strcmp(reply, "80 ::1") == 0 || strcmp(reply, "80 ::ffff:127.0.0.1") == 0, "%s", reply);
    gateway_command(
        &g, "resolve", "*",
        "a-label-that-is-longer-than-sixty-three-octets-which-rfc-1035-does-not-allow-at-all.test", reply,
        sizeof reply);
    cr_assert(strncmp(reply, "error ", 6) == 0, "%s", reply);
    gateway_down(&g);
}

Test(supervisor, gives_the_workers_a_fresh_channel_when_resolve_has_died)
{
    pid_t pids[16];
    char line[64], reply[128];
    unsigned count;

    gateway_up(&g, NULL);
    count = children_of(g.pid, pids, 16);
    for (unsigned i = 0; i < count; i++) {
        read_file(line, sizeof line, "/proc/%d/cmdline", (int)pids[i]);
        if (strcmp(line, "mcpgate: resolve") == 0)
            kill(pids[i], SIGKILL);
    }
    gateway_command(&g, "resolve", "0", "127.0.0.1", reply, sizeof reply);
    cr_assert_str_eq(reply, "80 ::ffff:127.0.0.1");
    gateway_command(&g, "resolve", "1", "127.0.0.1", reply, sizeof reply);
    cr_assert_str_eq(reply, "80 ::ffff:127.0.0.1");
    gateway_down(&g);
}

/* --- log lines --- */

Test(supervisor, writes_the_workers_log_lines)
{
    char reply[64];

    gateway_up(&g, NULL);
    gateway_command(&g, "log", "1", "a line of mine", reply, sizeof reply);
    gateway_wait_said(&g, 0, "Z info worker 1: a line of mine\n");
    gateway_down(&g);
}

Test(supervisor, writes_json_lines_when_asked_to)
{
    char reply[64];

    gateway_up(&g, ARGS("--log-format", "json"));
    gateway_command(&g, "log", "1", "a \"line\" of mine", reply, sizeof reply);
    gateway_wait_said(&g, 0, "\"message\":\"a \\\"line\\\" of mine\"}\n");
    cr_assert(strstr(g.said, "\"role\":\"worker\",\"slot\":1,\"pid\":"), "%s", g.said);
    cr_assert(strstr(g.said, "\"message\":\"ready: listening on http://127.0.0.1:"), "%s", g.said);
    gateway_down(&g);
}

Test(supervisor, drops_and_counts_lines_when_nobody_reads_stderr)
{
    char reply[64];

    gateway_up(&g, NULL);
    for (unsigned i = 0; i < 20; i++) /* some 1.6 MB into a pipe of 64 KiB */
        gateway_command(&g, "flood", "*", "1000", reply, sizeof reply);
    gateway_command(&g, "crash", "0", "", reply, sizeof reply);
    gateway_wait_who(&g, 0, 2); /* the supervisor is not stuck in a write */
    gateway_wait_said(&g, 0, "line 0 of a flood");
    gateway_command(&g, "log", "*", "after", reply, sizeof reply);
    gateway_wait_said(&g, 0, "log lines dropped: stderr was not read");
    kill(g.pid, SIGTERM);
    gateway_wait_end(&g);
    gateway_clean(&g);
}

/* --- the orderly end --- */

Test(supervisor, lets_open_requests_finish_but_accepts_nothing_new)
{
    char reply[64];
    int waited = 0, fd;

    gateway_up(&g, NULL);
    gateway_write_file(&g, "busy-0", "");
    kill(g.pid, SIGTERM);
    while ((fd = connect_to(g.port)) >= 0) {
        close(fd);
        wait_more("the listeners to close", &waited);
    }
    do /* the admin is told first, but may take a connection before it reads that */
        cr_assert(gateway_ask(g.admin_port, "ready *\n", reply, sizeof reply),
                  "the admin answers to the end");
    while (strcmp(reply, "draining") != 0 && wait_more("not ready", &waited));
    cr_assert_eq(waitpid(g.pid, NULL, WNOHANG), 0, "worker 0 is busy still");
    gateway_remove_file(&g, "busy-0");
    int end = gateway_wait_end(&g);
    cr_assert(WIFEXITED(end) && WEXITSTATUS(end) == 0, "%s", g.said);
    gateway_clean(&g);
}

Test(supervisor, is_not_ready_but_accepts_during_the_drain_delay)
{
    char reply[64];
    int waited = 0;

    gateway_up(&g, ARGS("--drain-delay", "800ms"));
    kill(g.pid, SIGTERM);
    while (gateway_ask(g.admin_port, "ready *\n", reply, sizeof reply) && strcmp(reply, "draining") != 0)
        wait_more("not ready", &waited);
    cr_assert(gateway_ask(g.port, "who *\n", reply, sizeof reply), "still accepting");
    int end = gateway_wait_end(&g);
    cr_assert(WIFEXITED(end) && WEXITSTATUS(end) == 0, "%s", g.said);
    gateway_clean(&g);
}

Test(supervisor, kills_what_has_not_finished_within_the_drain_time)
{
    char reply[64];

    gateway_up(&g, ARGS("--drain-timeout", "100ms"));
    gateway_command(&g, "stubborn", "0", "", reply, sizeof reply);
    kill(g.pid, SIGTERM);
    int end = gateway_wait_end(&g);
    cr_assert(WIFEXITED(end) && WEXITSTATUS(end) == 0, "%s", g.said);
    cr_assert(strstr(g.said, "it had not finished within --drain-timeout"), "%s", g.said);
    gateway_clean(&g);
}

Test(supervisor, ends_at_once_on_a_second_sigterm)
{
    char reply[64];

    gateway_up(&g, ARGS("--drain-timeout", "1h"));
    gateway_command(&g, "busy", "0", "3600000", reply, sizeof reply);
    gateway_command(&g, "stubborn", "1", "", reply, sizeof reply);
    kill(g.pid, SIGTERM);
    gateway_wait_said(&g, 0, "told to end: draining");
    kill(g.pid, SIGINT);
    int end = gateway_wait_end(&g);
    cr_assert(WIFEXITED(end) && WEXITSTATUS(end) == 0, "%s", g.said);
    gateway_clean(&g);
}

Test(supervisor, ends_when_told_to_before_it_is_ready)
{
    gateway_make(&g);
    gateway_start(&g, ARGS("--listen", "127.0.0.1:0", "--admin", "off"));
    gateway_wait_said(&g, 0, ""); /* it may be anywhere in its start */
    char path[100];
    struct stat st;
    int waited = 0;
    snprintf(path, sizeof path, "%s/run/stats", g.dir);
    while (stat(path, &st) != 0)
        wait_more("the segment", &waited);
    kill(g.pid, SIGTERM);
    int end = gateway_wait_end(&g);
    cr_assert(WIFEXITED(end) && WEXITSTATUS(end) == 0, "%s", g.said);
    gateway_clean(&g);
}

/* --- reload --- */

static void
write_config(const char *workers, const char *listen_on)
{
    char text[400];

    snprintf(text, sizeof text,
             "{\"mcpgate\": {\"listen\": [%s], \"admin\": \"127.0.0.1:0\", \"workers\": \"%s\"}}", listen_on,
             workers);
    gateway_write_file(&g, "mcp.json", text);
}

static void
up_with_config(const char *workers)
{
    static char path[100];

    gateway_make(&g);
    write_config(workers, "\"127.0.0.1:0\"");
    snprintf(path, sizeof path, "%s/mcp.json", g.dir);
    gateway_start(&g, ARGS("--config", path));
    gateway_wait_ready(&g);
}

Test(supervisor, reloads_by_a_new_generation_on_the_same_sockets)
{
    struct load load = {0};
    pid_t pids[16];
    struct who who;
    int waited = 0;

    up_with_config("2");
    pthread_create(&load.thread, NULL, ask_all_the_time, &load);
    write_config("3", "\"127.0.0.1:0\"");
    kill(g.pid, SIGHUP);
    gateway_wait_said(&g, 0, "reloaded: generation 2: listening on ");
    cr_assert(strstr(g.said, "(3 workers, admin "), "%s", g.said);
    for (unsigned slot = 5; slot < 8; slot++) { /* 0 to 4 are the first generation's */
        who = gateway_wait_who(&g, slot, 1);
        cr_assert_eq(who.generation, 2u);
    }
    while (children_of(g.pid, pids, 16) != 5)
        wait_more("the old generation to end", &waited);
    finish(&load);
    cr_assert_eq(load.failed, 0u, "%u of %u failed", load.failed, load.asked);
    gateway_down(&g);
}

Test(supervisor, keeps_the_configuration_when_the_new_one_is_bad)
{
    struct slot slot;
    char reply[64];

    up_with_config("1");
    struct who before = gateway_wait_who(&g, 0, 1);
    gateway_write_file(&g, "mcp.json", "{\"mcpgate\": {\"workers\": \"many\"}}");
    kill(g.pid, SIGHUP);
    gateway_wait_said(&g, 0, "; the configuration in use stays\n");
    cr_assert_eq(gateway_wait_who(&g, 0, 1).pid, before.pid);

    write_config("1", "\"127.0.0.1:0\", \"192.0.2.1:80\"");
    size_t from = g.said_len;
    kill(g.pid, SIGHUP);
    gateway_wait_said(&g, from, "cannot listen on 192.0.2.1:80");
    gateway_wait_said(&g, from, "; the configuration in use stays\n");

    write_config("1", "\"127.0.0.1:0\"");
    gateway_write_file(&g, "fail-4", "memory"); /* the next generation's worker */
    from = g.said_len;
    kill(g.pid, SIGHUP);
    gateway_wait_said(&g, from, "reload: memory");
    cr_assert_eq(gateway_wait_who(&g, 0, 1).pid, before.pid);
    gateway_command(&g, "count", "0", "", reply, sizeof reply);
    read_slot(&slot, 0);
    cr_assert_eq(slot.stats[STAT_requests_begun], 1u, "the statistics file is the old generation's again");
    gateway_down(&g);
}

Test(supervisor, closes_an_address_that_the_new_configuration_does_not_name)
{
    int fd, waited = 0;

    up_with_config("2");
    unsigned old_port = g.port;
    write_config("2", "\"[::1]:0\"");
    kill(g.pid, SIGHUP);
    gateway_wait_said(&g, 0, "reloaded: generation 2: listening on http://[::1]:");
    while ((fd = connect_to(old_port)) >= 0) {
        close(fd);
        wait_more("the old address to close", &waited);
    }
    gateway_down(&g);
}

/* The sum over the workers, of whatever segment is in the run directory. */
static uint64_t
total_of(enum stat_id id)
{
    struct segment *segment;
    char path[100];
    uint64_t sum = 0;

    snprintf(path, sizeof path, "%s/run/stats", g.dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert(fd >= 0 && segment_map(fd, &segment) == 0);
    for (uint32_t i = 0; i < segment_slots(segment); i++)
        if (strcmp(segment_slot(segment, i)->head.role, "worker") == 0)
            sum += stats_get(segment_slot(segment, i), id);
    segment_unmap(&segment);
    close(fd);
    return sum;
}

/* The generation is named by its slot: what is for anybody may reach an old one that has not heard yet that
 * it is to drain. A connection that one had not accepted at its end is reset: the command reached nobody. */
static void
tell_generation(unsigned generation, const char *command, const char *argument)
{
    struct who who = {0};
    char reply[128], slot[16];
    int waited = 0;

    do
        gateway_command(&g, "who", "*", "", reply, sizeof reply);
    while ((sscanf(reply, "%u %d %u %u", &who.slot, &who.pid, &who.epoch, &who.generation) != 4 ||
            who.generation != generation) &&
           wait_more("a worker of the generation", &waited));
    snprintf(slot, sizeof slot, "%u", who.slot);
    do
        gateway_command(&g, command, slot, argument, reply, sizeof reply);
    while (strcmp(reply, "ok") != 0 && wait_more(command, &waited));
}

Test(supervisor, carries_on_what_earlier_generations_counted_to_their_end)
{
    char wanted[64];
    int waited = 0;

    up_with_config("1");
    for (unsigned generation = 2; generation < 5; generation++) {
        tell_generation(generation - 1, "busy", "700"); /* it counts one more while it drains */
        tell_generation(generation - 1, "count", "");
        kill(g.pid, SIGHUP);
        snprintf(wanted, sizeof wanted, "reloaded: generation %u:", generation);
        gateway_wait_said(&g, 0, wanted);
        cr_assert_geq(total_of(STAT_requests_begun), generation - 1);
    }
    while (total_of(STAT_requests_begun) != 6)
        wait_more("what the old generations counted at their end", &waited);
    gateway_down(&g);
}

Test(supervisor, reloads_as_often_as_it_is_asked_to)
{
    char wanted[64];

    up_with_config("1");
    for (unsigned generation = 2; generation < 12; generation++) {
        kill(g.pid, SIGHUP);
        snprintf(wanted, sizeof wanted, "reloaded: generation %u:", generation);
        gateway_wait_said(&g, 0, wanted);
    }
    gateway_down(&g);
}

Test(supervisor, ends_both_generations_on_sigterm_during_a_reload)
{
    char reply[64];

    up_with_config("2");
    gateway_command(&g, "busy", "0", "500", reply, sizeof reply);
    kill(g.pid, SIGHUP);
    gateway_wait_said(&g, 0, "reload: reading the configuration");
    gateway_down(&g);
}

/* --- the service manager --- */

Test(supervisor, tells_the_service_manager)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = 20};
    char heard[128];
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(un.sun_path, sizeof un.sun_path, "/tmp/mcpgate-notify-%d", (int)getpid());
    cr_assert(bind(fd, (const struct sockaddr *)&un, sizeof un) == 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setenv("NOTIFY_SOCKET", un.sun_path, 1);
    gateway_up(&g, NULL);
    const struct {
        int signal;
        const char *wanted[2];
    } rows[] = {
        {0, {"READY=1"}}, {SIGHUP, {"RELOADING=1\nMONOTONIC_USEC=", "READY=1"}}, {SIGTERM, {"STOPPING=1"}}};
    for (unsigned i = 0; i < 3; i++) {
        kill(g.pid, rows[i].signal);
        for (unsigned k = 0; k < 2 && rows[i].wanted[k]; k++) {
            ssize_t n = recv(fd, heard, sizeof heard - 1, 0);
            cr_assert(n > 0, "nothing instead of %s:\n%s", rows[i].wanted[k], g.said);
            heard[n] = '\0';
            cr_assert(strncmp(heard, rows[i].wanted[k], strlen(rows[i].wanted[k])) == 0, "%s", heard);
        }
    }
    unlink(un.sun_path);
    gateway_wait_end(&g);
    gateway_clean(&g);
}
