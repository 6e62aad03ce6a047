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

static void
print_plans(const struct stage *stage)
{
    for (unsigned i = 0; i < stage->part_count; i++)
        stage->parts[i]->type->print_plan(stage->parts[i], stderr);
    fprintf(stderr, "%g s after a warm-up of %g s\n", (double)stage->config->duration_ns / 1e9,
            (double)stage->config->warmup_ns / 1e9);
}

static json_t *
result_json(const struct stage *stage)
{
    const struct part *part = stage->parts[0];
    json_t *plan = part->type->plan(part);

    json_object_set_new(plan, "duration_s", json_real((double)stage->config->duration_ns / 1e9));
    json_object_set_new(plan, "warmup_s", json_real((double)stage->config->warmup_ns / 1e9));
    return json_pack("{s:s, s:o, s:o}", "mcpload", MCPGATE_VERSION, "plan", plan, "result",
                     tally_json(&part->tally));
}

/* The exit status. */
static int
report(const struct stage *stage)
{
    const char *file = stage->config->json;
    FILE *out = file && strcmp(file, "-") == 0 ? stderr : stdout;
    int status = 0;

    for (unsigned i = 0; i < stage->part_count; i++) {
        const struct part *part = stage->parts[i];

        tally_print(&part->tally, out);
        if (tally_errors(&part->tally) || !part->type->was_good(part))
            status = 1;
    }
    if (file) {
        json_t *result = result_json(stage);

        status |= mcpload_write_json(result, file);
        json_decref(result);
    }
    return status;
}

int
run_parts(const struct stage_config *config, struct part **parts, unsigned count)
{
    struct stage stage = {.config = config, .parts = parts, .part_count = count};
    char why[512];
    int status = 2;

    if (!config->quiet)
        print_plans(&stage);
    if (stage_run(&stage, config, parts, count, why, sizeof why) == 0)
        status = report(&stage);
    else
        fprintf(stderr, "mcpload: %s\n", why);
    for (unsigned i = 0; i < count; i++)
        parts[i]->type->free(parts[i]);
    return status;
}
