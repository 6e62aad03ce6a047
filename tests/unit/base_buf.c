/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/list.h"
#include "base/slab.h"
#include "base/text.h"

#include <criterion/criterion.h>

Test(slab, gives_a_buffer_of_at_least_the_size_asked_for)
{
    struct slab slab;

    slab_init(&slab, 0);
    for (size_t size = 1; size <= SLAB_LARGEST; size = size * 3 / 2 + 1) {
        struct buf *b = slab_get(&slab, size);

        cr_assert(b && b->size >= size && b->refs == 1);
        memset(b->data, 0xa5, b->size);
        buf_unref(b);
    }
    cr_assert_null(slab_get(&slab, SLAB_LARGEST + 1));
    cr_assert_eq(slab.used_bytes, 0);
    slab_done(&slab);
}

Test(slab, refuses_above_its_limit_and_recovers_when_buffers_come_home)
{
    struct slab slab;
    struct buf *a, *b;

    slab_init(&slab, 4096);
    a = slab_get(&slab, 2048);
    b = slab_get(&slab, 2048);
    cr_assert(a && b);
    cr_assert_null(slab_get(&slab, 1));
    buf_unref(a);
    a = slab_get(&slab, 100);
    cr_assert_not_null(a);
    buf_unref(a);
    buf_unref(b);
    slab_done(&slab);
}

Test(buf, goes_home_with_its_last_reference)
{
    struct slab slab;
    struct buf *b;
    struct span s;

    slab_init(&slab, 0);
    b = slab_get(&slab, 256);
    s = span_ref(span_of(b, 10, 20));
    buf_unref(b);
    cr_assert_eq(slab.returned, 0);
    cr_assert_eq(span_data(span_skip(s, 5)), b->data + 15);
    span_unref(s);
    cr_assert_eq(slab.returned, 1);
    slab_done(&slab);
}

Test(pool, gives_zeroed_objects_and_takes_them_again)
{
    struct pool pool;
    char *seen[1000];

    pool_init(&pool, 40);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1000; i++) {
            seen[i] = pool_get(&pool);
            for (int k = 0; k < 40; k++)
                cr_assert_eq(seen[i][k], 0);
            memset(seen[i], 0xff, 40);
        }
        for (int i = 0; i < 1000; i++)
            pool_put(&pool, seen[i]);
    }
    cr_assert_eq(pool.used_max, 1000);
    pool_done(&pool);
}

Test(list, keeps_the_order_of_arrival_and_forgets_removed_nodes)
{
    struct list_node head, a = {0}, b = {0}, c = {0}, other;

    list_init(&head);
    list_add_tail(&head, &a);
    list_add_tail(&head, &b);
    list_add_head(&head, &c);
    list_del(&a);
    list_del(&a);
    cr_assert(!list_linked(&a));
    list_take(&other, &head);
    cr_assert(list_empty(&head));
    cr_assert_eq(list_pop(&other), &c);
    cr_assert_eq(list_pop(&other), &b);
    cr_assert_null(list_pop(&other));
}

Test(text, takes_the_elements_of_a_comma_separated_list)
{
    struct text rest = TEXT(" a , ,b\t,c d,"), e;

    cr_assert(text_next_element(&rest, &e) && text_eq(e, TEXT("a")));
    cr_assert(text_next_element(&rest, &e) && text_eq(e, TEXT("b")));
    cr_assert(text_next_element(&rest, &e) && text_eq(e, TEXT("c d")));
    cr_assert(!text_next_element(&rest, &e));
}

Test(pool, gives_the_memory_of_a_burst_back_and_keeps_one_chunk)
{
    struct pool pool;
    static void *taken[4000];

    pool_init(&pool, 256);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4000; i++)
            taken[i] = pool_get(&pool);
        cr_assert_geq(pool.chunks, 4000 / pool.per_chunk);
        for (int i = 0; i < 4000; i++) /* in another order than they were taken */
            pool_put(&pool, taken[(i * 7) % 4000]);
        cr_assert_geq(pool.chunks, 4000 / pool.per_chunk, "kept for the next burst");
        pool_trim(&pool);
        pool_trim(&pool);
        cr_assert_eq(pool.chunks, 1, "nothing needed them since");
        cr_assert_eq(pool.used, 0);
    }
    pool_done(&pool);
}
