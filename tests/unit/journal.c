/* SPDX-License-Identifier: Apache-2.0 */
#include "each_step.h"
#include "journal/journal_layout.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LANES = 2, LANE = 64 << 10, AGE_S = 100 };

static char dir[] = "/tmp/mcpgate-journal-XXXXXX", note[256], room[LANE];
static struct journal *owner, *journal; /* the supervisor's; a worker's on lane 0 */
static uint32_t now_s = 1000000;

static struct journal *
map(uint32_t lane)
{
    struct journal *j;

    cr_assert_eq(journal_map(journal_fd(owner), &j), 0);
    cr_assert(journal_take(j, lane, AGE_S, now_s));
    return j;
}

static void
open_journal(void)
{
    cr_assert_eq(journal_open(dir, LANES, LANE, &owner, note, sizeof note), 0);
    journal = map(0);
}

static void
close_journal(void)
{
    journal_close(&journal);
    journal_close(&owner);
}

static void
set_up(void)
{
    cr_assert(mkdtemp(dir));
    open_journal();
}

static void
tear_down(void)
{
    char command[80];

    close_journal();
    snprintf(command, sizeof command, "rm -r %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(journal, .init = set_up, .fini = tear_down, .timeout = 100);

static void
write_text(struct journal_stream *stream, const char *text, bool is_final)
{
    struct journal_event event = {.kind = JOURNAL_MESSAGE,
                                  .session = "the session's id",
                                  .request = TEXT("7"),
                                  .message = text_of(text),
                                  .is_final = is_final};

    journal_write(journal, stream, &event, now_s);
}

static void
expect(struct journal_event *event, const char *text)
{
    cr_assert_leq(event->size, sizeof room);
    cr_assert(journal_copy(journal, event, room));
    cr_assert(text_eq(event->message, text_of(text)), "%.*s", (int)event->message.len, event->message.at);
    cr_assert(text_eq(event->request, TEXT("7")));
    cr_assert_eq(memcmp(event->session, "the session's id", 16), 0);
}

Test(journal, each_stream_is_read_by_itself_from_any_event_on)
{
    struct journal_stream a = {0}, b = {0};
    struct journal_event event, next;
    char text[32];

    for (unsigned i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "a%u", i);
        write_text(&a, text, i == 4);
        snprintf(text, sizeof text, "some text of b%u", i);
        write_text(&b, text, false);
    }
    cr_assert(journal_find(journal, 0, a.first, &event));
    for (unsigned i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "a%u", i);
        expect(&event, text);
        cr_assert_eq(event.number, i);
        cr_assert_eq(event.stream, a.first);
        cr_assert_eq(event.is_final, i == 4);
        cr_assert_eq(journal_next(journal, &event, &next), i < 4);
        event = next;
    }
    cr_assert(journal_find(journal, 0, b.last, &event));
    expect(&event, "some text of b4");
    cr_assert_not(journal_next(journal, &event, &next));
}

Test(journal, another_process_reads_what_this_one_writes)
{
    struct journal *other = map(1);
    struct journal_stream stream = {0};
    struct journal_event event;

    write_text(&stream, "here", false);
    cr_assert(journal_find(other, 0, stream.first, &event));
    cr_assert(journal_copy(other, &event, room));
    cr_assert(text_eq(event.message, TEXT("here")));
    cr_assert_not(journal_find(other, 1, stream.first, &event), "in that lane it is not");
    journal_close(&other);
}

Test(journal, the_oldest_give_way_and_are_counted_when_they_are_young)
{
    struct journal_stream stream = {0};
    struct journal_event event, next;
    uint64_t first_there = 0;
    char text[1000];
    unsigned n = 0;

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (unsigned i = 0; i < 1000; i++) {
        text[0] = (char)('a' + i % 26);
        write_text(&stream, text, false);
    }
    cr_assert_gt(journal_sums(journal)->overruns, 900);
    cr_assert_not(journal_find(journal, 0, stream.first, &event));
    for (uint64_t at = stream.first; at < stream.last; at += 8)
        if (journal_find(journal, 0, at, &event)) {
            first_there = at;
            break;
        }
    cr_assert(first_there);
    for (n = 1; journal_next(journal, &event, &next); n++)
        event = next;
    cr_assert_geq(n, 50);
    cr_assert_eq(event.position, stream.last);
    cr_assert_eq(event.number, 999);
    text[0] = (char)('a' + 999 % 26);
    expect(&event, text);
    n = (unsigned)journal_sums(journal)->overruns;
    now_s += AGE_S;
    for (unsigned i = 0; i < 60; i++)
        write_text(&stream, text, false);
    cr_assert_eq(journal_sums(journal)->overruns, n, "old ones give way unnoticed");
}

Test(journal, events_of_all_sizes_fill_the_ring_again_and_again)
{
    struct journal_stream stream = {0};
    struct journal_event event;
    static char text[LANE / 4];
    uint32_t seed = 1;

    memset(text, 'y', sizeof text);
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t n = (seed = seed * 1664525 + 1013904223) % (i % 100 ? 300 : LANE / 4 - 400);
        struct journal_event e = {.kind = JOURNAL_MESSAGE, .message = {text, n}};

        journal_write(journal, &stream, &e, now_s);
        cr_assert(journal_find(journal, 0, stream.last, &event));
        cr_assert(journal_copy(journal, &event, room));
        cr_assert_eq(event.message.len, n);
    }
    cr_assert_eq(journal_sums(journal)->gaps, 0);
}

Test(journal, a_message_that_is_too_large_leaves_a_gap)
{
    struct journal_stream stream = {0};
    struct journal_event event, next;
    static char text[LANE / 2];

    write_text(&stream, "before", false);
    memset(text, 'z', sizeof text - 1);
    write_text(&stream, text, true);
    cr_assert_eq(journal_sums(journal)->gaps, 1);
    cr_assert(journal_find(journal, 0, stream.first, &event));
    cr_assert(journal_next(journal, &event, &next));
    cr_assert_eq(next.kind, JOURNAL_GAP);
    cr_assert(next.is_final);
    cr_assert(journal_copy(journal, &next, room));
    cr_assert(text_eq(next.request, TEXT("7")));
}

Test(journal, the_next_writer_goes_on_behind_the_last)
{
    struct journal_stream stream = {0}, later = {0};
    struct journal_event event;

    write_text(&stream, "of the first", true);
    close_journal();
    now_s += 10;
    open_journal();
    cr_assert_str_eq(note, "");
    write_text(&later, "of the second", false);
    cr_assert_gt(later.first, stream.last);
    cr_assert(journal_find(journal, 0, stream.first, &event));
    expect(&event, "of the first");
    cr_assert(journal_find(journal, 0, later.first, &event));
    expect(&event, "of the second");
}

Test(journal, a_damaged_lane_begins_anew_at_positions_that_never_were)
{
    struct journal_stream stream = {0}, later = {0};
    struct journal_event event;

    write_text(&stream, "damaged", true);
    journal_ring_at(journal, 0)[stream.first % LANE + sizeof(struct journal_entry)] ^= 1;
    cr_assert(journal_find(journal, 0, stream.first, &event));
    cr_assert_not(journal_copy(journal, &event, room));
    journal_close(&journal);
    now_s++;
    journal = map(0);
    cr_assert_not(journal_find(journal, 0, stream.first, &event));
    write_text(&later, "anew", false);
    cr_assert_gt(later.first, stream.last);
    cr_assert(journal_find(journal, 0, later.first, &event));
    expect(&event, "anew");
}

Test(journal, the_file_is_made_anew_when_it_has_another_size_or_is_not_ours)
{
    struct stat st;
    char path[100];
    int fd;

    close_journal();
    cr_assert_eq(journal_open(dir, LANES, 2 * LANE, &owner, note, sizeof note), 0);
    cr_assert(strstr(note, "another size"), "%s", note);
    cr_assert(journal_has_size(owner, 2 * LANE));
    journal_close(&owner);
    snprintf(path, sizeof path, "%s/" JOURNAL_FILE_NAME, dir);
    fd = open(path, O_WRONLY);
    cr_assert_eq(pwrite(fd, "x", 1, 0), 1);
    close(fd);
    cr_assert_eq(journal_open(dir, LANES, LANE, &owner, note, sizeof note), 0);
    cr_assert(strstr(note, "damaged"), "%s", note);
    cr_assert_eq(journal_grow(owner, 5), 0);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq((size_t)st.st_size, journal_layout_size(LANE, 5));
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(journal_grow(owner, JOURNAL_LANES_MAX + 1), -EINVAL);
    journal = map(4);
    cr_assert_not(journal_take(journal, 5, AGE_S, now_s));
}

Test(journal, what_an_earlier_run_left_can_be_removed)
{
    char path[100];

    snprintf(path, sizeof path, "%s/" JOURNAL_FILE_NAME, dir);
    cr_assert_eq(access(path, F_OK), 0);
    cr_assert_eq(journal_remove(dir), 0);
    cr_assert_neq(access(path, F_OK), 0);
    cr_assert_eq(journal_remove(dir), 0);
    cr_assert_eq(journal_remove("/nowhere"), -ENOENT);
}

Test(journal, an_id_is_read_back_and_nothing_else_is_one)
{
    static const char *const bad[] = {"",       "0",      "0.8",     "0.8.",  ".8.0",
                                      "0..0",   "0.8.0.", "0.8.0.0", "0.8.9", "200.8.0",
                                      "0.8.0 ", "0.8.-0", "0.G.0",   "0.8.A", "0.11111111111111111.0"};
    char id[JOURNAL_ID_SIZE];
    uint64_t position, stream;
    uint32_t lane, n = journal_id_write(id, 511, UINT64_MAX, 3);

    cr_assert(journal_id_read((struct text){id, n}, &lane, &position, &stream), "%s", id);
    cr_assert(lane == 511 && position == UINT64_MAX && stream == 3);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(journal_id_read(text_of(bad[i]), &lane, &position, &stream), "%s", bad[i]);
    cr_assert_not(journal_id_read((struct text){"0.8.0\0", 6}, &lane, &position, &stream));
}

/* --- death at any instruction --- */

static struct journal_stream stepped;

static void
write_second(void)
{
    write_text(&stepped, "the second", true);
}

static unsigned seen; /* 0: one event; 1: two */

/* What the file says, had the writer been killed here. */
static void
is_there_or_not(unsigned step)
{
    struct journal_event event, next;
    bool has_next;

    cr_assert(journal_find(journal, 0, stepped.first, &event), "step %u: the first is gone", step);
    expect(&event, "the first");
    has_next = journal_next(journal, &event, &next);
    cr_assert(has_next || !seen, "step %u: the second is gone again", step);
    seen = has_next;
    if (has_next)
        expect(&next, "the second");
}

Test(journal, a_writer_that_dies_at_any_instruction_leaves_a_whole_event_or_none)
{
    write_text(&stepped, "the first", false);
    cr_assert_gt(at_each_step(write_second, is_there_or_not), 100);
    cr_assert_eq(seen, 1);
}

/* As above, where the event takes the place of others: each of those is whole or not there, and the next
 * writer finds where to go on. */
static uint64_t oldest;

static void
write_over(void)
{
    static char text[2000];

    memset(text, 'n', sizeof text - 1);
    write_text(&stepped, text, true);
}

static void
nothing_is_torn(unsigned step)
{
    struct journal *next;
    struct journal_event event;

    if (journal_find(journal, 0, oldest, &event) && step % 7 == 0)
        cr_assert(journal_copy(journal, &event, room), "step %u: the oldest is there and torn", step);
    cr_assert(journal_find(journal, 0, stepped.last, &event), "step %u", step);
    if (step % 13)
        return;
    next = map(0); /* does not change what it finds in order */
    cr_assert_geq(next->head, stepped.last, "step %u", step);
    cr_assert(journal_find(next, 0, stepped.last, &event), "step %u: the next writer drops it", step);
    journal_close(&next);
}

Test(journal, a_writer_that_dies_at_any_instruction_tears_nothing_that_it_writes_over)
{
    char text[500];

    memset(text, 'o', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (unsigned i = 0; i < 300; i++)
        write_text(&stepped, text, false);
    oldest = journal_lane_at(journal, 0)->first;
    cr_assert_gt(at_each_step(write_over, nothing_is_torn), 100);
    cr_assert_gt(journal_lane_at(journal, 0)->first, oldest);
}
