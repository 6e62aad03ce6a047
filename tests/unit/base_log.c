/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_ring.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct log_ring *
shared_ring(void)
{
    void *p = mmap(NULL, LOG_RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(p, MAP_FAILED);
    return p;
}

static struct log_record
record_of(const char *text)
{
    struct log_record record = {.time_ns = 7, .pid = 42, .level = LOG_WARNING};

    record.len = (uint16_t)strlen(text);
    memcpy(record.text, text, record.len + 1u);
    return record;
}

static struct log_record last_sunk;

static void
sink(const struct log_record *record)
{
    last_sunk = *record;
}

Test(log_ring, of_zeroed_memory_is_empty)
{
    struct log_record record;

    cr_assert_not(log_ring_take(shared_ring(), &record));
}

Test(log_ring, gives_records_back_whole_and_in_order)
{
    struct log_ring *ring = shared_ring();
    struct log_record a = record_of("first"), b = record_of(""), got;

    cr_assert(log_ring_put(ring, &a));
    cr_assert(log_ring_put(ring, &b));
    cr_assert(log_ring_take(ring, &got));
    cr_assert_str_eq(got.text, "first");
    cr_assert(got.time_ns == 7 && got.pid == 42 && got.level == LOG_WARNING && got.len == 5);
    cr_assert(log_ring_take(ring, &got));
    cr_assert_eq(got.len, 0);
    cr_assert_not(log_ring_take(ring, &got));
}

Test(log_ring, keeps_records_whole_across_the_wrap_at_every_length)
{
    struct log_ring *ring = shared_ring();
    struct log_record in = record_of(""), out;

    for (unsigned round = 0; round < 3 * LOG_RING_BYTES / 500; round++) {
        in.len = (uint16_t)(round * 7 % LOG_LINE_MAX);
        for (unsigned i = 0; i < in.len; i++)
            in.text[i] = (char)('a' + (round + i) % 26);
        in.time_ns = round;
        cr_assert(log_ring_put(ring, &in));
        cr_assert(log_ring_take(ring, &out));
        cr_assert(out.len == in.len && out.time_ns == round && memcmp(out.text, in.text, in.len) == 0);
    }
    cr_assert_gt(ring->head, 2 * (uint64_t)LOG_RING_BYTES);
    cr_assert_eq(ring->broken, 0);
}

Test(log_ring, drops_and_counts_what_does_not_fit_and_takes_lines_again_later)
{
    struct log_ring *ring = shared_ring();
    struct log_record in = record_of("0123456789abcdef"), out;
    uint64_t put = 0, taken = 0;

    while (log_ring_put(ring, &in))
        put++;
    cr_assert_eq(put, LOG_RING_BYTES / 32);
    cr_assert_not(log_ring_put(ring, &in));
    cr_assert_eq(log_ring_dropped(ring), 2);
    cr_assert(log_ring_take(ring, &out));
    cr_assert(log_ring_put(ring, &in));
    while (log_ring_take(ring, &out))
        taken++;
    cr_assert_eq(taken, put);
    cr_assert_eq(log_ring_dropped(ring), 2);
}

/* What SIGKILL in the middle of a put leaves behind: bytes of a record beyond head, and head where it was. */
Test(log_ring, shows_nothing_of_a_record_whose_writer_died_before_it_was_whole)
{
    struct log_ring *ring = shared_ring();
    struct log_record in = record_of("whole"), out;

    cr_assert(log_ring_put(ring, &in));
    memset(ring->data + ring->head, 0xee, 100);
    cr_assert(log_ring_take(ring, &out));
    cr_assert_str_eq(out.text, "whole");
    cr_assert_not(log_ring_take(ring, &out));
    in = record_of("of the next incarnation");
    cr_assert(log_ring_put(ring, &in));
    cr_assert(log_ring_take(ring, &out));
    cr_assert_str_eq(out.text, "of the next incarnation");
}

static void
write_until_killed(struct log_ring *ring)
{
    struct log_record record = record_of("");

    for (uint64_t n = ring->head;; n++) {
        record.len = (uint16_t)(n % 700);
        memset(record.text, 'a' + (int)(n % 26), record.len);
        log_ring_put(ring, &record);
    }
}

static bool
is_one_letter(const struct log_record *record)
{
    for (unsigned i = 1; i < record->len; i++) {
        if (record->text[i] != record->text[0])
            return false;
    }
    return true;
}

Test(log_ring, never_shows_a_torn_record_when_writers_are_killed_at_random)
{
    struct log_ring *ring = shared_ring();
    uint64_t taken = 0;

    for (int life = 0; life < 60; life++) {
        struct log_record record;
        pid_t pid = fork();

        if (pid == 0)
            write_until_killed(ring);
        cr_assert_gt(pid, 0);
        for (uint64_t want = taken + 500 + (uint64_t)life * 37; taken < want;) {
            if (!log_ring_take(ring, &record))
                continue;
            cr_assert(is_one_letter(&record));
            taken++;
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    cr_assert_eq(ring->broken, 0);
}

Test(log_ring, is_emptied_and_not_believed_when_its_bytes_are_no_record)
{
    struct log_ring *ring = shared_ring();
    struct log_record in = record_of("text"), out;
    static const uint64_t heads[] = {1, 8, 15, LOG_RING_BYTES + 8, UINT64_MAX};

    for (unsigned i = 0; i < sizeof heads / sizeof *heads; i++) {
        memset(ring, 0, sizeof *ring);
        ring->head = heads[i];
        cr_assert_not(log_ring_take(ring, &out));
        cr_assert_eq(ring->tail, ring->head);
    }
    memset(ring, 0, sizeof *ring);
    cr_assert(log_ring_put(ring, &in));
    ((struct log_ring_head *)(void *)ring->data)->len = LOG_LINE_MAX;
    cr_assert_not(log_ring_take(ring, &out));
    cr_assert_eq(ring->broken, 1);
}

Test(log, writes_into_the_ring_what_its_level_lets_through)
{
    struct log_ring *ring = shared_ring();
    struct log_record out;

    log_open_ring(ring);
    log_set_level(LOG_WARNING);
    log_info("not this");
    log_debug("nor this %d", 1);
    log_warning("upstream %s: endpoint %d", "fs", 2);
    log_put(LOG_ACCESS, "GET / 200", 9);
    cr_assert(log_ring_take(ring, &out));
    cr_assert_str_eq(out.text, "upstream fs: endpoint 2");
    cr_assert_eq(out.pid, (uint32_t)getpid());
    cr_assert(log_ring_take(ring, &out));
    cr_assert_str_eq(out.text, "GET / 200");
    cr_assert_eq(out.level, LOG_ACCESS);
    cr_assert_not(log_ring_take(ring, &out));
}

Test(log, makes_one_line_of_what_holds_line_breaks)
{
    log_open_sink(sink);
    log_error("path %s", "/a\r\nerror forged\x7f\t");
    cr_assert_str_eq(last_sunk.text, "path /a??error forged??");
}

Test(log, cuts_long_lines_and_shows_that_it_did)
{
    char text[3 * LOG_LINE_MAX];

    memset(text, 'x', sizeof text);
    log_open_sink(sink);
    log_write(LOG_ERROR, "%.*s", (int)sizeof text, text);
    cr_assert_eq(last_sunk.len, LOG_LINE_MAX - 1);
    cr_assert_str_eq(last_sunk.text + LOG_LINE_MAX - 5, "x...");
    log_put(LOG_ERROR, text, LOG_LINE_MAX - 1);
    cr_assert_eq(last_sunk.text[LOG_LINE_MAX - 2], 'x');
    log_put(LOG_ERROR, text, LOG_LINE_MAX);
    cr_assert_str_eq(last_sunk.text + LOG_LINE_MAX - 5, "x...");
}
