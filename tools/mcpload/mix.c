/* SPDX-License-Identifier: Apache-2.0 */
/* `mcpload mix`: several loads at the same time, on one ring and in one window of time. */
#include "load.h"
#include "mcpload.h"
#include "run.h"
#include "ws.h"

#include <stdlib.h>

struct mix {
    struct stage_config stage;
    struct part *parts[STAGE_PARTS_MAX];
    char names[STAGE_PARTS_MAX][16]; /* of those that were given none */
    unsigned count;
};

static void
help(void)
{
    printf("usage: mcpload mix [flags of the measurement] + PART [+ PART ...]\n\n"
           "Several loads at the same time. A part is \"ws\" and the flags of mcpload ws, or the flags of "
           "mcpload;\n"
           "the report has each of them.\n\nFlags of the measurement:\n");
    flags_help(stage_flags, stdout);
    printf("\nOf each part, beside its own:\n");
    flags_help(part_flags, stdout);
}

static struct part *
make_load(int argc, char **argv, struct part_config *common, char *why, size_t why_size)
{
    struct load_config config = {0};

    if (flags_parse((struct flag_set[]){{load_flags, &config}, {part_flags, common}, {0}}, argc, argv, NULL,
                    why, why_size) < 0)
        return NULL;
    return load_make(&config, why, why_size);
}

static struct part *
make_ws(int argc, char **argv, struct part_config *common, char *why, size_t why_size)
{
    struct ws_config config = {0};

    if (flags_parse((struct flag_set[]){{ws_flags, &config}, {part_flags, common}, {0}}, argc, argv, NULL,
                    why, why_size) < 0)
        return NULL;
    return ws_make(&config, why, why_size);
}

/* The words of one part; false with one line in why[]. */
static bool
add_part(struct mix *mix, int argc, char **argv, char *why, size_t why_size)
{
    bool is_ws = argc > 0 && strcmp(argv[0], "ws") == 0;
    struct part_config common = {0};
    struct part *part;
    char reason[400];

    if (mix->count == STAGE_PARTS_MAX) {
        snprintf(why, why_size, "mix: there are more than %d parts", STAGE_PARTS_MAX);
        return false;
    }
    part = is_ws ? make_ws(argc - 1, argv + 1, &common, reason, sizeof reason)
                 : make_load(argc, argv, &common, reason, sizeof reason);
    if (!part) {
        snprintf(why, why_size, "mix: part %u: %s", mix->count + 1, reason);
        return false;
    }
    snprintf(mix->names[mix->count], sizeof mix->names[0], "%s %u", is_ws ? "ws" : "http", mix->count + 1);
    part->name = common.name ? common.name : mix->names[mix->count];
    mix->parts[mix->count++] = part;
    return true;
}

/* How many words there are before the next "+". */
static int
words_of(int argc, char **argv)
{
    int n = 0;

    while (n < argc && strcmp(argv[n], "+") != 0)
        n++;
    return n;
}

static bool
parse(struct mix *mix, int argc, char **argv, char *why, size_t why_size)
{
    int n = words_of(argc, argv);

    if (flags_parse((struct flag_set[]){{stage_flags, &mix->stage}, {0}}, n, argv, NULL, why, why_size) < 0 ||
        run_check(&mix->stage, why, why_size) < 0)
        return false;
    if (n == argc) {
        snprintf(why, why_size, "mix: there is no part (try mcpload mix --help)");
        return false;
    }
    while (n < argc) {
        argc -= n + 1;
        argv += n + 1;
        n = words_of(argc, argv);
        if (!add_part(mix, n, argv, why, why_size))
            return false;
    }
    return true;
}

int
mix_main(int argc, char **argv)
{
    struct mix mix = {0};
    char why[512];

    if (argc == 0 || mcpload_wants_help(argc, argv)) {
        help();
        return argc == 0 ? 2 : 0;
    }
    if (parse(&mix, argc, argv, why, sizeof why))
        return run_mix(&mix.stage, mix.parts, mix.count);
    for (unsigned i = 0; i < mix.count; i++)
        mix.parts[i]->type->free(mix.parts[i]);
    fprintf(stderr, "mcpload: %s\n", why);
    return 2;
}
