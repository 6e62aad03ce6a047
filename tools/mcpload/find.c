/* SPDX-License-Identifier: Apache-2.0 */
/* --find-rate: one run after the other at the rates that the search (finder.h) asks for. */
#include "finder.h"
#include "mcpload.h"
#include "run.h"

static const double first_rate = 1000;

struct search {
    const struct stage_config *config;
    const struct find_config *find;
    const struct run_kind *kind;
    struct finder finder;
    json_t *runs, *best; /* a line for each run; the last good one whole, else the last one */
};

static void
note(struct search *search, const struct part *part, const char *fault)
{
    struct finder_figures figures = finder_figures(&part->tally);
    double per_second = part->tally.seconds > 0 ? (double)figures.done / part->tally.seconds : 0;

    fprintf(run_out(search->config), "%12.1f/s: %12.1f/s came, p99 %9.3f ms: %s\n", search->finder.rate,
            per_second, (double)figures.p99_ns / 1e6, fault ? fault : "good");
    fflush(run_out(search->config));
    json_array_append_new(search->runs,
                          json_pack("{s:f, s:f, s:f, s:s*}", "rate", search->finder.rate, "per_second",
                                    per_second, "p99_us", (double)figures.p99_ns / 1e3, "fault", fault));
    if (fault && search->finder.good > 0)
        return;
    json_decref(search->best);
    search->best = run_part_json(part);
}

/* One run; 1: go on, 0: that was the last one, below zero: it could not start. */
static int
step(struct search *search)
{
    struct stage stage;
    char why[512];
    struct part *part;
    const char *fault;
    int err, more;

    *search->kind->rate = search->finder.rate;
    part = search->kind->make(search->kind->config, why, sizeof why);
    err = part ? stage_run(&stage, search->config, &part, 1, why, sizeof why) : -1;
    if (err < 0) {
        fprintf(stderr, "mcpload: %s\n", why);
        if (part)
            part->type->free(part);
        return err;
    }
    fault = finder_fault(&part->tally, search->finder.rate, search->kind->burst, search->find->p99_ns);
    if (!stage.interrupted)
        note(search, part, fault);
    more = !stage.interrupted && finder_next(&search->finder, !fault);
    part->type->free(part);
    return more;
}

static int
report(const struct search *search)
{
    double rate = search->finder.good;
    json_t *result;
    int status = rate > 0 ? 0 : 1;

    if (rate > 0)
        fprintf(run_out(search->config), "highest rate: %.1f/s\n", rate);
    else
        fprintf(run_out(search->config), "no rate was good\n");
    if (!search->config->json)
        return status;
    result = search->best ? json_incref(search->best) : json_object();
    json_object_set_new(result, "mcpload", json_string(MCPGATE_VERSION));
    json_object_set_new(result, "find_rate",
                        json_pack("{s:f, s:f, s:O}", "rate", rate, "p99_max_us",
                                  (double)search->find->p99_ns / 1e3, "runs", search->runs));
    status |= mcpload_write_json(result, search->config->json);
    json_decref(result);
    return status;
}

int
find_run(const struct stage_config *config, const struct find_config *find, const struct run_kind *kind)
{
    struct search search = {.config = config, .find = find, .kind = kind, .runs = json_array()};
    int more, status = 2;

    finder_begin(&search.finder, *kind->rate > 0 ? *kind->rate : first_rate);
    do
        more = step(&search);
    while (more > 0);
    if (more == 0)
        status = report(&search);
    json_decref(search.runs);
    json_decref(search.best);
    return status;
}
