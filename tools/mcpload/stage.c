/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a run and its windows of time; see stage.h. */
#include "stage.h"

#include "cpu.h"
#include "mcpload.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { SETTLE_STEP_MS = 20, SETTLE_MAX_S = 30 };

static const uint64_t settle_max_ns = (uint64_t)SETTLE_MAX_S * 1000000000;

static bool
each_part(const struct stage *stage, bool (*is)(const struct part *))
{
    for (unsigned i = 0; i < stage->part_count; i++)
        if (!is(stage->parts[i]))
            return false;
    return true;
}

static bool
is_settled(const struct part *part)
{
    return part->type->is_settled(part);
}

static bool
is_over(const struct part *part)
{
    return part->type->is_over && part->type->is_over(part);
}

static bool
is_quiet(const struct part *part)
{
    return !part->type->is_busy(part);
}

static bool
is_closed(const struct part *part)
{
    return part->open == 0;
}

/* --- windows --- */

static uint64_t
measured_cpu_ns(const struct stage *stage)
{
    return cpu_of_tree_ns((pid_t)stage->config->cpu_of, stage->config->cpu_without);
}

static void
end_window(struct stage *stage)
{
    bool measured = stage->phase == PHASE_MEASURE;

    if (stage->phase >= PHASE_DRAIN)
        return;
    stage->window_end_ns = ring_now(stage->ring);
    stage->phase = PHASE_DRAIN;
    if (measured && stage->config->cpu_of)
        stage->cpu_ns = measured_cpu_ns(stage) - stage->cpu_begin_ns;
    for (unsigned i = 0; i < stage->part_count; i++) {
        struct part *part = stage->parts[i];

        if (measured)
            part->tally.seconds = (double)(stage->window_end_ns - stage->window_begin_ns) / 1e9;
        if (stage->part_count == 1)
            part->tally.cpu_ns = stage->cpu_ns;
        part->type->end_window(part);
    }
}

static void
on_window_end(struct ring *ring, struct timer *timer)
{
    (void)ring;
    end_window(container_of(timer, struct stage, phase_timer));
}

static void
on_window_begin(struct ring *ring, struct timer *timer)
{
    struct stage *stage = container_of(timer, struct stage, phase_timer);
    uint64_t now = ring_now(ring);

    if (!each_part(stage, is_settled) && now - stage->begin_ns < stage->config->warmup_ns + settle_max_ns) {
        timer_set(ring, timer, SETTLE_STEP_MS, on_window_begin);
        return;
    }
    if (stage->config->cpu_of)
        stage->cpu_begin_ns = measured_cpu_ns(stage);
    stage->phase = PHASE_MEASURE;
    stage->window_begin_ns = now;
    timer_set(ring, timer, stage->config->duration_ns / 1000000, on_window_end);
}

static void
on_signal(struct op *op, int result, struct buf *buf, bool more)
{
    struct stage *stage = container_of(op, struct stage, signals);

    (void)buf, (void)more;
    if (result != -ECANCELED)
        stage->interrupted = true;
    end_window(stage);
}

static void
on_progress(struct ring *ring, struct timer *timer)
{
    static const char *const phases[] = {"warm-up", "measuring", "draining", "closing"};
    struct stage *stage = container_of(timer, struct stage, progress_timer);
    uint64_t requests = 0, events = 0, errors = 0, open = 0;

    for (unsigned i = 0; i < stage->part_count; i++) {
        requests += stage->parts[i]->requests_all;
        events += stage->parts[i]->events_all;
        errors += tally_errors(&stage->parts[i]->tally);
        open += stage->parts[i]->open;
    }
    fprintf(stderr,
            "\r%4.0f s  %-9s %9" PRIu64 " req/s %9" PRIu64 " events/s  %" PRIu64 " open  %" PRIu64
            " errors   ",
            (double)(ring_now(ring) - stage->begin_ns) / 1e9, phases[stage->phase],
            requests - stage->progress_requests, events - stage->progress_events, open, errors);
    stage->progress_requests = requests;
    stage->progress_events = events;
    timer_set(ring, timer, 999, on_progress); /* the wheel adds the millisecond that has begun */
}

/* --- the loop --- */

static void
turn(struct stage *stage)
{
    pacer_arm(&stage->pacer);
    ring_wait(stage->ring, 100);
    for (unsigned i = 0; i < stage->part_count; i++)
        if (stage->parts[i]->type->submitted)
            stage->parts[i]->type->submitted(stage->parts[i]);
    ring_reap(stage->ring);
    pacer_run(&stage->pacer, ring_now(stage->ring));
}

static void
begin(struct stage *stage)
{
    stage->signal_fd = mcpload_signals();
    ring_poll(stage->ring, &stage->signals, stage->signal_fd, POLLIN, on_signal);
    ring_reap(stage->ring); /* reads the clock */
    stage->begin_ns = ring_now(stage->ring);
    if (stage->config->warmup_ns)
        timer_set(stage->ring, &stage->phase_timer, stage->config->warmup_ns / 1000000, on_window_begin);
    else
        on_window_begin(stage->ring, &stage->phase_timer);
    for (unsigned i = 0; i < stage->part_count; i++)
        stage->parts[i]->type->begin(stage->parts[i]);
}

static void
drain(struct stage *stage)
{
    end_window(stage);
    while (!each_part(stage, is_quiet))
        turn(stage);
    for (unsigned i = 0; i < stage->part_count; i++)
        if (stage->parts[i]->type->leave)
            stage->parts[i]->type->leave(stage->parts[i]);
    while (!each_part(stage, is_quiet))
        turn(stage);
}

static void
finish(struct stage *stage)
{
    stage->phase = PHASE_CLOSE;
    timer_stop(&stage->phase_timer);
    timer_stop(&stage->progress_timer);
    for (unsigned i = 0; i < stage->part_count; i++)
        stage->parts[i]->type->close(stage->parts[i]);
    ring_cancel(stage->ring, &stage->signals);
    while (!each_part(stage, is_closed) || op_busy(&stage->signals))
        turn(stage);
    pacer_done(&stage->pacer);
    ring_free(&stage->ring);
    close(stage->signal_fd);
}

int
stage_run(struct stage *stage, const struct stage_config *config, struct part **parts, unsigned count,
          char *why, size_t why_size)
{
    struct ring_config rings = {.buf_count = {2048, 16}, .cq_entries = 32768};
    bool progress = !config->quiet && isatty(STDERR_FILENO);
    int err;

    *stage = (struct stage){.config = config, .parts = parts, .part_count = count};
    err = ring_new(&rings, &stage->ring, why, why_size);
    if (err < 0)
        return err;
    err = pacer_init(&stage->pacer, stage->ring);
    if (err < 0) {
        snprintf(why, why_size, "timerfd: %s", strerror(-err));
        ring_free(&stage->ring);
        return err;
    }
    for (unsigned i = 0; i < count; i++)
        parts[i]->stage = stage;
    if (progress)
        timer_set(stage->ring, &stage->progress_timer, 999, on_progress);
    begin(stage);
    while (stage->phase < PHASE_DRAIN && !each_part(stage, is_over))
        turn(stage);
    drain(stage);
    finish(stage);
    if (progress)
        fprintf(stderr, "\r%80s\r", "");
    return 0;
}
