/* SPDX-License-Identifier: Apache-2.0 */
/* A run and its report; see run.h. */
#include "run.h"

#include "mcpload.h"

#include <errno.h>
#include <string.h>

int
run_check(const struct stage_config *config, char *why, size_t why_size)
{
    if (config->duration_ns)
        return 0;
    snprintf(why, why_size, "--duration must be longer than nothing");
    return -EINVAL;
}

FILE *
run_out(const struct stage_config *config)
{
    return config->json && strcmp(config->json, "-") == 0 ? stderr : stdout;
}

static void
print_plans(const struct stage_config *config, struct part **parts, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (parts[i]->name)
            fprintf(stderr, "%s: ", parts[i]->name);
        parts[i]->type->print_plan(parts[i], stderr);
    }
    fprintf(stderr, "%g s after a warm-up of %g s\n", (double)config->duration_ns / 1e9,
            (double)config->warmup_ns / 1e9);
}

static void
add_times(json_t *plan, const struct stage_config *config)
{
    json_object_set_new(plan, "duration_s", json_real((double)config->duration_ns / 1e9));
    json_object_set_new(plan, "warmup_s", json_real((double)config->warmup_ns / 1e9));
}

json_t *
run_part_json(const struct part *part)
{
    json_t *plan = part->type->plan(part);

    add_times(plan, part->stage->config);
    return json_pack("{s:o, s:o}", "plan", plan, "result", tally_json(&part->tally));
}

/* Runs and prints; returns the exit status. */
static int
run(struct stage *stage, const struct stage_config *config, struct part **parts, unsigned count)
{
    char why[512];
    int status = 0;

    if (!config->quiet)
        print_plans(config, parts, count);
    if (stage_run(stage, config, parts, count, why, sizeof why) < 0) {
        fprintf(stderr, "mcpload: %s\n", why);
        return 2;
    }
    for (unsigned i = 0; i < count; i++) {
        if (parts[i]->name)
            fprintf(run_out(config), "%s%s: ", i ? "\n" : "", parts[i]->name);
        tally_print(&parts[i]->tally, run_out(config));
        if (tally_errors(&parts[i]->tally) || !parts[i]->type->was_good(parts[i]))
            status = 1;
    }
    return status;
}

static int
write_json(const struct stage_config *config, json_t *result)
{
    int status;

    json_object_set_new(result, "mcpload", json_string(MCPGATE_VERSION));
    status = mcpload_write_json(result, config->json);
    json_decref(result);
    return status;
}

int
run_one(const struct stage_config *config, const struct find_config *find, const struct run_kind *kind)
{
    struct stage stage;
    struct part *part;
    char why[512];
    int status;

    if (run_check(config, why, sizeof why) < 0 || !(part = kind->make(kind->config, why, sizeof why))) {
        fprintf(stderr, "mcpload: %s\n", why);
        return 2;
    }
    if (find->is_wanted) {
        part->type->free(part);
        return find_run(config, find, kind);
    }
    status = run(&stage, config, &part, 1);
    if (status < 2 && config->json)
        status |= write_json(config, run_part_json(part));
    part->type->free(part);
    return status;
}

static json_t *
mix_json(const struct stage *stage)
{
    json_t *plan = json_object(), *list = json_array();
    json_t *result = json_pack("{s:o, s:o}", "plan", plan, "parts", list);

    add_times(plan, stage->config);
    for (unsigned i = 0; i < stage->part_count; i++) {
        json_t *part = run_part_json(stage->parts[i]);

        json_object_set_new(part, "name", json_string(stage->parts[i]->name));
        json_array_append_new(list, part);
    }
    if (stage->config->cpu_of)
        json_object_set_new(result, "cpu_seconds", json_real((double)stage->cpu_ns / 1e9));
    return result;
}

int
run_mix(const struct stage_config *config, struct part **parts, unsigned count)
{
    struct stage stage;
    int status = run(&stage, config, parts, count);

    if (status < 2 && config->cpu_of)
        fprintf(run_out(config), "\nprocessor time of all: %.3f s\n", (double)stage.cpu_ns / 1e9);
    if (status < 2 && config->json)
        status |= write_json(config, mix_json(&stage));
    for (unsigned i = 0; i < count; i++)
        parts[i]->type->free(parts[i]);
    return status;
}
