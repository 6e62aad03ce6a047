/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mcpstat: what a gateway on this machine does, read from its statistics segment without touching its
 * processes. The manual is mcpstat.1.
 */
#include "mcpstat.h"

#include "stats/format.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum mode { MODE_LIVE, MODE_ONCE, MODE_JSON, MODE_PROM, MODE_LIST, MODE_WATCH };

struct arguments {
    enum mode mode;
    const char *run_dir;
    double seconds; /* MODE_WATCH */
};

static const char usage_text[] =
    "usage: mcpstat [--once | --json | --prom | --list | --watch SECS] [--run-dir DIR]\n"
    "\n"
    "Shows what mcpgate does. Without an option: a live view (q quits, 1..4 or tab switch, h helps);\n"
    "on a pipe the same as --once.\n"
    "\n"
    "  -1, --once         the figures once, as plain text\n"
    "  -j, --json         the figures once, as a JSON object\n"
    "  -p, --prom         the figures once, in Prometheus' text format\n"
    "  -w, --watch SECS   a plain line every SECS seconds\n"
    "  -l, --list         every metric with kind, unit, labels and help\n"
    "  -d, --run-dir DIR  the gateway's run directory (default: the first of /run/mcpgate,\n"
    "                     $XDG_RUNTIME_DIR/mcpgate and /tmp/mcpgate-UID that holds a gateway)\n"
    "  -V, --version      mcpstat's version\n"
    "  -h, --help         this text\n"
    "\n"
    "Exit status: 0, 1 when there is no gateway, 2 when the command line is wrong.\n";

static const struct option long_options[] = {
    {"once", no_argument, NULL, '1'},
    {"json", no_argument, NULL, 'j'},
    {"prom", no_argument, NULL, 'p'},
    {"list", no_argument, NULL, 'l'},
    {"watch", required_argument, NULL, 'w'},
    {"run-dir", required_argument, NULL, 'd'},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static _Noreturn void
usage_error(const char *what, const char *value)
{
    fprintf(stderr, "mcpstat: %s%s; see mcpstat --help\n", what, value);
    exit(EXIT_USAGE);
}

static void
set_mode(struct arguments *args, enum mode mode)
{
    if (args->mode != MODE_LIVE && args->mode != mode)
        usage_error("--once, --json, --prom, --list and --watch exclude each other", "");
    args->mode = mode;
}

static double
seconds_of(const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end || !(seconds >= 0.05 && seconds <= 86400))
        usage_error("--watch takes seconds from 0.05 to 86400, not ", text);
    return seconds;
}

static void
parse(struct arguments *args, int argc, char **argv)
{
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, ":1jplw:d:Vh", long_options, NULL)) != -1) {
        switch (c) {
        case '1':
            set_mode(args, MODE_ONCE);
            break;
        case 'j':
            set_mode(args, MODE_JSON);
            break;
        case 'p':
            set_mode(args, MODE_PROM);
            break;
        case 'l':
            set_mode(args, MODE_LIST);
            break;
        case 'w':
            set_mode(args, MODE_WATCH);
            args->seconds = seconds_of(optarg);
            break;
        case 'd':
            args->run_dir = optarg;
            break;
        case 'V':
            puts("mcpstat " MCPGATE_VERSION);
            exit(EXIT_OK);
        case 'h':
            fputs(usage_text, stdout);
            exit(EXIT_OK);
        case ':':
            usage_error("a value is missing after ", argv[optind - 1]);
        default:
            usage_error("unknown option ", argv[optind - 1]);
        }
    }
    if (optind < argc)
        usage_error("unexpected argument ", argv[optind]);
}

static int
show_once(struct source *source, enum mode mode)
{
    struct writer w = writer_of_file(stdout);
    struct snapshot *s;
    bool fresh;

    if (mode == MODE_LIST) {
        stats_format_list(stats_schema(source->reader), &w);
        return EXIT_OK;
    }
    s = source_take(source, &fresh);
    if (!s) {
        fprintf(stderr, "mcpstat: %s: the segment cannot be read\n", source->dir);
        return EXIT_NO_GATEWAY;
    }
    if (mode == MODE_JSON)
        stats_format_json(s, &w);
    else if (mode == MODE_PROM)
        stats_format_prom(s, &w);
    else
        stats_format_text(s, s, &w);
    snapshot_free(&s);
    return EXIT_OK;
}

int
main(int argc, char **argv)
{
    struct arguments args = {.mode = MODE_LIVE};
    struct source source;
    char why[1024];
    int status;

    parse(&args, argc, argv);
    if (source_open(&source, args.run_dir, why, sizeof why) < 0) {
        fprintf(stderr, "mcpstat: %s\n", why);
        return EXIT_NO_GATEWAY;
    }
    if (args.mode == MODE_LIVE && !(isatty(STDOUT_FILENO) && isatty(STDIN_FILENO)))
        args.mode = MODE_ONCE;
    if (args.mode == MODE_LIVE)
        status = live_run(&source);
    else if (args.mode == MODE_WATCH)
        status = watch_run(&source, args.seconds);
    else
        status = show_once(&source, args.mode);
    source_close(&source);
    return status;
}
