/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scan, 64 bytes at a time, compiled once per twin: the including file defines
 *
 *      BLOCK_TARGET                      attributes of every function here
 *      static ... block_masks()          sorts a block into masks
 *      static ... block_fill()           from each set bit on, alternately ones and zeros (a running XOR)
 *      BLOCK_WALK                        the name of the twin's function
 *
 * Blocks begin at multiples of 64 of the message, however it is cut into pieces, so that the cuts cannot
 * change the result. Of a block, the masks say at once what is inside strings; what is left to look at are
 * quotes, brackets, commas, colons and the first bytes of numbers and literals, which are taken bit by bit.
 */
#include "base/check.h"

enum grammar {
    G_VALUE,          /* a value is due */
    G_VALUE_OR_CLOSE, /* behind '[' */
    G_KEY,
    G_KEY_OR_CLOSE, /* behind '{' */
    G_COLON,
    G_NEXT, /* behind a value: a comma or the closing bracket */
    G_DONE,
};

static inline BLOCK_TARGET bool
bad(struct jsonrpc_walk *w, enum jsonrpc_fault fault)
{
    w->fault = fault;
    return false;
}

/* What is there instead of what the grammar wants. */
static inline BLOCK_TARGET bool
unexpected(struct jsonrpc_walk *w)
{
    return bad(w, w->state == G_DONE ? JSONRPC_FAULT_TRAILING : JSONRPC_FAULT_SYNTAX);
}

/* --- numbers and literals (RFC 8259 sections 3 and 6) --- */

enum scalar {
    S_BAD,
    S_MINUS,
    S_ZERO,
    S_DIGITS,
    S_POINT,
    S_FRACTION,
    S_E,
    S_E_SIGN,
    S_EXPONENT,
    S_LITERAL, /* + index into `literals` of the byte that is due */
};

static const char literals[] = "true\0false\0null";

static inline BLOCK_TARGET uint8_t
scalar_begin(char c)
{
    switch (c) {
    case '-':
        return S_MINUS;
    case '0':
        return S_ZERO;
    case 't':
        return S_LITERAL + 1;
    case 'f':
        return S_LITERAL + 6;
    case 'n':
        return S_LITERAL + 12;
    default:
        return c >= '1' && c <= '9' ? S_DIGITS : S_BAD;
    }
}

static inline BLOCK_TARGET uint8_t
scalar_step(uint8_t state, char c)
{
    bool digit = c >= '0' && c <= '9', e = (c | 0x20) == 'e';

    switch (state) {
    case S_MINUS:
        return !digit ? S_BAD : c == '0' ? S_ZERO : S_DIGITS;
    case S_DIGITS:
        if (digit)
            return S_DIGITS;
        __attribute__((fallthrough));
    case S_ZERO:
        return c == '.' ? S_POINT : e ? S_E : S_BAD;
    case S_POINT:
        return digit ? S_FRACTION : S_BAD;
    case S_FRACTION:
        return digit ? S_FRACTION : e ? S_E : S_BAD;
    case S_E:
        if (c == '+' || c == '-')
            return S_E_SIGN;
        __attribute__((fallthrough));
    case S_E_SIGN:
    case S_EXPONENT:
        return digit ? S_EXPONENT : S_BAD;
    case S_BAD:
        return S_BAD;
    default:
        return literals[state - S_LITERAL] && literals[state - S_LITERAL] == c ? (uint8_t)(state + 1) : S_BAD;
    }
}

static inline BLOCK_TARGET bool
scalar_whole(uint8_t state)
{
    return state == S_ZERO || state == S_DIGITS || state == S_FRACTION || state == S_EXPONENT ||
           (state > S_LITERAL && !literals[state - S_LITERAL]);
}

/* --- what the strict mode looks for in strings; each gives the first bad byte, or 64 --- */

static inline BLOCK_TARGET bool
lead_byte(struct jsonrpc_walk *w, uint8_t c)
{
    if (c < 0xc2 || c > 0xf4)
        return false;
    w->utf8_left = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    w->utf8_low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    w->utf8_high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    return true;
}

/* RFC 3629. */
static BLOCK_TARGET unsigned
check_utf8(struct jsonrpc_walk *w, const uint8_t *b, uint64_t high)
{
    unsigned i = w->utf8_left ? 0 : (unsigned)__builtin_ctzll(high);

    while (i < JSONRPC_BLOCK) {
        if (w->utf8_left) {
            if (b[i] < w->utf8_low || b[i] > w->utf8_high)
                return i;
            w->utf8_left--;
            w->utf8_low = 0x80;
            w->utf8_high = 0xbf;
            i++;
        } else if (high >> i & 1) {
            if (!lead_byte(w, b[i]))
                return i;
            i++;
        } else if (high >> i) {
            i += (unsigned)__builtin_ctzll(high >> i);
        } else {
            break;
        }
    }
    return JSONRPC_BLOCK;
}

/* Between the bytes of an escape: 4 per surrogate are hexadecimal digits. */
enum escape {
    E_NONE,
    E_CHAR,
    E_HEX1,
    E_HEX2,
    E_HEX3,
    E_HEX4,
    E_LOW_BACKSLASH,
    E_LOW_U,
    E_LOW1,
    E_LOW2,
    E_LOW3,
    E_LOW4,
};

static inline BLOCK_TARGET int
hex_digit(char c)
{
    char folded = (char)(c | 0x20);

    return c >= '0' && c <= '9' ? c - '0' : folded >= 'a' && folded <= 'f' ? folded - 'a' + 10 : -1;
}

static BLOCK_TARGET bool
escape_step(struct jsonrpc_walk *w, char c)
{
    int digit;

    switch ((enum escape)w->escape) {
    case E_NONE: /* the backslash itself */
        w->escape = E_CHAR;
        return true;
    case E_CHAR:
        w->escape = c == 'u' ? E_HEX1 : E_NONE;
        w->escape_value = 0;
        return c && strchr("\"\\/bfnrtu", c);
    case E_LOW_BACKSLASH:
        w->escape = E_LOW_U;
        return c == '\\';
    case E_LOW_U:
        w->escape = E_LOW1;
        w->escape_value = 0;
        return c == 'u';
    default:
        digit = hex_digit(c);
        w->escape_value = (uint16_t)(w->escape_value << 4 | (digit & 15));
        if (digit < 0)
            return false;
        if (w->escape == E_HEX4) {
            w->escape = (w->escape_value & 0xfc00) == 0xd800 ? E_LOW_BACKSLASH : E_NONE;
            return (w->escape_value & 0xfc00) != 0xdc00;
        }
        if (w->escape == E_LOW4) {
            w->escape = E_NONE;
            return (w->escape_value & 0xfc00) == 0xdc00;
        }
        w->escape++;
        return true;
    }
}

/* `begins`: the backslashes that are not escaped themselves. */
static BLOCK_TARGET unsigned
check_escapes(struct jsonrpc_walk *w, const char *b, uint64_t begins)
{
    unsigned i = 0;

    while (i < JSONRPC_BLOCK) {
        if (w->escape == E_NONE) {
            if (!(begins >> i))
                break;
            i += (unsigned)__builtin_ctzll(begins >> i);
        }
        if (!escape_step(w, b[i]))
            return i;
        i++;
    }
    return JSONRPC_BLOCK;
}

/* --- the grammar --- */

static inline BLOCK_TARGET bool
value_begin(struct jsonrpc_walk *w, char c, uint32_t off)
{
    int slot;

    if (w->state > G_VALUE_OR_CLOSE)
        return unexpected(w);
    if (w->depth != w->looked) {
        if (w->depth == 1 && !w->looked && w->elements++ == JSONRPC_BATCH_MAX)
            return bad(w, JSONRPC_FAULT_BATCH_SIZE);
        return true;
    }
    if (!w->depth) {
        w->top = (uint8_t)c;
        return true;
    }
    slot = w->slot[w->looked];
    if (slot >= 0) {
        w->places->at[slot].value = off;
        w->places->at[slot].kind = (uint8_t)c; /* jsonrpc_scan.c makes the kind of it */
    }
    return true;
}

/* `end` is behind a value. */
static inline BLOCK_TARGET void
value_end(struct jsonrpc_walk *w, uint32_t end)
{
    int slot;

    w->state = w->depth ? G_NEXT : G_DONE;
    if (w->depth != w->looked || !w->depth)
        return;
    slot = w->slot[w->looked];
    if (slot < 0)
        return;
    w->places->at[slot].end = end;
    w->places->found |= 1ull << slot;
}

/* The object that opens at `off` is one to look into. */
static inline BLOCK_TARGET void
look_into(struct jsonrpc_walk *w, enum jsonrpc_level level, uint32_t off)
{
    w->looked++;
    w->checked = w->looked;
    w->level[w->looked] = (uint8_t)level;
    w->slot[w->looked] = w->last[w->looked] = -1;
    w->comma[w->looked] = off;
}

static inline BLOCK_TARGET bool
open_bracket(struct jsonrpc_walk *w, char c, uint32_t off)
{
    bool is_object = c == '{';

    if ((w->mode == JSON_SCAN_STRICT || w->depth <= w->checked) && !value_begin(w, c, off))
        return false;
    if (w->depth == JSON_DEPTH_MAX)
        return bad(w, JSONRPC_FAULT_DEEP);
    if (is_object && w->depth == w->looked) {
        int slot = w->slot[w->looked];
        enum jsonrpc_level child = !w->depth   ? LEVEL_TOP
                                   : slot >= 0 ? (enum jsonrpc_level)jsonrpc_children[slot]
                                               : LEVEL_NONE;

        if (child != LEVEL_NONE)
            look_into(w, child, off);
    }
    w->depth++;
    w->objects = w->objects << 1 | is_object;
    w->state = is_object ? G_KEY_OR_CLOSE : G_VALUE_OR_CLOSE;
    return true;
}

static inline BLOCK_TARGET bool
close_bracket(struct jsonrpc_walk *w, char c, uint32_t off)
{
    bool is_object = c == '}';

    if (!w->depth)
        return unexpected(w);
    if ((w->objects & 1) != is_object)
        return bad(w, JSONRPC_FAULT_SYNTAX);
    if ((w->mode == JSON_SCAN_STRICT || w->depth <= w->checked) && w->state != G_NEXT &&
        w->state != (is_object ? G_KEY_OR_CLOSE : G_VALUE_OR_CLOSE))
        return unexpected(w);
    w->objects >>= 1;
    if (w->depth == w->looked) {
        w->looked--;
        w->checked = w->looked ? w->looked : 1;
    }
    w->depth--;
    value_end(w, off + 1);
    return true;
}

static inline BLOCK_TARGET bool
key_end(struct jsonrpc_walk *w, uint32_t end, bool escaped)
{
    unsigned at = w->looked;
    int slot;

    w->state = G_COLON;
    if (w->depth != at)
        return true;
    slot = jsonrpc_key_place(w, end, escaped);
    if (slot == -2)
        return false;
    if (w->last[at] >= 0)
        w->places->at[w->last[at]].next = w->key;
    w->last[at] = w->slot[at] = (int8_t)slot;
    w->places->members[w->level[at] - 1]++;
    if (slot >= 0) {
        w->places->at[slot].key = w->key;
        w->places->at[slot].before = w->comma[at];
        w->places->at[slot].next = 0;
    }
    return true;
}

static inline BLOCK_TARGET bool
open_quote(struct jsonrpc_walk *w, uint32_t off)
{
    if (w->state == G_KEY || w->state == G_KEY_OR_CLOSE) {
        w->key = off;
        w->state = G_KEY;
        return true;
    }
    return value_begin(w, '"', off);
}

static inline BLOCK_TARGET bool
close_quote(struct jsonrpc_walk *w, uint32_t off, bool escaped)
{
    if (w->state == G_KEY)
        return key_end(w, off + 1, escaped);
    value_end(w, off + 1);
    return true;
}

static inline BLOCK_TARGET bool
separator(struct jsonrpc_walk *w, char c, uint32_t off)
{
    if (c == ':') {
        if (w->state != G_COLON)
            return unexpected(w);
        w->state = G_VALUE;
        return true;
    }
    if (w->state != G_NEXT)
        return unexpected(w);
    w->state = w->objects & 1 ? G_KEY : G_VALUE;
    if (w->depth == w->looked)
        w->comma[w->looked] = off;
    return true;
}

/* --- a block --- */

struct block {
    const char *at;
    uint32_t off;
    unsigned size; /* 64, but for the last one */
    uint64_t quotes, strings, scalars, starts;
    struct jsonrpc_masks m;
};

/* The scalar's bytes in this block; it may go on in the next one. */
static inline BLOCK_TARGET bool
scalar_run(struct jsonrpc_walk *w, const struct block *b, unsigned p)
{
    uint64_t gap = p < JSONRPC_BLOCK ? ~(b->scalars >> p) : 1; /* it began with the block's last byte */
    unsigned end = gap ? p + (unsigned)__builtin_ctzll(gap) : JSONRPC_BLOCK;
    bool strict = w->mode == JSON_SCAN_STRICT;

    if (end > b->size)
        end = b->size;
    for (; strict && p < end; p++) {
        w->scalar = scalar_step(w->scalar, b->at[p]);
        if (w->scalar == S_BAD)
            return bad(w, JSONRPC_FAULT_SYNTAX);
    }
    w->scalar_open = end == b->size;
    if (w->scalar_open)
        return true;
    if (strict && !scalar_whole(w->scalar))
        return bad(w, JSONRPC_FAULT_SYNTAX);
    value_end(w, b->off + end);
    return true;
}

static inline BLOCK_TARGET bool
scalar_start(struct jsonrpc_walk *w, const struct block *b, unsigned p)
{
    if (!value_begin(w, b->at[p], b->off + p))
        return false;
    w->scalar = scalar_begin(b->at[p]);
    return w->scalar == S_BAD ? unexpected(w) : scalar_run(w, b, p + 1);
}

/* Which backslashes begin an escape: in a run of them every other one does. */
static inline BLOCK_TARGET uint64_t
escape_begins(struct jsonrpc_walk *w, uint64_t backslashes)
{
    uint64_t begins = 0, rest = backslashes;

    if (w->after_backslash)
        rest &= ~1ull;
    w->after_backslash = false;
    while (rest) {
        uint64_t first = rest & -rest;

        begins |= first;
        rest &= ~(first | first << 1);
        w->after_backslash = first >> 63;
    }
    return begins;
}

static inline BLOCK_TARGET uint32_t
last_backslash_end(const struct jsonrpc_walk *w, const struct block *b, unsigned p)
{
    uint64_t before = b->m.backslash & ((1ull << p) - 1);

    return before ? b->off + 64 - (uint32_t)__builtin_clzll(before) : w->backslash_end;
}

static inline BLOCK_TARGET bool
closing_quote(struct jsonrpc_walk *w, const struct block *b, unsigned p)
{
    return close_quote(w, b->off + p, last_backslash_end(w, b, p) > w->key);
}

/* The next thing to look at. What mostly follows it, a string's other quote and the comma or colon behind a
 * scalar, is taken with it: what is foreseen costs the processor little. */
static inline BLOCK_TARGET bool
event(struct jsonrpc_walk *w, const struct block *b, uint64_t *rest)
{
    unsigned p = (unsigned)__builtin_ctzll(*rest);
    char c = b->at[p];

    *rest &= *rest - 1;
    switch (c) {
    case '"':
        if (b->strings >> p & 1) {
            if (!open_quote(w, b->off + p))
                return false;
            if (!*rest)
                return true;
            p = (unsigned)__builtin_ctzll(*rest);
            *rest &= *rest - 1;
        }
        if (!closing_quote(w, b, p))
            return false;
        break;
    case '{':
    case '[':
        return open_bracket(w, c, b->off + p);
    case '}':
    case ']':
        return close_bracket(w, c, b->off + p);
    case ',':
    case ':':
        return separator(w, c, b->off + p);
    default:
        if (!scalar_start(w, b, p))
            return false;
        break;
    }
    if (!*rest)
        return true;
    p = (unsigned)__builtin_ctzll(*rest);
    c = b->at[p];
    if (c != ',' && c != ':')
        return true;
    *rest &= *rest - 1;
    return separator(w, c, b->off + p);
}

/* Deeper than what is checked, the fast mode follows brackets only. */
static inline BLOCK_TARGET bool
skims(const struct jsonrpc_walk *w)
{
    return w->mode == JSON_SCAN_FAST && w->depth > w->checked;
}

static inline BLOCK_TARGET bool
take_events(struct jsonrpc_walk *w, const struct block *b, uint64_t good)
{
    uint64_t outside = ~b->strings & good;
    uint64_t brackets = b->m.bracket & outside;
    uint64_t all = (b->quotes & good) | brackets | (b->m.separator & outside) | (b->starts & good);
    uint64_t rest = skims(w) ? brackets : all;

    while (rest) {
        bool skimmed = skims(w);

        uint64_t first = rest & -rest;

        if (!event(w, b, &rest))
            return false;
        if (skims(w) != skimmed) /* only a bracket changes that, and nothing is taken with one */
            rest = (skimmed ? all : brackets) & ~(first | (first - 1));
    }
    return true;
}

/* Sorts the block; returns the bytes before its first bad one, as a mask. */
static inline BLOCK_TARGET uint64_t
sort_block(struct jsonrpc_walk *w, struct block *b)
{
    bool escaped_first = w->after_backslash;
    uint64_t begins = 0, bad_bytes;
    unsigned bad_at = JSONRPC_BLOCK;

    block_masks(b->at, &b->m);
    b->quotes = b->m.quote;
    if (b->m.backslash | escaped_first) {
        begins = escape_begins(w, b->m.backslash);
        b->quotes &= ~(begins << 1 | escaped_first);
    }
    b->strings = block_fill(b->quotes) ^ w->in_string;
    b->scalars = ~(b->strings | b->quotes | b->m.bracket | b->m.separator | b->m.space);
    b->starts = b->scalars & ~(b->scalars << 1 | w->after_scalar);
    w->in_string = (uint64_t)((int64_t)b->strings >> 63);
    w->after_scalar = b->scalars >> 63;

    bad_bytes = b->m.control & b->strings;
    if (bad_bytes)
        bad_at = (unsigned)__builtin_ctzll(bad_bytes);
    if (w->mode == JSON_SCAN_STRICT) {
        if (b->m.high || w->utf8_left) {
            unsigned i = check_utf8(w, (const uint8_t *)b->at, b->m.high);

            bad_at = i < bad_at ? i : bad_at;
        }
        if (begins || w->escape != E_NONE) {
            unsigned i = check_escapes(w, b->at, begins);

            bad_at = i < bad_at ? i : bad_at;
        }
    }
    return bad_at < JSONRPC_BLOCK ? (1ull << bad_at) - 1 : ~0ull;
}

static inline BLOCK_TARGET bool
take_block(struct jsonrpc_walk *w, struct block *b)
{
    uint64_t good = sort_block(w, b), within = b->size < JSONRPC_BLOCK ? (1ull << b->size) - 1 : ~0ull;

    if (w->scalar_open && !scalar_run(w, b, 0))
        return false;
    if (!take_events(w, b, good & within))
        return false;
    if ((good & within) != within)
        return unexpected(w);
    if (b->m.backslash)
        w->backslash_end = b->off + 64 - (uint32_t)__builtin_clzll(b->m.backslash);
    return true;
}

/* The 64 bytes of the message at w's next place: where they lie, or put together in copy[]. */
static inline BLOCK_TARGET const char *
next_block(struct text *piece, const struct text **rest, const struct text *end, unsigned *ret_size,
           char copy[JSONRPC_BLOCK])
{
    unsigned have = 0;

    if (piece->len >= JSONRPC_BLOCK) {
        const char *at = piece->at;

        piece->at += JSONRPC_BLOCK;
        piece->len -= JSONRPC_BLOCK;
        *ret_size = JSONRPC_BLOCK;
        return at;
    }
    for (;;) {
        unsigned n = piece->len < JSONRPC_BLOCK - have ? piece->len : JSONRPC_BLOCK - have;

        if (n)
            memcpy(copy + have, piece->at, n);
        have += n;
        piece->at += n;
        piece->len -= n;
        if (have == JSONRPC_BLOCK || *rest == end)
            break;
        *piece = *(*rest)++;
    }
    memset(copy + have, ' ', JSONRPC_BLOCK - have);
    *ret_size = have;
    return copy;
}

BLOCK_TARGET bool
BLOCK_WALK(struct jsonrpc_walk *w)
{
    const struct text *rest = w->pieces, *end = rest + w->count;
    struct text piece = {NULL, 0};
    char copy[JSONRPC_BLOCK];

    for (uint32_t off = 0; off < w->size; off += JSONRPC_BLOCK) {
        struct block b;

        b.off = off;
        while (!piece.len)
            piece = *rest++;
        b.at = next_block(&piece, &rest, end, &b.size, copy);
        if (!take_block(w, &b))
            return false;
        if (w->size - off <= JSONRPC_BLOCK)
            break;
    }
    if (w->scalar_open && !w->depth) {
        if (w->mode == JSON_SCAN_STRICT && !scalar_whole(w->scalar))
            return bad(w, JSONRPC_FAULT_SYNTAX);
        w->state = G_DONE;
    }
    return w->state == G_DONE || bad(w, JSONRPC_FAULT_TRUNCATED);
}
