/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live view. Each view is a page of plain lines, made by the same functions as the plain text, that is
 * drawn from the line where the user has scrolled to. Lines that start at the margin are headings.
 */
#include "mcpstat.h"

#include "page.h"
#include "stats/format_text.h"

#include <curses.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <time.h>
#include <unistd.h>

enum { INTERVAL_MS = 1000, SIDE_STEP = 10 };

struct live {
    struct source *source;
    struct snapshot *now; /* the last one taken */
    struct snapshot
        *change; /* what it has over the one before, or NULL: averages since the start are shown then */
    struct page page;
    enum view view;
    struct sort sort[VIEWS];
    int top, left; /* first line and column shown */
    bool paused, help;
};

static int64_t
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Takes the next snapshot. One that cannot be taken leaves the last one in view. */
static void
refresh_figures(struct live *l)
{
    bool fresh;
    struct snapshot *s = source_take(l->source, &fresh);

    if (fresh) {
        snapshot_free(&l->now);
        snapshot_free(&l->change);
    }
    if (!s)
        return;
    if (l->now && s->running) {
        struct snapshot *change = snapshot_difference(s, l->now);

        if (change) {
            snapshot_free(&l->change);
            l->change = change;
        }
    } else if (!s->running) {
        snapshot_free(&l->change);
    }
    snapshot_free(&l->now);
    l->now = s;
}

static void
draw_bar(int y, const char *text)
{
    char line[512];

    snprintf(line, sizeof line, "%-*s", COLS < 511 ? COLS : 511, text);
    attron(A_REVERSE);
    mvaddnstr(y, 0, line, COLS);
    attroff(A_REVERSE);
}

static void
draw_top(const struct live *l)
{
    char text[512];
    int at = snprintf(text, sizeof text, " mcpstat ");

    for (int v = 0; v < VIEWS; v++)
        at += snprintf(text + at, sizeof text - (size_t)at, v == (int)l->view ? " [%d %s]" : "  %d %s ",
                       v + 1, view_name((enum view)v));
    if (l->paused)
        snprintf(text + at, sizeof text - (size_t)at, "  PAUSED");
    draw_bar(0, text);
}

static void
draw_bottom(const struct live *l)
{
    char text[512], sorted[64] = "";

    if (view_sorts(l->view, l->now->schema) > 1)
        snprintf(sorted, sizeof sorted, "  sorted by %s%s",
                 view_sort_name(l->view, l->now->schema, l->sort[l->view].column),
                 l->sort[l->view].reverse ? " (reversed)" : "");
    snprintf(text, sizeof text, " q quit  tab view  s sort  r reverse  p pause  arrows scroll  h help%s%s",
             sorted, l->change ? "" : "  (averages since the start)");
    draw_bar(LINES - 1, text);
}

static void
draw_help(void)
{
    static const char *const help[] = {
        "1 2 3 4 5, tab  overview, workers, upstreams, streams, transports",
        "arrows, PgUp, PgDn, home, end      scroll",
        "s / S           sort by the next / previous column",
        "r               reverse the order",
        "p, space        pause and go on",
        "q               quit",
        "",
        "Rates and percentiles cover the last second. mcpstat --list explains every metric.",
    };

    for (int i = 0; i < (int)(sizeof help / sizeof *help); i++)
        mvaddnstr(2 + i, 2, help[i], COLS > 2 ? COLS - 2 : 0);
}

static void
draw_page(struct live *l)
{
    int room = LINES - 2 > 0 ? LINES - 2 : 0;
    int last = (int)l->page.line_count - room;

    if (l->top > last)
        l->top = last;
    if (l->top < 0)
        l->top = 0;
    if (l->left > page_width(&l->page) - COLS)
        l->left = page_width(&l->page) > COLS ? page_width(&l->page) - COLS : 0;
    for (int y = 0; y < room && l->top + y < (int)l->page.line_count; y++) {
        const char *line = page_line(&l->page, (unsigned)(l->top + y));
        bool heading = line[0] && line[0] != ' ';

        if (heading)
            attron(A_BOLD);
        if (l->left < (int)strlen(line))
            mvaddnstr(1 + y, 0, line + l->left, COLS);
        if (heading)
            attroff(A_BOLD);
    }
}

static void
draw(struct live *l)
{
    erase();
    if (!l->now) {
        draw_bar(0, " mcpstat: the segment cannot be read; waiting");
        refresh();
        return;
    }
    page_make(&l->page, l->view, l->now, l->change ? l->change : l->now, &l->sort[l->view]);
    draw_top(l);
    if (l->help)
        draw_help();
    else
        draw_page(l);
    draw_bottom(l);
    refresh();
}

static void
switch_view(struct live *l, enum view view)
{
    l->view = view;
    l->top = l->left = 0;
}

static void
sort_by(struct live *l, int step)
{
    unsigned n = l->now ? view_sorts(l->view, l->now->schema) : 0;
    struct sort *sort = &l->sort[l->view];

    if (n > 0)
        sort->column = (sort->column % n + n + (unsigned)step) % n;
}

/* False: quit. */
static bool
on_key(struct live *l, int key)
{
    if (l->help && key != 'q') {
        l->help = false;
        return true;
    }
    switch (key) {
    case 'q':
    case 'Q':
        return false;
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
        switch_view(l, (enum view)(key - '1'));
        break;
    case '\t':
        switch_view(l, (enum view)((l->view + 1) % VIEWS));
        break;
    case KEY_BTAB:
        switch_view(l, (enum view)((l->view + VIEWS - 1) % VIEWS));
        break;
    case 's':
        sort_by(l, 1);
        break;
    case 'S':
        sort_by(l, -1);
        break;
    case 'r':
        l->sort[l->view].reverse = !l->sort[l->view].reverse;
        break;
    case 'p':
    case ' ':
        l->paused = !l->paused;
        break;
    case 'h':
    case '?':
        l->help = true;
        break;
    case KEY_DOWN:
        l->top++;
        break;
    case KEY_UP:
        l->top--;
        break;
    case KEY_RIGHT:
        l->left += SIDE_STEP;
        break;
    case KEY_LEFT:
        l->left -= l->left < SIDE_STEP ? l->left : SIDE_STEP;
        break;
    case KEY_NPAGE:
        l->top += LINES - 2;
        break;
    case KEY_PPAGE:
        l->top -= LINES - 2;
        break;
    case KEY_HOME:
        l->top = l->left = 0;
        break;
    case KEY_END:
        l->top = (int)l->page.line_count;
        break;
    default:
        break;
    }
    return true;
}

static void
loop(struct live *l)
{
    int64_t next = now_ms();

    for (;;) {
        int64_t now = now_ms();
        int key;

        if (now >= next) {
            if (!l->paused)
                refresh_figures(l);
            next = now + INTERVAL_MS;
        }
        draw(l);
        timeout((int)(next - now_ms() > 0 ? next - now_ms() : 0));
        key = getch();
        /* ERR at once and not after the wait: the terminal is gone */
        if (key == ERR && !isatty(STDIN_FILENO))
            return;
        if (key != ERR && !on_key(l, key))
            return;
    }
}

int
live_run(struct source *source)
{
    struct live l = {.source = source};
    SCREEN *screen = NULL;
    int known;

    setlocale(LC_CTYPE, "");
    /* asked first, because newterm() leaks what it had allocated when it finds no such terminal */
    if (setupterm(NULL, STDOUT_FILENO, &known) == OK) {
        del_curterm(cur_term);
        screen = newterm(NULL, stdout, stdin);
    }
    if (!screen) {
        fprintf(stderr, "mcpstat: the terminal \"%s\" is not known: set TERM, or use --once or --watch\n",
                getenv("TERM") ? getenv("TERM") : "");
        return EXIT_USAGE;
    }
    set_term(screen);
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    curs_set(0);
    set_escdelay(25);
    loop(&l);
    endwin();
    delscreen(screen);
    page_done(&l.page);
    snapshot_free(&l.now);
    snapshot_free(&l.change);
    return EXIT_OK;
}
