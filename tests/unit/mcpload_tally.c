/* SPDX-License-Identifier: Apache-2.0 */
#include "mcpload/diff.h"
#include "mcpload/tally.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Test(mcpload_tally, quantiles_of_a_ramp_are_within_a_bucket_of_the_truth)
{
    struct histogram *h = calloc(1, sizeof *h);

    for (uint64_t us = 1; us <= 10000; us++)
        histogram_add(h, us * 1000);
    cr_assert_float_eq(histogram_mean(h), 5000500, 1);
    for (double share = 0.01; share < 1; share += 0.01) {
        double truth = share * 1e7, found = (double)histogram_percentile(h, share);

        cr_assert(fabs(found - truth) <= truth / 16 + 1000, "p%g: %g instead of %g", share * 100, found,
                  truth);
    }
    cr_assert_leq(histogram_percentile(h, 1), 10000000);
    cr_assert_geq(histogram_percentile(h, 1), 10000000 * 15 / 16);
    free(h);
}

Test(mcpload_tally, no_quantile_exceeds_the_maximum)
{
    struct histogram *h = calloc(1, sizeof *h);

    for (int i = 0; i < 100; i++)
        histogram_add(h, 1000001);
    cr_assert_eq(h->values[HISTOGRAM_MAX], 1000001);
    cr_assert_leq(histogram_percentile(h, 0.9999), 1000001);
    cr_assert_geq(histogram_percentile(h, 0.5), 1000000 * 15 / 16);
    free(h);
}

Test(mcpload_tally, an_empty_histogram_has_only_zeros)
{
    struct histogram *h = calloc(1, sizeof *h);

    cr_assert_eq(histogram_mean(h), 0);
    cr_assert_eq(histogram_percentile(h, 0.99), 0);
    free(h);
}

Test(mcpload_tally, json_holds_rates_errors_by_kind_and_only_measures_that_have_values)
{
    struct tally *tally = calloc(1, sizeof *tally);
    json_t *json, *errors;

    tally->seconds = 2;
    tally->requests = 98;
    tally->finished = 100;
    tally->errors[ERROR_TIMEOUT] = 3;
    tally->errors[ERROR_ID] = 1;
    histogram_add(&tally->measures[MEASURE_LATENCY], 5000);
    cr_assert_eq(tally_errors(tally), 4);
    json = tally_json(tally);
    errors = json_object_get(json, "errors");
    cr_assert_eq(json_real_value(json_object_get(json, "requests_per_second")), 50);
    cr_assert_eq(json_integer_value(json_object_get(json, "failed")), 4);
    cr_assert_eq(json_integer_value(json_object_get(errors, "timeout")), 3);
    cr_assert_eq(json_integer_value(json_object_get(errors, "id_mismatch")), 1);
    cr_assert_eq(json_integer_value(json_object_get(errors, "reset")), 0);
    cr_assert_float_eq(json_real_value(json_object_get(json_object_get(json, "latency"), "max_us")), 5, 1e-9);
    cr_assert_null(json_object_get(json, "jitter"));
    json_decref(json);
    free(tally);
}

Test(mcpload_tally, the_table_names_each_kind_of_error_that_occurred)
{
    struct tally *tally = calloc(1, sizeof *tally);
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    tally->seconds = 1;
    tally->errors[ERROR_RESET] = 2;
    tally_print(tally, out);
    fclose(out);
    cr_assert(strstr(text, "errors: 2 reset"));
    cr_assert(!strstr(text, "timeout"));
    free(text);
    free(tally);
}

Test(mcpload_diff, prints_the_ratio_of_each_number_that_both_have)
{
    json_t *a =
        json_pack("{s:{s:i, s:i, s:i}, s:s}", "result", "requests", 100, "zero", 0, "only_a", 1, "url", "x");
    json_t *b = json_pack("{s:{s:i, s:i}, s:s}", "result", "requests", 150, "zero", 0, "url", "y");
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    diff_print("", a, b, out);
    fclose(out);
    cr_assert(strstr(text, "result.requests"));
    cr_assert(strstr(text, "1.500x"));
    cr_assert(strstr(text, "x -> y"));
    cr_assert(!strstr(text, "zero"));
    cr_assert(!strstr(text, "only_a"));
    free(text);
    json_decref(a);
    json_decref(b);
}

Test(mcpload_tally, what_has_a_class_is_counted_in_it_and_in_all)
{
    struct tally *tally = calloc(1, sizeof *tally);
    json_t *json, *classes;

    tally_add(tally, MEASURE_LATENCY, PRIORITY_HIGH, 1000);
    tally_add(tally, MEASURE_LATENCY, PRIORITY_LOW, 3000);
    tally_add(tally, MEASURE_LATENCY, PRIORITY_NONE, 2000);
    json = tally_json(tally);
    classes = json_object_get(json, "classes");
    cr_assert_eq(json_integer_value(json_object_get(json_object_get(json, "latency"), "count")), 3);
    cr_assert_eq(json_object_size(classes), 2);
    cr_assert_float_eq(json_real_value(json_object_get(
                           json_object_get(json_object_get(classes, "low"), "latency"), "max_us")),
                       3, 1e-9);
    json_decref(json);
    free(tally);
}
