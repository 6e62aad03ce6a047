/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/read.h"
#include "stats/stats.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 100000 };

static const struct stats_metric metric = {.kind = SEGMENT_HISTOGRAM,
                                           .sub_bits = SEGMENT_SUB_BITS,
                                           .buckets = SEGMENT_BUCKETS,
                                           .first = 0,
                                           .count = HISTOGRAM_BUCKETS + SEGMENT_BUCKETS};

static struct segment_histogram histogram;
static uint64_t values[HISTOGRAM_BUCKETS + SEGMENT_BUCKETS];

static void
copy_values(void)
{
    memcpy(values, &histogram, HISTOGRAM_BUCKETS * sizeof *values);
    memcpy(values + HISTOGRAM_BUCKETS, histogram.buckets, sizeof histogram.buckets);
}

Test(histogram, has_buckets_that_follow_each_other_without_gap)
{
    for (uint32_t b = 0; b < SEGMENT_BUCKETS; b++) {
        uint64_t floor = segment_bucket_floor(SEGMENT_SUB_BITS, b);
        uint64_t next = segment_bucket_floor(SEGMENT_SUB_BITS, b + 1);

        cr_assert_gt(next, floor);
        cr_assert_eq(segment_bucket_of(floor), b);
        cr_assert_eq(segment_bucket_of(next - 1), b);
    }
}

Test(histogram, has_no_bucket_wider_than_a_sixteenth_of_its_values)
{
    for (uint32_t b = 0; b < SEGMENT_BUCKETS; b++) {
        uint64_t floor = segment_bucket_floor(SEGMENT_SUB_BITS, b);
        uint64_t width = segment_bucket_floor(SEGMENT_SUB_BITS, b + 1) - floor;

        cr_assert(width == 1 || width * 16 <= floor, "bucket %u: %lu wide at %lu", b, width, floor);
    }
}

Test(histogram, counts_what_is_beyond_its_range_in_the_last_bucket)
{
    cr_assert_eq(segment_bucket_of(1ull << SEGMENT_MAX_BITS), SEGMENT_BUCKETS - 1);
    cr_assert_eq(segment_bucket_of((1ull << SEGMENT_MAX_BITS) - 1), SEGMENT_BUCKETS - 1);
    cr_assert_eq(segment_bucket_of(UINT64_MAX), SEGMENT_BUCKETS - 1);
    cr_assert_eq(segment_bucket_of(0), 0);
    cr_assert_gt(1ull << SEGMENT_MAX_BITS, 1000ull * 1000000000ull, "1000 s are in range");
}

static int
compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static uint64_t
uniform(void)
{
    return 1000 + (uint64_t)random() % 5000000;
}

/* From a microsecond to minutes, evenly over the orders of magnitude. */
static uint64_t
log_uniform(void)
{
    return (uint64_t)pow(10, 3 + 8 * ((double)random() / RAND_MAX));
}

static uint64_t
two_peaks(void)
{
    return (random() % 100 < 97 ? 200000 : 80000000) + (uint64_t)random() % 10000;
}

Test(histogram, gives_percentiles_within_a_bucket_of_the_sorted_samples)
{
    static const struct {
        const char *name;
        uint64_t (*sample)(void);
    } cases[] = {{"uniform", uniform}, {"log-uniform", log_uniform}, {"two peaks", two_peaks}};
    static const double shares[] = {0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0};
    static uint64_t samples[SAMPLES];

    srandom(1);
    for (unsigned c = 0; c < sizeof cases / sizeof *cases; c++) {
        double sum = 0;

        memset(&histogram, 0, sizeof histogram);
        for (unsigned i = 0; i < SAMPLES; i++) {
            samples[i] = cases[c].sample();
            sum += (double)samples[i];
            stats_record(&histogram, samples[i]);
        }
        copy_values();
        qsort(samples, SAMPLES, sizeof *samples, compare);
        for (unsigned k = 0; k < sizeof shares / sizeof *shares; k++) {
            size_t rank = (size_t)ceil(shares[k] * (double)SAMPLES) - 1;
            double exact = (double)samples[rank], got = (double)stats_percentile(&metric, values, shares[k]);

            cr_assert_leq(fabs(got - exact) / exact, 0.0625, "%s p%g: %g, exactly %g", cases[c].name,
                          shares[k] * 100, got, exact);
        }
        cr_assert_float_eq(stats_mean(&metric, values), sum / (double)SAMPLES, 1);
        cr_assert_eq(values[HISTOGRAM_MAX], samples[SAMPLES - 1]);
        cr_assert_eq(values[HISTOGRAM_COUNT], SAMPLES);
    }
}

Test(histogram, gives_the_nearest_rank_of_few_samples)
{
    for (uint64_t v = 1; v <= 10; v++)
        stats_record(&histogram, v);
    copy_values();
    cr_assert_eq(stats_percentile(&metric, values, 0.5), 5);
    cr_assert_eq(stats_percentile(&metric, values, 0.91), 10);
    cr_assert_eq(stats_percentile(&metric, values, 0.9), 9);
    cr_assert_eq(stats_percentile(&metric, values, 0), 1);
    cr_assert_eq(stats_percentile(&metric, values, 1), 10);
}

Test(histogram, takes_the_values_of_a_bucket_to_lie_evenly_in_it)
{
    for (uint64_t v = 1 << 20; v < (1 << 20) + (1 << 16); v += 16) /* a bucket of a sixteenth */
        stats_record(&histogram, v);
    copy_values();
    cr_assert_float_eq((double)stats_percentile(&metric, values, 0.25), (1 << 20) + (1 << 14), 32);
    cr_assert_float_eq((double)stats_percentile(&metric, values, 0.75), (1 << 20) + 3 * (1 << 14), 32);
}

Test(histogram, gives_zeros_when_it_is_empty)
{
    copy_values();
    cr_assert_eq(stats_percentile(&metric, values, 0.99), 0);
    cr_assert_float_eq(stats_mean(&metric, values), 0, 0);
}

Test(histogram, counts_exactly_below_powers_of_two)
{
    for (uint64_t v = 0; v < 5000; v++)
        stats_record(&histogram, v);
    copy_values();
    for (unsigned bits = 0; bits <= 12; bits++)
        cr_assert_eq(stats_count_below(&metric, values, 1u << bits), 1u << bits);
    cr_assert_eq(stats_count_below(&metric, values, UINT64_MAX), 5000);
}
