/* SPDX-License-Identifier: Apache-2.0 */
#include "each_step.h"
#include "journal/session_layout.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/mcpgate-sessions-XXXXXX", note[256];
static struct session_table *table;
static const struct session_writer me = {3, 1}, other = {4, 7};
static const uint32_t now_s = 1000000;

static void
open_table(uint32_t places, uint32_t capacity)
{
    cr_assert_eq(session_table_open(dir, places, capacity, 42, &table, note, sizeof note), 0);
    session_table_set_alive(table, me.slot, me.epoch);
    session_table_set_alive(table, other.slot, other.epoch);
}

static void
set_up(void)
{
    cr_assert(mkdtemp(dir));
    open_table(2, 64);
}

static void
tear_down(void)
{
    char command[80];

    session_table_close(&table);
    snprintf(command, sizeof command, "rm -r %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(session_table, .init = set_up, .fini = tear_down);

static struct session_record
record(unsigned n)
{
    struct session_record r = {.expires_s = now_s + 1000, .log_level = (uint8_t)n};
    uint64_t x = n * 0x9e3779b97f4a7c15u + 1, y = ~x * 0xbf58476d1ce4e5b9u;

    memcpy(r.id, &x, 8);
    memcpy(r.id + 8, &y, 8);
    session_record_set_upstream(&r, 1, &(struct session_at_upstream){2, 9, TEXT("upstream")});
    return r;
}

static struct session_cell
insert(uint32_t place, unsigned n)
{
    struct session_record r = record(n);
    struct session_cell cell;

    cr_assert(session_table_insert(table, place, me, &r, now_s, &cell));
    return cell;
}

/* The log level that the record of session n says; -1: there is none. */
static int
level(uint32_t place, unsigned n)
{
    struct session_record r = record(n);
    struct session_cell cell;

    if (!session_table_find(table, place, r.id, &cell) || !session_table_read(table, cell, r.id, &r))
        return -1;
    return r.log_level;
}

Test(session_table, finds_what_was_made_in_its_place_only)
{
    insert(0, 1);
    cr_assert_eq(level(0, 1), 1);
    cr_assert_eq(level(1, 1), -1);
    cr_assert_eq(level(0, 2), -1);
}

Test(session_table, holds_its_capacity)
{
    for (unsigned n = 0; n < 64; n++)
        insert(0, n);
    for (unsigned n = 0; n < 64; n++)
        cr_assert_eq(level(0, n), (int)n);
}

Test(session_table, reads_the_last_of_many_writes)
{
    struct session_cell cell = insert(0, 1);
    struct session_record r = record(1);
    uint64_t before = session_table_version(table, cell);

    for (unsigned i = 0; i < 100; i++) {
        r.log_level = (uint8_t)i;
        session_table_write(table, cell, &r);
        cr_assert_eq(level(0, 1), (int)i);
    }
    cr_assert_eq(session_table_version(table, cell), before + 100);
}

Test(session_table, goes_back_to_the_copy_before_when_the_newest_is_damaged)
{
    struct session_cell cell = insert(0, 1);
    struct session_record r = record(1);
    struct session_copy *at[2];

    r.log_level = 9;
    session_table_write(table, cell, &r);
    cr_assert_eq(level(0, 1), 9);
    session_copies(table, cell, at);
    at[at[1]->version > at[0]->version]->record.log_level = 77;
    cr_assert_eq(level(0, 1), 1);
    r.log_level = 10;
    session_table_write(table, cell, &r);
    cr_assert_eq(level(0, 1), 10, "and the damaged one is what is written over");
    at[0]->record.id[0] ^= 1;
    at[1]->record.id[0] ^= 1;
    cr_assert_eq(level(0, 1), -1, "with both damaged there is none");
}

Test(session_table, is_written_by_one_process_at_a_time)
{
    struct session_cell cell = insert(0, 1);
    struct session_record r = record(1);

    cr_assert_not(session_table_take(table, cell, r.id, other));
    cr_assert(session_table_take(table, cell, r.id, me), "who has it may take it again");
    session_table_leave(table, cell, other);
    cr_assert_not(session_table_take(table, cell, r.id, other), "nobody leaves for somebody else");
    session_table_leave(table, cell, me);
    cr_assert(session_table_take(table, cell, r.id, other));
    cr_assert_not(session_table_take(table, cell, r.id, me));
}

Test(session_table, what_a_dead_process_had_is_free)
{
    struct session_cell cell = insert(0, 1);
    struct session_record r = record(1);

    session_table_set_alive(table, me.slot, me.epoch + 1);
    cr_assert(session_table_take(table, cell, r.id, other));
}

Test(session_table, the_home_is_the_live_owner_and_else_who_serves_the_place)
{
    struct session_cell cell = insert(0, 1);
    struct session_record r = record(1), unknown = record(2);

    cr_assert_eq(session_table_home(table, 0, unknown.id), SESSION_NO_SLOT);
    session_table_assign(table, 0, 9);
    cr_assert_eq(session_table_home(table, 0, unknown.id), 9);
    cr_assert_eq(session_table_home(table, 0, r.id), me.slot);
    session_table_leave(table, cell, me);
    cr_assert_eq(session_table_home(table, 0, r.id), 9);
    cr_assert(session_table_take(table, cell, r.id, other));
    cr_assert_eq(session_table_home(table, 0, r.id), other.slot);
    session_table_set_alive(table, other.slot, 0);
    cr_assert_eq(session_table_home(table, 0, r.id), 9);
    cr_assert_eq(session_table_home(table, 77, r.id), SESSION_NO_SLOT);
}

Test(session_table, removes_only_for_the_owner)
{
    struct session_cell cell = insert(0, 1);
    struct session_record r = record(1);

    session_table_remove(table, cell, other);
    cr_assert_eq(level(0, 1), 1);
    session_table_remove(table, cell, me);
    cr_assert_eq(level(0, 1), -1);
    cr_assert_not(session_table_take(table, cell, r.id, me), "a stale cell is not taken");
}

Test(session_table, evicts_what_was_unused_for_longest_and_is_not_taken)
{
    for (unsigned n = 0; n < 10; n++) {
        struct session_cell cell = insert(0, n);

        session_table_touch(table, cell, now_s - n);
        if (n != 9)
            session_table_leave(table, cell, me);
    }
    cr_assert(session_table_evict(table, 0, me));
    cr_assert_eq(level(0, 9), 9, "it is taken");
    cr_assert_eq(level(0, 8), -1);
    for (unsigned n = 0; n < 8; n++)
        cr_assert(session_table_evict(table, 0, me));
    cr_assert_not(session_table_evict(table, 0, me));
}

Test(session_table, a_full_table_gives_a_cell_where_the_new_one_fits)
{
    struct session_cell cell;
    unsigned n = 0;

    for (;; n++) {
        struct session_record r = record(n);

        cr_assert_lt(n, 1000);
        if (!session_table_insert(table, 0, me, &r, now_s, &cell)) {
            cr_assert_not(session_table_evict_near(table, 0, r.id, me), "all are taken");
            break;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        struct session_record r = record(i);

        cr_assert(session_table_find(table, 0, r.id, &cell));
        session_table_leave(table, cell, me);
    }
    struct session_record r = record(n);

    cr_assert(session_table_evict_near(table, 0, r.id, me));
    cr_assert(session_table_insert(table, 0, me, &r, now_s, &cell));
}

Test(session_table, a_sweep_frees_what_has_expired_or_is_idle)
{
    struct session_sweep sum = {0};
    struct session_cell cell;
    uint32_t at = 0;

    for (unsigned n = 0; n < 8; n++) {
        cell = insert(0, n);
        session_table_touch(table, cell, n < 4 ? now_s : now_s - 100);
        session_table_leave(table, cell, me);
    }
    struct session_record last = record(7);

    cr_assert(session_table_take(table, cell, last.id, me));
    do
        session_table_sweep(table, 0, me, now_s, 60, &at, 7, &sum);
    while (at);
    cr_assert_eq(sum.idle, 3);
    cr_assert_eq(sum.live, 5, "the one that is taken stays");
    cr_assert_eq(level(0, 5), -1);
    struct session_record idle = record(5);

    cr_assert(session_table_is_buried(table, 0, idle.id), "it does not come back");
    session_table_leave(table, cell, me);
    sum = (struct session_sweep){0};
    session_table_sweep(table, 0, me, now_s + 1000, 0, &at, UINT32_MAX, &sum);
    cr_assert_eq(sum.expired, 5);
    cr_assert_eq(sum.live, 0);
    cr_assert_eq(at, 0);
}

Test(session_table, tombstones_stay_until_they_expire)
{
    for (unsigned n = 0; n < 64 * 4; n++) {
        struct session_record r = record(n);

        cr_assert(session_table_bury(table, 0, r.id, now_s + 10, now_s));
    }
    for (unsigned n = 0; n < 64 * 4; n++) {
        struct session_record r = record(n);

        cr_assert(session_table_is_buried(table, 0, r.id));
        cr_assert_not(session_table_is_buried(table, 1, r.id));
    }
    bool gave_way = false;

    for (unsigned n = 1000; n < 4000; n++) {
        struct session_record r = record(n);

        gave_way |= !session_table_bury(table, 0, r.id, now_s + 20, now_s);
        cr_assert(session_table_is_buried(table, 0, r.id), "the newest always finds room");
    }
    cr_assert(gave_way);
    struct session_record late = record(5000);

    cr_assert(session_table_bury(table, 0, late.id, now_s + 100, now_s + 50), "those that expired make room");
}

/* --- rooms --- */

static uint32_t
room_of(uint32_t place, unsigned n)
{
    struct session_record r = record(n);
    struct session_cell cell;

    cr_assert(session_table_find(table, place, r.id, &cell));
    return session_head_at(table, cell)->room;
}

Test(session_table, records_lie_side_by_side_as_their_sessions_came)
{
    for (unsigned n = 0; n < 20; n++) {
        insert(1, n);
        cr_assert_eq(room_of(1, n), n + 1);
    }
    session_table_close(&table);
    open_table(2, 64);
    insert(1, 20);
    cr_assert_eq(room_of(1, 20), 21, "also those of a later run");
    for (unsigned n = 0; n <= 20; n++)
        cr_assert_eq(level(1, n), (int)n);
}

Test(session_table, as_many_sessions_as_there_are_heads_have_rooms_of_their_own)
{
    bool taken[1000] = {0};
    unsigned n = 0;

    for (unsigned tries = 0; tries < 1000; tries++) {
        struct session_record r = record(tries);
        struct session_cell cell;
        uint32_t room;

        if (!session_table_insert(table, 0, me, &r, now_s, &cell))
            continue;
        room = session_head_at(table, cell)->room;
        cr_assert(room && room <= table->buckets * SESSION_BUCKET);
        cr_assert_not(taken[room]);
        taken[room] = true;
        n++;
    }
    cr_assert_eq(n, table->buckets * SESSION_BUCKET);
}

Test(session_table, a_session_that_comes_after_another_keeps_its_room)
{
    struct session_cell cell = insert(0, 1), next;
    struct session_record r = record(1);

    cr_assert_eq(room_of(0, 1), 1);
    session_table_remove(table, cell, me);
    cr_assert(session_table_insert(table, 0, me, &r, now_s, &next));
    cr_assert_eq(room_of(0, 1), 1);
    cr_assert_eq(level(0, 1), 1);
}

Test(session_table, the_second_copy_is_not_touched_before_a_record_changes)
{
    struct session_cell cell = insert(0, 1);
    struct session_record r = record(1);

    cr_assert_eq(session_head_at(table, cell)->has_two, 0);
    r.log_level = 2;
    session_table_write(table, cell, &r);
    cr_assert_eq(session_head_at(table, cell)->has_two, 1);
    cr_assert_eq(level(0, 1), 2);
}

Test(session_table, a_record_whose_room_is_nonsense_is_absent_until_it_is_written)
{
    static const uint32_t nonsense[] = {0, 1u << 20, UINT32_MAX};
    struct session_cell cell = insert(0, 1);
    struct session_record r = record(1), got;

    for (unsigned i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
        session_head_at(table, cell)->room = nonsense[i];
        table->header->rooms[0] = nonsense[i];
        cr_assert_eq(session_table_read(table, cell, r.id, &got), 0);
        session_table_write(table, cell, &r);
        cr_assert_neq(session_table_read(table, cell, r.id, &got), 0);
    }
}

/* --- the file --- */

Test(session_table, survives_its_processes)
{
    struct session_record r = record(1), dead = record(2);

    insert(1, 1);
    session_table_bury(table, 1, dead.id, now_s + 10, now_s);
    session_table_assign(table, 1, 5);
    session_table_close(&table);
    open_table(1, 64);
    cr_assert_str_empty(note);
    cr_assert_eq(session_table_node(table), 42);
    cr_assert_eq(session_table_places(table), 2, "a place that was once given out stays");
    cr_assert_eq(level(1, 1), 1);
    cr_assert(session_table_is_buried(table, 1, dead.id));
    cr_assert_eq(session_table_home(table, 1, r.id), SESSION_NO_SLOT, "owners and servers are forgotten");
}

Test(session_table, moves_to_a_table_of_another_size)
{
    struct session_record dead = record(999);

    for (unsigned n = 0; n < 40; n++)
        insert(1, n);
    session_table_bury(table, 1, dead.id, now_s + 10, now_s);
    session_table_close(&table);
    open_table(2, 1000);
    cr_assert_str_not_empty(note);
    cr_assert_eq(session_table_capacity(table), 1000);
    cr_assert_eq(session_table_node(table), 42);
    for (unsigned n = 0; n < 40; n++)
        cr_assert_eq(level(1, n), (int)n);
    cr_assert(session_table_is_buried(table, 1, dead.id));
    session_table_close(&table);
    open_table(2, 8);
    unsigned left = 0;

    for (unsigned n = 0; n < 40; n++)
        left += level(1, n) == (int)n;
    cr_assert_geq(left, 8);
}

Test(session_table, grows_for_more_workers_under_those_that_run)
{
    struct session_table *worker, *later;

    cr_assert_eq(session_table_map(session_table_fd(table), &worker), 0);
    cr_assert_eq(session_table_grow(table, 7), 0);
    cr_assert_eq(session_table_places(worker), 7);
    session_table_assign(table, 6, 1);
    struct session_record r = record(1);

    cr_assert_eq(session_table_home(worker, 6, r.id), 1, "it forwards to a place that it has not mapped");
    struct session_cell cell;

    cr_assert_not(session_table_find(worker, 6, r.id, &cell));
    cr_assert_not(session_table_is_buried(worker, 6, r.id));
    cr_assert_eq(session_table_map(session_table_fd(table), &later), 0);
    cr_assert(session_table_insert(later, 6, me, &r, now_s, &cell));
    session_table_close(&worker);
    session_table_close(&later);
}

Test(session_table, one_gateway_holds_the_directory)
{
    struct session_table *second = NULL;

    cr_assert_eq(session_table_open(dir, 2, 64, 1, &second, note, sizeof note), -EBUSY);
    cr_assert_null(second);
}

Test(session_table, a_file_of_another_format_is_made_anew)
{
    insert(0, 1);
    table->header->format++;
    session_table_close(&table);
    open_table(2, 64);
    cr_assert_str_not_empty(note);
    cr_assert_eq(level(0, 1), -1);
    insert(0, 1);
    cr_assert_eq(ftruncate(session_table_fd(table), 5000), 0);
    session_table_close(&table);
    open_table(2, 64);
    cr_assert_str_not_empty(note);
    session_table_close(&table);

    char path[64];

    snprintf(path, sizeof path, "%s/" SESSION_FILE_NAME, dir);
    cr_assert_eq(truncate(path, 0), 0);
    open_table(2, 64);
    cr_assert_str_not_empty(note);
    session_table_close(&table);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(symlink("/etc/passwd", path), 0);
    open_table(2, 64);
    insert(0, 1);
}

/* --- death at any instruction --- */

static struct session_cell stepped;
static int last_level;

static void
write_ninety(void)
{
    struct session_record r = record(1);

    r.log_level = 90;
    session_table_write(table, stepped, &r);
}

static void
is_old_or_new(unsigned step)
{
    int found = level(0, 1);

    cr_assert(found == last_level || (found == 90 && last_level == 1), "step %u: %d after %d", step, found,
              last_level);
    last_level = found;
}

Test(session_table, a_writer_that_dies_at_any_instruction_leaves_the_old_or_the_new_record, .timeout = 100)
{
    stepped = insert(0, 1);
    last_level = 1;
    cr_assert_gt(at_each_step(write_ninety, is_old_or_new), 100);
    cr_assert_eq(last_level, 90);
}

static void
insert_second(void)
{
    insert(0, 2);
}

/* Another process can always use the table. */
static void
is_absent_or_whole(unsigned step)
{
    struct session_record r = record(2);
    struct session_cell cell;
    int found = level(0, 2);

    cr_assert(found == 2 || (found == -1 && last_level == -1), "step %u", step);
    last_level = found;
    cr_assert_eq(level(0, 1), 1);
    if (found == 2 && session_table_find(table, 0, r.id, &cell))
        cr_assert_eq(session_table_version(table, cell), 1);
}

Test(session_table, a_maker_that_dies_at_any_instruction_leaves_a_whole_record_or_none, .timeout = 100)
{
    insert(0, 1);
    last_level = -1;
    cr_assert_gt(at_each_step(insert_second, is_absent_or_whole), 100);
    cr_assert_eq(last_level, 2);
}

static bool buried;

static void
bury_first(void)
{
    struct session_record r = record(1);

    session_table_end(table, stepped, r.id, me, r.expires_s, now_s);
}

static void
is_live_or_buried(unsigned step)
{
    struct session_record r = record(1);
    bool is_buried = session_table_is_buried(table, 0, r.id);
    struct session_cell cell;

    cr_assert(is_buried || level(0, 1) == 1, "step %u: neither", step);
    if (is_buried && session_table_find(table, 0, r.id, &cell))
        cr_assert(session_table_is_ending(table, cell), "step %u: nobody would look for the tombstone", step);
    cr_assert(is_buried || !buried, "step %u: it lives again", step);
    buried = is_buried;
}

Test(session_table, a_delete_that_dies_at_any_instruction_leaves_the_session_live_or_buried, .timeout = 100)
{
    stepped = insert(0, 1);
    at_each_step(bury_first, is_live_or_buried);
    cr_assert(buried);
    cr_assert_eq(level(0, 1), -1);
}

/* --- readers against a writer --- */

Test(session_table, readers_never_see_half_of_a_write, .timeout = 60)
{
    struct session_record r = record(1);
    pid_t pid;

    stepped = insert(0, 1);
    pid = fork();
    if (pid == 0)
        for (uint32_t n = 0;; n++) {
            r.log_level = (uint8_t)n;
            r.client_capabilities = r.generation = n;
            session_table_write(table, stepped, &r);
        }
    for (unsigned i = 0; i < 300000; i++) {
        struct session_record got;

        if (session_table_read(table, stepped, r.id, &got) && got.generation)
            cr_assert(got.generation == got.client_capabilities && (uint8_t)got.generation == got.log_level);
    }
    kill(pid, SIGKILL);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}
