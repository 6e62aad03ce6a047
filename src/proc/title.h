/* SPDX-License-Identifier: Apache-2.0 */
/* What ps and top show of a process that was not executed under the name it shall have. */
#ifndef PROC_TITLE_H
#define PROC_TITLE_H

/* Names this process `name` in top, and `title` with its arguments behind in ps. The arguments and the
 * environment move to other memory, where argv[] and environ point from then on; a pointer to their text that
 * was taken before must no longer be used. Once per process, before there are threads. Without memory ps goes
 * on showing what it showed. */
void title_set(const char *name, const char *title, int argc, char **argv);

#endif
