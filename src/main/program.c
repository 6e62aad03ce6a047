/* SPDX-License-Identifier: Apache-2.0 */
#include "main/program.h"

#include "cfg/cfg.h"
#include "gate/secure.h"
#include "proc/supervisor.h"

#include <stdio.h>

static int
print(const struct cfg_result *cfg)
{
    switch (cfg->action) {
    case CFG_HELP:
        cfg_print_help(stdout);
        break;
    case CFG_VERSION:
        cfg_print_version(stdout);
        break;
    case CFG_CHECK:
        cfg_print_check(stdout, cfg->config);
        break;
    case CFG_PRINT_CONFIG:
        cfg_print_config(stdout, cfg->config);
        break;
    case CFG_RUN:
        break;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

/* What is in the files of https:// upstreams: a worker would stumble over it only after the start. */
static int
check_tls(const struct config *c)
{
    char why[CFG_ERROR_MAX];

    for (uint32_t i = 0; i < c->tls.count; i++) {
        struct tls_context *context;

        if (secure_context_new(c, i, &context, why, sizeof why) < 0) {
            fprintf(stderr, "mcpgate: %s\n", why);
            return -1;
        }
        tls_context_free(&context);
    }
    return 0;
}

int
program_main(int argc, char **argv, const struct child_role *roles)
{
    struct cfg_result cfg;

    if (child_is(argc, argv))
        return child_run(argv, roles);
    if (cfg_load(argc, argv, &cfg) < 0) {
        fprintf(stderr, "%s\n", cfg.error);
        return 2;
    }
    if (cfg.config && check_tls(cfg.config) < 0) {
        cfg_done(&cfg);
        return 2;
    }
    if (cfg.action == CFG_RUN)
        return supervisor_run(argc, argv, &cfg);
    int status = print(&cfg);
    cfg_done(&cfg);
    return status;
}
