/* SPDX-License-Identifier: Apache-2.0 */
/* mcpstat --watch: one plain line an interval, as vmstat does, for terminals, files and pipes alike. */
#include "mcpstat.h"

#include "stats/format_text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LINES_PER_HEADING = 20, CELL_WIDTH = 11 };

static void
sleep_for(double seconds)
{
    struct timespec ts = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

    nanosleep(&ts, NULL);
}

static void
put_heading(const struct column_set *set)
{
    printf("%-8s", "time");
    for (unsigned i = 0; i < set->count; i++)
        printf(" %*s", CELL_WIDTH, set->columns[i].heading);
    printf("\n");
}

static void
put_line(const struct snapshot *now, const struct snapshot *change, const struct column_set *set)
{
    char text[HUMAN_MAX];

    human_date(text, now->real_ns);
    printf("%-8s", strchr(text, ' ') ? strchr(text, ' ') + 1 : text);
    for (unsigned i = 0; i < set->count; i++) {
        column_text(set, i, column_number(set, i, now->total, change->total, change->seconds), text);
        printf(" %*s", CELL_WIDTH, text);
    }
    printf("\n");
}

static void
put_headline(const struct snapshot *s)
{
    struct writer w = writer_of_file(stdout);

    text_headline(s, &w);
}

int
watch_run(struct source *source, double seconds)
{
    struct snapshot *before = NULL, *now, *change;
    struct column_set set;
    bool fresh, was_running = false;

    for (unsigned line = 0; (now = source_take(source, &fresh)); before = now) {
        if (!before || fresh || now->running != was_running) {
            put_headline(now);
            column_set_make(&set, now->schema, SEGMENT_PER_SLOT, watch_columns, watch_column_count);
            line = 0;
        } else if (now->running && (change = snapshot_difference(now, before))) {
            if (line++ % LINES_PER_HEADING == 0)
                put_heading(&set);
            put_line(now, change, &set);
            snapshot_free(&change);
        }
        was_running = now->running;
        snapshot_free(&before);
        if (fflush(stdout) != 0)
            break;
        sleep_for(seconds);
    }
    snapshot_free(&before);
    if (now)
        snapshot_free(&now);
    return EXIT_OK;
}
