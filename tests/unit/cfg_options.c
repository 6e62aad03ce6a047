/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for every row of options.def. */
#include "base/log.h"
#include "cfg/options.h"
#include "cfg/value.h"
#include "cfg_helper.h"

#include <inttypes.h>

#define FOR_EACH_FLAG(option)                                                                                \
    for (const struct cfg_option *option = cfg_options; option < cfg_options + cfg_options_count; option++)  \
        if (option->flag)

Test(options, have_defaults_that_parse_print_and_parse_back)
{
    unsigned seen = 0;

    FOR_EACH_FLAG(o)
    {
        uint64_t value = 77, again = 78;
        char why[CFG_WHY_MAX], text[CFG_VALUE_MAX];

        if (!cfg_value_is_number(o))
            continue;
        cr_assert_eq(cfg_value_parse(o, o->def, &value, why), 0, "--%s: default %s", o->flag, o->def);
        cfg_value_print(o, value, text);
        cr_assert_eq(cfg_value_parse(o, text, &again, why), 0, "--%s: %s: %s", o->flag, text, why);
        cr_assert_eq(value, again, "--%s", o->flag);
        seen++;
    }
    cr_assert_gt(seen, 40);
}

static bool
is_of_streams(const struct cfg_option *o)
{
    return o->type == CFG_TYPE_STREAM_DURATION || o->type == CFG_TYPE_STREAM_SIZE ||
           o->type == CFG_TYPE_STREAM_COUNT;
}

Test(options, print_and_parse_back_their_bounds)
{
    FOR_EACH_FLAG(o)
    {
        const uint64_t each = is_of_streams(o) ? 1ull << 32 | 1 : 1; /* two numbers in one */
        const uint64_t bounds[] = {o->min * each, o->max * each, (o->min + 1) * each, (o->max - 1) * each};

        if (!cfg_value_is_number(o) || o->type == CFG_TYPE_FLAG || o->type == CFG_TYPE_CHOICE)
            continue;
        for (unsigned i = 0; i < 4; i++) {
            uint64_t again = 78;
            char why[CFG_WHY_MAX], text[CFG_VALUE_MAX];

            cfg_value_print(o, bounds[i], text);
            cr_assert_eq(cfg_value_parse(o, text, &again, why), 0, "--%s: %s: %s", o->flag, text, why);
            cr_assert_eq(bounds[i], again, "--%s: %s", o->flag, text);
        }
    }
}

static void
assert_refused(const struct cfg_option *o, const char *value)
{
    struct cfg_result result;
    char arg[128], start[128];

    snprintf(arg, sizeof arg, "--%s=%s", o->flag, value);
    snprintf(start, sizeof start, "mcpgate: --%s: '%s' is ", o->flag, value);
    cr_assert(LOAD(&result, arg) < 0, "%s was accepted", arg);
    cr_assert(strncmp(result.error, start, strlen(start)) == 0, "%s", result.error);
}

Test(options, refuse_what_is_below_their_minimum_or_above_their_maximum_and_name_the_flag)
{
    FOR_EACH_FLAG(o)
    {
        bool is_time = o->type == CFG_TYPE_DURATION || o->type == CFG_TYPE_STREAM_DURATION;
        const char *unit = is_time ? "ms" : "";
        char value[64];

        if (!cfg_value_is_number(o) || o->type == CFG_TYPE_FLAG || o->type == CFG_TYPE_CHOICE)
            continue;
        snprintf(value, sizeof value, "%" PRIu64 "%s", o->max + 1, unit);
        assert_refused(o, value);
        if (o->min == 0)
            continue;
        snprintf(value, sizeof value, "%" PRIu64 "%s", o->min - 1, unit);
        assert_refused(o, value);
    }
}

Test(options, refuse_what_is_no_value_of_their_type_and_name_the_flag)
{
    static const char *const wrong[] = {
        "",   "-1", "x", "1x", " 1", "1 ", "+1", "0x10", "1.5", "ms", "1mm", "1kb2", "99999999999999999999",
        "1 s"};

    FOR_EACH_FLAG(o)
    {
        if (!cfg_value_is_number(o))
            continue;
        for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
            assert_refused(o, wrong[i]);
    }
}

Test(options, of_streams_take_a_value_for_each_transport)
{
    static const struct {
        const char *text, *back; /* NULL: refused */
        uint32_t sse, ws;
    } rows[] = {
        {"2ms", "2ms", 2, 2},
        {"sse=2ms,ws=10ms", "sse=2ms,ws=10ms", 2, 10},
        {"ws=10ms,sse=2ms", "sse=2ms,ws=10ms", 2, 10},
        {"sse=1s", "sse=1s,ws=0", 1000, 0}, /* the default */
        {"ws=off", "0", 0, 0},
        {"sse=5ms,ws=5ms", "5ms", 5, 5},
        {.text = "sse="},
        {.text = "sse=2ms,"},
        {.text = "sse=2ms,sse=3ms"},
        {.text = "http=2ms"},
        {.text = "sse=2ms,3ms"},
        {.text = "2ms,ws=3ms"},
        {.text = "sse=2s"}, /* too large */
        {.text = "ws=x"},
    };
    const struct cfg_option *o = cfg_option_find("batch-window", 12);

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        char why[CFG_WHY_MAX] = "", text[CFG_VALUE_MAX];
        uint64_t value = 0;

        cr_assert_eq(cfg_value_parse(o, rows[i].text, &value, why), rows[i].back ? 0 : -1, "%s",
                     rows[i].text);
        if (!rows[i].back) {
            cr_assert_eq(why[0], '\'', "%s: %s", rows[i].text, why);
            continue;
        }
        cr_assert_eq(cfg_of_stream(value, CFG_SSE), rows[i].sse, "%s", rows[i].text);
        cr_assert_eq(cfg_of_stream(value, CFG_WS), rows[i].ws, "%s", rows[i].text);
        cfg_value_print(o, value, text);
        cr_assert_str_eq(text, rows[i].back);
    }
}

Test(options, take_every_word_of_their_choices)
{
    FOR_EACH_FLAG(o)
    {
        char words[128], why[CFG_WHY_MAX], text[CFG_VALUE_MAX];
        uint64_t expected = 0, value;

        if (o->type != CFG_TYPE_CHOICE)
            continue;
        snprintf(words, sizeof words, "%s", o->metavar);
        for (char *word = strtok(words, "|"); word; word = strtok(NULL, "|")) {
            cr_assert_eq(cfg_value_parse(o, word, &value, why), 0, "--%s %s", o->flag, word);
            cr_assert_eq(value, expected++);
            cfg_value_print(o, value, text);
            cr_assert_str_eq(text, word);
        }
        cr_assert_geq(expected, 2, "--%s", o->flag);
    }
}

Test(options, number_their_choices_as_the_enums_do)
{
    static const struct {
        const char *flag, *word;
        uint64_t value;
    } rows[] = {
        {"mode", "auto", MODE_AUTO},
        {"mode", "path", MODE_PATH},
        {"mode", "merged", MODE_MERGED},
        {"forwarded", "x-forwarded", FORWARDED_X},
        {"forwarded", "off", FORWARDED_OFF},
        {"forwarded", "forwarded", FORWARDED_RFC7239},
        {"log-level", "error", LOG_ERROR},
        {"log-level", "warning", LOG_WARNING},
        {"log-level", "info", LOG_INFO},
        {"log-level", "debug", LOG_DEBUG},
        {"log-format", "text", LOG_TEXT},
        {"log-format", "json", LOG_JSON},
        {"spin", "off", SPIN_OFF},
        {"spin", "auto", SPIN_AUTO},
        {"spin", "on", SPIN_ON},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct cfg_option *o = cfg_option_find(rows[i].flag, strlen(rows[i].flag));
        char why[CFG_WHY_MAX];
        uint64_t value = 99;

        cr_assert_eq(cfg_value_parse(o, rows[i].word, &value, why), 0);
        cr_assert_eq(value, rows[i].value, "--%s %s", rows[i].flag, rows[i].word);
    }
}

Test(options, given_as_their_default_change_nothing)
{
    struct cfg_result plain;
    char *want;

    MUST_LOAD(&plain, "--mode=auto");
    want = printed(cfg_print_config, plain.config);
    FOR_EACH_FLAG(o)
    {
        struct cfg_result result;
        char arg[128], *have;

        if (!cfg_value_is_number(o))
            continue;
        snprintf(arg, sizeof arg, "--%s=%s", o->flag, o->def);
        MUST_LOAD(&result, arg);
        have = printed(cfg_print_config, result.config);
        cr_assert_str_eq(have, want, "%s", arg);
        free(have);
        cfg_done(&result);
    }
    free(want);
}

Test(options, are_all_documented_in_help)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    cfg_print_help(out);
    fclose(out);
    FOR_EACH_FLAG(o)
    {
        char entry[200];

        snprintf(entry, sizeof entry, "\n  --%s %s", o->flag, o->metavar);
        cr_assert(strstr(text, entry), "--%s", o->flag);
        cr_assert(o->help[0] && strlen(o->help) < 400);
    }
    for (unsigned i = 0; i < cfg_extra_flags_count; i++)
        cr_assert(!cfg_extra_flags[i].flag || strstr(text, cfg_extra_flags[i].flag));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        cr_assert(strlen(line) <= 80, "%zu columns: %s", strlen(line), line);
    free(text);
}

Test(options, state_their_structured_defaults_as_they_are)
{
    cr_assert(strstr(cfg_option_find("listen", 6)->help, "(default " CFG_DEFAULT_LISTEN ")"));
    cr_assert(strstr(cfg_option_find("admin", 5)->help, "(default " CFG_DEFAULT_ADMIN ")"));
}

Test(values, take_units_and_print_the_largest_that_divides)
{
    static const struct {
        const char *flag, *text;
        uint64_t value;
        const char *printed;
    } rows[] = {
        {"heartbeat", "15", 15000, "15s"},      {"heartbeat", "15s", 15000, "15s"},
        {"heartbeat", "15000ms", 15000, "15s"}, {"heartbeat", "1500ms", 1500, "1500ms"},
        {"heartbeat", "2m", 120000, "2m"},      {"heartbeat", "24h", 86400000, "24h"},
        {"heartbeat", "60s", 60000, "1m"},      {"heartbeat", "off", 0, "0"},
        {"early-stream", "off", 0, "0"},        {"high-mark", "64k", 65536, "64k"},
        {"high-mark", "1M", 1048576, "1m"},     {"high-mark", "65537", 65537, "65537"},
        {"max-body", "1g", 1073741824, "1g"},   {"max-body", "0", 0, "0"},
        {"max-body", "1t", 1ull << 40, "1t"},   {"workers", "auto", 0, "auto"},
        {"workers", "128", 128, "128"},         {"access-log", "on", 1, "on"},
    };

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct cfg_option *o = cfg_option_find(rows[i].flag, strlen(rows[i].flag));
        char why[CFG_WHY_MAX], text[CFG_VALUE_MAX];
        uint64_t value = 99;

        cr_assert_eq(cfg_value_parse(o, rows[i].text, &value, why), 0, "%s %s", rows[i].flag, rows[i].text);
        cr_assert_eq(value, rows[i].value, "%s %s", rows[i].flag, rows[i].text);
        cfg_value_print(o, value, text);
        cr_assert_str_eq(text, rows[i].printed);
    }
}

Test(values, explain_what_was_wrong_and_the_way_out)
{
    MUST_FAIL("mcpgate: --heartbeat: '15x' is not a duration: use a number with ms, s, m or h, such as 15s",
              "--heartbeat", "15x");
    MUST_FAIL("mcpgate: --heartbeat: '25h' is too large: use at most 24h", "--heartbeat=25h");
    MUST_FAIL("mcpgate: --client-idle: '0' is too small: use at least 1ms", "--client-idle=0");
    MUST_FAIL("mcpgate: --max-memory: '1k' is too small: use at least 1m", "--max-memory=1k");
    MUST_FAIL("mcpgate: --high-mark: '1 k' is not a size: use a number of bytes, or one with k, m, g or t, "
              "such as 64k",
              "--high-mark", "1 k");
    MUST_FAIL("mcpgate: --workers: 'many' is neither a number nor auto: use auto or a number such as 4",
              "--workers=many");
    MUST_FAIL("mcpgate: --workers: '0' is too small: use at least 1", "--workers=0");
    MUST_FAIL("mcpgate: --access-log: 'yes' is neither on nor off: use one of them", "--access-log=yes");
    MUST_FAIL("mcpgate: --spin: 'of' is not one of off|auto|on", "--spin=of");
    MUST_FAIL("mcpgate: --max-headers: '1k' is not a number: use digits only, such as 100",
              "--max-headers=1k");
}
