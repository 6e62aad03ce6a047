/* SPDX-License-Identifier: Apache-2.0 */
#include "journal/session_record.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const uint64_t one = 1, two = 2;

static bool
has_upstream(const struct session_record *r, uint64_t upstream, uint8_t revision, const char *id)
{
    struct session_at_upstream got = {.revision = 255};

    return session_record_upstream(r, upstream, &got) && got.revision == revision && got.endpoint == 9 &&
           text_eq(got.id, text_of(id));
}

static unsigned
subscriptions(const struct session_record *r, uint64_t upstream)
{
    uint32_t at = 0;
    unsigned n = 0;
    struct text uri;

    while (session_record_next_subscription(r, upstream, &at, &uri))
        n++;
    return n;
}

Test(session_record, keeps_each_upstreams_last_session_id)
{
    struct session_record r = {0};

    cr_assert(session_record_set_upstream(&r, one, &(struct session_at_upstream){2, 9, TEXT("first")}));
    cr_assert(session_record_set_upstream(&r, two, &(struct session_at_upstream){3, 9, TEXT("other")}));
    cr_assert(session_record_set_upstream(&r, one, &(struct session_at_upstream){4, 9, TEXT("second")}));
    cr_assert(has_upstream(&r, one, 4, "second"));
    cr_assert(has_upstream(&r, two, 3, "other"));
    session_record_drop_upstream(&r, one);
    cr_assert(has_upstream(&r, two, 3, "other"));
    cr_assert_not(has_upstream(&r, one, 4, "second"));
    cr_assert(session_record_valid(&r));
}

Test(session_record, knows_an_upstream_that_gave_no_session_id)
{
    struct session_record r = {0};

    cr_assert(session_record_set_upstream(&r, one, &(struct session_at_upstream){2, 9, (struct text){0}}));
    cr_assert(has_upstream(&r, one, 2, ""));
}

Test(session_record, refuses_ids_that_are_no_field_values)
{
    struct session_record r = {0};
    char id[SESSION_UPSTREAM_ID_MAX + 1];

    memset(id, 'x', sizeof id);
    cr_assert_not(session_record_set_upstream(
        &r, one, &(struct session_at_upstream){2, 9, (struct text){id, sizeof id}}));
    cr_assert(session_record_set_upstream(
        &r, one, &(struct session_at_upstream){2, 9, (struct text){id, sizeof id - 1}}));
    cr_assert_not(session_record_set_upstream(&r, one, &(struct session_at_upstream){2, 9, TEXT("a b")}));
    cr_assert_not(session_record_set_upstream(&r, one, &(struct session_at_upstream){2, 9, TEXT("a\r\nb")}));
    cr_assert_eq(r.used, 0, "the refused one takes the old one with it");
}

Test(session_record, lists_each_subscription_of_an_upstream_once)
{
    struct session_record r = {0};

    cr_assert(session_record_subscribe(&r, one, TEXT("file:///a")));
    cr_assert(session_record_subscribe(&r, two, TEXT("file:///a")));
    cr_assert(session_record_subscribe(&r, one, TEXT("file:///b")));
    cr_assert(session_record_subscribe(&r, one, TEXT("file:///a")));
    cr_assert_eq(subscriptions(&r, one), 2);
    cr_assert_eq(subscriptions(&r, two), 1);
    cr_assert(session_record_unsubscribe(&r, one, TEXT("file:///a")));
    cr_assert_not(session_record_unsubscribe(&r, one, TEXT("file:///a")));
    cr_assert_eq(subscriptions(&r, one), 1);
    cr_assert_eq(subscriptions(&r, two), 1);
}

Test(session_record, says_when_there_is_no_room_and_keeps_what_it_has)
{
    struct session_record r = {0};
    char uri[60];
    unsigned n = 0;

    while (snprintf(uri, sizeof uri, "file:///%050u", n) && session_record_subscribe(&r, one, text_of(uri)))
        n++;
    cr_assert_geq(n, 10);
    cr_assert_leq(r.used, SESSION_ITEMS_BYTES);
    cr_assert_eq(subscriptions(&r, one), n);
    cr_assert(session_record_valid(&r));
    cr_assert(session_record_unsubscribe(&r, one,
                                         TEXT("file:///00000000000000000000000000000000000000000000000000")));
    cr_assert(session_record_subscribe(&r, one, text_of(uri)), "what was freed is usable");
}

Test(session_record, is_invalid_when_its_items_do_not_add_up)
{
    struct session_record r = {0}, bad;

    session_record_set_upstream(&r, one, &(struct session_at_upstream){2, 9, TEXT("session")});
    bad = r;
    bad.used--;
    cr_assert_not(session_record_valid(&bad));
    bad = r;
    bad.used = UINT16_MAX;
    cr_assert_not(session_record_valid(&bad));
    bad = r;
    bad.items[0] = 255;
    cr_assert_not(session_record_valid(&bad));
    bad = r;
    bad.items[2] = 9;
    cr_assert_not(session_record_valid(&bad));
}
