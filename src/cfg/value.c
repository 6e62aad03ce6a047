/* SPDX-License-Identifier: Apache-2.0 */
#include "cfg/value.h"

#include "base/check.h"
#include "cfg/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first: printing takes the first that divides. */
static const struct unit durations[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit sizes[] = {
    {"t", 1ull << 40}, {"g", 1ull << 30}, {"m", 1ull << 20}, {"k", 1ull << 10}};
enum { DURATIONS = sizeof durations / sizeof *durations, SIZES = sizeof sizes / sizeof *sizes };

bool
cfg_value_is_number(const struct cfg_option *option)
{
    switch (option->type) {
    case CFG_TYPE_WORKERS:
    case CFG_TYPE_DURATION:
    case CFG_TYPE_SIZE:
    case CFG_TYPE_COUNT:
    case CFG_TYPE_STREAM_DURATION:
    case CFG_TYPE_STREAM_SIZE:
    case CFG_TYPE_STREAM_COUNT:
    case CFG_TYPE_FLAG:
    case CFG_TYPE_CHOICE:
        return true;
    default:
        return false;
    }
}

/* Digits, then the rest. False without a digit or above 2^63. */
static bool
take_digits(const char **text, uint64_t *ret)
{
    const char *p = *text;
    uint64_t n = 0;

    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (n > (UINT64_MAX / 2 - 9) / 10)
            return false;
        n = n * 10 + (uint64_t)(*p - '0');
    }
    *text = p;
    *ret = n;
    return true;
}

/* A number with one of the units; without one, `plain` is the factor. */
static bool
parse_scaled(const char *text, const struct unit *units, unsigned count, uint64_t plain, uint64_t *ret)
{
    uint64_t n, factor = 0;

    if (!take_digits(&text, &n))
        return false;
    if (!*text)
        factor = plain;
    for (unsigned i = 0; i < count; i++) {
        if (strcasecmp(text, units[i].name) == 0)
            factor = units[i].factor;
    }
    if (!factor || n > UINT64_MAX / 2 / factor)
        return false;
    *ret = n * factor;
    return true;
}

static bool
parse_count(const char *text, uint64_t *ret)
{
    return take_digits(&text, ret) && !*text;
}

/* The index of `text` among words separated by '|'. */
static bool
parse_choice(const char *words, const char *text, uint64_t *ret)
{
    size_t len = strlen(text);
    uint64_t index = 0;

    for (const char *word = words;; index++) {
        size_t n = strcspn(word, "|");

        if (n == len && len && memcmp(word, text, n) == 0) {
            *ret = index;
            return true;
        }
        if (!word[n])
            return false;
        word += n + 1;
    }
}

/* "off" where 0 means just that. */
static bool
parse_duration(const struct cfg_option *option, const char *text, uint64_t *ret)
{
    if (option->min == 0 && strcmp(text, "off") == 0) {
        *ret = 0;
        return true;
    }
    return parse_scaled(text, durations, DURATIONS, 1000, ret);
}

static bool
parse_by_type(const struct cfg_option *option, const char *text, uint64_t *ret)
{
    switch (option->type) {
    case CFG_TYPE_WORKERS:
        if (strcmp(text, "auto") == 0) {
            *ret = 0;
            return true;
        }
        return parse_count(text, ret);
    case CFG_TYPE_DURATION:
        return parse_duration(option, text, ret);
    case CFG_TYPE_SIZE:
        return parse_scaled(text, sizes, SIZES, 1, ret);
    case CFG_TYPE_COUNT:
        return parse_count(text, ret);
    case CFG_TYPE_FLAG:
        return parse_choice("off|on", text, ret);
    case CFG_TYPE_CHOICE:
        return parse_choice(option->metavar, text, ret);
    default:
        UNREACHABLE();
    }
}

static void
say_wrong(const struct cfg_option *option, const char *text, char *why)
{
    switch (option->type) {
    case CFG_TYPE_WORKERS:
        snprintf(why, CFG_WHY_MAX, "'%.64s' is neither a number nor auto: use auto or a number such as 4",
                 text);
        return;
    case CFG_TYPE_DURATION:
        snprintf(why, CFG_WHY_MAX, "'%.64s' is not a duration: use a number with ms, s, m or h, such as 15s",
                 text);
        return;
    case CFG_TYPE_SIZE:
        snprintf(why, CFG_WHY_MAX,
                 "'%.64s' is not a size: use a number of bytes, or one with k, m, g or t, such as 64k", text);
        return;
    case CFG_TYPE_COUNT:
        snprintf(why, CFG_WHY_MAX, "'%.64s' is not a number: use digits only, such as %s", text, option->def);
        return;
    case CFG_TYPE_FLAG:
        snprintf(why, CFG_WHY_MAX, "'%.64s' is neither on nor off: use one of them", text);
        return;
    default:
        snprintf(why, CFG_WHY_MAX, "'%.64s' is not one of %s", text, option->metavar);
        return;
    }
}

static bool
has_range(const struct cfg_option *option)
{
    return option->type != CFG_TYPE_FLAG && option->type != CFG_TYPE_CHOICE;
}

static void print_one(const struct cfg_option *option, uint64_t value, char *ret);

static int
parse_one(const struct cfg_option *option, const char *text, uint64_t *ret, char *why)
{
    char bound[CFG_VALUE_MAX];
    uint64_t value;

    if (!parse_by_type(option, text, &value)) {
        say_wrong(option, text, why);
        return -1;
    }
    if (option->type == CFG_TYPE_WORKERS && strcmp(text, "auto") == 0) {
        *ret = value;
        return 0;
    }
    if (has_range(option) && value < option->min) {
        print_one(option, option->min, bound);
        snprintf(why, CFG_WHY_MAX, "'%.64s' is too small: use at least %s", text, bound);
        return -1;
    }
    if (has_range(option) && value > option->max) {
        print_one(option, option->max, bound);
        snprintf(why, CFG_WHY_MAX, "'%.64s' is too large: use at most %s", text, bound);
        return -1;
    }
    *ret = value;
    return 0;
}

/* --- one for each transport of streams --- */

static const char *const stream_names[CFG_STREAMS] = {[CFG_SSE] = "sse", [CFG_WS] = "ws"};

/* The option as it is for one of them; a type beyond: the option is not of this kind. */
static bool
is_of_streams(const struct cfg_option *option, struct cfg_option *ret_one)
{
    *ret_one = *option;
    switch (option->type) {
    case CFG_TYPE_STREAM_DURATION:
        ret_one->type = CFG_TYPE_DURATION;
        return true;
    case CFG_TYPE_STREAM_SIZE:
        ret_one->type = CFG_TYPE_SIZE;
        return true;
    case CFG_TYPE_STREAM_COUNT:
        ret_one->type = CFG_TYPE_COUNT;
        return true;
    default:
        return false;
    }
}

/* The transport that "sse=2ms" names; CFG_STREAMS: none. */
static unsigned
stream_of(const char *text)
{
    for (unsigned i = 0; i < CFG_STREAMS; i++) {
        size_t n = strlen(stream_names[i]);

        if (strncmp(text, stream_names[i], n) == 0 && text[n] == '=')
            return i;
    }
    return CFG_STREAMS;
}

static int
parse_named(const struct cfg_option *one, const char *text, uint64_t values[CFG_STREAMS], char *why)
{
    const char *const whole = text;
    unsigned seen = 0;

    for (; text; text = *text ? text + 1 : NULL) {
        unsigned stream = stream_of(text);
        char value[CFG_VALUE_MAX];
        size_t len;

        if (stream == CFG_STREAMS || seen & 1u << stream) {
            snprintf(why, CFG_WHY_MAX, "'%.64s' is not %s", whole, one->metavar);
            return -1;
        }
        seen |= 1u << stream;
        text += strlen(stream_names[stream]) + 1;
        len = strcspn(text, ",");
        snprintf(value, sizeof value, "%.*s", (int)(len < sizeof value ? len : sizeof value - 1), text);
        if (parse_one(one, value, &values[stream], why) < 0)
            return -1;
        text += len;
    }
    return 0;
}

static int
parse_streams(const struct cfg_option *one, const char *text, uint64_t *ret, char *why)
{
    bool is_named = strchr(text, '=') != NULL;
    uint64_t values[CFG_STREAMS], both;

    if (parse_one(one, is_named ? one->def : text, &both, why) < 0)
        return -1;
    values[CFG_SSE] = values[CFG_WS] = both;
    if (is_named && parse_named(one, text, values, why) < 0)
        return -1;
    *ret = values[CFG_WS] << 32 | values[CFG_SSE];
    return 0;
}

int
cfg_value_parse(const struct cfg_option *option, const char *text, uint64_t *ret, char *why)
{
    struct cfg_option one;

    return is_of_streams(option, &one) ? parse_streams(&one, text, ret, why)
                                       : parse_one(option, text, ret, why);
}

/* --- and back --- */

static void
print_scaled(const struct unit *units, unsigned count, uint64_t value, char *ret)
{
    for (unsigned i = 0; value && i < count; i++) {
        if (value % units[i].factor == 0) {
            snprintf(ret, CFG_VALUE_MAX, "%" PRIu64 "%s", value / units[i].factor, units[i].name);
            return;
        }
    }
    snprintf(ret, CFG_VALUE_MAX, "%" PRIu64, value);
}

static void
print_choice(const char *words, uint64_t index, char *ret)
{
    for (; index; index--)
        words += strcspn(words, "|") + 1;
    snprintf(ret, CFG_VALUE_MAX, "%.*s", (int)strcspn(words, "|"), words);
}

static void
print_one(const struct cfg_option *option, uint64_t value, char *ret)
{
    switch (option->type) {
    case CFG_TYPE_DURATION:
        print_scaled(durations, DURATIONS, value, ret);
        return;
    case CFG_TYPE_SIZE:
        print_scaled(sizes, SIZES, value, ret);
        return;
    case CFG_TYPE_WORKERS:
        if (value == 0) {
            snprintf(ret, CFG_VALUE_MAX, "auto");
            return;
        }
        snprintf(ret, CFG_VALUE_MAX, "%" PRIu64, value);
        return;
    case CFG_TYPE_COUNT:
        snprintf(ret, CFG_VALUE_MAX, "%" PRIu64, value);
        return;
    case CFG_TYPE_FLAG:
        print_choice("off|on", value, ret);
        return;
    case CFG_TYPE_CHOICE:
        print_choice(option->metavar, value, ret);
        return;
    default:
        UNREACHABLE();
    }
}

void
cfg_value_print(const struct cfg_option *option, uint64_t value, char *ret)
{
    uint32_t sse = cfg_of_stream(value, CFG_SSE), ws = cfg_of_stream(value, CFG_WS);
    char of_sse[CFG_VALUE_MAX], of_ws[CFG_VALUE_MAX];
    struct cfg_option one;

    if (!is_of_streams(option, &one)) {
        print_one(option, value, ret);
        return;
    }
    print_one(&one, sse, of_sse);
    print_one(&one, ws, of_ws);
    if (sse == ws)
        memcpy(ret, of_sse, CFG_VALUE_MAX);
    else
        snprintf(ret, CFG_VALUE_MAX, "sse=%.10s,ws=%.10s", of_sse, of_ws);
}
