/* SPDX-License-Identifier: Apache-2.0 */
/* mcpload: which subcommand. */
#include "mcpload.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"ws", ws_main}, {"mix", mix_main}, {"serve", serve_main}, {"floor", floor_main}, {"diff", diff_main}};

int
main(int argc, char **argv)
{
    mcpload_raise_descriptors();
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("mcpload %s\n", MCPGATE_VERSION);
        return 0;
    }
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    return load_main(argc - 1, argv + 1);
}
