/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms and counters of a load run; see tally.h. */
#include "tally.h"

#include <inttypes.h>

const char *const error_names[ERROR_KINDS] = {
    "none",
#define ERROR_KIND(id, name, text) name,
#include "error_kind.def"
#undef ERROR_KIND
};

const char *const error_texts[ERROR_KINDS] = {
    "",
#define ERROR_KIND(id, name, text) text,
#include "error_kind.def"
#undef ERROR_KIND
};

const char *const measure_names[MEASURES] = {"latency",   "first_byte", "first_event",
                                             "event_gap", "jitter",     "event_delay"};

static const struct {
    const char *name;
    double share;
} quantiles[] = {{"p50", 0.5},  {"p90", 0.9},     {"p95", 0.95},
                 {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}};

enum { QUANTILES = sizeof(quantiles) / sizeof(quantiles[0]) };

static const struct stats_metric shape = {
    .kind = SEGMENT_HISTOGRAM, .sub_bits = SEGMENT_SUB_BITS, .buckets = SEGMENT_BUCKETS};

void
histogram_add(struct histogram *h, uint64_t ns)
{
    h->values[HISTOGRAM_COUNT]++;
    h->values[HISTOGRAM_SUM] += ns;
    if (ns > h->values[HISTOGRAM_MAX])
        h->values[HISTOGRAM_MAX] = ns;
    h->values[HISTOGRAM_BUCKETS + segment_bucket_of(ns)]++;
}

void
tally_add(struct tally *tally, enum measure measure, enum priority priority, uint64_t ns)
{
    histogram_add(&tally->measures[measure], ns);
    if (priority != PRIORITY_NONE)
        histogram_add(&tally->by_class[priority][measure], ns);
}

uint64_t
histogram_percentile(const struct histogram *h, double share)
{
    return stats_percentile(&shape, h->values, share);
}

double
histogram_mean(const struct histogram *h)
{
    return stats_mean(&shape, h->values);
}

double
tally_cpu_us(const struct tally *tally)
{
    uint64_t n = tally->finished ? tally->finished : tally->events;

    return n ? (double)tally->cpu_ns / 1e3 / (double)n : 0;
}

uint64_t
tally_errors(const struct tally *tally)
{
    uint64_t sum = 0;

    for (unsigned i = ERROR_NONE + 1; i < ERROR_KINDS; i++)
        sum += tally->errors[i];
    return sum;
}

/* Three significant digits and a unit, in eight columns. */
static void
print_time(FILE *out, double ns)
{
    static const struct {
        double factor;
        const char *unit;
    } units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
    unsigned i = ns >= 1e9 ? 0 : ns >= 1e6 ? 1 : 2;
    double value = ns / units[i].factor;

    fprintf(out, "%7.*f%-2s", value < 10 ? 2 : value < 100 ? 1 : 0, value, units[i].unit);
}

static void
print_measure(const char *name, const struct histogram *h, FILE *out)
{
    if (!h->values[HISTOGRAM_COUNT])
        return;
    fprintf(out, "%-12s", name);
    print_time(out, histogram_mean(h));
    for (unsigned q = 0; q < QUANTILES; q++)
        print_time(out, (double)histogram_percentile(h, quantiles[q].share));
    print_time(out, (double)h->values[HISTOGRAM_MAX]);
    fprintf(out, " %11" PRIu64 "\n", h->values[HISTOGRAM_COUNT]);
}

static void
print_measures(const struct tally *tally, FILE *out)
{
    char name[16];

    fprintf(out, "%-12s %8s ", "", "mean");
    for (unsigned q = 0; q < QUANTILES; q++)
        fprintf(out, "%8s ", quantiles[q].name);
    fprintf(out, "%8s %11s\n", "max", "count");
    for (unsigned m = 0; m < MEASURES; m++) {
        print_measure(measure_names[m], &tally->measures[m], out);
        for (unsigned p = PRIORITY_NONE + 1; p < PRIORITIES; p++) {
            snprintf(name, sizeof(name), "  %s", priority_names[p]);
            print_measure(name, &tally->by_class[p][m], out);
        }
    }
}

void
tally_print(const struct tally *tally, FILE *out)
{
    double seconds = tally->seconds > 0 ? tally->seconds : 1;

    fprintf(out, "%" PRIu64 " requests in %.2f s: %.1f req/s", tally->requests, tally->seconds,
            (double)tally->finished / seconds);
    if (tally->events)
        fprintf(out, ", %.1f events/s", (double)tally->events / seconds);
    fprintf(out, ", %.2f MB/s received, %.2f MB/s sent\n", (double)tally->received_bytes / seconds / 1e6,
            (double)tally->sent_bytes / seconds / 1e6);
    print_measures(tally, out);
    if (tally->cpu_ns)
        fprintf(out, "processor time: %.3f s, %.2f us per %s\n", (double)tally->cpu_ns / 1e9,
                tally_cpu_us(tally), tally->finished ? "request" : "event");
    if (tally->queued_max)
        fprintf(out,
                "queue: at most %" PRIu64 " requests waited for a connection, %" PRIu64
                " were never started\n",
                tally->queued_max, tally->not_started);
    if (!tally_errors(tally))
        fprintf(out, "errors: none\n");
    for (unsigned i = ERROR_NONE + 1; i < ERROR_KINDS; i++)
        if (tally->errors[i])
            fprintf(out, "errors: %" PRIu64 " %s (%s)\n", tally->errors[i], error_names[i], error_texts[i]);
}

static json_t *
measure_json(const struct histogram *h)
{
    json_t *object = json_object();
    char name[24];

    json_object_set_new(object, "count", json_integer((json_int_t)h->values[HISTOGRAM_COUNT]));
    json_object_set_new(object, "mean_us", json_real(histogram_mean(h) / 1e3));
    for (unsigned q = 0; q < QUANTILES; q++) {
        snprintf(name, sizeof(name), "%s_us", quantiles[q].name);
        json_object_set_new(object, name,
                            json_real((double)histogram_percentile(h, quantiles[q].share) / 1e3));
    }
    json_object_set_new(object, "max_us", json_real((double)h->values[HISTOGRAM_MAX] / 1e3));
    return object;
}

static void
add_measures(json_t *object, const struct histogram measures[MEASURES])
{
    for (unsigned m = 0; m < MEASURES; m++)
        if (measures[m].values[HISTOGRAM_COUNT])
            json_object_set_new(object, measure_names[m], measure_json(&measures[m]));
}

static void
add_classes(json_t *object, const struct tally *tally)
{
    json_t *classes = json_object();

    for (unsigned p = PRIORITY_NONE + 1; p < PRIORITIES; p++) {
        json_t *class = json_object();

        add_measures(class, tally->by_class[p]);
        if (json_object_size(class))
            json_object_set(classes, priority_names[p], class);
        json_decref(class);
    }
    if (json_object_size(classes))
        json_object_set(object, "classes", classes);
    json_decref(classes);
}

json_t *
tally_json(const struct tally *tally)
{
    double seconds = tally->seconds > 0 ? tally->seconds : 1;
    json_t *errors = json_object(), *statuses = json_object();
    json_t *object = json_pack(
        "{s:f, s:I, s:f, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I}", "seconds", tally->seconds, "requests",
        (json_int_t)tally->requests, "requests_per_second", (double)tally->finished / seconds, "events",
        (json_int_t)tally->events, "events_per_second", (double)tally->events / seconds, "received_bytes",
        (json_int_t)tally->received_bytes, "sent_bytes", (json_int_t)tally->sent_bytes, "connects",
        (json_int_t)tally->connects, "queued_max", (json_int_t)tally->queued_max, "not_started",
        (json_int_t)tally->not_started, "failed", (json_int_t)tally_errors(tally));

    if (tally->cpu_ns) {
        json_object_set_new(object, "cpu_seconds", json_real((double)tally->cpu_ns / 1e9));
        json_object_set_new(object, "cpu_us", json_real(tally_cpu_us(tally)));
    }
    add_measures(object, tally->measures);
    add_classes(object, tally);
    for (unsigned i = ERROR_NONE + 1; i < ERROR_KINDS; i++)
        json_object_set_new(errors, error_names[i], json_integer((json_int_t)tally->errors[i]));
    for (unsigned i = 1; i < 6; i++) {
        char name[8];

        snprintf(name, sizeof(name), "%uxx", i);
        json_object_set_new(statuses, name, json_integer((json_int_t)tally->statuses[i]));
    }
    json_object_set_new(object, "errors", errors);
    json_object_set_new(object, "statuses", statuses);
    return object;
}
