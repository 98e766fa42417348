/* SPDX-License-Identifier: Apache-2.0 */
/* serve/processes.h - the processes that this user may record. */
#ifndef MT_SERVE_PROCESSES_H
#define MT_SERVE_PROCESSES_H

/* Writes them to descriptor 1 as JSON; for a child: /proc can make a reader wait. */
void processes_write(const void *unused);

#endif
