/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_ring.h"

#include "base/check.h"

#include <string.h>

_Static_assert(sizeof(struct log_ring) == LOG_RING_SIZE, "the segment reserves LOG_RING_SIZE bytes");
_Static_assert((LOG_RING_BYTES & (LOG_RING_BYTES - 1)) == 0, "places are remainders");
_Static_assert(sizeof(struct log_ring_head) == 16, "a record's head has no padding");

static void
copy_in(struct log_ring *ring, uint64_t at, const void *from, size_t len)
{
    size_t place = at % LOG_RING_BYTES;
    size_t first = len < LOG_RING_BYTES - place ? len : LOG_RING_BYTES - place;

    memcpy(ring->data + place, from, first);
    memcpy(ring->data, (const uint8_t *)from + first, len - first);
}

static void
copy_out(const struct log_ring *ring, uint64_t at, void *to, size_t len)
{
    size_t place = at % LOG_RING_BYTES;
    size_t first = len < LOG_RING_BYTES - place ? len : LOG_RING_BYTES - place;

    memcpy(to, ring->data + place, first);
    memcpy((uint8_t *)to + first, ring->data, len - first);
}

static uint64_t
room_for(uint32_t len)
{
    return (sizeof(struct log_ring_head) + len + 7) / 8 * 8;
}

bool
log_ring_put(struct log_ring *ring, const struct log_record *record)
{
    uint64_t head =
        (__atomic_load_n(&ring->head, __ATOMIC_RELAXED) + 7) & ~7ull; /* unaligned only in a damaged ring */
    uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
    struct log_ring_head h = {
        .time_ns = record->time_ns, .pid = record->pid, .len = record->len, .level = record->level};
    uint64_t need = room_for(h.len);

    ASSERT(h.len < LOG_LINE_MAX);
    if (LOG_RING_BYTES - (head - tail) < need) {
        __atomic_store_n(&ring->dropped, ring->dropped + 1, __ATOMIC_RELAXED);
        return false;
    }
    copy_in(ring, head, &h, sizeof h);
    copy_in(ring, head + sizeof h, record->text, h.len);
    __atomic_store_n(&ring->head, head + need, __ATOMIC_RELEASE);
    return true;
}

/* A writer that overran its memory may have left anything here: what cannot be a record empties the ring. */
static bool
resynchronise(struct log_ring *ring, uint64_t head)
{
    __atomic_store_n(&ring->broken, ring->broken + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&ring->tail, head, __ATOMIC_RELEASE);
    return false;
}

bool
log_ring_take(struct log_ring *ring, struct log_record *ret_record)
{
    uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
    uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);
    struct log_ring_head h;

    if (head == tail)
        return false;
    if (head - tail > LOG_RING_BYTES || head - tail < sizeof h || tail % 8)
        return resynchronise(ring, head);
    copy_out(ring, tail, &h, sizeof h);
    if (h.len >= LOG_LINE_MAX || room_for(h.len) > head - tail || h.level > LOG_ACCESS)
        return resynchronise(ring, head);
    copy_out(ring, tail + sizeof h, ret_record->text, h.len);
    ret_record->text[h.len] = '\0';
    ret_record->time_ns = h.time_ns;
    ret_record->pid = h.pid;
    ret_record->len = h.len;
    ret_record->level = h.level;
    __atomic_store_n(&ring->tail, tail + room_for(h.len), __ATOMIC_RELEASE);
    return true;
}

uint64_t
log_ring_dropped(const struct log_ring *ring)
{
    return __atomic_load_n(&ring->dropped, __ATOMIC_RELAXED);
}
