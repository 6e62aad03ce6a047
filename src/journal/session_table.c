/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing what lies in a mapped session file. All words that two processes may look at are
 * atomic; the copies of a record are guarded by their version and checksum.
 */
#include "journal/session_layout.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, READ_TRIES = 8 };

/* Versions from here on are nonsense of a damaged file: adding to them might wrap. */
static const uint64_t version_max = (uint64_t)1 << 62;

#define LOAD(at)         __atomic_load_n(at, __ATOMIC_ACQUIRE)
#define STORE(at, value) __atomic_store_n(at, value, __ATOMIC_RELEASE)

static bool
exchange(uint64_t *at, uint64_t from, uint64_t to)
{
    return __atomic_compare_exchange_n(at, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* --- the layout --- */

static size_t
whole_pages(size_t n)
{
    return (n + PAGE - 1) / PAGE * PAGE;
}

static size_t
heads_size(const struct session_table *t)
{
    return whole_pages((size_t)t->buckets * SESSION_BUCKET * sizeof(struct session_head));
}

static size_t
tombstones_size(const struct session_table *t)
{
    return whole_pages((size_t)t->tombstone_buckets * SESSION_BUCKET * sizeof(struct session_tombstone));
}

void
session_layout(struct session_table *t, uint32_t capacity)
{
    uint32_t cells = capacity + capacity / 3;

    t->capacity = capacity;
    t->buckets = (cells + SESSION_BUCKET - 1) / SESSION_BUCKET;
    t->buckets = t->buckets < 2 ? 2 : t->buckets;
    t->tombstone_buckets = capacity * (SESSION_TOMBSTONES_PER_RECORD / SESSION_BUCKET);
    t->tombstone_buckets = t->tombstone_buckets < 2 ? 2 : t->tombstone_buckets;
    t->place_size = heads_size(t) + tombstones_size(t) +
                    (size_t)t->buckets * SESSION_BUCKET * 2 * sizeof(struct session_copy);
}

size_t
session_layout_size(const struct session_table *t, uint32_t places)
{
    return SESSION_HEADER_SIZE + places * t->place_size;
}

bool
session_layout_fits(const struct session_header *h, uint64_t file_size)
{
    struct session_table t;

    if (memcmp(h->magic, SESSION_MAGIC, sizeof h->magic) != 0 || h->format != SESSION_FORMAT ||
        h->record_size != SESSION_RECORD_BYTES || h->capacity == 0 || h->capacity > SESSION_CAPACITY_MAX ||
        h->places == 0 || h->places > SESSION_PLACES_MAX)
        return false;
    session_layout(&t, h->capacity);
    return file_size >= session_layout_size(&t, h->places);
}

int
session_layout_map(struct session_table *t, int fd, uint32_t places)
{
    size_t size = session_layout_size(t, places);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED)
        return -errno;
    madvise(p, size, MADV_RANDOM); /* see journal_layout_map() */
    t->header = p;
    t->places = places;
    t->size = session_layout_size(t, places);
    return 0;
}

static uint8_t *
place_at(const struct session_table *t, uint32_t place)
{
    return (uint8_t *)t->header + session_layout_size(t, place);
}

struct session_head *
session_head_at(const struct session_table *t, struct session_cell cell)
{
    return (struct session_head *)(void *)place_at(t, cell.place) + cell.index;
}

struct session_tombstone *
session_tombstone_at(const struct session_table *t, uint32_t place, uint32_t index)
{
    return (struct session_tombstone *)(void *)(place_at(t, place) + heads_size(t)) + index;
}

static uint32_t
cells_of(const struct session_table *t)
{
    return t->buckets * SESSION_BUCKET;
}

/* The two copies that lie in a room. */
static struct session_copy *
copy_in(const struct session_table *t, uint32_t place, uint32_t room, unsigned which)
{
    uint8_t *all = place_at(t, place) + heads_size(t) + tombstones_size(t);

    return (struct session_copy *)(void *)all + (size_t)which * cells_of(t) + room;
}

/* --- mapping --- */

int
session_table_map(int fd, struct session_table **ret)
{
    struct session_table *t;
    struct session_header h;
    struct stat st;
    int err;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (pread(fd, &h, sizeof h, 0) != (ssize_t)sizeof h || !session_layout_fits(&h, (uint64_t)st.st_size))
        return -EPROTO;
    t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->fd = t->dir_fd = -1;
    session_layout(t, h.capacity);
    err = session_layout_map(t, fd, h.places);
    if (err < 0) {
        free(t);
        return err;
    }
    *ret = t;
    return 0;
}

void
session_table_close(struct session_table **table)
{
    struct session_table *t = *table;

    *table = NULL;
    if (!t)
        return;
    if (t->size)
        munmap(t->header, t->size);
    if (t->fd >= 0)
        close(t->fd);
    if (t->dir_fd >= 0)
        close(t->dir_fd);
    free(t);
}

uint32_t
session_table_node(const struct session_table *t)
{
    return t->header->node;
}

uint32_t
session_table_capacity(const struct session_table *t)
{
    return t->capacity;
}

uint32_t
session_table_places(const struct session_table *t)
{
    uint32_t n = LOAD(&t->header->places);

    return n && n <= SESSION_PLACES_MAX ? n : 1;
}

uint32_t
session_table_mapped(const struct session_table *t)
{
    return t->places;
}

/* --- who serves what --- */

void
session_table_assign(struct session_table *t, uint32_t place, uint32_t slot)
{
    STORE(&t->header->server[place], slot + 1);
}

void
session_table_set_alive(struct session_table *t, uint32_t slot, uint32_t epoch)
{
    STORE(&t->header->alive[slot], epoch);
}

uint32_t
session_table_alive(const struct session_table *t, uint32_t slot)
{
    return slot < SESSION_SLOTS_MAX ? LOAD(&t->header->alive[slot]) : 0;
}

uint32_t
session_table_server(const struct session_table *t, uint32_t place)
{
    uint32_t n = place < SESSION_PLACES_MAX ? LOAD(&t->header->server[place]) : 0;

    return n && n <= SESSION_SLOTS_MAX ? n - 1 : SESSION_NO_SLOT;
}

static uint64_t
owner_of(struct session_writer me)
{
    return (uint64_t)(me.slot + 1) << 32 | me.epoch;
}

/* An owner whose process runs. */
static bool
is_alive(const struct session_table *t, uint64_t owner)
{
    uint64_t slot = (owner >> 32) - 1;

    return (uint32_t)owner && slot < SESSION_SLOTS_MAX && LOAD(&t->header->alive[slot]) == (uint32_t)owner;
}

uint32_t
session_table_home(const struct session_table *t, uint32_t place, const uint8_t id[SESSION_ID_BYTES])
{
    struct session_cell cell;
    uint64_t owner;

    if (session_table_find(t, place, id, &cell)) {
        owner = LOAD(&session_head_at(t, cell)->owner);
        if (is_alive(t, owner))
            return (uint32_t)(owner >> 32) - 1;
    }
    return session_table_server(t, place);
}

/* --- finding --- */

uint64_t
session_tag(const uint8_t id[SESSION_ID_BYTES])
{
    uint64_t a, b;

    memcpy(&a, id, 8);
    memcpy(&b, id + 8, 8);
    a ^= b * 0x9e3779b97f4a7c15u;
    return a ? a : 1;
}

/* The two buckets of a tag. */
static void
buckets_of(uint64_t tag, uint32_t count, uint32_t ret[2])
{
    uint64_t other = tag * 0xbf58476d1ce4e5b9u;

    other ^= other >> 29;
    ret[0] = (uint32_t)(((unsigned __int128)tag * count) >> 64);
    ret[1] = (uint32_t)(((unsigned __int128)other * count) >> 64);
    if (ret[1] == ret[0])
        ret[1] = (ret[0] + 1) % count;
}

/* The i-th of the cells where the tag may lie. */
static uint32_t
nth_cell(const uint32_t buckets[2], uint32_t i)
{
    return buckets[i / SESSION_BUCKET] * SESSION_BUCKET + i % SESSION_BUCKET;
}

enum { WAYS = 2 * SESSION_BUCKET };

bool
session_table_find(const struct session_table *t, uint32_t place, const uint8_t id[SESSION_ID_BYTES],
                   struct session_cell *ret)
{
    uint64_t tag = session_tag(id);
    uint32_t buckets[2];

    if (place >= t->places)
        return false;
    buckets_of(tag, t->buckets, buckets);
    for (uint32_t i = 0; i < WAYS; i++) {
        struct session_cell cell = {place, nth_cell(buckets, i)};

        if (LOAD(&session_head_at(t, cell)->tag) != tag)
            continue;
        *ret = cell;
        return true;
    }
    return false;
}

/* --- rooms --- */

static bool
has_room(const struct session_table *t, const struct session_head *head, uint32_t *ret)
{
    *ret = LOAD(&head->room) - 1;
    return *ret < cells_of(t);
}

/* There are as many as heads. Where none is left the file was damaged, or processes died between the two
 * steps here: another session's is better than none, since each record says whose it is. */
static uint32_t
give_room(struct session_table *t, struct session_cell cell)
{
    struct session_head *head = session_head_at(t, cell);
    uint32_t room;

    if (has_room(t, head, &room))
        return room;
    room = __atomic_fetch_add(&t->header->rooms[cell.place], 1, __ATOMIC_RELAXED);
    room = room < cells_of(t) ? room : cell.index;
    STORE(&head->has_two, 0);
    STORE(&head->room, room + 1);
    return room;
}

void
session_copies(const struct session_table *t, struct session_cell cell, struct session_copy *ret[2])
{
    const struct session_head *head = session_head_at(t, cell);
    uint32_t room;

    ret[0] = ret[1] = NULL;
    if (!has_room(t, head, &room))
        return;
    ret[0] = copy_in(t, cell.place, room, 0);
    if (LOAD(&head->has_two))
        ret[1] = copy_in(t, cell.place, room, 1);
}

/* --- the copies --- */

static uint64_t
sum_of(uint64_t version, const struct session_record *r)
{
    size_t n = (offsetof(struct session_record, items) + r->used + 7) / 8;
    uint64_t h = version * 0x9e3779b97f4a7c15u + n, word;

    for (size_t i = 0; i < n; i++) {
        memcpy(&word, (const uint8_t *)r + i * 8, 8);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

static uint64_t
version_of(const struct session_copy *copy)
{
    uint64_t v = copy ? LOAD(&copy->version) : 0;

    return v < version_max ? v : 0;
}

/* Takes a copy out whole; false when it is torn, or was being written. */
static bool
read_copy(const struct session_copy *copy, struct session_record *ret, uint64_t *ret_version)
{
    uint64_t version = version_of(copy), sum;

    if (!version)
        return false;
    sum = copy->sum;
    memcpy(ret, &copy->record, sizeof *ret);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    *ret_version = version;
    return __atomic_load_n(&copy->version, __ATOMIC_RELAXED) == version && ret->used <= SESSION_ITEMS_BYTES &&
           sum_of(version, ret) == sum;
}

uint64_t
session_copy_newest(const struct session_table *t, struct session_cell cell, struct session_record *ret)
{
    struct session_copy *copies[2];

    session_copies(t, cell, copies);
    /* A writer that goes round faster than one can read is met again and again, but not for ever. */
    for (unsigned tries = 0; tries < READ_TRIES; tries++) {
        unsigned newer = version_of(copies[1]) > version_of(copies[0]);
        uint64_t version;

        if (read_copy(copies[newer], ret, &version) || read_copy(copies[!newer], ret, &version))
            return session_record_valid(ret) ? version : 0;
    }
    return 0;
}

uint64_t
session_table_read(const struct session_table *t, struct session_cell cell,
                   const uint8_t id[SESSION_ID_BYTES], struct session_record *ret)
{
    struct session_record r;
    uint64_t version = session_copy_newest(t, cell, &r);

    if (!version || memcmp(r.id, id, sizeof r.id) != 0)
        return 0;
    *ret = r;
    return version;
}

uint64_t
session_table_version(const struct session_table *t, struct session_cell cell)
{
    struct session_copy *copies[2];
    uint64_t a, b;

    session_copies(t, cell, copies);
    a = version_of(copies[0]);
    b = version_of(copies[1]);
    return a > b ? a : b;
}

/* Over the older copy; the newer one stays whole whatever happens in between. One that is not whole counts
 * for nothing, whatever its version says: a file may hold anything. */
void
session_table_write(struct session_table *t, struct session_cell cell, const struct session_record *record)
{
    uint32_t room = give_room(t, cell);
    struct session_copy *copies[2], *to, *other;
    uint64_t version = 0, next;
    struct session_record there;
    unsigned newer;
    bool is_whole;

    session_copies(t, cell, copies);
    newer = version_of(copies[1]) > version_of(copies[0]);
    is_whole = read_copy(copies[newer], &there, &version);
    other = copies[is_whole ? newer : !newer];
    to = copy_in(t, cell.place, room, is_whole ? !newer : newer);
    is_whole = is_whole || read_copy(other, &there, &version);
    next = is_whole && version + 1 < version_max ? version + 1 : 1;
    __atomic_store_n(&to->version, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    to->record = *record;
    to->sum = sum_of(next, record);
    STORE(&to->version, next);
    if (to != copies[0])
        STORE(&session_head_at(t, cell)->has_two, 1);
    if (next == 1 && other) /* there is none before it */
        STORE(&other->version, 0);
}

/* --- taking and leaving --- */

bool
session_table_take(struct session_table *t, struct session_cell cell, const uint8_t id[SESSION_ID_BYTES],
                   struct session_writer me)
{
    struct session_head *head = session_head_at(t, cell);
    uint64_t owner = LOAD(&head->owner), mine = owner_of(me);

    if (owner != mine && (is_alive(t, owner) || !exchange(&head->owner, owner, mine)))
        return false;
    if (LOAD(&head->tag) == session_tag(id))
        return true;
    if (owner != mine)
        exchange(&head->owner, mine, 0);
    return false;
}

void
session_table_leave(struct session_table *t, struct session_cell cell, struct session_writer me)
{
    exchange(&session_head_at(t, cell)->owner, owner_of(me), 0);
}

void
session_table_touch(struct session_table *t, struct session_cell cell, uint32_t now_s)
{
    struct session_head *head = session_head_at(t, cell);

    if (LOAD(&head->used_s) != now_s)
        STORE(&head->used_s, now_s);
}

uint32_t
session_table_used_s(const struct session_table *t, struct session_cell cell)
{
    return LOAD(&session_head_at(t, cell)->used_s);
}

/* --- making and removing --- */

/* Claims a free cell. */
static bool
claim(struct session_table *t, struct session_cell cell, uint64_t mine)
{
    struct session_head *head = session_head_at(t, cell);
    uint64_t owner = LOAD(&head->owner);

    if (LOAD(&head->tag) || (owner != mine && is_alive(t, owner)) || !exchange(&head->owner, owner, mine))
        return false;
    if (!LOAD(&head->tag))
        return true;
    exchange(&head->owner, mine, 0);
    return false;
}

static uint32_t
used_in(const struct session_table *t, uint32_t place, uint32_t bucket)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < SESSION_BUCKET; i++)
        n += LOAD(&session_head_at(t, (struct session_cell){place, bucket * SESSION_BUCKET + i})->tag) != 0;
    return n;
}

bool
session_table_insert(struct session_table *t, uint32_t place, struct session_writer me,
                     const struct session_record *record, uint32_t now_s, struct session_cell *ret)
{
    uint64_t tag = session_tag(record->id);
    uint32_t buckets[2];

    buckets_of(tag, t->buckets, buckets);
    if (used_in(t, place, buckets[1]) < used_in(t, place, buckets[0])) {
        uint32_t first = buckets[0];

        buckets[0] = buckets[1];
        buckets[1] = first;
    }
    for (uint32_t i = 0; i < WAYS; i++) {
        struct session_cell cell = {place, nth_cell(buckets, i)};
        struct session_head *head = session_head_at(t, cell);

        if (!claim(t, cell, owner_of(me)))
            continue;
        session_table_write(t, cell, record);
        STORE(&head->used_s, now_s);
        STORE(&head->expires_s, record->expires_s < UINT32_MAX ? (uint32_t)record->expires_s : UINT32_MAX);
        STORE(&head->tag, tag);
        *ret = cell;
        return true;
    }
    return false;
}

void
session_table_remove(struct session_table *t, struct session_cell cell, struct session_writer me)
{
    struct session_head *head = session_head_at(t, cell);

    if (LOAD(&head->owner) != owner_of(me))
        return;
    STORE(&head->tag, 0);
    STORE(&head->owner, 0);
}

bool
session_table_end(struct session_table *t, struct session_cell cell, const uint8_t id[SESSION_ID_BYTES],
                  struct session_writer me, uint64_t expires_s, uint32_t now_s)
{
    bool found_room;

    STORE(&session_head_at(t, cell)->expires_s, 0);
    found_room = session_table_bury(t, cell.place, id, expires_s, now_s);
    session_table_remove(t, cell, me);
    return found_room;
}

bool
session_table_is_ending(const struct session_table *t, struct session_cell cell)
{
    return LOAD(&session_head_at(t, cell)->expires_s) == 0;
}

/* Removes what nobody alive has; false when somebody was quicker. */
static bool
remove_free(struct session_table *t, struct session_cell cell, struct session_writer me)
{
    struct session_head *head = session_head_at(t, cell);
    uint64_t owner = LOAD(&head->owner);

    if (is_alive(t, owner) || !exchange(&head->owner, owner, owner_of(me)))
        return false;
    session_table_remove(t, cell, me);
    return true;
}

/* --- making room --- */

/* The cell, if it was unused for longer than *oldest, becomes that. */
static void
compare_age(const struct session_table *t, struct session_cell cell, struct session_cell *oldest,
            uint32_t *oldest_s)
{
    const struct session_head *head = session_head_at(t, cell);

    if (!LOAD(&head->tag) || LOAD(&head->used_s) >= *oldest_s || is_alive(t, LOAD(&head->owner)))
        return;
    *oldest = cell;
    *oldest_s = LOAD(&head->used_s);
}

bool
session_table_evict(struct session_table *t, uint32_t place, struct session_writer me)
{
    struct session_cell oldest = {0};
    uint32_t oldest_s = UINT32_MAX;

    for (uint32_t i = 0; i < cells_of(t); i++)
        compare_age(t, (struct session_cell){place, i}, &oldest, &oldest_s);
    return oldest_s != UINT32_MAX && remove_free(t, oldest, me);
}

bool
session_table_evict_near(struct session_table *t, uint32_t place, const uint8_t id[SESSION_ID_BYTES],
                         struct session_writer me)
{
    struct session_cell oldest = {0};
    uint32_t oldest_s = UINT32_MAX, buckets[2];

    buckets_of(session_tag(id), t->buckets, buckets);
    for (uint32_t i = 0; i < WAYS; i++)
        compare_age(t, (struct session_cell){place, nth_cell(buckets, i)}, &oldest, &oldest_s);
    return oldest_s != UINT32_MAX && remove_free(t, oldest, me);
}

/* A session that nobody used for long is over like a deleted one. */
static void
end_idle(struct session_table *t, struct session_cell cell, struct session_writer me, uint32_t now_s)
{
    struct session_head *head = session_head_at(t, cell);
    uint32_t expires_s = LOAD(&head->expires_s);

    STORE(&head->expires_s, 0);
    session_bury_tag(t, cell.place, LOAD(&head->tag), expires_s, now_s);
    remove_free(t, cell, me);
}

void
session_table_sweep(struct session_table *t, uint32_t place, struct session_writer me, uint32_t now_s,
                    uint32_t idle_s, uint32_t *at, uint32_t count, struct session_sweep *sum)
{
    uint32_t cells = cells_of(t);

    for (; count && *at < cells; count--, (*at)++) {
        struct session_cell cell = {place, *at};
        struct session_head *head = session_head_at(t, cell);
        uint32_t used_s = LOAD(&head->used_s);

        if (!LOAD(&head->tag))
            continue;
        if (used_s > now_s) /* the clock was set back, or the file is damaged */
            STORE(&head->used_s, now_s);
        if (LOAD(&head->expires_s) <= now_s && remove_free(t, cell, me)) {
            sum->expired++;
        } else if (idle_s && now_s > used_s && now_s - used_s >= idle_s && !is_alive(t, LOAD(&head->owner))) {
            end_idle(t, cell, me, now_s);
            sum->idle++;
        } else {
            sum->live++;
        }
    }
    if (*at >= cells)
        *at = 0;
}

/* --- tombstones --- */

/* Sets a tombstone that was seen with `seen_s`. An expiry without its tag is somebody's who died: it stays
 * until it is over. */
static bool
put_tombstone(struct session_tombstone *at, uint64_t seen_s, uint64_t tag, uint64_t expires_s)
{
    if (!exchange(&at->expires_s, seen_s, expires_s))
        return false;
    STORE(&at->tag, tag);
    return true;
}

bool
session_bury_tag(struct session_table *t, uint32_t place, uint64_t tag, uint64_t expires_s, uint32_t now_s)
{
    struct session_tombstone *soonest = NULL;
    uint64_t soonest_s = UINT64_MAX;
    uint32_t buckets[2];

    buckets_of(tag, t->tombstone_buckets, buckets);
    for (uint32_t i = 0; i < WAYS; i++) {
        struct session_tombstone *at = session_tombstone_at(t, place, nth_cell(buckets, i));
        uint64_t seen_s = LOAD(&at->expires_s);

        if (seen_s > now_s && LOAD(&at->tag) == tag)
            return true;
        if (seen_s <= now_s && put_tombstone(at, seen_s, tag, expires_s))
            return true;
        if (seen_s < soonest_s) {
            soonest = at;
            soonest_s = seen_s;
        }
    }
    if (soonest)
        put_tombstone(soonest, soonest_s, tag, expires_s);
    return false;
}

bool
session_table_bury(struct session_table *t, uint32_t place, const uint8_t id[SESSION_ID_BYTES],
                   uint64_t expires_s, uint32_t now_s)
{
    return session_bury_tag(t, place, session_tag(id), expires_s, now_s);
}

bool
session_table_is_buried(const struct session_table *t, uint32_t place, const uint8_t id[SESSION_ID_BYTES])
{
    uint64_t tag = session_tag(id);
    uint32_t buckets[2];

    if (place >= t->places)
        return false;
    buckets_of(tag, t->tombstone_buckets, buckets);
    for (uint32_t i = 0; i < WAYS; i++)
        if (LOAD(&session_tombstone_at(t, place, nth_cell(buckets, i))->tag) == tag)
            return true;
    return false;
}
