/* SPDX-License-Identifier: Apache-2.0 */
/* Writing and reading events in a mapped journal. */
#include "journal/journal_layout.h"

#include <stddef.h>
#include <stdio.h>

#define LOAD(at)         __atomic_load_n(at, __ATOMIC_ACQUIRE)
#define STORE(at, value) __atomic_store_n(at, value, __ATOMIC_RELEASE)

enum { ENTRY = sizeof(struct journal_entry), SUMMED_FROM = offsetof(struct journal_entry, position) };

/* Positions from here on are nonsense of a damaged file: adding to them might wrap. */
static const uint64_t position_max = (uint64_t)1 << 63;

static struct journal_entry *
entry_at(const struct journal *j, uint32_t lane, uint64_t position)
{
    return (struct journal_entry *)(void *)(journal_ring_at(j, lane) + position % j->lane_size);
}

/* Bytes from here to the ring's end. */
static uint64_t
rest_of_ring(const struct journal *j, uint64_t position)
{
    return j->lane_size - position % j->lane_size;
}

static uint64_t
entry_max(const struct journal *j)
{
    uint64_t n = j->lane_size / 4;

    return n < UINT32_MAX / 2 ? n : UINT32_MAX / 2;
}

/* Words of 8 bytes; `n` is a multiple of that. */
static uint64_t
sum_words(uint64_t h, const void *at, size_t n)
{
    uint64_t word;

    for (size_t i = 0; i < n; i += 8) {
        memcpy(&word, (const uint8_t *)at + i, 8);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

static uint64_t
sum_of_head(const struct journal_entry *e)
{
    return sum_words(0x9e3779b97f4a7c15u, (const uint8_t *)e + SUMMED_FROM, ENTRY - SUMMED_FROM);
}

static uint32_t
texts_size(uint32_t size)
{
    return (size + 7) / 8 * 8;
}

/* --- the writer --- */

/* The end of the entry that is whole at `position`, or 0. */
static uint64_t
end_of(const struct journal *j, uint32_t lane, uint64_t position)
{
    const struct journal_entry *e = entry_at(j, lane, position);
    struct journal_event event;

    if (!journal_find(j, lane, position, &event) ||
        sum_words(sum_of_head(e), e + 1, texts_size(event.size)) != e->sum)
        return 0;
    return position + e->size;
}

bool
journal_take(struct journal *j, uint32_t lane, uint32_t age_s, uint32_t now_s)
{
    struct journal_lane *l;
    uint64_t first, fresh = (uint64_t)now_s << 31;

    if (lane >= j->lanes)
        return false;
    l = journal_lane_at(j, lane);
    j->lane = lane;
    j->age_s = age_s;
    first = LOAD(&l->first);
    j->head = end_of(j, lane, LOAD(&l->last));
    if (j->head && first < j->head && j->head - first <= j->lane_size)
        return true;
    /* Empty, or damaged: positions go on where time is, which no writer has been yet. */
    j->head = (fresh / j->lane_size + 1) * j->lane_size;
    STORE(&l->last, 0);
    STORE(&l->first, j->head);
    return true;
}

/* Where the entry at `position` of our lane ends; `head` when that makes no sense. Counts it. */
static uint64_t
give_way(struct journal *j, uint64_t position, uint32_t now_s)
{
    const struct journal_entry *e = entry_at(j, j->lane, position);
    uint64_t rest = rest_of_ring(j, position);

    if (rest < ENTRY)
        return position + rest;
    if (e->position != position || e->size < ENTRY || e->size % 8 || e->size > rest)
        return j->head;
    if (e->kind != JOURNAL_FILLER && now_s - e->time_s < j->age_s)
        j->sums.overruns++;
    return position + e->size;
}

/* Room for `size` bytes at the head, in one piece; the oldest entries give way. */
static void
make_room(struct journal *j, uint32_t size, uint32_t now_s)
{
    struct journal_lane *l = journal_lane_at(j, j->lane);
    uint64_t rest = rest_of_ring(j, j->head), first = LOAD(&l->first);
    uint64_t end = j->head + size + (rest < size ? rest : 0);

    if (first > j->head || j->head - first > j->lane_size || first % 8)
        first = j->head;
    while (end - first > j->lane_size && first < j->head)
        first = give_way(j, first, now_s);
    STORE(&l->first, first < j->head ? first : j->head);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* before a byte of them is written over */
    if (rest >= size)
        return;
    if (rest >= ENTRY)
        *entry_at(j, j->lane, j->head) =
            (struct journal_entry){.position = j->head, .size = (uint32_t)rest, .kind = JOURNAL_FILLER};
    j->head += rest;
}

static struct journal_entry
entry_of(const struct journal *j, const struct journal_stream *stream, const struct journal_event *event,
         uint32_t now_s)
{
    struct journal_entry e = {.stream = stream->count ? stream->first : j->head,
                              .position = j->head,
                              .number = stream->count,
                              .time_s = now_s,
                              .message_len = event->message.len,
                              .request_len = (uint16_t)event->request.len,
                              .kind = (uint8_t)event->kind};

    memcpy(e.session, event->session, sizeof e.session);
    e.flags = (event->is_final ? JOURNAL_IS_FINAL : 0) | (event->is_standing ? JOURNAL_IS_STANDING : 0);
    return e;
}

static void
put_texts(uint8_t *to, struct text request, struct text message, uint32_t size)
{
    uint32_t n = request.len + message.len;

    if (request.len)
        memcpy(to, request.at, request.len);
    if (message.len)
        memcpy(to + request.len, message.at, message.len);
    memset(to + n, 0, size - n);
}

/* The event before it in its stream leads to it, if it is still there. */
static void
lead_to(struct journal *j, uint64_t from, uint64_t to)
{
    if (from >= journal_lane_at(j, j->lane)->first)
        STORE(&entry_at(j, j->lane, from)->next, to);
}

void
journal_write(struct journal *j, struct journal_stream *stream, const struct journal_event *event,
              uint32_t now_s)
{
    struct journal_event of = *event;
    struct journal_entry *at, e;
    uint32_t size;

    if (of.request.len > JOURNAL_REQUEST_MAX)
        of.request = (struct text){0};
    if (of.message.len > entry_max(j) - ENTRY - JOURNAL_REQUEST_MAX - 8) {
        of.message = (struct text){0};
        of.kind = JOURNAL_GAP;
        j->sums.gaps++;
    }
    size = texts_size(of.request.len + of.message.len);
    make_room(j, ENTRY + size, now_s);
    e = entry_of(j, stream, &of, now_s);
    e.size = ENTRY + size;
    at = entry_at(j, j->lane, j->head);
    put_texts((uint8_t *)(at + 1), of.request, of.message, size);
    e.sum = sum_words(sum_of_head(&e), at + 1, size);
    *at = e;
    STORE(&journal_lane_at(j, j->lane)->last, e.position);
    if (stream->count++)
        lead_to(j, stream->last, e.position);
    else
        stream->first = e.position;
    stream->last = e.position;
    j->head += e.size;
    j->sums.events++;
    j->sums.bytes += e.size;
}

const struct journal_sums *
journal_sums(const struct journal *j)
{
    return &j->sums;
}

/* --- readers --- */

static bool
is_sound(const struct journal *j, const struct journal_entry *e, uint64_t position)
{
    uint64_t texts = (uint64_t)e->request_len + e->message_len;

    return e->position == position && e->stream && e->stream <= position &&
           e->size <= rest_of_ring(j, position) && e->size >= ENTRY &&
           e->size - ENTRY == (texts + 7) / 8 * 8 && e->kind >= JOURNAL_MESSAGE && e->kind <= JOURNAL_GAP &&
           e->request_len <= JOURNAL_REQUEST_MAX;
}

/* Whether the entry has not begun to give way since it was read. */
static bool
is_there(const struct journal *j, uint32_t lane, uint64_t position)
{
    const struct journal_lane *l = journal_lane_at(j, lane);
    uint64_t first, last;

    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    first = LOAD(&l->first);
    last = LOAD(&l->last);
    return position >= first && position <= last && last - first < j->lane_size;
}

bool
journal_find(const struct journal *j, uint32_t lane, uint64_t position, struct journal_event *ret)
{
    struct journal_entry e;

    if (lane >= j->lanes || !position || position % 8 || position >= position_max ||
        rest_of_ring(j, position) < ENTRY || !is_there(j, lane, position))
        return false;
    e = *entry_at(j, lane, position);
    if (!is_sound(j, &e, position) || !is_there(j, lane, position))
        return false;
    *ret = (struct journal_event){.lane = lane,
                                  .position = position,
                                  .stream = e.stream,
                                  .number = e.number,
                                  .time_s = e.time_s,
                                  .kind = (enum journal_kind)e.kind,
                                  .is_final = e.flags & JOURNAL_IS_FINAL,
                                  .is_standing = e.flags & JOURNAL_IS_STANDING,
                                  .size = e.request_len + e.message_len,
                                  .request.len = e.request_len,
                                  .message.len = e.message_len};
    memcpy(ret->session, e.session, sizeof ret->session);
    return true;
}

bool
journal_copy(const struct journal *j, struct journal_event *event, char *out)
{
    const struct journal_entry *at = entry_at(j, event->lane, event->position);
    uint32_t whole = event->size / 8 * 8, rest = event->size - whole;
    struct journal_entry e = *at;
    uint64_t tail = 0, sum;

    if (!is_sound(j, &e, event->position) || (uint64_t)e.request_len + e.message_len != event->size)
        return false;
    memcpy(out, at + 1, event->size);
    memcpy(&tail, out + whole, rest);
    sum = sum_words(sum_of_head(&e), out, whole);
    if (rest)
        sum = sum_words(sum, &tail, 8);
    if (sum != e.sum || !is_there(j, event->lane, event->position))
        return false;
    event->request = (struct text){out, e.request_len};
    event->message = (struct text){out + e.request_len, e.message_len};
    return true;
}

bool
journal_next(const struct journal *j, const struct journal_event *event, struct journal_event *ret)
{
    uint64_t next = LOAD(&entry_at(j, event->lane, event->position)->next);

    if (!is_there(j, event->lane, event->position))
        return false;
    if (!next) /* its writer died before it could say so */
        next = LOAD(&journal_lane_at(j, event->lane)->last);
    return next > event->position && journal_find(j, event->lane, next, ret) &&
           ret->stream == event->stream && ret->number == event->number + 1;
}

/* --- ids --- */

uint32_t
journal_id_write(char out[JOURNAL_ID_SIZE], uint32_t lane, uint64_t position, uint64_t stream)
{
    return (uint32_t)snprintf(out, JOURNAL_ID_SIZE, "%x.%llx.%llx", lane, (unsigned long long)position,
                              (unsigned long long)(position - stream));
}

/* The number in front of `end` ('\0': the end of all), which the text then begins behind. */
static bool
read_hex(struct text *text, char end, uint64_t *ret)
{
    uint64_t n = 0;
    uint32_t i = 0;

    for (; i < text->len && i < 16 && text->at[i] != end; i++) {
        char c = text->at[i];

        if (c >= '0' && c <= '9')
            n = n << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            n = n << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    if (!i || (end ? i == text->len || text->at[i] != end : i != text->len))
        return false;
    i += end != '\0';
    *text = (struct text){text->at + i, text->len - i};
    *ret = n;
    return true;
}

bool
journal_id_read(struct text id, uint32_t *ret_lane, uint64_t *ret_position, uint64_t *ret_stream)
{
    uint64_t lane, position, distance;

    if (!read_hex(&id, '.', &lane) || !read_hex(&id, '.', &position) || !read_hex(&id, '\0', &distance) ||
        lane >= JOURNAL_LANES_MAX || distance > position)
        return false;
    *ret_lane = (uint32_t)lane;
    *ret_position = position;
    *ret_stream = position - distance;
    return true;
}
