/* SPDX-License-Identifier: Apache-2.0 */
/* The whole output of each formatter for a small segment, written down. */
#include "foreign_segment.h"
#include "stats/format.h"
#include "stats/human.h"

static struct foreign foreign;
static struct stats_reader *reader;
static struct snapshot *snapshot;
static char text[65536];
static size_t text_len;

static void
keep(void *ctx, const char *bytes, size_t len)
{
    cr_assert_lt(text_len + len, sizeof text);
    memcpy(text + text_len, bytes, len);
    text_len += len;
    text[text_len] = '\0';
}

static const struct writer writer = {keep, NULL};

static void
setup(void)
{
    const char *dir, *why;

    setenv("TZ", "UTC", 1);
    foreign_make(&foreign);
    dir = foreign_write(&foreign, sizeof foreign);
    cr_assert_eq(stats_open(dir, &reader, &why), 0);
    foreign_remove(dir);
    snapshot = stats_snapshot(reader);
    cr_assert_not_null(snapshot);
}

static void
teardown(void)
{
    snapshot_free(&snapshot);
    stats_close_reader(&reader);
}

TestSuite(format, .init = setup, .fini = teardown);

/* The texts line by line, so that a failure names the line. */
static void
expect(const char *want)
{
    const char *got = text;

    for (unsigned line = 1; *got || *want; line++) {
        int got_len = (int)strcspn(got, "\n"), want_len = (int)strcspn(want, "\n");

        cr_assert(got_len == want_len && memcmp(got, want, (size_t)got_len) == 0,
                  "line %u: got \"%.*s\", want \"%.*s\"", line, got_len, got, want_len, want);
        got += got_len + (got[got_len] == '\n');
        want += want_len + (want[want_len] == '\n');
    }
}

/* clang-format off */
Test(format, lists_the_metrics)
{
    stats_format_list(snapshot->schema, &writer);
    expect("metric    kind       unit     labels    help\n"
           "teapots   counter    -        worker    teapots \"made\" \\o/\n"
           "kettle    gauge      bytes    worker    water in the kettle\n"
           "brews     counter    -        leaf,cup  brews by leaf and cup\n"
           "steeping  histogram  seconds  worker    time in the pot\n"
           "pours     counter    -        upstream  cups poured\n"
           "sips      histogram  seconds  leaf,cup  time between sips, by leaf and cup\n");
}

Test(format, shows_people_the_whole_as_text)
{
    stats_format_text(snapshot, snapshot, &writer);
    expect("gateway is not running; last figures of 2023-11-14 22:15:00 (mcpgate 9.9, generation 7)\n"
           "\n"
           "Workers together (averages since the start)\n"
           "\n"
           "Processes\n"
           "  slot  role    state  pid  deaths     up  last turn\n"
           "     0  worker  gone   100       0  1m39s       0.0s\n"
           "     2  worker  gone   102       1  1m39s       0.5s\n"
           "  last failed check of slot 2: check failed at pot.c:1: lid\n"
           "\n"
           "Totals of the workers\n"
           "  metric     value  per second\n"
           "  teapots      601        6.01  teapots \"made\" \\o/\n"
           "  kettle   3.0 KiB              water in the kettle\n"
           "\n"
           "Times\n"
           "            count     mean      p50      p90      p99    p99.9   p99.99      max\n"
           "  steeping    200  7.99 ms  1.34 ms  1.57 ms  70.0 ms  70.0 ms  70.0 ms  70.0 ms\n"
           "\n"
           "brews: brews by leaf and cup\n"
           "  leaf   cup      count  per second\n"
           "  green  small       10        0.10\n"
           "  black  lar\"ge\\      3        0.03\n"
           "\n"
           "Upstreams\n"
           "  upstream\n"
           "  kitchen\n"
           "\n"
           "Open streams: 1\n"
           "  slot  upstream  method    age  quiet  events    bytes  queued\n"
           "     0  kitchen   ?       1m00s   1.0s      12  3.4 KiB    78 B\n");
}

Test(format, gives_programs_one_json_object)
{
    stats_format_json(snapshot, &writer);
    expect("{\n"
           "  \"gateway\": {\"version\": \"9.9\", \"running\": false, \"generation\": 7, \"node\": 3, \"supervisor_pid\": 4711, \"start\": \"2023-11-14T22:13:20.000Z\", \"time\": \"2023-11-14T22:15:00.000Z\", \"seconds\": 100.000},\n"
           "  \"totals\": {\n"
           "    \"teapots\": 601,\n"
           "    \"kettle\": 3072,\n"
           "    \"brews\": {\"green\": {\"small\": 10}, \"black\": {\"lar\\\"ge\\\\\": 3}},\n"
           "    \"steeping\": {\"count\": 200, \"sum\": 1.598000000, \"mean\": 0.007990000, \"p50\": 0.001338390, \"p90\": 0.001571407, \"p99\": 0.070000000, \"p999\": 0.070000000, \"p9999\": 0.070000000, \"max\": 0.070000000},\n"
           "    \"sips\": {}\n"
           "  },\n"
           "  \"workers\": [\n"
           "    {\"slot\": 0, \"role\": \"worker\", \"state\": \"ready\", \"alive\": false, \"pid\": 100, \"epoch\": 1, \"deaths\": 0, \"generation\": 7, \"age\": 99.000, \"last_turn\": 0.000, \"failed_check\": \"\", \"metrics\": {\n"
           "      \"teapots\": 300,\n"
           "      \"kettle\": 1024,\n"
           "      \"brews\": {\"green\": {\"small\": 5}, \"black\": {\"lar\\\"ge\\\\\": 1}},\n"
           "      \"steeping\": {\"count\": 100, \"sum\": 0.799000000, \"mean\": 0.007990000, \"p50\": 0.001336934, \"p90\": 0.001569951, \"p99\": 0.070000000, \"p999\": 0.070000000, \"p9999\": 0.070000000, \"max\": 0.070000000},\n"
           "      \"sips\": {}\n"
           "    }},\n"
           "    {\"slot\": 2, \"role\": \"worker\", \"state\": \"ready\", \"alive\": false, \"pid\": 102, \"epoch\": 2, \"deaths\": 1, \"generation\": 7, \"age\": 99.000, \"last_turn\": 0.500, \"failed_check\": \"check failed at pot.c:1: lid\", \"metrics\": {\n"
           "      \"teapots\": 301,\n"
           "      \"kettle\": 2048,\n"
           "      \"brews\": {\"green\": {\"small\": 5}, \"black\": {\"lar\\\"ge\\\\\": 2}},\n"
           "      \"steeping\": {\"count\": 100, \"sum\": 0.799000000, \"mean\": 0.007990000, \"p50\": 0.001336934, \"p90\": 0.001569951, \"p99\": 0.070000000, \"p999\": 0.070000000, \"p9999\": 0.070000000, \"max\": 0.070000000},\n"
           "      \"sips\": {}\n"
           "    }}\n"
           "  ],\n"
           "  \"upstreams\": {\n"
           "    \"kitchen\": {\n"
           "      \"pours\": 30\n"
           "    }\n"
           "  },\n"
           "  \"streams\": [\n"
           "    {\"id\": \"0.1.1040000000\", \"slot\": 0, \"upstream\": \"kitchen\", \"method\": \"?\", \"age\": 60.000, \"quiet\": 1.000, \"events\": 12, \"bytes\": 3456, \"queued_bytes\": 78}\n"
           "  ]\n"
           "}\n");
}

Test(format, gives_prometheus_its_text_format)
{
    stats_format_prom(snapshot, &writer);
    expect("# HELP mcpgate_info the gateway's version\n"
           "# TYPE mcpgate_info gauge\n"
           "mcpgate_info{version=\"9.9\"} 1\n"
           "# HELP mcpgate_running 1 while the gateway runs\n"
           "# TYPE mcpgate_running gauge\n"
           "mcpgate_running 0\n"
           "# HELP mcpgate_generation how many configurations the gateway has had\n"
           "# TYPE mcpgate_generation gauge\n"
           "mcpgate_generation 7\n"
           "# HELP mcpgate_start_time_seconds when this generation started, since the epoch\n"
           "# TYPE mcpgate_start_time_seconds gauge\n"
           "mcpgate_start_time_seconds 1700000000.000\n"
           "# HELP mcpgate_process_up 1 while the slot's process lives\n"
           "# TYPE mcpgate_process_up gauge\n"
           "mcpgate_process_up{worker=\"0\",role=\"worker\"} 0\n"
           "mcpgate_process_up{worker=\"2\",role=\"worker\"} 0\n"
           "# HELP mcpgate_process_deaths_total times the slot's process died and not in good order\n"
           "# TYPE mcpgate_process_deaths_total counter\n"
           "mcpgate_process_deaths_total{worker=\"0\",role=\"worker\"} 0\n"
           "mcpgate_process_deaths_total{worker=\"2\",role=\"worker\"} 1\n"
           "# HELP mcpgate_teapots_total teapots \"made\" \\\\o/\n"
           "# TYPE mcpgate_teapots_total counter\n"
           "mcpgate_teapots_total{worker=\"0\"} 300\n"
           "mcpgate_teapots_total{worker=\"2\"} 301\n"
           "# HELP mcpgate_kettle_bytes water in the kettle\n"
           "# TYPE mcpgate_kettle_bytes gauge\n"
           "mcpgate_kettle_bytes{worker=\"0\"} 1024\n"
           "mcpgate_kettle_bytes{worker=\"2\"} 2048\n"
           "# HELP mcpgate_brews_total brews by leaf and cup\n"
           "# TYPE mcpgate_brews_total counter\n"
           "mcpgate_brews_total{leaf=\"green\",cup=\"small\"} 10\n"
           "mcpgate_brews_total{leaf=\"black\",cup=\"lar\\\"ge\\\\\"} 3\n"
           "# HELP mcpgate_steeping_seconds time in the pot\n"
           "# TYPE mcpgate_steeping_seconds histogram\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"4.096e-06\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"8.192e-06\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"1.6384e-05\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"3.2768e-05\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"6.5536e-05\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"0.000131072\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"0.000262144\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"0.000524288\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"0.001048576\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"0.002097152\"} 90\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"0.004194304\"} 90\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"0.008388608\"} 90\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"0.016777216\"} 90\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"0.033554432\"} 90\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"0.067108864\"} 90\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"0.134217728\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"0.268435456\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"0.536870912\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"1.07374182\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"2.14748365\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"4.2949673\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"8.58993459\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"17.1798692\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"34.3597384\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"68.7194767\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"0\",le=\"+Inf\"} 100\n"
           "mcpgate_steeping_seconds_sum{worker=\"0\"} 0.799000000\n"
           "mcpgate_steeping_seconds_count{worker=\"0\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"4.096e-06\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"8.192e-06\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"1.6384e-05\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"3.2768e-05\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"6.5536e-05\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"0.000131072\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"0.000262144\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"0.000524288\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"0.001048576\"} 0\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"0.002097152\"} 90\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"0.004194304\"} 90\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"0.008388608\"} 90\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"0.016777216\"} 90\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"0.033554432\"} 90\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"0.067108864\"} 90\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"0.134217728\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"0.268435456\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"0.536870912\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"1.07374182\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"2.14748365\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"4.2949673\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"8.58993459\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"17.1798692\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"34.3597384\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"68.7194767\"} 100\n"
           "mcpgate_steeping_seconds_bucket{worker=\"2\",le=\"+Inf\"} 100\n"
           "mcpgate_steeping_seconds_sum{worker=\"2\"} 0.799000000\n"
           "mcpgate_steeping_seconds_count{worker=\"2\"} 100\n"
           "# HELP mcpgate_pours_total cups poured\n"
           "# TYPE mcpgate_pours_total counter\n"
           "mcpgate_pours_total{upstream=\"kitchen\"} 30\n"
           "# HELP mcpgate_sips_seconds time between sips, by leaf and cup\n"
           "# TYPE mcpgate_sips_seconds histogram\n");
}

/* clang-format on */
Test(human, numbers_are_short)
{
    static const struct {
        void (*format)(char out[HUMAN_MAX], double);
        double value;
        const char *want;
    } cases[] = {
        {human_bytes, 0, "0 B"},
        {human_bytes, 1023, "1023 B"},
        {human_bytes, 1024, "1.0 KiB"},
        {human_bytes, 1536, "1.5 KiB"},
        {human_bytes, 1048575, "1.0 MiB"},
        {human_bytes, 5e18, "4440.9 PiB"},
        {human_rate, 0, "0"},
        {human_rate, 0.354, "0.35"},
        {human_rate, 12.34, "12.3"},
        {human_rate, 9.999, "10.0"},
        {human_rate, 45678.4, "45,678"},
        {human_rate, 999.96, "1,000"},
        {human_ns, 0, "0 ns"},
        {human_ns, -1, "-"},
        {human_ns, 850, "850 ns"},
        {human_ns, 999.6, "1.00 us"},
        {human_ns, 12345, "12.3 us"},
        {human_ns, 1250000, "1.25 ms"},
        {human_ns, 2.1e9, "2.10 s"},
        {human_ns, 5e12, "5000 s"},
        {human_age, 0, "0.0s"},
        {human_age, 12.34, "12.3s"},
        {human_age, 245, "4m05s"},
        {human_age, 12000, "3h20m"},
        {human_age, 1051200, "12d04h"},
    };
    char out[HUMAN_MAX];

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        cases[i].format(out, cases[i].value);
        cr_assert_str_eq(out, cases[i].want, "%g: %s, want %s", cases[i].value, out, cases[i].want);
    }
    human_count(out, 0);
    cr_assert_str_eq(out, "0");
    human_count(out, 999);
    cr_assert_str_eq(out, "999");
    human_count(out, 1234567);
    cr_assert_str_eq(out, "1,234,567");
    human_count(out, UINT64_MAX);
    cr_assert_str_eq(out, "18,446,744,073,709,551,615");
}
