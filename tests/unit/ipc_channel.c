/* SPDX-License-Identifier: Apache-2.0 */
/* Packets with descriptors between our processes. */
#include "ipc/channel.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int pair[2];

static void
open_pair(void)
{
    cr_assert(channel_pair(pair) == 0);
}

static int
open_fds(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

Test(channel, carries_a_message_and_its_text, .init = open_pair)
{
    struct control got;
    unsigned count = 0;

    cr_assert_eq(control_receive(pair[1], &got, NULL, &count), -EAGAIN);
    cr_assert_eq(control_send(pair[0], CONTROL_DRAIN, 4, 5, 6, "why", NULL, 0), 0);
    cr_assert_eq(control_receive(pair[1], &got, NULL, &count), 1);
    cr_assert(got.kind == CONTROL_DRAIN && got.epoch == 4 && got.arg == 5 && got.ms == 6);
    cr_assert_str_eq(got.text, "why");
}

Test(channel, cuts_a_text_that_is_too_long, .init = open_pair)
{
    char text[1000];
    struct control got;
    unsigned count = 0;

    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    cr_assert_eq(control_send(pair[0], CONTROL_FAILED, 0, 0, 0, text, NULL, 0), 0);
    cr_assert_eq(control_receive(pair[1], &got, NULL, &count), 1);
    cr_assert_eq(strlen(got.text), sizeof got.text - 1);
}

Test(channel, passes_descriptors_that_close_on_exec, .init = open_pair)
{
    int sent[CHANNEL_FDS_MAX], got[CHANNEL_FDS_MAX];
    unsigned count = CHANNEL_FDS_MAX;
    struct stat a, b;
    char byte;

    for (unsigned i = 0; i < CHANNEL_FDS_MAX; i++)
        cr_assert((sent[i] = open(i % 2 ? "/dev/null" : "/dev/zero", O_RDONLY)) >= 0);
    cr_assert_eq(channel_send(pair[0], "m", 1, sent, CHANNEL_FDS_MAX), 0);
    cr_assert_eq(channel_receive(pair[1], &byte, 1, got, &count), 1);
    cr_assert_eq(count, (unsigned)CHANNEL_FDS_MAX);
    for (unsigned i = 0; i < count; i++) {
        cr_assert(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
        cr_assert(fstat(sent[i], &a) == 0 && fstat(got[i], &b) == 0 && a.st_rdev == b.st_rdev, "in order");
    }
}

Test(channel, closes_descriptors_that_nobody_has_room_for, .init = open_pair)
{
    const int sent[3] = {0, 1, 2};
    int got[1], before = open_fds();
    unsigned count = 1;
    char byte;

    cr_assert_eq(channel_send(pair[0], "m", 1, sent, 3), 0);
    cr_assert_eq(channel_receive(pair[1], &byte, 1, got, &count), 1);
    cr_assert_eq(count, 1u);
    cr_assert_eq(open_fds(), before + 1);
    count = 0;
    cr_assert_eq(channel_send(pair[0], "m", 1, sent, 3), 0);
    cr_assert_eq(channel_receive(pair[1], &byte, 1, NULL, &count), 1);
    cr_assert_eq(open_fds(), before + 1);
}

Test(channel, refuses_a_control_message_of_another_size, .init = open_pair)
{
    const int sent[1] = {0};
    int got[1], before = open_fds();
    struct control control;
    unsigned count = 1;

    cr_assert_eq(channel_send(pair[0], "short", 5, sent, 1), 0);
    cr_assert_eq(control_receive(pair[1], &control, got, &count), -EPROTO);
    cr_assert_eq(count, 0u);
    cr_assert_eq(open_fds(), before);
}

Test(channel, delivers_the_last_words_of_a_peer_that_died_with_our_packets_unread, .init = open_pair)
{
    struct control got;
    unsigned count = 0;

    cr_assert_eq(control_send(pair[0], CONTROL_STOP, 0, 0, 0, NULL, NULL, 0), 0);
    cr_assert_eq(control_send(pair[1], CONTROL_FAILED, 0, 1, 0, "why", NULL, 0), 0);
    close(pair[1]);
    cr_assert_eq(control_receive(pair[0], &got, NULL, &count), 1);
    cr_assert_str_eq(got.text, "why");
    cr_assert_eq(control_receive(pair[0], &got, NULL, &count), 0);
}

Test(channel, tells_the_end_of_the_other_side, .init = open_pair)
{
    struct control got;
    unsigned count = 0;

    close(pair[0]);
    cr_assert_eq(control_receive(pair[1], &got, NULL, &count), 0);
    cr_assert_eq(channel_send(pair[1], "m", 1, NULL, 0), -EPIPE);
}

Test(channel, never_waits_for_a_reader, .init = open_pair)
{
    unsigned sent = 0;
    int r;

    while ((r = control_send(pair[0], CONTROL_READY, 0, 0, 0, NULL, NULL, 0)) == 0)
        cr_assert_lt(++sent, 100000u);
    cr_assert_eq(r, -EAGAIN);
    cr_assert_gt(sent, 100u, "room for a message to each of many workers");
}
