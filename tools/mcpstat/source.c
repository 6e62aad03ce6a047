/* SPDX-License-Identifier: Apache-2.0 */
#include "source.h"

#include "cfg/paths.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int
open_given(struct source *source, const char *dir, char *why, size_t why_size)
{
    const char *text;
    int err = stats_open(dir, &source->reader, &text);

    if (err == 0)
        snprintf(source->dir, sizeof source->dir, "%s", dir);
    else if (err == -ENOENT || err == -ENOTDIR)
        snprintf(why, why_size, "no gateway in %s: start one with --run-dir %s, or name its run directory",
                 dir, dir);
    else
        snprintf(why, why_size, "%s/%s: %s", dir, SEGMENT_FILE_NAME, text);
    return err;
}

/* Keeps the better of the two: a gateway that runs, else the one found first. */
static void
consider(struct source *source, struct stats_reader *reader, const char *dir)
{
    if (source->reader && (stats_is_running(source->reader) || !stats_is_running(reader))) {
        stats_close_reader(&reader);
        return;
    }
    stats_close_reader(&source->reader);
    source->reader = reader;
    snprintf(source->dir, sizeof source->dir, "%s", dir);
}

static int
search(struct source *source, char *why, size_t why_size)
{
    char dir[CFG_PATH_MAX], looked[512] = "", refused[512] = "";
    const char *text;

    for (unsigned i = 0;; i++) {
        struct stats_reader *reader;
        int err = cfg_run_dir_candidate(i, dir, sizeof dir);
        size_t at = strlen(looked);

        if (err == -ENOENT)
            break;
        if (err < 0)
            continue;
        snprintf(looked + at, sizeof looked - at, "%s%s", at ? ", " : "", dir);
        err = stats_open(dir, &reader, &text);
        if (err == 0)
            consider(source, reader, dir);
        else if (err != -ENOENT && err != -ENOTDIR && !refused[0])
            snprintf(refused, sizeof refused, "%.300s/%s: %s", dir, SEGMENT_FILE_NAME, text);
    }
    if (source->reader)
        return 0;
    if (refused[0])
        snprintf(why, why_size, "%s", refused);
    else
        snprintf(why, why_size, "no gateway found in %s: start one, or name its run directory with --run-dir",
                 looked);
    return -ENOENT;
}

int
source_open(struct source *source, const char *dir, char *why, size_t why_size)
{
    memset(source, 0, sizeof *source);
    return dir ? open_given(source, dir, why, why_size) : search(source, why, why_size);
}

void
source_close(struct source *source)
{
    stats_close_reader(&source->reader);
}

struct snapshot *
source_take(struct source *source, bool *ret_fresh)
{
    struct stats_reader *next;
    const char *why;

    *ret_fresh = false;
    if (stats_was_replaced(source->reader) && stats_open(source->dir, &next, &why) == 0) {
        stats_close_reader(&source->reader);
        source->reader = next;
        *ret_fresh = true;
    }
    return stats_snapshot(source->reader);
}
